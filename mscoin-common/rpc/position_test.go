package rpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
)

func TestPosition(t *testing.T) {
	s := start(t, rpc.ServerConfig{}, func(ctx context.Context, _ string) (string, error) {
		if err := rpc.SendPosition(ctx, "BTC/USDT", 1<<53-1); err != nil {
			return "", err
		}
		return "", errs.New(errs.KindFailedPrecondition, errs.CodePostOnlyWouldTake, "refused")
	})
	conn := dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}})
	t.Run("a refusal names its record", func(t *testing.T) {
		var trailer metadata.MD
		err := conn.Invoke(limited(t), echo, wrapperspb.String(""), new(wrapperspb.StringValue), grpc.Trailer(&trailer))
		if errs.CodeOf(err) != errs.CodePostOnlyWouldTake {
			t.Fatal(err)
		}
		if symbol, seq, ok := rpc.Position(trailer); !ok || symbol != "BTC/USDT" || seq != 1<<53-1 {
			t.Errorf("got %q %d %v", symbol, seq, ok)
		}
	})
	t.Run("what is no position is none", func(t *testing.T) {
		for _, text := range []string{"", "BTC/USDT", "BTC/USDT 0", "BTC/USDT -1", " 5", "BTC/USDT 5x", "BTC/USDT 99999999999999999999"} {
			if _, _, ok := rpc.Position(metadata.Pairs("mscoin-position", text)); ok {
				t.Errorf("%q is taken for one", text)
			}
		}
		if _, _, ok := rpc.Position(nil); ok {
			t.Error("an empty trailer has one")
		}
	})
}
