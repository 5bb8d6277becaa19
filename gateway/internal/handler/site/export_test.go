package site

import (
	"context"
	"encoding/csv"
	"errors"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"mscoin/gateway/internal/client"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
)

// pages is a wallet with so many lines.
type pages struct {
	walletpb.WalletServiceClient

	lines, asked int
	breakAt      int // which page cannot be read, 0 for none
}

var errBroken = errors.New("broken")

func (p *pages) ListTransactions(_ context.Context, in *walletpb.ListTransactionsRequest, _ ...grpc.CallOption) (*walletpb.ListTransactionsResponse, error) {
	p.asked++
	if p.asked == p.breakAt {
		return nil, errBroken
	}
	from, _ := strconv.Atoi(in.GetPageToken())
	to := min(from+int(in.GetPageSize()), p.lines)
	resp := &walletpb.ListTransactionsResponse{}
	for i := from; i < to; i++ {
		resp.Transactions = append(resp.Transactions, &walletpb.Transaction{
			TxId: int64(i), Kind: "deposit", Coin: "BTC", Account: "available", Amount: "-1.50000000", BalanceAfter: "0.00000001",
			Reference: "=HYPERLINK(\"x\"),\n\"y\"", TimeMs: 1_700_000_000_123,
		})
	}
	if to < p.lines {
		resp.NextPageToken = strconv.Itoa(to)
	}
	return resp, nil
}

func export(t *testing.T, p *pages) (string, error) {
	t.Helper()
	a := &API{cfg: Config{ReadTimeout: time.Minute}, backends: client.Backends{Wallet: p}}
	request := &walletpb.ListTransactionsRequest{PageSize: exportPage}
	first, err := a.exportPage(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	err = a.writeExport(t.Context(), w, request, first)
	return w.Body.String(), err
}

func TestAPI_Export(t *testing.T) {
	t.Run("every line of every page is a row, in order, with the amounts as they are", func(t *testing.T) {
		p := &pages{lines: 2*exportPage + 3}
		text, err := export(t, p)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) != p.lines+1 || p.asked != 3 {
			t.Fatalf("%d rows, %d pages, %v", len(rows), p.asked, err)
		}
		for i, row := range rows[1:] {
			if row[1] != strconv.Itoa(i) || row[0] != "2023-11-14T22:13:20.123Z" || row[6] != "-1.50000000" || row[7] != "0.00000001" {
				t.Fatalf("row %d: %q", i, row)
			}
		}
	})
	t.Run("no text is a formula to a spreadsheet", func(t *testing.T) {
		text, err := export(t, &pages{lines: 1})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || rows[1][10] != "'=HYPERLINK(\"x\"),\n\"y\"" {
			t.Fatalf("%q %v", rows, err)
		}
		for _, evil := range []string{"=1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "|x", "%x"} {
			if got := cell(evil); got != "'"+evil {
				t.Errorf("%q becomes %q", evil, got)
			}
		}
		for _, fine := range []string{"", "deposit", "BTC/USDT", "ref-1"} {
			if got := cell(fine); got != fine {
				t.Errorf("%q becomes %q", fine, got)
			}
		}
	})
	t.Run("an export that breaks off is no success", func(t *testing.T) {
		if _, err := export(t, &pages{lines: 3 * exportPage, breakAt: 2}); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
	})
}
