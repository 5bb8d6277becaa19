package image

// Magic opens every image; the last byte is the version.
const Magic = "mscbook\x01"

// Writer makes an image. Call Head, then Rest for each bid and ask, then Wait
// for each waiting order, then Close.
type Writer struct {
	buf   []byte
	start int
	prev  Order
}

// NewWriter starts an image at the end of dst.
func NewWriter(dst []byte) *Writer {
	return &Writer{buf: append(dst, Magic...), start: len(dst)}
}

func (w *Writer) u(v uint64) {
	for v >= 0x80 {
		w.buf = append(w.buf, byte(v)|0x80)
		v >>= 7
	}
	w.buf = append(w.buf, byte(v))
}

func (w *Writer) i(v int64) { w.u(uint64(v)) } // never negative

// d writes a difference, small ones of either sign in few bytes.
func (w *Writer) d(v, prev uint64) {
	x := v - prev
	w.u(x<<1 ^ uint64(int64(x)>>63))
}

// Head writes the head and the numbers of orders that follow.
func (w *Writer) Head(h *Head, bids, asks, waiting int) {
	w.u(flag(h.Listed) | flag(h.Pending)<<1 | flag(h.Working)<<2 | uint64(h.Phase)<<3)
	for _, v := range []int64{
		h.BaseUnitsPerLot, h.QuoteUnitsPerTickLot, h.MaxPrice, h.MaxQty, h.BandUpPpm, h.BandDownPpm,
		int64(h.MaxFillsPerCommand), int64(h.MaxOpenOrders), h.Last,
	} {
		w.i(v)
	}
	w.u(h.Trades)
	w.u(h.Seq)
	if h.Pending {
		w.i(h.Low)
		w.i(h.High)
	}
	if h.Working {
		w.full(&h.Work)
	}
	w.u(uint64(bids))
	w.u(uint64(asks))
	w.u(uint64(waiting))
	w.prev = Order{}
}

// Rest writes an order at rest.
func (w *Writer) Rest(o *Order) {
	w.d(o.ID, w.prev.ID)
	w.d(o.Member, w.prev.Member)
	w.d(o.Seq, w.prev.Seq)
	w.d(uint64(o.Price), uint64(w.prev.Price))
	w.i(o.Leaves)
	w.cum(o)
	w.u(uint64(o.MakerFee))
	w.prev = *o
}

func (w *Writer) cum(o *Order) {
	w.i(o.CumQty)
	if o.CumQty != 0 {
		w.i(o.CumQuote)
		w.i(o.CumFee)
	}
}

// Wait writes an order that waits for its trigger.
func (w *Writer) Wait(o *Order) { w.full(o) }

func (w *Writer) full(o *Order) {
	w.u(o.ID)
	w.u(o.Member)
	w.u(o.Seq)
	w.buf = append(w.buf, o.Side, o.Type, o.TIF, o.STP, byte(flag(o.AnyQty)|flag(o.AnyQuote)<<1))
	for _, v := range []int64{o.Price, o.Stop, o.Leaves, o.Quote, o.Hold} {
		w.i(v)
	}
	w.cum(o)
	w.u(uint64(o.MakerFee))
	w.u(uint64(o.TakerFee))
}

// Close ends the image with the state hash and the checksum and returns dst.
func (w *Writer) Close(stateHash uint64) []byte {
	w.buf = put64(w.buf, stateHash)
	return put64(w.buf, checksum(w.buf[w.start:]))
}

// Seal puts the checksum of an image right after its bytes have been changed.
// It is there for tests of what lies behind the checksum.
func Seal(img []byte) {
	if len(img) >= 8 {
		end := len(img) - 8
		put64(img[:end], checksum(img[:end]))
	}
}
