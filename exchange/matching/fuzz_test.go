package matching_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/image"
	"mscoin/exchange/matching/naive"
)

// bytesSource hands out the bytes of a fuzz input as numbers, zeros when it is
// used up.
type bytesSource []byte

func (s *bytesSource) u8() uint8 {
	if len(*s) == 0 {
		return 0
	}
	c := (*s)[0]
	*s = (*s)[1:]
	return c
}

// i64 is mostly small, sometimes any number.
func (s *bytesSource) i64() int64 {
	switch k := s.u8(); {
	case k < 230:
		return int64(k & 31)
	case k < 240:
		return int64(1) << (s.u8() & 63)
	case k < 245:
		return -int64(s.u8())
	default:
		var v int64
		for range 8 {
			v = v<<8 | int64(s.u8())
		}
		return v
	}
}

func (s *bytesSource) command() *matching.Command {
	c := &matching.Command{
		Op: matching.Op(s.u8() % 9), Side: matching.Side(s.u8() % 3), Type: matching.OrderType(s.u8() % 8),
		TIF: matching.TimeInForce(s.u8() % 6), STP: matching.STPMode(s.u8() % 7), Phase: matching.Phase(s.u8() % 5),
		OrderID: uint64(s.i64()), TargetID: uint64(s.i64()), MemberID: uint64(s.i64() & 3),
		Price: s.i64(), StopPrice: s.i64(), Qty: s.i64(), QuoteQty: s.i64(), Hold: s.i64() << 20,
		MakerFeePpm: int32(s.i64()), TakerFeePpm: int32(s.i64()),
	}
	f := s.u8()
	if f&1 != 0 { // what its type does not use is zero
		if c.Type == matching.Limit || c.Type == matching.Market {
			c.StopPrice = 0
		}
		if image.IsLimit(uint8(c.Type)) {
			c.QuoteQty = 0
		} else {
			c.Price = 0
		}
	}
	if c.Op == matching.OpSetRules && f&2 == 0 {
		c.Rules = &matching.Rules{
			BaseUnitsPerLot: s.i64(), QuoteUnitsPerTickLot: s.i64(), MaxPrice: s.i64(), MaxQty: s.i64(),
			BandUpPpm: s.i64(), BandDownPpm: s.i64(), MaxFillsPerCommand: int32(s.i64()), MaxOpenOrders: int32(s.i64()),
		}
	}
	return c
}

// FuzzBook_Apply feeds any commands to both books: nothing may panic or differ.
func FuzzBook_Apply(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1, 0, 1, 1, 1, 1, 3, 0, 1, 9, 0, 5, 0, 20, 1, 1, 1}, 20))
	f.Add(bytes.Repeat([]byte{1, 1, 2, 1, 5, 1, 7, 0, 2, 0, 9, 5, 3, 20, 1, 1, 1, 4, 0, 1}, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newTwins()
		s := bytesSource(data)
		rules := &matching.Rules{BaseUnitsPerLot: 7, QuoteUnitsPerTickLot: 3, MaxPrice: 1 << 62, MaxQty: 1 << 62, MaxFillsPerCommand: int32(s.u8() & 3)}
		if err := w.apply(&matching.Command{Op: matching.OpSetRules, Rules: rules}); err != nil {
			t.Fatal(err)
		}
		for len(s) > 0 {
			if err := w.apply(s.command()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.swap(); err != nil {
			t.Fatal(err)
		}
	})
}

// correctHash puts the state hash of an image right that is otherwise whole.
func correctHash(data []byte) bool {
	r, err := image.Open(data)
	if err != nil {
		return false
	}
	bids, asks, waiting := r.Counts()
	sum := r.Head().Hash()
	for i := range bids + asks + waiting {
		var o image.Order
		switch {
		case i < bids:
			err = r.Rest(0, i == 0, &o)
		case i < bids+asks:
			err = r.Rest(1, i == bids, &o)
		default:
			err = r.Wait(i == bids+asks, &o)
		}
		if err != nil {
			return false
		}
		if i < bids+asks {
			sum += image.Rest(o.ID, o.Member, o.Seq, o.Side, o.Price, o.Leaves, o.MakerFee)
			sum += image.Filled(o.ID, o.CumQty, o.CumQuote, o.CumFee)
		} else {
			sum += o.Full()
		}
	}
	binary.LittleEndian.PutUint64(data[len(data)-16:], sum)
	image.Seal(data)
	return true
}

// FuzzBook_Restore feeds any bytes to the decoder, with their checksum put
// right, so that what is behind the checksum is reached too. What is accepted
// must be accepted by both books, come out again as it went in, and match
// without a panic.
func FuzzBook_Restore(f *testing.F) {
	m := newMix(1, 20, 10)
	w := newTwins()
	if err := w.apply(m.start()); err != nil {
		f.Fatal(err)
	}
	for i := range 2000 {
		if err := w.apply(m.command()); err != nil {
			f.Fatal(err)
		}
		m.see(w.outF)
		if i%100 == 0 {
			f.Add(w.fast.Snapshot(nil))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		image.Seal(data)
		fast, slow := matching.New(), naive.New()
		before := fast.StateHash()
		err := fast.Restore(data)
		if errN := slow.Restore(data); (err == nil) != (errN == nil) {
			t.Fatalf("book: %v, naive: %v", err, errN)
		}
		if err != nil {
			if !errors.Is(err, matching.ErrDamaged) || fast.StateHash() != before || fast.Open() != 0 {
				t.Fatalf("refused, but %v, open %d", err, fast.Open())
			}
			// The state hash is hard to guess: put it right, to go on.
			if !correctHash(data) || fast.Restore(data) != nil {
				return
			}
			if err := slow.Restore(data); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(fast.Snapshot(nil), data) {
			t.Fatalf("%x comes out as %x", data, fast.Snapshot(nil))
		}
		w := &twins{fast: fast, slow: slow}
		m := newMix(uint64(len(data)), 20, 10)
		for range 50 {
			if err := w.apply(m.command()); err != nil {
				t.Fatal(err)
			}
			m.see(w.outF)
		}
		if err := w.compare(); err != nil {
			t.Fatal(err)
		}
	})
}
