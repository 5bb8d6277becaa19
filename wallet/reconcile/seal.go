package reconcile

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"slices"

	"mscoin/wallet/ledger"
)

// The journal is sealed day by day. A seal belongs to a day (UTC) and covers the lines
// that no seal before it does:
//
//   - of settlements those up to the last record that is settled when the day is sealed.
//     A symbol's records are settled in order, so nothing can come late below it;
//   - of every other transaction those whose time is before the end of the day. No such
//     line can be written any more when the day is sealed (see the store's CloseDay).
//
// Lines are hashed in the order of transaction and line, and cut into segments of
// [SegmentLines]. The seal is a hash of the seal before it and of its segments, so that a
// line that is altered, removed or added later shows in its segment, an altered segment or
// seal in its seal, and a removed seal in the one after it.

// SegmentLines is how many lines a segment has at most. It keeps a hash of all and two
// bytes of the hash of each, which tell which line it was.
const SegmentLines = 1024

// leasedPart is the part of a day that is no settlement; the other parts are the numbers
// of symbols.
const leasedPart = 0

// MaxIDAgeMs is how long after its lease a transaction id is used at the latest.
const MaxIDAgeMs = 60 * 60 * 1000

// DayMs is the length of a day.
const DayMs = 24 * 60 * 60 * 1000

// DayOf returns the day of a time, in days since 1970-01-01 UTC.
func DayOf(ms int64) int64 {
	if ms < 0 {
		return 0
	}
	return ms / DayMs
}

// Hash is a SHA-256 hash.
type Hash = [sha256.Size]byte

// Segment is lines of a sealed day that follow one another in one of its parts.
type Segment struct {
	Day    int64
	Part   int64 // number of a symbol, 0 for what is no settlement
	Number int64 // within the part, from 0
	// LastTx and LastLine are where it ends; it begins after the one before it.
	LastTx   int64
	LastLine int64
	Lines    int64
	Hash     Hash
	Marks    []byte // two bytes of the hash of each line
}

// Seal closes a day.
type Seal struct {
	Day      int64
	SealedMs int64
	// NextTx is the first transaction id that nobody had leased when the day was sealed.
	NextTx   int64
	Lines    int64
	Segments int64
	Prev     Hash // hash of the seal before, zero for the first
	Hash     Hash
}

// EndMs is the end of the seal's day.
func (s *Seal) EndMs() int64 { return (s.Day + 1) * DayMs }

// lineHash is the hash of all that a line says.
func lineHash(buf []byte, l *Line) (Hash, []byte) {
	buf = buf[:0]
	for _, n := range [...]int64{
		l.TxID, int64(l.Line), int64(l.Account.Kind), l.Account.MemberID, l.Amount, l.AccountSeq, l.BalanceAfter, l.Seq, l.OrderID, l.TimeMs,
	} {
		buf = binary.BigEndian.AppendUint64(buf, uint64(n))
	}
	for _, s := range [...]string{l.Account.Coin, l.Symbol, string(l.Reason), l.Ref} {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(s)))
		buf = append(buf, s...)
	}
	return sha256.Sum256(buf), buf
}

// partOf returns the part of a transaction.
func partOf(txID int64) int64 {
	if txID < ledger.FirstSettlementTx {
		return leasedPart
	}
	return ledger.SymbolOfTx(txID)
}

// segmentHash collects the lines of a segment.
type segmentHash struct {
	sum   hash.Hash
	lines int64
}

func (s *segmentHash) add(h *Hash) {
	if s.sum == nil {
		s.sum = sha256.New()
	}
	s.sum.Write(h[:])
	s.lines++
}

func (s *segmentHash) end() (h Hash, lines int64) {
	if s.sum == nil {
		s.sum = sha256.New()
	}
	s.sum.Sum(h[:0])
	lines = s.lines
	s.sum.Reset()
	s.lines = 0
	return h, lines
}

// Sealer makes the seal of a day of its lines. It keeps about two bytes of each.
type Sealer struct {
	seal     Seal
	segments []Segment
	sum      segmentHash
	marks    []byte
	part     int64
	number   int64
	last     Line
	buf      []byte
}

// NewSealer returns a sealer for a day. before is the seal before, nil for the first.
func NewSealer(day, sealedMs, nextTx int64, before *Seal) *Sealer {
	s := &Sealer{seal: Seal{Day: day, SealedMs: sealedMs, NextTx: nextTx}}
	if before != nil {
		s.seal.Prev = before.Hash
	}
	return s
}

// AddLine adds a line. Lines come in the order of transaction and line.
func (s *Sealer) AddLine(l *Line) {
	part := partOf(l.TxID)
	if part != s.part {
		s.endPart()
		s.part, s.number = part, 0
	}
	if s.sum.lines == SegmentLines {
		s.endSegment(s.last.TxID, int64(s.last.Line))
	}
	h, buf := lineHash(s.buf, l)
	s.buf = buf
	s.sum.add(&h)
	s.marks = append(s.marks, h[0], h[1])
	s.last = *l
}

func (s *Sealer) endSegment(lastTx, lastLine int64) {
	h, lines := s.sum.end()
	s.segments = append(s.segments, Segment{
		Day: s.seal.Day, Part: s.part, Number: s.number, LastTx: lastTx, LastLine: lastLine, Lines: lines, Hash: h, Marks: slices.Clone(s.marks),
	})
	s.seal.Lines += lines
	s.number++
	s.marks = s.marks[:0]
}

// endPart ends the last segment of a part. That of what is no settlement covers whatever
// may yet turn up with a time of this day.
func (s *Sealer) endPart() {
	switch {
	case s.sum.lines == 0:
	case s.part == leasedPart:
		s.endSegment(ledger.FirstSettlementTx-1, math.MaxInt32)
	default:
		s.endSegment(s.last.TxID, math.MaxInt32)
	}
}

// End returns the seal and its segments.
func (s *Sealer) End() (Seal, []Segment) {
	s.endPart()
	s.seal.Segments = int64(len(s.segments))
	sum := newSealHash(&s.seal)
	for i := range s.segments {
		sum.add(&s.segments[i])
	}
	s.seal.Hash = sum.end()
	return s.seal, s.segments
}

// sealHash computes the hash of a seal.
type sealHash struct{ sum hash.Hash }

func newSealHash(s *Seal) sealHash {
	h := sealHash{sha256.New()}
	h.sum.Write(s.Prev[:])
	h.numbers(s.Day, s.SealedMs, s.NextTx, s.Lines, s.Segments)
	return h
}

func (h sealHash) numbers(numbers ...int64) {
	var b [8]byte
	for _, n := range numbers {
		binary.BigEndian.PutUint64(b[:], uint64(n))
		h.sum.Write(b[:])
	}
}

func (h sealHash) add(s *Segment) {
	h.numbers(s.Part, s.Number, s.LastTx, s.LastLine, s.Lines, int64(len(s.Marks)))
	h.sum.Write(s.Hash[:])
	h.sum.Write(s.Marks)
}

func (h sealHash) end() (out Hash) {
	h.sum.Sum(out[:0])
	return out
}

// DayName is a day for people.
func DayName(day int64) string {
	year, month, dayOfMonth := civil(day)
	return fmt.Sprintf("%04d-%02d-%02d", year, month, dayOfMonth)
}

// civil is H. Hinnant's days_from_civil, turned round: pure packages have no time.
func civil(day int64) (year, month, dayOfMonth int64) {
	z := day + 719_468
	era := z / 146_097
	doe := z - era*146_097
	yoe := (doe - doe/1460 + doe/36_524 - doe/146_096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dayOfMonth = doy - (153*mp+2)/5 + 1
	month = mp + 3
	year = yoe + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, dayOfMonth
}
