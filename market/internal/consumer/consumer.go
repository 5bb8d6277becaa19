// Package consumer turns the matcher's records into the market's data.
package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/market/depth"
	"mscoin/market/internal/app"
	"mscoin/market/ticker"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/stream"
)

// ErrContent says that a record is readable and its content cannot be.
var ErrContent = errors.New("record has impossible content")

// Saver writes records within a transaction.
type Saver interface {
	Save(tx *database.Tx, records []app.Record) error
}

// Consumer applies records; its methods are what stream.Deps wants.
type Consumer struct {
	store Saver
	app   *app.App
}

// New returns a consumer that saves to store and tells a.
func New(store Saver, a *app.App) *Consumer { return &Consumer{store: store, app: a} }

// Apply saves the records in the transaction that moves the position.
func (c *Consumer) Apply(_ context.Context, tx *database.Tx, fresh []stream.Entry) error {
	records, err := convert(fresh)
	if err != nil {
		return err
	}
	return c.store.Save(tx, records)
}

// AfterCommit shows the records to the public.
func (c *Consumer) AfterCommit(applied []stream.Entry) {
	records, err := convert(applied)
	if err != nil { // Apply has converted them before
		logx.Errorf("market: committed records: %v", err)
		return
	}
	if err := c.app.Committed(records); err != nil {
		logx.Infof("market: will be loaded again: %v", err)
	}
}

func convert(entries []stream.Entry) ([]app.Record, error) {
	records := make([]app.Record, len(entries))
	for i, e := range entries {
		var err error
		if records[i], err = Convert(e.Body); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Convert returns what a record says to the public. It returns ErrContent.
func Convert(body *eventpb.RecordBody) (app.Record, error) {
	r := app.Record{Symbol: body.GetSymbol(), Seq: body.GetSeq()}
	bad := func(what string) (app.Record, error) {
		return app.Record{}, fmt.Errorf("%w: %s record %d: %s", ErrContent, body.GetSymbol(), body.GetSeq(), what)
	}
	if rules := body.GetRules(); rules != nil {
		if !validScale(rules.GetBaseScale()) || !validScale(rules.GetQuoteScale()) {
			return bad("scale out of range")
		}
		r.Rules = &app.Symbol{
			Name: body.GetSymbol(), Base: rules.GetBaseCoin(), Quote: rules.GetQuoteCoin(),
			BaseScale: int(rules.GetBaseScale()), QuoteScale: int(rules.GetQuoteScale()),
		}
	}
	for _, t := range body.GetTrades() {
		side, ok := takerSide(t.GetTakerSide())
		if !ok || t.GetTradeId() < 1 || t.GetPrice() < 1 || t.GetQuantity() < 1 || t.GetTurnover() < 0 {
			return bad("impossible trade")
		}
		r.Trades = append(r.Trades, app.Trade{
			Trade: ticker.Trade{
				ID: t.GetTradeId(), Price: t.GetPrice(), Quantity: t.GetQuantity(), Turnover: t.GetTurnover(), TimeMs: body.GetLogTimeMs(),
			},
			TakerSide: side,
		})
	}
	for _, l := range body.GetLevels() {
		side, ok := bookSide(l.GetSide())
		if !ok || l.GetPrice() < 1 || l.GetQuantity() < 0 {
			return bad("impossible level")
		}
		r.Levels = append(r.Levels, depth.Change{Side: side, Level: depth.Level{Price: l.GetPrice(), Quantity: l.GetQuantity()}})
	}
	return r, nil
}

func validScale(n int32) bool { return n >= 0 && n <= money.MaxScale }

func takerSide(s eventpb.Side) (app.Side, bool) {
	switch s {
	case eventpb.Side_SIDE_BUY:
		return app.Buy, true
	case eventpb.Side_SIDE_SELL:
		return app.Sell, true
	case eventpb.Side_SIDE_UNSPECIFIED:
	}
	return 0, false
}

func bookSide(s eventpb.Side) (depth.Side, bool) {
	switch s {
	case eventpb.Side_SIDE_BUY:
		return depth.Bid, true
	case eventpb.Side_SIDE_SELL:
		return depth.Ask, true
	case eventpb.Side_SIDE_UNSPECIFIED:
	}
	return 0, false
}
