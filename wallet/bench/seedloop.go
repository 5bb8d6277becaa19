package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/stores/redis"
	gormmysql "gorm.io/driver/mysql"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

const (
	plainTopic   = "bench-completed-orders"
	lockSeconds  = 10
	lockPause    = time.Millisecond
	fundsPerStmt = 500
)

// completed is the rival's message: an order at its end.
type completed struct {
	OrderID      int64  `json:"orderId"`
	MemberID     int64  `json:"memberId"`
	Buy          bool   `json:"buy"`
	CoinSymbol   string `json:"coinSymbol"`
	BaseSymbol   string `json:"baseSymbol"`
	Held         int64  `json:"held"`
	TradedAmount int64  `json:"tradedAmount"`
	Turnover     int64  `json:"turnover"`
}

// plainWallet is a row of the rival's wallet table.
type plainWallet struct {
	ID            int64 `gorm:"primaryKey;autoIncrement:false"`
	MemberID      int64
	CoinName      string
	Balance       int64
	FrozenBalance int64
}

// TableName implements GORM's Tabler.
func (plainWallet) TableName() string { return "member_wallet" }

// seedLoop settles one order after another.
type seedLoop struct {
	db    *gorm.DB
	redis *redis.Redis
	bus   *bus.Client
	read  int64 // offset
	sent  int64
	want  book
}

func newSeedLoop(ctx context.Context, s *servers, members int64) (*seedLoop, error) {
	cfg, err := s.createDatabase(ctx, "plain")
	if err != nil {
		return nil, err
	}
	l := &seedLoop{want: make(book)}
	dialector := gormmysql.Open(cfg.DSN)
	if cfg.Dialect == database.SQLite {
		dialector = gormsqlite.New(gormsqlite.Config{
			DriverName: "sqlite", DSN: "file:" + cfg.DSN + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)",
		})
	}
	if l.db, err = gorm.Open(dialector, &gorm.Config{}); err != nil {
		return nil, err
	}
	pool, err := l.db.DB()
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, pool.Close)
	if l.redis, err = redis.NewRedis(redis.RedisConf{Host: s.redis, Type: redis.NodeType}); err != nil {
		return nil, err
	}
	if l.bus, err = bus.Connect(bus.Config{Brokers: []string{s.broker}}, clock.Real()); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { l.bus.Close(); return nil })
	if err := l.bus.EnsureTopics(ctx, []bus.Topic{{Name: plainTopic, Partitions: 1}}); err != nil {
		return nil, err
	}
	return l, l.fund(ctx, members)
}

func (l *seedLoop) fund(ctx context.Context, members int64) error {
	db := l.db.WithContext(ctx)
	for _, statement := range []string{
		"CREATE TABLE member_wallet (id BIGINT NOT NULL PRIMARY KEY, member_id BIGINT NOT NULL, coin_name VARCHAR(10) NOT NULL, balance BIGINT NOT NULL, frozen_balance BIGINT NOT NULL)",
		"CREATE UNIQUE INDEX member_wallet_coin ON member_wallet (member_id, coin_name)",
	} {
		if err := db.Exec(statement).Error; err != nil {
			return err
		}
	}
	var rows []plainWallet
	for m := int64(1); m <= members; m++ {
		for _, coin := range []string{base, quote} {
			rows = append(rows, plainWallet{ID: int64(len(rows) + 1), MemberID: m, CoinName: coin, Balance: funds})
			l.want[account{m, coin}] = funds
		}
	}
	return db.CreateInBatches(rows, fundsPerStmt).Error
}

// prepare freezes what the orders hold and sends the messages.
func (l *seedLoop) prepare(ctx context.Context, trades []trade) error {
	l.want.settle(trades, false)
	frozen := make(map[account]int64)
	for len(trades) > 0 {
		n := min(len(trades), 200)
		var msgs []bus.Message
		for i := range trades[:n] {
			t := &trades[i]
			frozen[account{t.seller, base}] += t.quantity
			frozen[account{t.buyer, quote}] += t.buyHold
			for _, o := range []completed{
				{OrderID: t.sell, MemberID: t.seller, CoinSymbol: base, BaseSymbol: quote, Held: t.quantity, TradedAmount: t.quantity, Turnover: t.turnover},
				{OrderID: t.buy, MemberID: t.buyer, Buy: true, CoinSymbol: base, BaseSymbol: quote, Held: t.buyHold, TradedAmount: t.quantity, Turnover: t.turnover},
			} {
				value, err := json.Marshal(o)
				if err != nil {
					return err
				}
				msgs = append(msgs, bus.Message{Key: []byte(symbolName), Value: value})
			}
		}
		if _, err := l.bus.Produce(ctx, plainTopic, 0, msgs); err != nil {
			return err
		}
		l.sent += int64(len(msgs))
		trades = trades[n:]
	}
	return l.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for a, amount := range frozen {
			err := tx.Exec("UPDATE member_wallet SET balance = balance - ?, frozen_balance = frozen_balance + ? WHERE member_id = ? AND coin_name = ?",
				amount, amount, a.member, a.coin).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// run settles everything that was prepared and returns how long that took.
func (l *seedLoop) run(ctx context.Context) (time.Duration, error) {
	clk := clock.Real()
	begin := clk.Now()
	source := l.bus.Subscribe(plainTopic, 0, l.read)
	defer source.Close()
	for l.read < l.sent {
		msgs, err := source.Fetch(ctx, 100, time.Second)
		if err != nil {
			return 0, err
		}
		for i := range msgs {
			var o completed
			if err := json.Unmarshal(msgs[i].Value, &o); err != nil {
				return 0, err
			}
			if err := l.settle(ctx, &o); err != nil {
				return 0, fmt.Errorf("order %d: %w", o.OrderID, err)
			}
			l.read++
		}
	}
	return clk.Now().Sub(begin), nil
}

// settle is the loop's body: lock, read both wallets, compute, write both.
func (l *seedLoop) settle(ctx context.Context, o *completed) (err error) {
	mutex := redis.NewRedisLock(l.redis, fmt.Sprintf("order_complete_update_wallet::%d", o.MemberID))
	mutex.SetExpire(lockSeconds)
	for {
		ok, err := mutex.AcquireCtx(ctx)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		if err := clock.Sleep(ctx, clock.Real(), lockPause); err != nil {
			return err
		}
	}
	defer func() {
		_, releaseErr := mutex.ReleaseCtx(ctx)
		err = errors.Join(err, releaseErr)
	}()
	baseWallet, err := l.wallet(ctx, o.MemberID, o.BaseSymbol)
	if err != nil {
		return err
	}
	coinWallet, err := l.wallet(ctx, o.MemberID, o.CoinSymbol)
	if err != nil {
		return err
	}
	if o.Buy {
		baseWallet.FrozenBalance -= o.Held
		baseWallet.Balance += o.Held - o.Turnover
		coinWallet.Balance += o.TradedAmount
	} else {
		coinWallet.FrozenBalance -= o.Held
		baseWallet.Balance += o.Turnover
	}
	return l.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for _, w := range []*plainWallet{baseWallet, coinWallet} {
			err := tx.Exec("update member_wallet set balance=?,frozen_balance=? where id=?", w.Balance, w.FrozenBalance, w.ID).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *seedLoop) wallet(ctx context.Context, member int64, coin string) (*plainWallet, error) {
	w := &plainWallet{}
	err := l.db.WithContext(ctx).Where("member_id=? and coin_name=?", member, coin).Take(w).Error
	return w, err
}

// check compares every balance.
func (l *seedLoop) check(ctx context.Context) error {
	var rows []plainWallet
	if err := l.db.WithContext(ctx).Find(&rows).Error; err != nil {
		return err
	}
	for _, w := range rows {
		if want := l.want[account{w.MemberID, w.CoinName}]; w.Balance != want || w.FrozenBalance != 0 {
			return fmt.Errorf("rival: member %d should have %d %s, has %d and %d frozen", w.MemberID, want, w.CoinName, w.Balance, w.FrozenBalance)
		}
	}
	return nil
}
