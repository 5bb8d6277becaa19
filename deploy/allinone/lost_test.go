package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/adshao/go-binance/v2"

	"mscoin/mscoin-common/bus"
)

// A part of the data folder that is lost makes the rest wrong: orders without money, money without orders. Going
// on would be worse than standing still.
func TestExchange_LostData(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	e := startExchange(t, dir, addr)
	_, err := clientsOf(e)[0].NewCreateOrderService().Symbol("BTCUSDT").Side(binance.SideTypeBuy).Type(binance.OrderTypeLimit).
		TimeInForce(binance.TimeInForceTypeGTC).Quantity("0.5").Price("50000").Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, dir)
	e.terminate(10 * time.Second)
	tests := map[string]struct {
		lose func(t *testing.T, dir string)
		says string
	}{
		"the broker's folder":      {remove("broker"), "log"},
		"the exchange's database":  {remove("exchange.db*"), "database"},
		"the wallet's database":    {remove("wallet.db*"), "database"},
		"the command log":          {remove("broker/log/partitions/" + bus.TopicCommands + "-0/*"), "log"},
		"the matcher's output log": {remove("broker/log/partitions/" + bus.TopicCompleted + "-0/*"), "log"},
		"the settlement log":       {remove("broker/log/partitions/" + bus.TopicSettle + "-0/*"), "log"},
	}
	for name, tt := range tests {
		t.Run("a start without "+name+" is refused at once and clearly", func(t *testing.T) {
			damaged := t.TempDir()
			if err := os.CopyFS(damaged, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			tt.lose(t, damaged)
			p := start(t, program(t, "mscoin/deploy/allinone"), []string{"MSCOIN_DATA=" + damaged, "MSCOIN_ADDR=" + freeAddr(t)})
			poll(t, 15*time.Second, "the exchange to refuse", func() error {
				select {
				case <-p.done:
					return nil
				default:
					return errors.New("it runs")
				}
			})
			lines := strings.Split(strings.TrimSpace(p.out.String()), "\n")
			last := lines[len(lines)-1]
			for _, line := range lines {
				if strings.HasPrefix(line, "mscoin:") {
					last = line
				}
			}
			if p.err == nil || !strings.HasPrefix(last, "mscoin:") || !strings.Contains(last, tt.says) {
				t.Errorf("ended with %v: %s", p.err, last)
			}
			t.Log(last)
		})
	}
}

func remove(pattern string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}
