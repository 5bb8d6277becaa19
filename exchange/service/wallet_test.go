package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	eventpb "mscoin/grpc-common/gen/event/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
)

const (
	testToken = "token-of-the-tests"
	scale     = 8
	feeMember = -1
)

// fakeWallet keeps balances and holds in memory, and settles what arrives on the
// settlement topic, with duplicates, as the real one must.
type fakeWallet struct {
	walletpb.UnimplementedWalletServiceServer

	mu        sync.Mutex
	available map[string]int64 // "member coin"
	holds     map[int64]*fakeHold
	seqs      map[string]int64
	hashes    map[string][]byte
	records   int
	// before, if set, runs at the start of PlaceHold; its error is the answer. after
	// runs when the hold is placed.
	before, after func(*walletpb.PlaceHoldRequest) error
	claim         *streampb.GetPositionsResponse
}

// fakeConsumer tells how far the wallet claims to be.
type fakeConsumer struct {
	streampb.UnimplementedConsumerServiceServer

	w *fakeWallet
}

func (c fakeConsumer) GetPositions(context.Context, *streampb.GetPositionsRequest) (*streampb.GetPositionsResponse, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.claim != nil {
		return c.w.claim, nil
	}
	res := &streampb.GetPositionsResponse{Consumer: "wallet"}
	for name, seq := range c.w.seqs {
		res.Symbols = append(res.Symbols, &streampb.SymbolPosition{Symbol: name, Seq: seq, Hash: c.w.hashes[name]})
	}
	return res, nil
}

// claims sets what the wallet says about how far it is.
func (w *fakeWallet) claims(res *streampb.GetPositionsResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.claim = res
}

type fakeHold struct {
	member                         int64
	coin, symbol                   string
	held, consumed, released, left int64
	seq                            int64
	closed                         bool
	tombstone, refused             bool
	placedMs                       int64
}

func newFakeWallet() *fakeWallet {
	return &fakeWallet{available: map[string]int64{}, holds: map[int64]*fakeHold{}, seqs: map[string]int64{}, hashes: map[string][]byte{}}
}

func account(member int64, coin string) string { return fmt.Sprint(member, " ", coin) }

func (w *fakeWallet) deposit(member int64, coin, amount string) {
	units, err := money.Parse(amount, scale)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.available[account(member, coin)] += units
}

// PlaceHold is idempotent by order id; refusals and tombstones are sticky.
func (w *fakeWallet) PlaceHold(_ context.Context, req *walletpb.PlaceHoldRequest) (*walletpb.PlaceHoldResponse, error) {
	if w.before != nil {
		if err := w.before(req); err != nil {
			return nil, err
		}
	}
	res, err := w.hold(req)
	if err == nil && w.after != nil {
		err = w.after(req)
	}
	return res, err
}

func (w *fakeWallet) hold(req *walletpb.PlaceHoldRequest) (*walletpb.PlaceHoldResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h, ok := w.holds[req.OrderId]; ok {
		if h.tombstone || h.refused {
			return nil, errs.New(errs.KindFailedPrecondition, errs.CodeHoldRefused, "hold was refused")
		}
		return &walletpb.PlaceHoldResponse{HeldAmount: money.Format(h.held, scale)}, nil
	}
	amount, err := money.Parse(req.Amount, scale)
	if err != nil {
		return nil, err
	}
	least := amount
	if req.MinAmount != "" {
		if least, err = money.Parse(req.MinAmount, scale); err != nil {
			return nil, err
		}
	}
	key := account(req.MemberId, req.Coin)
	h := &fakeHold{member: req.MemberId, coin: req.Coin, symbol: req.Symbol, placedMs: clock.Real().NowMs()}
	w.holds[req.OrderId] = h
	if w.available[key] < least || amount <= 0 {
		h.refused, h.closed = true, true
		return nil, errs.New(errs.KindFailedPrecondition, errs.CodeInsufficientBalance, "account has insufficient balance")
	}
	h.held = min(amount, w.available[key])
	h.left = h.held
	w.available[key] -= h.held
	return &walletpb.PlaceHoldResponse{HeldAmount: money.Format(h.held, scale)}, nil
}

// ListStaleHolds returns open holds that no record has named.
func (w *fakeWallet) ListStaleHolds(_ context.Context, req *walletpb.ListStaleHoldsRequest) (*walletpb.ListStaleHoldsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	res := &walletpb.ListStaleHoldsResponse{}
	for _, id := range slices.Sorted(maps.Keys(w.holds)) {
		if h := w.holds[id]; !h.closed && h.seq == 0 && h.placedMs < req.PlacedBeforeMs {
			res.Holds = append(res.Holds, &walletpb.StaleHold{OrderId: id, MemberId: h.member, Symbol: h.symbol, PlaceTimeMs: h.placedMs})
		}
	}
	return res, nil
}

// ListCoins knows three coins.
func (w *fakeWallet) ListCoins(context.Context, *walletpb.ListCoinsRequest) (*walletpb.ListCoinsResponse, error) {
	return &walletpb.ListCoinsResponse{Coins: []*walletpb.Coin{
		{Name: "BTC", Scale: scale}, {Name: "ETH", Scale: scale}, {Name: "USDT", Scale: scale},
	}}, nil
}

// settle follows the settlement topic until ctx ends.
func (w *fakeWallet) settle(ctx context.Context, client *bus.Client, partition int) {
	sub := client.Subscribe(bus.TopicSettle, partition, 0)
	defer sub.Close()
	for ctx.Err() == nil {
		msgs, err := sub.Fetch(ctx, 100, 50*time.Millisecond)
		if err != nil {
			continue
		}
		for _, m := range msgs {
			e, err := stream.OpenMessage(m)
			if err != nil {
				panic(err)
			}
			w.apply(e)
		}
	}
}

func (w *fakeWallet) apply(e stream.Entry) {
	body := e.Body
	w.mu.Lock()
	defer w.mu.Unlock()
	if body.Seq <= w.seqs[body.Symbol] {
		return // a duplicate
	}
	if body.Seq != w.seqs[body.Symbol]+1 {
		panic(fmt.Sprintf("gap: %s %d after %d", body.Symbol, body.Seq, w.seqs[body.Symbol]))
	}
	w.seqs[body.Symbol], w.hashes[body.Symbol] = body.Seq, e.Hash
	w.records++
	for _, t := range body.Trades {
		buyer, seller, buyerFee, sellerFee := t.MakerMemberId, t.TakerMemberId, t.MakerFee, t.TakerFee
		if t.TakerSide == eventpb.Side_SIDE_BUY {
			buyer, seller, buyerFee, sellerFee = seller, buyer, sellerFee, buyerFee
		}
		w.available[account(buyer, body.BaseCoin)] += t.Quantity - buyerFee
		w.available[account(seller, body.QuoteCoin)] += t.Turnover - sellerFee
		w.available[account(feeMember, body.BaseCoin)] += buyerFee
		w.available[account(feeMember, body.QuoteCoin)] += sellerFee
	}
	for _, u := range body.Orders {
		w.update(body, u)
	}
}

func (w *fakeWallet) update(body *eventpb.RecordBody, u *eventpb.OrderUpdate) {
	final := u.State >= eventpb.OrderState_ORDER_STATE_FILLED
	h, ok := w.holds[u.OrderId]
	if !ok {
		if u.State != eventpb.OrderState_ORDER_STATE_REJECTED {
			panic(fmt.Sprintf("order %d was traded without a hold", u.OrderId))
		}
		w.holds[u.OrderId] = &fakeHold{member: u.MemberId, tombstone: true, closed: true}
		return
	}
	if h.closed {
		return // repeated by Resolve, or a late duplicate
	}
	consumed := u.Turnover
	if u.Side == eventpb.Side_SIDE_SELL {
		consumed = u.TradedAmount
	}
	if u.State == eventpb.OrderState_ORDER_STATE_REJECTED {
		consumed = 0
	}
	h.consumed, h.left, h.seq, h.closed = consumed, u.HeldRemaining, body.Seq, final
	released := h.held - h.consumed - h.left
	if released < h.released {
		panic(fmt.Sprintf("order %d: hold %+v does not add up", u.OrderId, h))
	}
	w.available[account(h.member, h.coin)] += released - h.released
	h.released = released
}

// free returns what a member can spend.
func (w *fakeWallet) free(member int64, coin string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return money.Format(w.available[account(member, coin)], scale)
}

// total returns all there is of a coin: it never changes but by deposits.
func (w *fakeWallet) total(coin string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sum int64
	for key, v := range w.available {
		var member int64
		var c string
		if _, err := fmt.Sscan(key, &member, &c); err != nil {
			panic(err)
		}
		if c == coin {
			sum += v
		}
	}
	for _, h := range w.holds {
		if h.coin == coin {
			sum += h.left * number(!h.closed)
		}
	}
	return money.Format(sum, scale)
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// openHolds returns the orders whose money is held.
func (w *fakeWallet) openHolds() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []int64
	for id, h := range w.holds {
		if !h.closed {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// serve answers gRPC.
func (w *fakeWallet) serve(t testing.TB) string {
	t.Helper()
	s, err := rpc.NewServer(rpc.ServerConfig{ListenOn: "127.0.0.1:0", InternalToken: testToken},
		func(g *grpc.Server) {
			walletpb.RegisterWalletServiceServer(g, w)
			streampb.RegisterConsumerServiceServer(g, fakeConsumer{w: w})
		})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Stop(ctx)
	})
	return s.Addr()
}
