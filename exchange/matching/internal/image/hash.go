package image

import "math/bits"

// Odd constants without structure, one for each word that is hashed.
const (
	k0 = 0x9E3779B97F4A7C15
	k1 = 0xD6E8FEB86659FD93
	k2 = 0xA0761D6478BD642F
	k3 = 0xE7037ED1A0B428DB
	k4 = 0x8EBC6AF09C88C6E3
	k5 = 0x589965CC75374CC3
	k6 = 0x1D8E4E27C47D124F
	k7 = 0xEB44ACCAB455D165
)

// mum folds the 128-bit product of two words into one.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Rest is the hash of an order that rests in the book. The state hash is the
// sum of the hashes of all orders (and of the head), so a book keeps it up to
// date by subtracting what an order was and adding what it is. Priority is in
// it through seq.
func Rest(id, member, seq uint64, side uint8, price, leaves int64, makerFee int32) uint64 {
	return mum(id+seq*k0^k1,
		member*k2+uint64(leaves)*k3+uint64(price)*k4+(uint64(makerFee)<<1|uint64(side))*k5)
}

// Filled is what an order that has traded adds to its Rest hash.
func Filled(id uint64, cumQty, cumQuote, cumFee int64) uint64 {
	if cumQty == 0 {
		return 0
	}
	return mum(id^uint64(cumQty)<<20^k6, uint64(cumQuote)^k7) + mum(uint64(cumQty)^k0, uint64(cumFee)^k2)
}

// chain hashes a short list of words in order.
func chain(words ...uint64) uint64 {
	h := uint64(k1)
	for i, w := range words {
		h = mum(h^w, k0+uint64(i)<<1) + w
	}
	return h
}

// Full is the hash of an order with every field: one that waits for its
// trigger, or the taker of a command that is to be continued.
func (o *Order) Full() uint64 {
	return chain(o.ID, o.Member, o.Seq,
		uint64(o.Side)|uint64(o.Type)<<8|uint64(o.TIF)<<16|uint64(o.STP)<<24|flag(o.AnyQty)<<32|flag(o.AnyQuote)<<33,
		uint64(o.Price), uint64(o.Stop), uint64(o.Leaves), uint64(o.Quote), uint64(o.Hold),
		uint64(o.CumQty), uint64(o.CumQuote), uint64(o.CumFee),
		uint64(uint32(o.MakerFee))|uint64(uint32(o.TakerFee))<<32)
}

// Hash is the hash of everything that is not an order at rest or in wait.
func (h *Head) Hash() uint64 {
	s := chain(uint64(h.Phase), flag(h.Listed), uint64(h.BaseUnitsPerLot), uint64(h.QuoteUnitsPerTickLot),
		uint64(h.MaxPrice), uint64(h.MaxQty), uint64(h.BandUpPpm), uint64(h.BandDownPpm),
		uint64(uint32(h.MaxFillsPerCommand))|uint64(uint32(h.MaxOpenOrders))<<32,
		uint64(h.Last), h.Trades, h.Seq, flag(h.Pending), flag(h.Working), uint64(h.Low), uint64(h.High))
	if h.Working {
		s += h.Work.Full()
	}
	return s
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// checksum is a 64-bit sum of bytes; any change of the bytes changes it, up to
// chance.
func checksum(b []byte) uint64 {
	h := chain(uint64(len(b)))
	for len(b) >= 8 {
		h = mum(h^get64(b), k3) ^ h<<23
		b = b[8:]
	}
	for _, c := range b {
		h = mum(h^uint64(c), k4) ^ h<<17
	}
	return h
}

func get64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func put64(dst []byte, v uint64) []byte {
	return append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24),
		byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}
