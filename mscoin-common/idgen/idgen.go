// Package idgen hands out ids: positive, below 2^53 so that JavaScript keeps them
// exact, and never the same twice, however many instances run and whatever their
// clocks show.
//
// An instance leases a block of ids from the table id_block and hands them out from
// memory. What is left of a block when the instance stops is lost, so ids have gaps;
// they grow within an instance, but between instances their order means nothing.
package idgen

import (
	"context"
	"embed"
	"fmt"

	"gorm.io/gorm"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/invariant"
)

const (
	// MaxID is the largest id that is handed out.
	MaxID int64 = 1<<53 - 1
	// MaxBlock is the largest block that can be leased at once.
	MaxBlock int64 = 1_000_000
	// maxName is the length of the column, which SQLite does not check.
	maxName = 64
)

//go:embed migration/*.sql
var migrations embed.FS

// Migrate creates the table of the blocks (set "idgen").
func Migrate(ctx context.Context, db *database.DB) error {
	return db.Migrate(ctx, "idgen", migrations)
}

// Gen hands out the ids of one name. It is safe for concurrent use.
type Gen struct {
	db    *database.DB
	clk   clock.Clock
	name  string
	block int64

	// turn holds one token for the fields below; a channel, so that a caller can
	// stop waiting for another's lease when its context ends.
	turn chan struct{}
	next int64 // the next id to hand out
	end  int64 // the first id that is not leased
}

// New returns a generator for that name ("order", "member", …) that leases blocks of
// that many ids, 1 to MaxBlock: large enough that a lease is rare, small enough that
// losing the rest of one at a stop does not matter. Call Migrate before its first use.
func New(db *database.DB, clk clock.Clock, name string, block int64) *Gen {
	invariant.Must(name != "" && len(name) <= maxName, "name of ids %q", name)
	invariant.Must(block >= 1 && block <= MaxBlock, "block of %d ids", block)
	g := &Gen{db: db, clk: clk, name: name, block: block, turn: make(chan struct{}, 1)}
	g.turn <- struct{}{}
	return g
}

// Next returns an id that no other call has got or will get. It fails when a block
// must be leased and the database refuses, and with the context; then it may be
// called again: a lease whose outcome is unknown only leaves a gap.
func (g *Gen) Next(ctx context.Context) (int64, error) {
	select {
	case <-g.turn:
	case <-ctx.Done():
		return 0, fmt.Errorf("next %s id: %w", g.name, ctx.Err())
	}
	defer func() { g.turn <- struct{}{} }()

	if g.next == g.end {
		start, err := g.lease(ctx)
		if err != nil {
			return 0, fmt.Errorf("lease %s ids: %w", g.name, err)
		}
		g.next, g.end = start, start+g.block
	}
	id := g.next
	invariant.Must(id > 0 && id <= MaxID, "%s id %d is out of range", g.name, id)
	g.next++
	return id, nil
}

type blockRow struct {
	Name      string `gorm:"primaryKey"`
	NextID    int64
	UpdatedMs int64
}

func (blockRow) TableName() string { return "id_block" }

// lease takes the next block and returns its first id.
func (g *Gen) lease(ctx context.Context) (start int64, err error) {
	err = g.db.Tx(ctx, func(tx *database.Tx) error {
		taken, err := g.take(tx)
		if err != nil {
			return err
		}
		if !taken { // the first lease of this name, or the end of all ids
			row := blockRow{Name: g.name, NextID: 1, UpdatedMs: g.clk.NowMs()}
			if _, err := tx.InsertIfAbsent(&row); err != nil {
				return err
			}
			if taken, err = g.take(tx); err != nil {
				return err
			}
		}
		if !taken {
			return errs.New(errs.KindInternal, errs.CodeInternal, "ids are used up")
		}
		var row blockRow
		if err := tx.DB().Where("name = ?", g.name).Take(&row).Error; err != nil {
			return err
		}
		start = row.NextID - g.block
		return nil
	})
	return start, err
}

// take moves the row of this name by one block, which locks it. It reports whether
// there was a row with room for one.
func (g *Gen) take(tx *database.Tx) (bool, error) {
	res := tx.DB().Model(&blockRow{}).
		Where("name = ? AND next_id <= ?", g.name, MaxID-g.block+1).
		Updates(map[string]any{"next_id": gorm.Expr("next_id + ?", g.block), "updated_ms": g.clk.NowMs()})
	return res.RowsAffected == 1, res.Error
}
