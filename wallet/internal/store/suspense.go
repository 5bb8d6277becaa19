package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
)

// maxSuspended bounds the orders of a symbol in suspense. Beyond it the books as a whole
// are in doubt, and the symbol is halted.
const maxSuspended = 100

// errTooManySuspended: the records contradict the books in too many orders for it to be
// the orders' fault.
var errTooManySuspended = errors.New("too many orders of the symbol are in suspense")

type suspenseRow struct {
	OrderID  int64 `gorm:"primaryKey;autoIncrement:false"`
	MemberID int64
	Symbol   string
	Seq      int64
	Cause    string
	SinceMs  int64
}

func (suspenseRow) TableName() string { return "wallet_suspense" }

// maxCause is what the table holds of a cause.
const maxCause = 500

// contradicts reports whether records contradict the books in what may be put in suspense.
func contradicts(err error) bool {
	return err != nil && (settlement.Suspendable(err) || errors.Is(err, ledger.ErrNegative))
}

// settleSuspending is settle for records that contradict the books: the orders whose
// hold does not fit, and those that would take more from a wallet than it holds, are put
// in suspense. Their members' withdrawals are frozen by that.
func (b *batch) settleSuspending(records []settlement.Record, nowMs int64) (settled, error) {
	suspense, err := b.loadSuspense(records)
	if err != nil {
		return settled{}, err
	}
	known := maps.Clone(suspense)
	var out settled
	for range maxSuspended {
		out, err = b.settle(records, suspense)
		negative, ok := errors.AsType[*ledger.NegativeError](err)
		if !ok {
			break
		}
		order := suspect(records, negative)
		if order == nil || suspense[order.OrderID] != nil {
			break
		}
		order.Cause = negative
		suspense[order.OrderID] = order
	}
	if err != nil {
		return out, err
	}
	maps.DeleteFunc(suspense, func(id int64, _ *settlement.Suspended) bool { return known[id] != nil })
	return out, b.writeSuspense(suspense, nowMs)
}

// suspect returns the order whose posting would make a wallet negative.
func suspect(records []settlement.Record, negative *ledger.NegativeError) *settlement.Suspended {
	for i := range records {
		for _, u := range records[i].Orders {
			if u.OrderID == negative.Posting.OrderID {
				return &settlement.Suspended{OrderID: u.OrderID, MemberID: u.MemberID, Symbol: records[i].Symbol, Seq: records[i].Seq}
			}
		}
	}
	return nil
}

// loadSuspense returns those of the records' orders that are in suspense.
func (b *batch) loadSuspense(records []settlement.Record) (settlement.Suspense, error) {
	if err := b.step("load suspense"); err != nil {
		return nil, err
	}
	suspense := settlement.Suspense{}
	var ids []int64
	for i := range records {
		ids = append(ids, records[i].OrderIDs()...)
	}
	for chunk := range slices.Chunk(ids, rowsPerQuery) {
		var rows []suspenseRow
		if err := b.tx.DB().Where("order_id IN ?", chunk).Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("load suspense: %w", err)
		}
		for _, r := range rows {
			suspense[r.OrderID] = &settlement.Suspended{OrderID: r.OrderID, MemberID: r.MemberID, Symbol: r.Symbol, Seq: r.Seq}
		}
	}
	return suspense, nil
}

// writeSuspense marks orders that are new in suspense.
func (b *batch) writeSuspense(suspense settlement.Suspense, nowMs int64) error {
	if len(suspense) == 0 {
		return nil
	}
	bySymbol := map[string]int64{}
	rows := make([]suspenseRow, 0, len(suspense))
	for _, id := range slices.Sorted(maps.Keys(suspense)) {
		o := suspense[id]
		bySymbol[o.Symbol]++
		cause := o.Cause.Error()
		rows = append(rows, suspenseRow{
			OrderID: o.OrderID, MemberID: o.MemberID, Symbol: o.Symbol, Seq: o.Seq, Cause: strings.ToValidUTF8(cause[:min(len(cause), maxCause)], ""), SinceMs: nowMs,
		})
		logx.WithContext(b.ctx).Errorf("ALARM order %d of member %d is put in suspense by record %d of %s, withdrawals of the member are frozen: %v",
			o.OrderID, o.MemberID, o.Seq, o.Symbol, o.Cause)
	}
	for _, symbol := range slices.Sorted(maps.Keys(bySymbol)) {
		var before int64
		if err := b.tx.DB().Model(&suspenseRow{}).Where("symbol = ?", symbol).Count(&before).Error; err != nil {
			return fmt.Errorf("count suspense: %w", err)
		}
		if before+bySymbol[symbol] > maxSuspended {
			return b.tx.Fail(fmt.Errorf("%w: %d of %s", errTooManySuspended, before+bySymbol[symbol], symbol))
		}
	}
	if err := b.step("insert wallet_suspense"); err != nil {
		return err
	}
	if err := b.tx.DB().Create(rows).Error; err != nil {
		return fmt.Errorf("mark orders in suspense: %w", err)
	}
	return b.insertMissing(stopTable, len(rows), func(args []any, i int) []any {
		reason := fmt.Sprintf("order %d is in suspense", rows[i].OrderID)
		return append(args, app.StopMember, strconv.FormatInt(rows[i].MemberID, 10), nowMs, reason)
	})
}

var stopTable = table{name: "wallet_stop", key: []string{"scope", "name"}, columns: []string{"scope", "name", "since_ms", "reason"}}

// Suspended returns the orders in suspense, oldest first; member 0 is all.
func (s *Store) Suspended(ctx context.Context, member int64, limit int) ([]app.Suspended, error) {
	query := s.db.Read(ctx)
	if member != 0 {
		query = query.Where("member_id = ?", member)
	}
	var rows []suspenseRow
	if err := query.Order("since_ms, order_id").Limit(limit).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("list suspense: %w", err)
	}
	out := make([]app.Suspended, len(rows))
	for i, r := range rows {
		out[i] = app.Suspended(r)
	}
	return out, nil
}

// Frozen reports whether an order of the member is in suspense, so that the member must
// not withdraw anything.
func (s *Store) Frozen(ctx context.Context, member int64) (bool, error) {
	found, err := s.Suspended(ctx, member, 1)
	return len(found) > 0, err
}
