package reconciler

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

const (
	// sealDelayMs is how long after its end a day is sealed: clocks differ.
	sealDelayMs = 5 * 60_000
	// sealLateMs is how long after its end a day without a seal is an alarm (C10).
	sealLateMs = 60 * 60_000
)

// Seal seals the last day that has ended, with all that was not sealed before. It returns
// nil when there is nothing to seal, or another instance did it.
func (r *Reconciler) Seal(ctx context.Context) (*reconcile.Seal, error) {
	now := r.clk.NowMs()
	day := reconcile.DayOf(now-sealDelayMs) - 1
	last := int64(-1)
	err := r.db.SnapshotRows(ctx, func(q database.Queryer) error {
		return newSnapshot(ctx, q).each("SELECT COALESCE(MAX(day), -1) FROM wallet_seal", func(rows *sql.Rows) error { return rows.Scan(&last) })
	})
	if err != nil {
		return nil, fmt.Errorf("find last seal: %w", err)
	}
	if last >= day {
		return nil, nil //nolint:nilnil // nothing to do
	}
	end := (day + 1) * reconcile.DayMs
	if err := r.store.CloseDay(ctx, end); err != nil {
		return nil, fmt.Errorf("close %s: %w", reconcile.DayName(day), err)
	}
	var seal reconcile.Seal
	var segments []reconcile.Segment
	err = r.db.SnapshotRows(ctx, func(q database.Queryer) error {
		var err error
		seal, segments, err = books{newSnapshot(ctx, q)}.seal(day, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", reconcile.DayName(day), err)
	}
	if saved, err := r.store.SaveSeal(ctx, &seal, segments); err != nil || !saved {
		return nil, err
	}
	return &seal, nil
}

// seal reads what the seal of a day covers.
func (b books) seal(day, nowMs int64) (reconcile.Seal, []reconcile.Segment, error) {
	seals, err := b.seals()
	if err != nil {
		return reconcile.Seal{}, nil, err
	}
	var before *reconcile.Seal
	start, low := int64(0), int64(0)
	if n := len(seals); n > 0 {
		before = &seals[n-1]
		start = before.EndMs()
	}
	for i := range seals {
		if seals[i].SealedMs <= start-reconcile.MaxIDAgeMs {
			low = seals[i].NextTx // whatever is of this day was leased later
		}
	}
	next := int64(0)
	if err := b.each("SELECT next_id FROM id_block WHERE name = 'wallet_tx'", func(rows *sql.Rows) error { return rows.Scan(&next) }); err != nil {
		return reconcile.Seal{}, nil, err
	}
	sealer := reconcile.NewSealer(day, nowMs, next, before)
	const leased = lineColumns + " WHERE tx_id >= ? AND tx_id < ? AND time >= ? AND time < ? ORDER BY tx_id, line"
	if err := b.lines(leased, sealer.AddLine, low, ledger.FirstSettlementTx, start, (day+1)*reconcile.DayMs); err != nil {
		return reconcile.Seal{}, nil, err
	}
	if err := b.sealSettlements(sealer); err != nil {
		return reconcile.Seal{}, nil, err
	}
	seal, segments := sealer.End()
	return seal, segments, nil
}

// sealSettlements adds the settlements that are not sealed yet.
func (b books) sealSettlements(sealer *reconcile.Sealer) error {
	settled, err := b.positions(walletConsumer)
	if err != nil {
		return err
	}
	numbers, err := b.numbers("SELECT symbol, number FROM wallet_symbol")
	if err != nil {
		return err
	}
	ends := map[int64]int64{}
	err = b.each("SELECT part, MAX(last_tx) FROM wallet_seal_segment WHERE part > 0 GROUP BY part", func(rows *sql.Rows) error {
		var part, last int64
		err := rows.Scan(&part, &last)
		ends[part] = last
		return err
	})
	if err != nil {
		return err
	}
	byNumber := make(map[int64]int64, len(numbers))
	for symbol, number := range numbers {
		byNumber[number] = settled[symbol].Seq
	}
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		if byNumber[number] == 0 {
			continue
		}
		first, err := ledger.SettlementTx(number, 1)
		if err != nil {
			return err
		}
		last, err := ledger.SettlementTx(number, byNumber[number])
		if err != nil {
			return err
		}
		first = max(first, ends[number]+1)
		if err := b.lines(lineColumns+" WHERE tx_id >= ? AND tx_id <= ? ORDER BY tx_id, line", sealer.AddLine, first, last); err != nil {
			return err
		}
	}
	return nil
}

func (b books) seals() (seals []reconcile.Seal, err error) {
	err = b.each("SELECT day, sealed_ms, next_tx, line_count, segments, prev_hash, hash FROM wallet_seal ORDER BY day", func(rows *sql.Rows) error {
		var s reconcile.Seal
		var prev, hash sql.RawBytes
		err := rows.Scan(&s.Day, &s.SealedMs, &s.NextTx, &s.Lines, &s.Segments, &prev, &hash)
		copy(s.Prev[:], prev)
		copy(s.Hash[:], hash)
		seals = append(seals, s)
		return err
	})
	return seals, err
}

// sealedBooks are books whose lines are compared with the seals while they are read.
type sealedBooks struct {
	books

	check *reconcile.SealCheck
}

// readSeals reads the seals; the lines are compared when they are read.
func (b books) readSeals(f reconcile.Frame) (sealedBooks, error) {
	check := reconcile.NewSealCheck(f)
	seals, err := b.seals()
	if err != nil {
		return sealedBooks{}, err
	}
	for i := range seals {
		check.AddSeal(&seals[i])
	}
	const query = "SELECT day, part, number, last_tx, last_line, line_count, hash, marks FROM wallet_seal_segment ORDER BY day, part, number"
	err = b.each(query, func(rows *sql.Rows) error {
		var s reconcile.Segment
		var hash, marks sql.RawBytes
		err := rows.Scan(&s.Day, &s.Part, &s.Number, &s.LastTx, &s.LastLine, &s.Lines, &hash, &marks)
		copy(s.Hash[:], hash)
		s.Marks = marks
		check.AddSegment(&s)
		return err
	})
	check.EndSegments()
	return sealedBooks{b, check}, err
}

// Lines implements reconcile.Books.
func (b sealedBooks) Lines(yield func(*reconcile.Line)) error {
	return b.books.Lines(func(l *reconcile.Line) {
		b.check.AddLine(l)
		yield(l)
	})
}

// end names the lines that are not those that were sealed.
func (b sealedBooks) end() (reconcile.Report, error) {
	broken := b.check.Differ()
	for i := range broken {
		s := &broken[i]
		var marks []byte
		err := b.each("SELECT marks FROM wallet_seal_segment WHERE day = ? AND part = ? AND number = ?", func(rows *sql.Rows) error {
			return rows.Scan(&marks)
		}, s.Day, s.Part, s.Number)
		if err != nil {
			return reconcile.Report{}, err
		}
		lines, err := b.segmentLines(s)
		if err != nil {
			return reconcile.Report{}, err
		}
		b.check.Name(s, marks, lines)
	}
	return b.check.End(), nil
}

// segmentLines reads what is in a segment now, but not much more than was.
func (b books) segmentLines(s *reconcile.BrokenSegment) (lines []reconcile.Line, err error) {
	query := lineColumns + " WHERE tx_id >= ? AND tx_id <= ? AND (tx_id > ? OR line > ?) AND (tx_id < ? OR line <= ?)"
	args := []any{s.AfterTx, s.LastTx, s.AfterTx, s.AfterLine, s.LastTx, s.LastLine}
	if s.Part == 0 {
		query += " AND time >= ? AND time < ?"
		args = append(args, s.FirstMs, s.EndMs)
	}
	err = b.lines(query+" ORDER BY tx_id, line LIMIT ?", func(l *reconcile.Line) { lines = append(lines, *l) }, append(args, 2*reconcile.SegmentLines)...)
	return lines, err
}

// sealAge is an alarm when a day has ended long ago and has no seal.
func (c *changes) sealAge() error {
	last := int64(-1)
	if err := c.books.each("SELECT COALESCE(MAX(day), -1) FROM wallet_seal", func(rows *sql.Rows) error { return rows.Scan(&last) }); err != nil {
		return err
	}
	seal := reconcile.Seal{Day: last + 1} // what should be sealed next
	if age := c.frame.NowMs - seal.EndMs(); last >= 0 && age > sealLateMs {
		c.report.AlarmsFound++
		c.report.Alarms = append(c.report.Alarms, reconcile.Alarm{
			What: "journal of a day is not sealed", Where: reconcile.DayName(seal.Day), SinceMs: seal.EndMs(), AgeMs: age,
		})
	}
	return nil
}
