package client

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"mscoin/gateway/internal/cache"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

// till answers PlaceOrder with answers in turn, nil being success, and notes what was asked.
type till struct {
	exchangepb.ExchangeServiceClient
	walletpb.WalletServiceClient

	answers   []error
	trailer   metadata.MD
	walletErr error
	asked     []string
}

func (f *till) PlaceOrder(_ context.Context, in *exchangepb.PlaceOrderRequest, opts ...grpc.CallOption) (*exchangepb.PlaceOrderResponse, error) {
	f.asked = append(f.asked, "place")
	for _, o := range opts {
		if t, ok := o.(grpc.TrailerCallOption); ok {
			*t.TrailerAddr = f.trailer
		}
	}
	err := f.answers[0]
	f.answers = f.answers[1:]
	if err != nil {
		return nil, err
	}
	return &exchangepb.PlaceOrderResponse{
		Order:    &exchangepb.Order{MemberId: in.GetOrder().GetMemberId()},
		Position: &exchangepb.Position{Symbol: "BTC/USDT", Seq: 9}, TouchedMemberIds: []int64{8},
	}, nil
}

func (f *till) GetWallets(_ context.Context, in *walletpb.GetWalletsRequest, _ ...grpc.CallOption) (*walletpb.GetWalletsResponse, error) {
	for _, p := range in.GetReadAfter() {
		f.asked = append(f.asked, "wait for "+p.GetSymbol())
	}
	return &walletpb.GetWalletsResponse{}, f.walletErr
}

func TestPlaceOrder(t *testing.T) {
	poor := errs.New(errs.KindFailedPrecondition, errs.CodeInsufficientBalance, "not enough")
	place := func(f *till, noted bool) (*cache.Positions, error) {
		positions := cache.NewPositions(nil, clock.NewFake(time.UnixMilli(1_700_000_000_000)), time.Minute, time.Second)
		if noted {
			positions.Remember(t.Context(), "ETH/USDT", 4, 7)
		}
		_, err := PlaceOrder(t.Context(), Backends{Exchange: f, Wallet: f}, positions, &exchangepb.NewOrder{MemberId: 7})
		return positions, err
	}
	t.Run("what an answer has told of can be spent at once", func(t *testing.T) {
		f := &till{answers: []error{poor, nil}}
		if _, err := place(f, true); err != nil {
			t.Fatal(err)
		}
		if want := []string{"place", "wait for ETH/USDT", "place"}; !slices.Equal(f.asked, want) {
			t.Errorf("asked %v, want %v", f.asked, want)
		}
	})
	t.Run("who is poor all the same is refused, after one more look", func(t *testing.T) {
		f := &till{answers: []error{poor, poor}}
		if _, err := place(f, true); errs.CodeOf(err) != errs.CodeInsufficientBalance || len(f.asked) != 3 {
			t.Errorf("got %v, asked %v", err, f.asked)
		}
	})
	t.Run("a member without recent writes is refused at once", func(t *testing.T) {
		f := &till{answers: []error{poor}}
		if _, err := place(f, false); errs.CodeOf(err) != errs.CodeInsufficientBalance || len(f.asked) != 1 {
			t.Errorf("got %v, asked %v", err, f.asked)
		}
	})
	t.Run("when the wallet does not get there, nothing was done", func(t *testing.T) {
		f := &till{answers: []error{poor}, walletErr: errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "no answer")}
		if _, err := place(f, true); errs.KindOf(err) != errs.KindUnavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no other error is repeated", func(t *testing.T) {
		for _, kind := range []errs.Kind{errs.KindUnknownOutcome, errs.KindInternal, errs.KindUnavailable} {
			f := &till{answers: []error{errs.New(kind, errs.CodeUnavailable, "wanted")}}
			if _, err := place(f, true); errs.KindOf(err) != kind || len(f.asked) != 1 {
				t.Errorf("%v: got %v, asked %v", kind, err, f.asked)
			}
		}
	})
	t.Run("reads wait for the record that refused an order: it gives back what was held", func(t *testing.T) {
		refusal := errors.New("would take")
		positions, err := place(&till{answers: []error{refusal}, trailer: metadata.Pairs("mscoin-position", "BTC/USDT 5")}, false)
		if !errors.Is(err, refusal) {
			t.Fatal(err)
		}
		if got := positions.After(t.Context(), 7); !slices.Equal(got, []cache.Position{{Symbol: "BTC/USDT", Seq: 5}}) {
			t.Errorf("reads wait for %v", got)
		}
	})
	t.Run("reads of all whom an order touches wait for its record", func(t *testing.T) {
		positions, err := place(&till{answers: []error{nil}}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range []int64{7, 8} {
			if got := positions.After(t.Context(), member); !slices.Equal(got, []cache.Position{{Symbol: "BTC/USDT", Seq: 9}}) {
				t.Errorf("reads of %d wait for %v", member, got)
			}
		}
	})
}
