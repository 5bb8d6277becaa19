package reconcile

import (
	"cmp"
	"slices"
	"strings"
)

// Discrepancy is one thing that does not fit. Amount is what is too much (or, when
// negative, too little) against what it should be, in units of Coin; for numbers that
// are no money Coin is empty. Record names the record or the transaction in which it
// shows, and SinceMs is when that was booked; both are empty when no single one does.
type Discrepancy struct {
	Check   string `json:"check"`
	What    string `json:"what"`
	Where   string `json:"where"`
	Record  string `json:"record,omitempty"`
	Coin    string `json:"coin,omitempty"`
	Want    int64  `json:"want"`
	Got     int64  `json:"got"`
	Amount  int64  `json:"amount"`
	SinceMs int64  `json:"sinceMs,omitempty"`
	// MemberID is whose money it is about, 0 when it is no single member's.
	MemberID int64 `json:"memberId,omitempty"`
}

// Alarm is something that has lasted too long (C10): nothing is wrong in the books,
// but something stands still.
type Alarm struct {
	What    string `json:"what"`
	Where   string `json:"where"`
	SinceMs int64  `json:"sinceMs"`
	AgeMs   int64  `json:"ageMs"`
}

// Totals is where all the money of a coin is, in units. The five sum to zero when
// the books are right.
type Totals struct {
	Coin      string `json:"coin"`
	Available int64  `json:"available"`
	Held      int64  `json:"held"`
	Fee       int64  `json:"fee"`
	Suspense  int64  `json:"suspense"`
	World     int64  `json:"world"`
}

// Sum is zero when the books are right.
func (t *Totals) Sum() int64 { return t.Available + t.Held + t.Fee + t.Suspense + t.World }

// Counts is how much was compared.
type Counts struct {
	Lines        int64 `json:"journalLines"`
	Transactions int64 `json:"transactions"`
	Wallets      int64 `json:"wallets"`
	Holds        int64 `json:"holds"`
	Transfers    int64 `json:"transfers"`
	Orders       int64 `json:"orders"`
	OrdersAhead  int64 `json:"ordersAheadOfWallet"`
	Trades       int64 `json:"trades"`
	TradesAhead  int64 `json:"tradesAheadOfWallet"`
}

// Report is the outcome. Found counts all discrepancies, of which the first
// [MaxListed] are listed; so does AlarmsFound.
type Report struct {
	Discrepancies []Discrepancy `json:"discrepancies"`
	Found         int64         `json:"found"`
	Alarms        []Alarm       `json:"alarms"`
	AlarmsFound   int64         `json:"alarmsFound"`
	Totals        []Totals      `json:"totals"`
	Counts        Counts        `json:"counts"`
	// Unnamed is how many places were seen to differ that were not looked into one by
	// one, because there were too many: see [Sketch.Finish].
	Unnamed int64 `json:"unnamedPlaces,omitempty"`
}

// MaxListed bounds the discrepancies and the alarms that a report lists.
const MaxListed = 1000

// Join adds what the second, exact pass over the suspects found to the report of the
// first. What both have found is listed once.
func (r *Report) Join(exact *Report) {
	for _, d := range exact.Discrepancies {
		if slices.Contains(r.Discrepancies, d) {
			continue
		}
		r.Found++
		if len(r.Discrepancies) < MaxListed {
			r.Discrepancies = append(r.Discrepancies, d)
		}
	}
	r.Found += exact.Found - int64(len(exact.Discrepancies))
	r.sort()
}

// Suspended is an order that the wallet has put in suspense: it knows that matcher and books
// say different things of it.
type Suspended struct {
	OrderID  int64
	MemberID int64
	Symbol   string
	Seq      int64 // the record that put it there
	Cause    string
	SinceMs  int64
}

// Suspend lists each order in suspense once, and takes away what else was found about these
// orders: it follows from that. What was found about accounts, transactions and totals stays.
func (r *Report) Suspend(orders []Suspended) {
	names := make(map[string]bool, len(orders))
	for _, o := range orders {
		names[orderName(o.OrderID)] = true
	}
	kept := r.Discrepancies[:0]
	for _, d := range r.Discrepancies {
		first, _, _ := strings.Cut(d.Where, ", ")
		last := d.Where[strings.LastIndex(d.Where, ", ")+1:]
		if (d.Check == "C4" || d.Check == "C5" || d.Check == "C9") && (names[first] || names[strings.TrimSpace(last)]) {
			r.Found--
			continue
		}
		kept = append(kept, d)
	}
	r.Discrepancies = kept
	for _, o := range orders {
		r.Found++
		if len(r.Discrepancies) < MaxListed {
			r.Discrepancies = append(r.Discrepancies, Discrepancy{
				Check: "C5", What: "order is in suspense: " + o.Cause, Where: orderName(o.OrderID), Record: recordName(o.Symbol, o.Seq),
				SinceMs: o.SinceMs, MemberID: o.MemberID,
			})
		}
	}
	r.sort()
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Discrepancies, func(a, b Discrepancy) int {
		return cmp.Or(cmp.Compare(a.Check, b.Check), cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What))
	})
}
