package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"mscoin/mscoin-common/money"
	"mscoin/wallet/reconcile"
)

// amount formats units of a coin; numbers that are no money, and coins that are not
// listed, stay as they are.
func (b *books) amount(units int64, coin string) string {
	scale, ok := b.scales[coin]
	if !ok || scale < 0 || scale > money.MaxScale {
		return fmt.Sprint(units)
	}
	return money.Format(units, scale)
}

func printText(out io.Writer, b *books) error {
	r := &b.report
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // Flush tells about errors
	c := r.Counts
	p("compared\t%d journal lines in %d transactions, %d wallets, %d holds, %d deposits\n", c.Lines, c.Transactions, c.Wallets, c.Holds, c.Deposits)
	p("with\t%d orders and %d trades (%d orders and %d trades are newer than the wallet)\n", c.Orders, c.Trades, c.OrdersAhead, c.TradesAhead)
	for _, symbol := range slices.Sorted(maps.Keys(b.positions)) {
		p("settled\t%s up to record %d\n", symbol, b.positions[symbol].Seq)
	}
	p("\nCOIN\tAVAILABLE\tHELD\tFEES\tSUSPENSE\tWORLD\tSUM\n")
	for _, t := range r.Totals {
		sum := t.Available + t.Held + t.Fee + t.Suspense + t.World
		p("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.Coin, b.amount(t.Available, t.Coin), b.amount(t.Held, t.Coin), b.amount(t.Fee, t.Coin),
			b.amount(t.Suspense, t.Coin), b.amount(t.World, t.Coin), b.amount(sum, t.Coin))
	}
	if r.Found == 0 {
		p("\nclean: everything fits\n")
		return w.Flush()
	}
	p("\n%d DISCREPANCIES\n", r.Found)
	p("CHECK\tWHERE\tWHAT\tSHOULD BE\tIS\tDIFFERENCE\n")
	for _, d := range r.Discrepancies {
		p("%s\t%s\t%s\t%s\t%s\t%s %s\n", d.Check, d.Where, d.What, b.amount(d.Want, d.Coin), b.amount(d.Got, d.Coin), b.amount(d.Amount, d.Coin), d.Coin)
	}
	if more := r.Found - int64(len(r.Discrepancies)); more > 0 {
		p("… and %d more\n", more)
	}
	return w.Flush()
}

// printJSON prints the report with amounts in units and the coins' scales.
func printJSON(out io.Writer, b *books) error {
	settled := make(map[string]int64, len(b.positions))
	for symbol, p := range b.positions {
		settled[symbol] = p.Seq
	}
	if b.report.Discrepancies == nil {
		b.report.Discrepancies = []reconcile.Discrepancy{}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Clean   bool             `json:"clean"`
		Settled map[string]int64 `json:"settled"`
		Scales  map[string]int   `json:"scales"`
		reconcile.Report
	}{b.report.Found == 0, settled, b.scales, b.report})
}
