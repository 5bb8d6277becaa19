package reconciler_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/reconciler"
	"mscoin/wallet/internal/store"
	"mscoin/wallet/reconcile"
)

// sealed is a bank whose days pass.
type sealed struct {
	*bank

	clk    *clock.Fake
	source string // of the database, for the complete pass
}

var firstDay = time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)

func newSealed(t *testing.T, db *database.DB, source string) *sealed {
	t.Helper()
	s := &sealed{bank: newBank(t, db), clk: clock.NewFake(firstDay), source: source}
	s.store = store.New(db, s.clk)
	s.rec = reconciler.New(db, s.store, s.clk, time.Minute)
	return s
}

func (s *sealed) seal() *reconcile.Seal {
	s.t.Helper()
	seal, err := s.rec.Seal(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return seal
}

// days lets three days pass, with work on each, and seals them.
func (s *sealed) days() []*reconcile.Seal {
	s.t.Helper()
	var seals []*reconcile.Seal
	for range 3 {
		s.works(6)
		s.clk.Advance(24 * time.Hour)
		seals = append(seals, s.seal())
	}
	s.works(2)
	return seals
}

func (s *sealed) full() *reconciler.Result {
	s.t.Helper()
	r, err := reconciler.Full(s.t.Context(), s.source, "", nil, s.clk)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func eachDatabase(t *testing.T, run func(t *testing.T, s *sealed)) {
	t.Helper()
	testkit.DatabaseConfigs(t, func(t *testing.T, cfg database.Config) {
		run(t, newSealed(t, testkit.OpenDatabase(t, cfg), cfg.Dialect+":"+cfg.DSN))
	})
}

func TestReconciler_Seal(t *testing.T) {
	t.Run("each day is sealed once, some time after its end, and every line by one seal", func(t *testing.T) {
		eachDatabase(t, sealsDays)
	})
}

func sealsDays(t *testing.T, s *sealed) {
	t.Helper()
	s.works(3)
	if seal := s.seal(); seal == nil || seal.Segments != 1 || reconcile.DayName(seal.Day) != "2026-02-26" {
		t.Fatalf("the day before has nothing to seal but what is settled: %+v", seal)
	}
	if seal := s.seal(); seal != nil {
		t.Fatalf("a day is sealed twice: %+v", seal)
	}
	s.clk.Advance(12*time.Hour + 2*time.Minute)
	if seal := s.seal(); seal != nil {
		t.Fatalf("a day is sealed as soon as it ends: %+v", seal)
	}
	s.clk.Advance(4 * time.Minute)
	first := s.seal()
	if first == nil || first.Lines == 0 || reconcile.DayName(first.Day) != "2026-02-27" {
		t.Fatalf("%+v", first)
	}
	s.works(3)
	s.clk.Advance(72 * time.Hour)
	if p := s.pass(); p.Found != 0 || !strings.Contains(p.Report, "2026-02-28") || !strings.Contains(p.Report, "not sealed") {
		t.Fatalf("a day that is not sealed is no alarm: %s", p.Report)
	}
	last := s.seal()
	if last == nil || last.Prev != first.Hash || reconcile.DayName(last.Day) != "2026-03-02" {
		t.Fatalf("days without a seal are in the next one: %+v", last)
	}
	var lines int64
	if err := s.db.Read(t.Context()).Raw("SELECT COUNT(*) FROM wallet_journal").Scan(&lines).Error; err != nil {
		t.Fatal(err)
	}
	r := s.full()
	if r.Report.Found != 0 || r.Seal == nil || r.Seal.Hash != last.Hash {
		t.Fatalf("%+v", r)
	}
	var sum int64
	if err := s.db.Read(t.Context()).Raw("SELECT SUM(line_count) FROM wallet_seal").Scan(&sum).Error; err != nil {
		t.Fatal(err)
	}
	if sum != lines {
		t.Errorf("%d lines of %d are sealed", sum, lines)
	}
}

func TestReconciler_SealLate(t *testing.T) {
	t.Run("an instance whose clock is behind writes into the day that is open", func(t *testing.T) {
		eachDatabase(t, writesLate)
	})
}

func writesLate(t *testing.T, s *sealed) {
	t.Helper()
	s.days()
	behind := clock.NewFake(firstDay) // an instance whose clock is three days behind
	late := store.New(s.db, behind)
	for i := range 3 {
		d := app.Deposit{Reference: fmt.Sprintf("late-%d", i), MemberID: 1, Coin: "USDT", Amount: 5}
		if _, _, err := late.Deposit(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	s.works(3) // settlements carry times of 1970
	if r := s.full(); r.Report.Found != 0 {
		t.Fatalf("a line that is written late is a false alarm: %+v", r.Report.Discrepancies)
	}
	s.clk.Advance(24 * time.Hour)
	if seal := s.seal(); seal == nil || seal.Lines == 0 {
		t.Fatalf("%+v", seal)
	}
	if r := s.full(); r.Report.Found != 0 {
		t.Fatalf("%+v", r.Report.Discrepancies)
	}
}

// What is done to sealed days later is found in a complete pass and named by day and row,
// also when it is done so that nothing else contradicts it.
func TestReconciler_SealDamage(t *testing.T) {
	const anyLine = "(SELECT MIN(tx_id) FROM (SELECT tx_id FROM wallet_journal WHERE kind = 'deposit') x)"
	tests := []struct {
		damage, sql string
		want        []string
	}{
		{"an altered line", "UPDATE wallet_journal SET ref = 'another' WHERE line = 0 AND tx_id = " + anyLine, []string{"2026-02-27", "transaction 1 line 0", "was altered"}},
		{"an altered time", "UPDATE wallet_journal SET time = time + 1 WHERE line = 1 AND tx_id = " + anyLine, []string{"2026-02-27", "transaction 1 line 1", "was altered"}},
		{"an altered settlement", "UPDATE wallet_journal SET time = time + 1 WHERE seq = 4 AND line = 2", []string{"2026-02-27", "line 2", "BTC/USDT record 4", "was altered"}},
		{"a removed transaction", "DELETE FROM wallet_journal WHERE tx_id = 2", []string{"2026-02-27", "transaction 3 line 0", "was removed", "-2"}},
		{"a removed settlement", "DELETE FROM wallet_journal WHERE seq = 12", []string{"2026-02-27", "was removed", "record 10"}},
		{"a transaction added to a past day", `INSERT INTO wallet_journal SELECT 9000, line, account, member_id, coin, amount, account_seq, balance_after, symbol, seq, order_id, kind, ref, time
			FROM wallet_journal WHERE tx_id = ` + anyLine, []string{"2026-02-27", "transaction 9000 line 0", "was added"}},
		{"a line moved to another day", fmt.Sprintf("UPDATE wallet_journal SET time = time + %d WHERE tx_id = 1", reconcile.DayMs), []string{"2026-02-28", "transaction 1 line 0", "was added"}},
		{"an altered segment", "UPDATE wallet_seal_segment SET line_count = line_count + 1 WHERE part = 0 AND day = (SELECT MIN(day) FROM wallet_seal)", []string{"seal of 2026-02-27", "not the hash of its segments"}},
		{"an altered mark", "UPDATE wallet_seal_segment SET marks = hash WHERE part > 0 AND day = (SELECT MIN(day) FROM wallet_seal)", []string{"seal of 2026-02-27", "not the hash of its segments"}},
		{"an altered hash", "UPDATE wallet_seal SET hash = prev_hash WHERE day = (SELECT day FROM (SELECT MAX(day) AS day FROM wallet_seal) x)", []string{"seal of 2026-03-01", "not the hash of its segments"}},
		{"an altered seal", "UPDATE wallet_seal SET sealed_ms = sealed_ms + 1 WHERE day = (SELECT day FROM (SELECT MIN(day) AS day FROM wallet_seal) x)", []string{"seal of 2026-02-27", "not the hash of its segments"}},
		{"a removed seal", "DELETE FROM wallet_seal WHERE day = (SELECT day FROM (SELECT MIN(day) + 1 AS day FROM wallet_seal) x)", []string{"seal of 2026-03-01", "does not follow"}},
		{"a removed segment", "DELETE FROM wallet_seal_segment WHERE part > 0 AND day = (SELECT MAX(day) FROM wallet_seal)", []string{"seal of 2026-03-01", "not the hash of its segments"}},
	}
	for _, tt := range tests {
		t.Run(tt.damage+" is found and named", func(t *testing.T) {
			cfg := testkit.SQLiteConfig(t)
			s := newSealed(t, testkit.OpenDatabase(t, cfg), "sqlite:"+cfg.DSN)
			s.days()
			if r := s.full(); r.Report.Found != 0 {
				t.Fatalf("false alarm: %+v", r.Report.Discrepancies)
			}
			s.do(tt.sql)
			var text strings.Builder
			r := s.full()
			if err := r.Text(&text); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(strings.Split(text.String(), "\n"), func(line string) bool {
				return strings.HasPrefix(line, "C7") && !slices.ContainsFunc(tt.want, func(w string) bool { return !strings.Contains(line, w) })
			}) {
				t.Fatalf("no line with %q in\n%s", tt.want, text.String())
			}
		})
	}
}
