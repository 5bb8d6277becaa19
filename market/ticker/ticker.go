// Package ticker keeps the statistics of a symbol's last 24 hours.
//
// Trades are summed up by minute, so the window moves in steps of a minute: at any
// instant it is the running minute and the 1439 before it, that is from 23 h 59 min up
// to 24 h. Within a minute nothing is lost: open and last price, extremes, sums, first
// and last trade id are exact, whatever order the trades' times come in; what was
// first and last is decided by the trade id.
//
// All arithmetic is in integers; sums have 128 bits, so they cannot overflow. Adding a
// trade costs O(1), reading costs O(minutes with trades), at most about 1450. Nothing
// here does I/O or reads a clock: the caller says what time it is. A [Window] is for one
// goroutine at a time.
package ticker

import (
	"cmp"
	"slices"
)

const (
	// MinuteMs is the granularity in milliseconds.
	MinuteMs = 60_000
	// WindowMinutes is the number of minutes in the window.
	WindowMinutes = 24 * 60
	// WindowMs is the length of the window in milliseconds, at most.
	WindowMs = WindowMinutes * MinuteMs
	// keepMinutes is how long minutes are kept: a clock that lags behind the times of the
	// trades still finds what is in its window.
	keepMinutes = WindowMinutes + 10
)

// Trade is a match as far as statistics go.
type Trade struct {
	// ID counts the symbol's trades from 1.
	ID int64
	// Price is in quote units for one whole base coin.
	Price int64
	// Quantity is in base units.
	Quantity int64
	// Turnover is in quote units.
	Turnover int64
	// TimeMs is its time in milliseconds since the epoch.
	TimeMs int64
}

// Mark is a trade that is remembered alone: the first, the last.
type Mark struct {
	// ID is the trade's id; 0 means that there is none.
	ID int64
	// Price and Quantity are the trade's.
	Price, Quantity int64
}

// Minute sums up the trades of one minute.
type Minute struct {
	// Minute counts minutes since the epoch.
	Minute int64
	// First and Last are the trades with the lowest and the highest id.
	First, Last Mark
	// High and Low are the extreme prices.
	High, Low int64
	// Volume is the sum of quantities, Turnover that of turnovers.
	Volume, Turnover Sum
	// Count is the number of trades.
	Count int64
}

// MinuteOf returns the minute of a time.
func MinuteOf(timeMs int64) int64 {
	minute := timeMs / MinuteMs
	if timeMs%MinuteMs < 0 {
		minute--
	}
	return minute
}

// merge adds what another Minute has seen.
func (m *Minute) merge(o *Minute) {
	if m.Count == 0 {
		*m = *o
		return
	}
	if o.First.ID < m.First.ID {
		m.First = o.First
	}
	if o.Last.ID > m.Last.ID {
		m.Last = o.Last
	}
	m.High, m.Low = max(m.High, o.High), min(m.Low, o.Low)
	m.Volume, m.Turnover = m.Volume.plus(o.Volume), m.Turnover.plus(o.Turnover)
	m.Count += o.Count
}

// Window keeps the minutes of a symbol. The zero value is empty and ready.
type Window struct {
	minutes []Minute // ascending, without empty ones
	before  Mark     // the last trade that is in no minute
}

// Add counts a trade. Each trade is to be added once.
func (w *Window) Add(t Trade) {
	mark := Mark{ID: t.ID, Price: t.Price, Quantity: t.Quantity}
	w.AddMinute(Minute{
		Minute: MinuteOf(t.TimeMs), First: mark, Last: mark, High: t.Price, Low: t.Price,
		Volume: SumOf(t.Quantity), Turnover: SumOf(t.Turnover), Count: 1,
	})
}

// AddMinute counts the trades of a minute, or of a part of it, at once: for loading
// what was summed up elsewhere.
func (w *Window) AddMinute(m Minute) {
	if m.Count == 0 {
		return
	}
	if n := len(w.minutes); n > 0 && m.Minute <= w.minutes[n-1].Minute-keepMinutes {
		w.AddBefore(m.Last)
		return
	}
	i, found := slices.BinarySearchFunc(w.minutes, m.Minute, func(a Minute, minute int64) int { return cmp.Compare(a.Minute, minute) })
	if found {
		w.minutes[i].merge(&m)
		return
	}
	w.minutes = slices.Insert(w.minutes, i, m)
	w.forget()
}

// AddBefore notes a trade of before the window, for the last price and the previous
// close.
func (w *Window) AddBefore(m Mark) {
	if m.ID > w.before.ID {
		w.before = m
	}
}

// forget drops the minutes that are too old.
func (w *Window) forget() {
	oldest := w.minutes[len(w.minutes)-1].Minute - keepMinutes
	n := 0
	for n < len(w.minutes) && w.minutes[n].Minute <= oldest {
		w.AddBefore(w.minutes[n].Last)
		n++
	}
	if n > 0 {
		w.minutes = slices.Delete(w.minutes, 0, n)
	}
}

// Stats are the statistics of a window.
type Stats struct {
	// OpenTimeMs and CloseTimeMs are its beginning and its end, both included.
	OpenTimeMs, CloseTimeMs int64
	// First and Last are its first and last trade; ID 0 when it has none.
	First, Last Mark
	// High and Low are its extreme prices; 0 when it has no trade.
	High, Low int64
	// Volume is in base units, Turnover in quote units.
	Volume, Turnover Sum
	// Count is the number of trades.
	Count int64
	// PreviousClose is the last trade before it; ID 0 when there is none.
	PreviousClose Mark
	// LastEver is the last trade of any age; ID 0 when there is none.
	LastEver Mark
}

// At returns the statistics of the window that ends at nowMs. Trades that seem to come
// from the future, because clocks differ, are counted.
func (w *Window) At(nowMs int64) Stats {
	oldest := MinuteOf(nowMs) - WindowMinutes + 1
	previous, ever := w.before, w.before
	var sum Minute
	for i := range w.minutes {
		m := &w.minutes[i]
		if m.Last.ID > ever.ID {
			ever = m.Last
		}
		if m.Minute >= oldest {
			sum.merge(m)
		} else if m.Last.ID > previous.ID {
			previous = m.Last
		}
	}
	return Stats{
		OpenTimeMs: oldest * MinuteMs, CloseTimeMs: nowMs,
		First: sum.First, Last: sum.Last, High: sum.High, Low: sum.Low,
		Volume: sum.Volume, Turnover: sum.Turnover, Count: sum.Count,
		PreviousClose: previous, LastEver: ever,
	}
}
