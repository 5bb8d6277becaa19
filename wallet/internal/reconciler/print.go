package reconciler

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"mscoin/mscoin-common/money"
	"mscoin/wallet/reconcile"
)

// amount formats units of a coin; numbers that are no money, and coins that are not
// listed, stay as they are.
func (r *Result) amount(units int64, coin string) string {
	scale, ok := r.Scales[coin]
	if !ok || scale < 0 || scale > money.MaxScale {
		return fmt.Sprint(units)
	}
	return money.Format(units, int(scale))
}

// when formats a time of a report, empty for none.
func when(ms int64) string {
	if ms <= 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000Z")
}

// Text prints the report for people.
func (r *Result) Text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // Flush tells about errors
	c := r.Report.Counts
	p("compared\t%d journal lines in %d transactions, %d wallets, %d holds, %d deposits and withdrawals\n", c.Lines, c.Transactions, c.Wallets, c.Holds, c.Transfers)
	if r.BooksOnly {
		p("with\tnothing: no order store was given, only the wallet's own books were compared\n")
	} else {
		p("with\t%d orders and %d trades (%d orders and %d trades are newer than the wallet)\n", c.Orders, c.Trades, c.OrdersAhead, c.TradesAhead)
	}
	for _, symbol := range slices.Sorted(maps.Keys(r.Settled)) {
		p("settled\t%s up to record %d\n", symbol, r.Settled[symbol].Seq)
	}
	if r.Custody {
		p("and\twhat the custody says it has\n")
	}
	if s := r.Seal; s != nil {
		p("sealed\tthe journal up to %s, last seal %x\n", reconcile.DayName(s.Day), s.Hash)
	}
	p("as of\t%s, in %.1f s\n", when(r.At.UnixMilli()), r.Took.Seconds())
	p("\nCOIN\tAVAILABLE\tHELD\tFEES\tSUSPENSE\tWORLD\tSUM\n")
	for _, t := range r.Report.Totals {
		p("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.Coin, r.amount(t.Available, t.Coin), r.amount(t.Held, t.Coin), r.amount(t.Fee, t.Coin),
			r.amount(t.Suspense, t.Coin), r.amount(t.World, t.Coin), r.amount(t.Sum(), t.Coin))
	}
	r.alarms(p)
	if r.Report.Found == 0 {
		p("\nclean: everything fits\n")
		return w.Flush()
	}
	r.discrepancies(p)
	return w.Flush()
}

func (r *Result) alarms(p func(string, ...any)) {
	if r.Report.AlarmsFound == 0 {
		return
	}
	p("\n%d ALARMS: nothing is wrong with these, but they stand still\n", r.Report.AlarmsFound)
	p("CHECK\tWHERE\tWHAT\tSINCE\tFOR\n")
	for _, a := range r.Report.Alarms {
		p("C10\t%s\t%s\t%s\t%s\n", a.Where, a.What, when(a.SinceMs), (time.Duration(a.AgeMs) * time.Millisecond).Round(time.Second))
	}
	more(p, r.Report.AlarmsFound, len(r.Report.Alarms))
}

func (r *Result) discrepancies(p func(string, ...any)) {
	p("\n%d DISCREPANCIES\n", r.Report.Found)
	p("CHECK\tWHERE\tWHAT\tSHOULD BE\tIS\tDIFFERENCE\tIN\tSINCE\n")
	for _, d := range r.Report.Discrepancies {
		p("%s\t%s\t%s\t%s\t%s\t%s %s\t%s\t%s\n", d.Check, d.Where, d.What, r.amount(d.Want, d.Coin), r.amount(d.Got, d.Coin),
			r.amount(d.Amount, d.Coin), d.Coin, d.Record, when(d.SinceMs))
	}
	more(p, r.Report.Found, len(r.Report.Discrepancies))
	if r.Report.Unnamed > 0 {
		p("too much is wrong to name it all: %d more places differ\n", r.Report.Unnamed)
	}
}

func more(p func(string, ...any), found int64, listed int) {
	if n := found - int64(listed); n > 0 {
		p("… and %d more\n", n)
	}
}

// JSON prints the report with amounts in units and the coins' scales.
func (r *Result) JSON(out io.Writer) error {
	settled := make(map[string]int64, len(r.Settled))
	for symbol, p := range r.Settled {
		settled[symbol] = p.Seq
	}
	report := r.Report
	day, seal := "", ""
	if r.Seal != nil {
		day, seal = reconcile.DayName(r.Seal.Day), hex.EncodeToString(r.Seal.Hash[:])
	}
	if report.Discrepancies == nil {
		report.Discrepancies = []reconcile.Discrepancy{}
	}
	if report.Alarms == nil {
		report.Alarms = []reconcile.Alarm{}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Clean     bool             `json:"clean"`
		AtMs      int64            `json:"atMs"`
		TookMs    int64            `json:"tookMs"`
		BooksOnly bool             `json:"booksOnly"`
		Settled   map[string]int64 `json:"settled"`
		Scales    map[string]int64 `json:"scales"`
		SealedDay string           `json:"sealedDay,omitempty"`
		Seal      string           `json:"seal,omitempty"`
		reconcile.Report
	}{report.Found == 0, r.At.UnixMilli(), r.Took.Milliseconds(), r.BooksOnly, settled, r.Scales, day, seal, report})
}
