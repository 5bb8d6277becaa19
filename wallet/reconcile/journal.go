package reconcile

// Journal checks journal lines that come transaction by transaction: that each sums to
// zero and is whole (C1), that none is of a record beyond the wallet's position, and that
// no account is below zero. It keeps the transaction that it is in, and sums.
type Journal struct {
	books

	tx runningTx
}

// runningTx is the transaction whose lines are being read.
type runningTx struct {
	last  Line
	lines int64
	coins []coinSum
}

type coinSum struct {
	coin string
	sum  int64
}

// NewJournal returns a check that has seen nothing.
func NewJournal(f Frame) *Journal { return &Journal{books: newBooks(f)} }

// AddLine adds a line. The lines of one transaction must come together, in their order.
func (j *Journal) AddLine(l *Line) {
	j.line(l)
	t := &j.tx
	if t.lines == 0 || t.last.TxID != l.TxID {
		j.endTx()
	}
	if int64(l.Line) != t.lines {
		j.found("C1", "transaction has lost or gained lines", txPlace(l), "", t.lines, int64(l.Line))
	}
	t.last, t.lines = *l, int64(l.Line)+1
	for i := range t.coins {
		if t.coins[i].coin == l.Account.Coin {
			t.coins[i].sum += l.Amount
			return
		}
	}
	t.coins = append(t.coins, coinSum{l.Account.Coin, l.Amount})
}

func txPlace(l *Line) place {
	at := place{where: txName(l.TxID), sinceMs: l.TimeMs}
	if l.Seq > 0 {
		at.record = recordName(l.Symbol, l.Seq)
	}
	return at
}

func (j *Journal) endTx() {
	t := &j.tx
	if t.lines > 0 {
		j.report.Counts.Transactions++
	}
	for _, c := range t.coins {
		if c.sum != 0 {
			j.found("C1", "transaction does not sum to zero", txPlace(&t.last), c.coin, 0, c.sum)
		}
	}
	t.lines, t.coins = 0, t.coins[:0]
}

// End returns what was found, and what the house's accounts have gained by the lines:
// Available and Held of the totals are not counted.
func (j *Journal) End() Report {
	j.endTx()
	for _, coin := range sortedKeys(j.totals) {
		j.report.Totals = append(j.report.Totals, *j.totals[coin])
	}
	return j.report
}
