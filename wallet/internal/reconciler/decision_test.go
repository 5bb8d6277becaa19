package reconciler_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

// office is a bank with operators.
type office struct {
	*sealed

	ops *app.Operations
}

func newOffice(t *testing.T, s *sealed) *office {
	t.Helper()
	return &office{sealed: s, ops: app.NewOperations(s.store, app.New(s.store, nil, s.clk), s.clk)}
}

func (o *office) available(member int64, coin string) int64 {
	o.t.Helper()
	w, err := o.store.Wallets(o.t.Context(), member, coin)
	if err != nil || len(w) != 1 {
		o.t.Fatalf("%+v %v", w, err)
	}
	return w[0].Available
}

func (o *office) clean() {
	o.t.Helper()
	if r := o.full(); r.Report.Found != 0 {
		o.t.Fatalf("books do not fit: %+v", r.Report.Discrepancies)
	}
	if p := o.pass(); p.Found != 0 {
		o.t.Fatalf("pass: %s", p.Report)
	}
}

func (o *office) correction(id, by string, from, to ledger.Account, text string) (app.Decision, error) {
	return o.ops.RequestCorrection(o.t.Context(), app.Decision{RequestID: id, RequestedBy: by, Reason: "ticket 7", From: from, To: to}, "USDT", text)
}

func (o *office) refused(what string, want, err error) {
	o.t.Helper()
	if !errors.Is(err, want) {
		o.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

var (
	suspense = ledger.Account{Kind: ledger.Suspense}
	member1  = ledger.Account{Kind: ledger.Available, MemberID: 1}
)

func TestOperations_Correction(t *testing.T) {
	t.Run("is booked once, by a second operator, with its request's id, and the books fit", func(t *testing.T) {
		eachDatabase(t, func(t *testing.T, s *sealed) { correctsOnce(newOffice(t, s)) })
	})
	t.Run("what is missing or makes no sense is refused", func(t *testing.T) {
		cfg := testkit.SQLiteConfig(t)
		o := newOffice(t, newSealed(t, testkit.OpenDatabase(t, cfg), "sqlite:"+cfg.DSN))
		held := ledger.Account{Kind: ledger.Held, MemberID: 1}
		for name, try := range map[string]func() error{
			"no reason": func() error {
				_, err := o.ops.RequestCorrection(t.Context(), app.Decision{RequestID: "r", RequestedBy: "ann", From: suspense, To: member1}, "USDT", "1")
				return err
			},
			"no operator":     func() error { _, err := o.correction("r", "", suspense, member1, "1"); return err },
			"no request id":   func() error { _, err := o.correction("", "ann", suspense, member1, "1"); return err },
			"no amount":       func() error { _, err := o.correction("r", "ann", suspense, member1, "0"); return err },
			"a negative one":  func() error { _, err := o.correction("r", "ann", suspense, member1, "-1"); return err },
			"one account":     func() error { _, err := o.correction("r", "ann", member1, member1, "1"); return err },
			"held money":      func() error { _, err := o.correction("r", "ann", held, member1, "1"); return err },
			"no such account": func() error { _, err := o.correction("r", "ann", ledger.Account{}, member1, "1"); return err },
			"a member of the house": func() error {
				_, err := o.correction("r", "ann", ledger.Account{Kind: ledger.Fee, MemberID: 1}, member1, "1")
				return err
			},
		} {
			if err := try(); err == nil {
				t.Errorf("%s is accepted", name)
			}
		}
	})
}

func correctsOnce(o *office) {
	t := o.t
	t.Helper()
	ctx := t.Context()
	o.works(4)
	before := o.available(1, "USDT")
	d, err := o.correction("c-1", "ann", suspense, member1, "0.00000250")
	if err != nil || d.State != app.DecisionPending || o.available(1, "USDT") != before {
		t.Fatalf("asking alone books something: %+v %v", d, err)
	}
	if again, err := o.correction("c-1", "ann", suspense, member1, "0.00000250"); err != nil || again != d {
		t.Fatalf("a repeated request: %+v %v", again, err)
	}
	_, err = o.correction("c-1", "ann", suspense, member1, "0.00000251")
	o.refused("another amount under the same id", app.ErrMismatch, err)
	_, err = o.ops.Approve(ctx, "c-1", "ann")
	o.refused("one's own request", app.ErrSameOperator, err)
	_, err = o.ops.Approve(ctx, "c-2", "bob")
	o.refused("what nobody asked for", app.ErrUnknownDecision, err)

	var wg sync.WaitGroup // both approve at once, again and again
	for i := range 10 {
		wg.Go(func() {
			if _, err := o.ops.Approve(ctx, "c-1", "bob"); err != nil {
				t.Errorf("approval %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := o.available(1, "USDT") - before; got != 250 {
		t.Fatalf("booked %d, want 250", got)
	}
	_, err = o.ops.Approve(ctx, "c-1", "eve")
	o.refused("a third operator", app.ErrNotPending, err)
	_, err = o.ops.Reject(ctx, "c-1", "ann")
	o.refused("what is done", app.ErrNotPending, err)
	o.clean()

	o.clk.Advance(time.Second)
	if _, err = o.correction("c-3", "ann", member1, suspense, "1000000"); err != nil {
		t.Fatal(err)
	}
	_, err = o.ops.Approve(ctx, "c-3", "bob")
	o.refused("more than the member has", app.ErrInsufficientBalance, err)
	if _, err := o.ops.Reject(ctx, "c-3", "ann"); err != nil {
		t.Fatalf("it does not stay pending: %v", err)
	}
	_, err = o.ops.Approve(ctx, "c-3", "bob")
	o.refused("what is rejected", app.ErrNotPending, err)

	o.clk.Advance(time.Second)
	if _, err = o.correction("c-4", "ann", suspense, member1, "1"); err != nil {
		t.Fatal(err)
	}
	o.clk.Advance(app.DecisionTTL)
	_, err = o.ops.Approve(ctx, "c-4", "bob")
	o.refused("what has expired", app.ErrNotPending, err)
	all, err := o.ops.List(ctx, false, 0)
	if err != nil || len(all) != 3 || all[0].State != app.DecisionExpired || all[2].TxID == 0 || all[2].DecidedBy != "bob" {
		t.Fatalf("%+v %v", all, err)
	}
	o.clean()
}

func TestOperations_LiftStop(t *testing.T) {
	lift := func(o *office, id, scope, name string) (app.Decision, error) {
		return o.ops.LiftStop(t.Context(), app.Decision{RequestID: id, RequestedBy: "ann", Reason: "looked into it", Scope: scope, Name: name})
	}
	stops := func(o *office) string {
		all, err := o.store.Stops(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, s := range all {
			text = append(text, s.Scope+"/"+s.Name)
		}
		return strings.Join(text, " ")
	}
	t.Run("one operator lifts it when the reconciliation after it is clean, two otherwise, and it stays lifted", func(t *testing.T) {
		cfg := testkit.SQLiteConfig(t)
		o := newOffice(t, newSealed(t, testkit.OpenDatabase(t, cfg), "sqlite:"+cfg.DSN))
		o.works(4)
		o.pass()
		_, err := lift(o, "l-0", app.StopMember, "1")
		o.refused("what is not stopped", app.ErrNotStopped, err)
		o.do("UPDATE member_wallet SET balance = balance + 5 WHERE member_id = 1 AND coin_name = 'USDT'")
		o.pass()
		if got := stops(o); got != "COIN/USDT MEMBER/1" {
			t.Fatal(got)
		}
		d, err := lift(o, "l-1", app.StopMember, "1")
		if err != nil || d.State != app.DecisionPending || stops(o) != "COIN/USDT MEMBER/1" {
			t.Fatalf("%+v %v, stopped %s", d, err, stops(o))
		}
		o.do("UPDATE member_wallet SET balance = balance - 5 WHERE member_id = 1 AND coin_name = 'USDT'")
		o.clk.Advance(time.Minute)
		o.pass()
		if d, err = lift(o, "l-2", app.StopMember, "1"); err != nil || d.State != app.DecisionDone || stops(o) != "COIN/USDT" {
			t.Fatalf("%+v %v, stopped %s", d, err, stops(o))
		}
		o.do("UPDATE member_wallet SET balance = balance + 6 WHERE member_id = 1 AND coin_name = 'USDT'")
		o.pass() // stops the member again
		if d, err = lift(o, "l-3", app.StopMember, "1"); err != nil || d.State != app.DecisionPending || stops(o) != "COIN/USDT MEMBER/1" {
			t.Fatalf("%+v %v, stopped %s", d, err, stops(o))
		}
		_, err = o.ops.Approve(t.Context(), "l-3", "ann")
		o.refused("one's own request", app.ErrSameOperator, err)
		if _, err = o.ops.Approve(t.Context(), "l-3", "bob"); err != nil {
			t.Fatal(err)
		}
		if p := o.pass(); p.Found == 0 || stops(o) != "COIN/USDT" {
			t.Fatalf("stopped %s after it was lifted by two", stops(o))
		}
		o.do("UPDATE member_wallet SET balance = balance + 7 WHERE member_id = 1 AND coin_name = 'USDT'")
		if o.pass(); stops(o) != "COIN/USDT MEMBER/1" {
			t.Fatalf("another discrepancy does not stop the member: %s", stops(o))
		}
	})
	for _, coins := range [][2]string{{"BTC", "USDT"}, {"USDT", "BTC"}} {
		t.Run("a stop that was lifted for damage in "+coins[0]+" comes back for damage in "+coins[1], func(t *testing.T) {
			cfg := testkit.SQLiteConfig(t)
			o := newOffice(t, newSealed(t, testkit.OpenDatabase(t, cfg), "sqlite:"+cfg.DSN))
			o.works(4)
			damage := func(coin string) {
				o.do("UPDATE member_wallet SET balance = balance + 5 WHERE member_id = 1 AND coin_name = '" + coin + "'")
				o.pass()
			}
			o.pass()
			damage(coins[0])
			if _, err := lift(o, "l-1", app.StopMember, "1"); err != nil {
				t.Fatal(err)
			}
			_, err := o.ops.Approve(t.Context(), "l-1", app.SharedOperator)
			o.refused("the shared token as the second operator", app.ErrSharedOperator, err)
			if _, err := o.ops.Approve(t.Context(), "l-1", "bob"); err != nil {
				t.Fatal(err)
			}
			if damage(coins[1]); !strings.Contains(stops(o), "MEMBER/1") {
				t.Fatalf("stopped %s", stops(o))
			}
		})
	}
	t.Run("a request lifts a stop for the reason that it shows, no other", func(t *testing.T) {
		cfg := testkit.SQLiteConfig(t)
		o := newOffice(t, newSealed(t, testkit.OpenDatabase(t, cfg), "sqlite:"+cfg.DSN))
		o.do("INSERT INTO wallet_stop VALUES ('MEMBER', '1', 1, 'first')")
		if d, err := lift(o, "l-1", app.StopMember, "1"); err != nil || d.State != app.DecisionPending {
			t.Fatalf("%+v %v", d, err)
		}
		_, err := o.ops.LiftStop(t.Context(), app.Decision{RequestID: "l-2", RequestedBy: app.SharedOperator, Reason: "x", Scope: app.StopMember, Name: "1"})
		o.refused("the shared token as the first operator", app.ErrSharedOperator, err)
		_, err = o.correction("c-1", app.SharedOperator, suspense, member1, "1")
		o.refused("a correction by the shared token", app.ErrSharedOperator, err)
		o.do("UPDATE wallet_stop SET reason = 'second'")
		_, err = o.ops.Approve(t.Context(), "l-1", "bob")
		o.refused("a stop that came for another reason", app.ErrNotPending, err)
		if got := stops(o); got != "MEMBER/1" {
			t.Fatal(got)
		}
	})
	t.Run("one operator does not lift the stop of a member with an order in suspense", func(t *testing.T) {
		cfg := testkit.SQLiteConfig(t)
		o := newOffice(t, newSealed(t, testkit.OpenDatabase(t, cfg), "sqlite:"+cfg.DSN))
		o.works(1)
		o.do("INSERT INTO wallet_suspense VALUES (1, 1, 'BTC/USDT', 1, 'x', 1)")
		o.do("INSERT INTO wallet_stop VALUES ('MEMBER', '1', 1, 'order 1 is in suspense')")
		o.pass()
		if d, err := lift(o, "l-1", app.StopMember, "1"); err != nil || d.State != app.DecisionPending {
			t.Fatalf("%+v %v", d, err)
		}
	})
}

func TestOperations_FeeIncome(t *testing.T) {
	t.Run("the statement is the fee account of the journal, by coin and day", func(t *testing.T) {
		eachDatabase(t, func(t *testing.T, s *sealed) { statesFees(newOffice(t, s)) })
	})
}

func statesFees(o *office) {
	t := o.t
	t.Helper()
	o.works(9)
	if _, err := o.correction("c-1", "ann", ledger.Account{Kind: ledger.Fee}, member1, "0.00000002"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ops.Approve(t.Context(), "c-1", "bob"); err != nil {
		t.Fatal(err)
	}
	today := reconcile.DayOf(o.clk.NowMs())
	got := map[string]int64{}
	for _, span := range [][2]int64{{0, 1}, {today, today + 1}} { // settlements carry times of 1970
		income, err := o.ops.FeeIncome(t.Context(), span[0], span[1], "")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range income {
			got[fmt.Sprintf("%d %s", f.Day, f.Coin)] = f.Total
			if f.Day == today && (f.Trading != 0 || f.Total != -2) || f.Day == 0 && f.Trading != f.Total || f.Scale != 8 || f.Lines == 0 {
				t.Errorf("%+v", f)
			}
		}
	}
	var lines []struct {
		Time   int64
		Coin   string
		Amount int64
	}
	if err := o.db.Read(t.Context()).Raw("SELECT time, coin, amount FROM wallet_journal WHERE account = 'FEE'").Scan(&lines).Error; err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for _, l := range lines {
		want[strconv.FormatInt(l.Time/reconcile.DayMs, 10)+" "+l.Coin] += l.Amount
	}
	if len(want) != 3 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("statement %v, journal %v", got, want)
	}
	for _, span := range [][2]int64{{-1, 0}, {2, 1}, {0, 367}, {1 << 62, 1 << 62}} {
		if _, err := o.ops.FeeIncome(t.Context(), span[0], span[1], ""); err == nil {
			t.Errorf("days %v are accepted", span)
		}
	}
}

func TestReconcile_Correction(t *testing.T) {
	for damage, sql := range map[string]string{
		"a correction that nobody has approved": "DELETE FROM wallet_decision",
		"a correction of another amount":        "UPDATE wallet_decision SET amount = amount + 1",
		"a correction to another member":        "UPDATE wallet_decision SET to_member = 2",
		"a correction of another coin":          "UPDATE wallet_decision SET coin = 'BTC'",
		"a correction in another transaction":   "UPDATE wallet_decision SET tx_id = tx_id + 1",
		"a decision that was taken back":        "UPDATE wallet_decision SET state = 'REJECTED'",
	} {
		t.Run(damage+" is found and named", func(t *testing.T) {
			cfg := testkit.SQLiteConfig(t)
			o := newOffice(t, newSealed(t, testkit.OpenDatabase(t, cfg), "sqlite:"+cfg.DSN))
			o.works(2)
			if _, err := o.correction("c-1", "ann", suspense, member1, "1"); err != nil {
				t.Fatal(err)
			}
			if _, err := o.ops.Approve(t.Context(), "c-1", "bob"); err != nil {
				t.Fatal(err)
			}
			o.clean()
			o.do(sql)
			for _, d := range o.full().Report.Discrepancies {
				if d.Check == "C3" && strings.Contains(d.What, "correction") && strings.Contains(d.Where, "transaction ") {
					return
				}
			}
			t.Fatalf("%+v", o.full().Report)
		})
	}
}
