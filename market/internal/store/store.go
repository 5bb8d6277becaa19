// Package store keeps the market's data in its database: SQLite, MySQL or MariaDB.
package store

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"mscoin/market/depth"
	"mscoin/market/internal/app"
	"mscoin/market/ticker"
	"mscoin/mscoin-common/database"
)

//go:embed migration/*.sql
var migrations embed.FS

// Consumer is the name that positions are stored under.
const Consumer = "market"

// rowsAtOnce bounds the rows of one statement: both dialects limit its parameters.
const rowsAtOnce = 500

// Migrate brings the tables up to date, those of the positions included.
func Migrate(ctx context.Context, db *database.DB) error {
	if err := db.MigratePositions(ctx); err != nil {
		return err
	}
	return db.Migrate(ctx, "market", migrations)
}

// Store reads and writes the market's data. It is safe for concurrent use.
type Store struct {
	db *database.DB
}

var _ app.Store = (*Store)(nil)

// New returns a store.
func New(db *database.DB) *Store { return &Store{db: db} }

type symbolRow struct {
	Symbol     string `gorm:"primaryKey"`
	BaseCoin   string
	QuoteCoin  string
	BaseScale  int64
	QuoteScale int64
}

func (symbolRow) TableName() string { return "market_symbol" }

type tradeRow struct {
	Symbol    string `gorm:"primaryKey"`
	TradeID   int64  `gorm:"primaryKey;autoIncrement:false"`
	Price     int64
	Quantity  int64
	Turnover  int64
	TakerSide int64
	Time      int64
}

func (tradeRow) TableName() string { return "market_trade" }

func (r tradeRow) trade() app.Trade {
	return app.Trade{
		Trade:     ticker.Trade{ID: r.TradeID, Price: r.Price, Quantity: r.Quantity, Turnover: r.Turnover, TimeMs: r.Time},
		TakerSide: app.Side(r.TakerSide),
	}
}

func (r tradeRow) mark() ticker.Mark {
	return ticker.Mark{ID: r.TradeID, Price: r.Price, Quantity: r.Quantity}
}

type levelRow struct {
	Symbol   string `gorm:"primaryKey"`
	Side     int64  `gorm:"primaryKey;autoIncrement:false"`
	Price    int64  `gorm:"primaryKey;autoIncrement:false"`
	Quantity int64
}

func (levelRow) TableName() string { return "depth_level" }

// Save writes what the records say, within the transaction that moves the position.
func (s *Store) Save(tx *database.Tx, records []app.Record) error {
	if err := saveSymbols(tx, records); err != nil {
		return fmt.Errorf("save symbols: %w", err)
	}
	if err := saveTrades(tx, records); err != nil {
		return fmt.Errorf("save trades: %w", err)
	}
	if err := saveLevels(tx, records); err != nil {
		return fmt.Errorf("save levels: %w", err)
	}
	return nil
}

func saveSymbols(tx *database.Tx, records []app.Record) error {
	bySymbol := map[string]symbolRow{}
	for _, r := range records {
		if r.Rules != nil {
			bySymbol[r.Symbol] = symbolRow{
				Symbol: r.Symbol, BaseCoin: r.Rules.Base, QuoteCoin: r.Rules.Quote,
				BaseScale: int64(r.Rules.BaseScale), QuoteScale: int64(r.Rules.QuoteScale),
			}
		}
	}
	if len(bySymbol) == 0 {
		return nil
	}
	rows := slices.SortedFunc(maps.Values(bySymbol), func(a, b symbolRow) int { return cmp.Compare(a.Symbol, b.Symbol) })
	return tx.DB().Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "symbol"}},
		DoUpdates: clause.AssignmentColumns([]string{"base_coin", "quote_coin", "base_scale", "quote_scale"}),
	}).CreateInBatches(rows, rowsAtOnce).Error
}

func saveTrades(tx *database.Tx, records []app.Record) error {
	var rows []tradeRow
	for _, r := range records {
		for _, t := range r.Trades {
			rows = append(rows, tradeRow{
				Symbol: r.Symbol, TradeID: t.ID, Price: t.Price, Quantity: t.Quantity, Turnover: t.Turnover,
				TakerSide: int64(t.TakerSide), Time: t.TimeMs,
			})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return tx.DB().CreateInBatches(rows, rowsAtOnce).Error
}

// levelKey names a level.
type levelKey struct {
	symbol string
	side   depth.Side
	price  int64
}

func (k levelKey) compare(o levelKey) int {
	return cmp.Or(cmp.Compare(k.symbol, o.symbol), cmp.Compare(k.side, o.side), cmp.Compare(k.price, o.price))
}

// saveLevels writes each level's last quantity once, in the order of the key.
func saveLevels(tx *database.Tx, records []app.Record) error {
	last := map[levelKey]int64{}
	for _, r := range records {
		for _, c := range r.Levels {
			last[levelKey{r.Symbol, c.Side, c.Level.Price}] = c.Level.Quantity
		}
	}
	var changed []levelRow
	var removed []levelKey
	for _, k := range slices.SortedFunc(maps.Keys(last), levelKey.compare) {
		if last[k] == 0 {
			removed = append(removed, k)
			continue
		}
		changed = append(changed, levelRow{Symbol: k.symbol, Side: storedSide(k.side), Price: k.price, Quantity: last[k]})
	}
	if len(changed) > 0 {
		err := tx.DB().Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "symbol"}, {Name: "side"}, {Name: "price"}},
			DoUpdates: clause.AssignmentColumns([]string{"quantity"}),
		}).CreateInBatches(changed, rowsAtOnce).Error
		if err != nil {
			return err
		}
	}
	return removeLevels(tx, removed)
}

// removeLevels deletes levels, one statement for each symbol and side. The keys are
// sorted.
func removeLevels(tx *database.Tx, keys []levelKey) error {
	for len(keys) > 0 {
		first := keys[0]
		var prices []int64
		for len(keys) > 0 && len(prices) < rowsAtOnce && keys[0].symbol == first.symbol && keys[0].side == first.side {
			prices = append(prices, keys[0].price)
			keys = keys[1:]
		}
		err := tx.DB().Where("symbol = ? AND side = ? AND price IN ?", first.symbol, storedSide(first.side), prices).
			Delete(&levelRow{}).Error
		if err != nil {
			return err
		}
	}
	return nil
}

func storedSide(s depth.Side) int64 {
	if s == depth.Bid {
		return int64(app.Buy)
	}
	return int64(app.Sell)
}

func bookSide(stored int64) depth.Side {
	if app.Side(stored) == app.Buy {
		return depth.Bid
	}
	return depth.Ask
}

// Symbols returns the names of all symbols.
func (s *Store) Symbols(ctx context.Context) ([]string, error) {
	var names []string
	err := s.db.Read(ctx).Model(&symbolRow{}).Order("symbol").Pluck("symbol", &names).Error
	return names, err
}

// Trades returns trades from an id on, ascending.
func (s *Store) Trades(ctx context.Context, symbol string, from int64, limit int) ([]app.Trade, error) {
	var rows []tradeRow
	err := s.db.Read(ctx).Where("symbol = ? AND trade_id >= ?", symbol, from).Order("trade_id").Limit(limit).Find(&rows).Error
	return trades(rows), err
}

func trades(rows []tradeRow) []app.Trade {
	list := make([]app.Trade, len(rows))
	for i, row := range rows {
		list[i] = row.trade()
	}
	return list
}

// Load returns the state of a symbol, all of one moment.
func (s *Store) Load(ctx context.Context, symbol string, recent int, sinceMs int64) (app.State, error) {
	var state app.State
	err := s.db.Snapshot(ctx, func(read *gorm.DB) error {
		var err error
		state, err = load(read, symbol, recent, sinceMs)
		return err
	})
	return state, err
}

func load(read *gorm.DB, symbol string, recent int, sinceMs int64) (app.State, error) {
	var state app.State
	var row symbolRow
	err := read.Where("symbol = ?", symbol).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return state, app.ErrUnknownSymbol
	}
	if err != nil {
		return state, fmt.Errorf("symbol: %w", err)
	}
	state.Symbol = app.Symbol{
		Name: row.Symbol, Base: row.BaseCoin, Quote: row.QuoteCoin, BaseScale: int(row.BaseScale), QuoteScale: int(row.QuoteScale),
	}
	err = read.Table("symbol_position").Select("seq").Where("consumer = ? AND symbol = ?", Consumer, symbol).Take(&state.Seq).Error
	if err != nil {
		return state, fmt.Errorf("position: %w", err)
	}
	var levels []levelRow
	if err := read.Where("symbol = ?", symbol).Order("side, price").Find(&levels).Error; err != nil {
		return state, fmt.Errorf("levels: %w", err)
	}
	for _, l := range levels {
		state.Levels = append(state.Levels, depth.Change{
			Side: bookSide(l.Side), Level: depth.Level{Price: l.Price, Quantity: l.Quantity},
		})
	}
	var newest []tradeRow
	if err := read.Where("symbol = ?", symbol).Order("trade_id DESC").Limit(recent).Find(&newest).Error; err != nil {
		return state, fmt.Errorf("trades: %w", err)
	}
	slices.Reverse(newest)
	state.Recent = trades(newest)
	if state.Minutes, err = loadMinutes(read, symbol, sinceMs); err != nil {
		return state, fmt.Errorf("minutes: %w", err)
	}
	if state.Before, err = loadBefore(read, symbol, sinceMs); err != nil {
		return state, fmt.Errorf("trade before: %w", err)
	}
	return state, nil
}

// loadBefore returns the last trade of before a time.
func loadBefore(read *gorm.DB, symbol string, sinceMs int64) (ticker.Mark, error) {
	var rows []tradeRow
	err := read.Where("symbol = ? AND time < ?", symbol, sinceMs).Order("time DESC, trade_id DESC").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return ticker.Mark{}, err
	}
	return rows[0].mark(), nil
}

type minuteRow struct {
	MinuteMs, FirstID, LastID, High, Low, Count          int64
	QuantityHigh, QuantityLow, TurnoverHigh, TurnoverLow int64
}

// loadMinutes sums up the trades since a time. Sums are made in two parts, each of
// which fits: SQLite refuses a sum that overflows. The parts are whole, so the division
// is exact in both dialects.
func loadMinutes(read *gorm.DB, symbol string, sinceMs int64) ([]ticker.Minute, error) {
	var rows []minuteRow
	err := read.Raw(`SELECT time - time % 60000 AS minute_ms,
		MIN(trade_id) AS first_id, MAX(trade_id) AS last_id, MAX(price) AS high, MIN(price) AS low, COUNT(*) AS count,
		CAST(SUM((quantity - quantity % 1000000000) / 1000000000) AS SIGNED) AS quantity_high,
		CAST(SUM(quantity % 1000000000) AS SIGNED) AS quantity_low,
		CAST(SUM((turnover - turnover % 1000000000) / 1000000000) AS SIGNED) AS turnover_high,
		CAST(SUM(turnover % 1000000000) AS SIGNED) AS turnover_low
		FROM market_trade WHERE symbol = ? AND time >= ? GROUP BY time - time % 60000 ORDER BY minute_ms`, symbol, sinceMs).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, 2*len(rows))
	for _, r := range rows {
		ids = append(ids, r.FirstID, r.LastID)
	}
	marks, err := loadMarks(read, symbol, ids)
	if err != nil {
		return nil, err
	}
	minutes := make([]ticker.Minute, len(rows))
	for i, r := range rows {
		minutes[i] = ticker.Minute{
			Minute: ticker.MinuteOf(r.MinuteMs), First: marks[r.FirstID], Last: marks[r.LastID], High: r.High, Low: r.Low, Count: r.Count,
			Volume:   ticker.SumOfParts(r.QuantityHigh, r.QuantityLow),
			Turnover: ticker.SumOfParts(r.TurnoverHigh, r.TurnoverLow),
		}
	}
	return minutes, nil
}

func loadMarks(read *gorm.DB, symbol string, ids []int64) (map[int64]ticker.Mark, error) {
	marks := make(map[int64]ticker.Mark, len(ids))
	for some := range slices.Chunk(ids, rowsAtOnce) {
		var rows []tradeRow
		if err := read.Where("symbol = ? AND trade_id IN ?", symbol, some).Find(&rows).Error; err != nil {
			return nil, err
		}
		for _, row := range rows {
			marks[row.TradeID] = row.mark()
		}
	}
	return marks, nil
}
