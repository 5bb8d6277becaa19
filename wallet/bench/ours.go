package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lock"
	"mscoin/mscoin-common/stream"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/consumer"
	"mscoin/wallet/internal/store"
)

// ours is the wallet's settlement.
type ours struct {
	db     *database.DB
	store  *store.Store
	bus    *bus.Client
	redis  *redis.Client
	batch  int
	seq    int64
	offset int64
	hash   []byte
	want   book
}

func newOurs(ctx context.Context, s *servers, members int64, batch int) (*ours, error) {
	cfg, err := s.createDatabase(ctx, "wallet")
	if err != nil {
		return nil, err
	}
	clk := clock.Real()
	o := &ours{batch: batch, want: make(book)}
	if o.db, err = database.Open(ctx, cfg, clk); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, o.db.Close)
	if err := store.Migrate(ctx, o.db); err != nil {
		return nil, err
	}
	o.store = store.New(o.db, clk)
	if o.bus, err = bus.Connect(bus.Config{Brokers: []string{s.broker}}, clk); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { o.bus.Close(); return nil })
	if err := o.bus.EnsureTopics(ctx, bus.MoneyTopics(1)); err != nil {
		return nil, err
	}
	o.redis = redis.NewClient(&redis.Options{Addr: s.redis, MaxRetries: -1, ContextTimeoutEnabled: true})
	s.closers = append(s.closers, o.redis.Close)
	return o, o.fund(ctx, members)
}

func (o *ours) fund(ctx context.Context, members int64) error {
	for _, coin := range []string{base, quote} {
		if _, err := o.store.CreateCoin(ctx, app.Coin{Name: coin, FullName: coin, Scale: 8}); err != nil {
			return err
		}
		for m := int64(1); m <= members; m++ {
			_, _, err := o.store.Deposit(ctx, app.Deposit{Reference: coin + strconv.FormatInt(m, 10), MemberID: m, Coin: coin, Amount: funds})
			if err != nil {
				return err
			}
			o.want[account{m, coin}] = funds
		}
	}
	return nil
}

// prepare places the holds and writes the records.
func (o *ours) prepare(ctx context.Context, trades []trade) error {
	o.want.settle(trades, true)
	for len(trades) > 0 {
		n := min(len(trades), 100)
		var holds []app.HoldRequest
		var msgs []bus.Message
		for i := range trades[:n] {
			t := &trades[i]
			holds = append(holds,
				app.HoldRequest{OrderID: t.sell, MemberID: t.seller, Coin: base, Symbol: symbolName, Amount: t.quantity, MinAmount: t.quantity},
				app.HoldRequest{OrderID: t.buy, MemberID: t.buyer, Coin: quote, Symbol: symbolName, Amount: t.buyHold, MinAmount: t.buyHold})
			for _, body := range []*eventpb.RecordBody{rests(t), takes(t)} {
				m, err := o.seal(body)
				if err != nil {
					return err
				}
				msgs = append(msgs, m)
			}
		}
		results, err := o.store.PlaceHolds(ctx, holds)
		if err != nil {
			return err
		}
		for i := range results {
			if results[i].Err != nil {
				return results[i].Err
			}
		}
		if _, err := o.bus.Produce(ctx, bus.TopicSettle, 0, msgs); err != nil {
			return err
		}
		o.offset += int64(len(msgs))
		trades = trades[n:]
	}
	return nil
}

func (o *ours) seal(body *eventpb.RecordBody) (bus.Message, error) {
	o.seq++
	body.Symbol, body.Seq, body.BaseCoin, body.QuoteCoin, body.LogTimeMs = symbolName, o.seq, base, quote, o.seq
	value, hash, err := stream.Seal(body, o.hash)
	o.hash = hash
	return bus.Message{Key: []byte(symbolName), Value: value}, err
}

// rests is the record of the seller's order.
func rests(t *trade) *eventpb.RecordBody {
	return &eventpb.RecordBody{Orders: []*eventpb.OrderUpdate{{
		OrderId: t.sell, MemberId: t.seller, Side: eventpb.Side_SIDE_SELL, State: eventpb.OrderState_ORDER_STATE_NEW, HeldRemaining: t.quantity,
	}}}
}

// takes is the record of the buyer's order, which fills both.
func takes(t *trade) *eventpb.RecordBody {
	makerFee, takerFee := t.turnover/feeDivisor, t.quantity/feeDivisor
	return &eventpb.RecordBody{
		Trades: []*eventpb.Trade{{
			TradeId: t.buy / 2, Price: t.turnover / t.quantity * whole, Quantity: t.quantity, Turnover: t.turnover, TakerSide: eventpb.Side_SIDE_BUY,
			MakerOrderId: t.sell, TakerOrderId: t.buy, MakerMemberId: t.seller, TakerMemberId: t.buyer, MakerFee: makerFee, TakerFee: takerFee,
		}},
		Orders: []*eventpb.OrderUpdate{
			{
				OrderId: t.sell, MemberId: t.seller, Side: eventpb.Side_SIDE_SELL, State: eventpb.OrderState_ORDER_STATE_FILLED,
				TradedAmount: t.quantity, Turnover: t.turnover, Fee: makerFee,
			},
			{
				OrderId: t.buy, MemberId: t.buyer, Side: eventpb.Side_SIDE_BUY, State: eventpb.OrderState_ORDER_STATE_FILLED,
				TradedAmount: t.quantity, Turnover: t.turnover, Fee: takerFee,
			},
		},
	}
}

// run settles everything that was prepared and returns how long that took.
func (o *ours) run(ctx context.Context) (time.Duration, error) {
	clk := clock.Real()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	settle := consumer.New(o.store, lock.New(o.redis, clk), clk)
	c, err := stream.New(
		stream.Config{Name: consumer.Name, Topic: bus.TopicSettle, MaxBatch: o.batch},
		stream.Deps{Bus: stream.ClientBus(o.bus), Store: stream.DatabaseStore(o.db), Clock: clk, Apply: settle.Apply, Around: settle.Around},
	)
	if err != nil {
		return 0, err
	}
	begin := clk.Now()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	err = c.WaitApplied(ctx, symbolName, o.seq)
	took := clk.Now().Sub(begin)
	cancel()
	if runErr := <-ended; !errors.Is(runErr, context.Canceled) {
		err = errors.Join(err, runErr)
	}
	return took, err
}

// check compares every balance, and the sum of the journal.
func (o *ours) check(ctx context.Context) error {
	for a, want := range o.want {
		w, err := o.store.Wallets(ctx, a.member, a.coin)
		if err != nil {
			return err
		}
		if len(w) != 1 || w[0].Available != want || w[0].Held != 0 {
			return fmt.Errorf("member %d should have %d %s, has %+v", a.member, want, a.coin, w)
		}
	}
	var sums []struct {
		Coin  string
		Total int64
	}
	if err := o.db.Read(ctx).Raw("SELECT coin, SUM(amount) AS total FROM wallet_journal GROUP BY coin").Scan(&sums).Error; err != nil {
		return err
	}
	for _, s := range sums {
		if s.Total != 0 {
			return fmt.Errorf("the journal of %s sums to %d", s.Coin, s.Total)
		}
	}
	return nil
}
