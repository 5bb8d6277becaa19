package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"mscoin/deploy/allinone/node"
	"mscoin/deploy/chaos/internal/site"
	exchangesvc "mscoin/exchange/service"
	gatewaysvc "mscoin/gateway/service"
	marketsvc "mscoin/market/service"
	"mscoin/mscoin-common/embedded"
	"mscoin/mscoin-common/launch"
	ucentersvc "mscoin/ucenter/service"
	walletsvc "mscoin/wallet/service"
)

// serve is a process of the exchange under test. The services are what their own programs
// are, one line each; one program for all is built once, with failpoints.
func serve(kind string, args []string) {
	os.Args = append([]string{kind}, args...)
	switch kind {
	case site.Exchange:
		launch.Main(kind, exchangesvc.New)
	case site.Wallet:
		launch.Main(kind, walletsvc.New)
	case site.Market:
		launch.Main(kind, marketsvc.New)
	case site.Ucenter:
		launch.Main(kind, ucentersvc.New)
	case site.Gateway:
		launch.Main(kind, gatewaysvc.New)
	case "reconcile":
		os.Exit(walletsvc.Reconcile(context.Background(), args, os.Getenv, os.Stdout, os.Stderr))
	default:
		if err := server(kind, args); err != nil {
			fmt.Fprintln(os.Stderr, "mscoin:", err)
			os.Exit(1)
		}
	}
}

// server runs what has no program of its own, or one without flags.
func server(kind string, args []string) error {
	switch {
	case kind == site.AllInOne:
		return node.Run(context.Background(), node.Config{
			Addr: os.Getenv("MSCOIN_ADDR"), DataDir: os.Getenv("MSCOIN_DATA"), Profile: node.Demo, Out: os.Stdout,
		})
	case kind == site.Broker && len(args) == 3:
		b, err := embedded.StartBroker(embedded.Config{Dir: args[0], Addr: args[1], Advertise: args[2]})
		if err != nil {
			return err
		}
		untilSignal()
		return b.Close()
	case kind == site.Redis && len(args) == 1:
		s, err := embedded.StartRedis(args[0])
		if err != nil {
			return err
		}
		untilSignal()
		return s.Close()
	}
	return fmt.Errorf("there is no %q with %d arguments", kind, len(args))
}

func untilSignal() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
}
