package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"mscoin/wallet/ledger"
)

// SealCheck compares the journal with the seals of its days. Feed it the seals in the
// order of their days, then their segments by day, part and number, then the journal in
// the order of transaction and line. It keeps no line, and of a segment's marks nothing:
// about a hundred bytes for a thousand sealed lines.
type SealCheck struct {
	report  Report
	numbers map[int64]string // symbols by their number
	seals   []Seal
	broken  map[int64]bool // days whose seal is not what it should be
	hash    sealHash       // of the seal whose segments are being read
	at      int            // index of it, -1 before the first
	seen    int64          // its segments

	leased   map[int64]*sealedPart // by day
	symbols  map[int64]*sealedPart // by part
	differ   []Segment
	stranger int64
	buf      []byte
}

// sealedPart are the segments of one part, in their order, and the one that is read.
type sealedPart struct {
	segments []Segment
	at       int
	sum      segmentHash
}

// NewSealCheck returns a check that has seen nothing.
func NewSealCheck(f Frame) *SealCheck {
	c := &SealCheck{
		numbers: map[int64]string{}, broken: map[int64]bool{}, at: -1, leased: map[int64]*sealedPart{}, symbols: map[int64]*sealedPart{},
	}
	for symbol, number := range f.Numbers {
		c.numbers[number] = symbol
	}
	return c
}

// AddSeal adds the next seal.
func (c *SealCheck) AddSeal(s *Seal) {
	prev := Hash{}
	if n := len(c.seals); n > 0 {
		prev = c.seals[n-1].Hash
	}
	if s.Prev != prev {
		c.breakSeal(s, "seal does not follow the one before it: one was altered, removed or added")
	}
	c.seals = append(c.seals, *s)
}

func (c *SealCheck) breakSeal(s *Seal, what string) {
	c.broken[s.Day] = true
	c.note(what, place{where: "seal of " + DayName(s.Day), sinceMs: s.SealedMs}, 0, 0)
}

func (c *SealCheck) note(what string, at place, want, got int64) {
	c.report.Found++
	c.report.Discrepancies = append(c.report.Discrepancies, Discrepancy{
		Check: "C7", What: what, Where: at.where, Record: at.record, SinceMs: at.sinceMs, MemberID: at.member, Want: want, Got: got, Amount: got - want,
	})
}

// AddSegment adds the next segment.
func (c *SealCheck) AddSegment(s *Segment) {
	for c.at+1 < len(c.seals) && c.seals[c.at+1].Day <= s.Day {
		c.nextSeal()
	}
	if c.at < 0 || c.seals[c.at].Day != s.Day {
		c.note("lines are sealed for a day that has no seal", place{where: "seal of " + DayName(s.Day)}, 0, s.Lines)
		return
	}
	c.hash.add(s)
	c.seen++
	key, parts := s.Part, c.symbols
	if s.Part == leasedPart {
		key, parts = s.Day, c.leased
	}
	p := parts[key]
	if p == nil {
		p = &sealedPart{}
		parts[key] = p
	}
	kept := *s
	kept.Marks = nil
	p.segments = append(p.segments, kept)
}

// nextSeal ends the seal whose segments were read, and begins the next.
func (c *SealCheck) nextSeal() {
	c.endSeal()
	c.at++
	c.hash, c.seen = newSealHash(&c.seals[c.at]), 0
}

func (c *SealCheck) endSeal() {
	if c.at < 0 {
		return
	}
	s := &c.seals[c.at]
	if s.Hash != c.hash.end() {
		c.breakSeal(s, "seal is not the hash of its segments: seal or segments were altered, removed or added")
	}
}

// EndSegments says that all segments were added.
func (c *SealCheck) EndSegments() {
	for c.at+1 < len(c.seals) {
		c.nextSeal()
	}
	c.endSeal()
	for _, p := range c.symbols {
		slices.SortStableFunc(p.segments, func(a, b Segment) int { return compareEnd(&a, b.LastTx, b.LastLine) })
	}
}

// compareEnd compares where a segment ends with a line.
func compareEnd(s *Segment, txID, line int64) int {
	return cmp.Or(cmp.Compare(s.LastTx, txID), cmp.Compare(s.LastLine, line))
}

// AddLine adds the next line of the journal.
func (c *SealCheck) AddLine(l *Line) {
	if len(c.seals) == 0 {
		return
	}
	var p *sealedPart
	if part := partOf(l.TxID); part != leasedPart {
		p = c.symbols[part]
	} else {
		day := c.sealOf(l.TimeMs)
		if day < 0 {
			return // of a day that is not sealed
		}
		if p = c.leased[day]; p == nil {
			c.added(l, day)
			return
		}
	}
	if p == nil {
		return // of a symbol of which nothing is sealed
	}
	for p.at < len(p.segments) && compareEnd(&p.segments[p.at], l.TxID, int64(l.Line)) < 0 {
		c.endSegment(p)
	}
	if p.at == len(p.segments) {
		return // a record that is not sealed
	}
	h, buf := lineHash(c.buf, l)
	c.buf = buf
	p.sum.add(&h)
}

// sealOf returns the day of the seal that covers a time, -1 when none does.
func (c *SealCheck) sealOf(ms int64) int64 {
	day := DayOf(ms)
	i, _ := slices.BinarySearchFunc(c.seals, day, func(s Seal, day int64) int { return cmp.Compare(s.Day, day) })
	if i == len(c.seals) {
		return -1
	}
	return c.seals[i].Day
}

// added notes a line of a sealed day that had none of its sort.
func (c *SealCheck) added(l *Line, day int64) {
	c.stranger++
	if c.stranger <= MaxListed {
		c.note("journal line was added after its day was sealed", sealedPlace(l, day), 0, 1)
	} else {
		c.report.Found++
	}
}

func sealedPlace(l *Line, day int64) place {
	at := linePlace(l)
	at.where = fmt.Sprintf("seal of %s, %s", DayName(day), at.where)
	return at
}

func (c *SealCheck) endSegment(p *sealedPart) {
	s := &p.segments[p.at]
	h, lines := p.sum.end()
	p.at++
	if h != s.Hash || lines != s.Lines {
		c.differ = append(c.differ, *s)
	}
}

// Differ returns the segments whose lines are not those that were sealed, after the last
// line, each with the place where it begins: the end of the one before it. At most
// [MaxListed] are returned; the report counts the others.
func (c *SealCheck) Differ() []BrokenSegment {
	all := make([]*sealedPart, 0, len(c.leased)+len(c.symbols))
	for _, parts := range [...]map[int64]*sealedPart{c.leased, c.symbols} {
		for _, key := range slices.Sorted(maps.Keys(parts)) {
			all = append(all, parts[key])
		}
	}
	for _, p := range all {
		for p.at < len(p.segments) {
			c.endSegment(p)
		}
	}
	slices.SortFunc(c.differ, func(a, b Segment) int { return compareEnd(&a, b.LastTx, b.LastLine) })
	out := make([]BrokenSegment, 0, len(c.differ))
	for i := range c.differ {
		if i == MaxListed {
			c.report.Found += int64(len(c.differ) - MaxListed)
			break
		}
		b := BrokenSegment{Segment: c.differ[i], FirstMs: math.MinInt64, EndMs: math.MaxInt64}
		c.place(&b)
		out = append(out, b)
	}
	return out
}

// BrokenSegment is a segment whose lines are not those that were sealed, and which they
// are: in its part after AfterTx and AfterLine, up to its end, and for what is no
// settlement from FirstMs on and before EndMs.
type BrokenSegment struct {
	Segment

	AfterTx, AfterLine int64
	FirstMs, EndMs     int64
}

// place finds where a segment begins.
func (c *SealCheck) place(b *BrokenSegment) {
	p := c.symbols[b.Part]
	if b.Part == leasedPart {
		p = c.leased[b.Day]
		for i := range c.seals {
			if c.seals[i].Day == b.Day {
				b.EndMs = c.seals[i].EndMs()
				if i > 0 {
					b.FirstMs = c.seals[i-1].EndMs()
				}
			}
		}
	} else {
		b.AfterTx, b.AfterLine = ledger.FirstSettlementTx-1, math.MaxInt32
	}
	for i := range p.segments {
		if p.segments[i].Day == b.Day && p.segments[i].Number == b.Number && i > 0 {
			b.AfterTx, b.AfterLine = p.segments[i-1].LastTx, p.segments[i-1].LastLine
		}
	}
}

// Name says which line of a broken segment is not the one that was sealed. marks are the
// segment's, lines all that are in it now.
func (c *SealCheck) Name(b *BrokenSegment, marks []byte, lines []Line) {
	at := place{where: "seal of " + DayName(b.Day)}
	if symbol, ok := c.numbers[b.Part]; ok && b.Part != leasedPart {
		at.where += ", " + symbol
	}
	if c.broken[b.Day] || int64(len(marks)) != 2*b.Lines {
		c.note("segment is not the one that was sealed, or its lines are not", at, b.Lines, int64(len(lines)))
		return
	}
	i := 0
	for ; i < len(lines) && 2*i+2 <= len(marks); i++ {
		h, _ := lineHash(nil, &lines[i])
		if h[0] != marks[2*i] || h[1] != marks[2*i+1] {
			break
		}
	}
	got := int64(len(lines))
	switch {
	case got < b.Lines && i < len(lines):
		c.note("journal line before this one was removed after its day was sealed", sealedPlace(&lines[i], b.Day), b.Lines, got)
	case got < b.Lines && i > 0:
		c.note("journal line after this one was removed after its day was sealed", sealedPlace(&lines[i-1], b.Day), b.Lines, got)
	case got < b.Lines:
		at.where += fmt.Sprintf(", up to %s", txName(b.LastTx))
		c.note("journal lines were removed after their day was sealed", at, b.Lines, got)
	case i == len(lines):
		at.where += fmt.Sprintf(", up to %s", txName(b.LastTx))
		c.note("a journal line was altered after its day was sealed", at, b.Lines, got)
	case got > b.Lines:
		c.note("journal line was added after its day was sealed", sealedPlace(&lines[i], b.Day), b.Lines, got)
	default:
		c.note("journal line was altered after its day was sealed", sealedPlace(&lines[i], b.Day), 0, 0)
	}
}

// End returns what was found.
func (c *SealCheck) End() Report { return c.report }

// Head returns the last seal, and false when no day is sealed.
func (c *SealCheck) Head() (Seal, bool) {
	if len(c.seals) == 0 {
		return Seal{}, false
	}
	return c.seals[len(c.seals)-1], true
}
