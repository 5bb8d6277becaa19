package snapshot

import (
	"encoding/binary"
	"math"
	"slices"
)

// writer appends values.
type writer []byte

func (w *writer) uint(v uint64) { *w = binary.AppendUvarint(*w, v) }

// int writes a number that is never negative.
func (w *writer) int(v int64) { w.uint(uint64(v)) }

func (w *writer) bytes(b []byte) {
	w.uint(uint64(len(b)))
	*w = append(*w, b...)
}

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *writer) state(s *State, engines bool) {
	w.int(int64(s.Partition))
	w.int(s.Next)
	w.int(s.LogTimeMs)
	w.int(s.Skipped)
	w.bytes(s.Fingerprint)
	w.uint(uint64(len(s.Obeyed)))
	for _, k := range s.Obeyed {
		w.int(k.Offset)
		w.bytes(k.Fingerprint)
	}
	w.uint(uint64(len(s.Books)))
	for i := range s.Books {
		w.book(&s.Books[i], engines)
	}
	w.uint(uint64(len(s.Left)))
	for _, l := range s.Left {
		w.text(l.Name)
		w.int(int64(l.To))
		w.int(l.Seq)
		w.bytes(l.Hash)
		w.bytes(l.Image)
	}
}

func (w *writer) book(b *Book, engine bool) {
	w.int(b.Seq)
	w.bytes(b.Head)
	w.content(b, engine)
}

func (w *writer) content(b *Book, engine bool) {
	w.text(b.Name)
	w.bytes(b.Rules)
	*w = append(*w, b.Phase)
	w.uint(uint64(len(b.Flags)))
	for _, f := range b.Flags {
		w.text(f)
	}
	for _, v := range b.Window.fields() {
		w.int(*v)
	}
	w.uint(uint64(len(b.Live)))
	last := uint64(0)
	for _, o := range b.Live {
		w.uint(o.ID - last)
		last = o.ID
		w.uint(o.Member)
		w.int(o.Price)
		w.int(o.DeadlineMs)
		*w = append(*w, o.Side)
	}
	w.uint(uint64(len(b.IDs)))
	last = 0
	for _, e := range b.IDs {
		w.uint(e.ID - last)
		last = e.ID
		w.uint(e.Member)
		w.int(e.DeadlineMs)
		w.int(e.Traded)
		w.int(e.Turnover)
		w.int(e.Fee)
		w.int(int64(e.Reason))
		*w = append(*w, e.Side, e.State)
	}
	*w = binary.BigEndian.AppendUint64(*w, b.EngineHash)
	if engine {
		w.bytes(b.Engine)
	}
}

func (v *Window) fields() []*int64 {
	return []*int64{&v.AfterSeq, &v.AfterTrade, &v.LastTrade, &v.Traded, &v.Turnover, &v.BaseFees, &v.QuoteFees}
}

// reader takes values off an image. After the first that cannot be, everything is
// zero and end returns why.
type reader struct {
	b   []byte
	bad string
}

func (r *reader) fail(what string) {
	if r.bad == "" {
		r.bad = what
	}
	r.b = nil
}

func (r *reader) end() error {
	if r.bad == "" && len(r.b) > 0 {
		r.bad = "bytes are left over"
	}
	if r.bad != "" {
		return damaged(r.bad)
	}
	return nil
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 { // shortest form only
		r.fail("number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v := r.uint()
	if v > math.MaxInt64 {
		r.fail("number out of range")
		return 0
	}
	return int64(v)
}

func (r *reader) int32() int32 {
	v := r.uint()
	if v > math.MaxInt32 {
		r.fail("number out of range")
		return 0
	}
	return int32(v)
}

func (r *reader) byte() uint8 {
	if len(r.b) == 0 {
		r.fail("too short")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail("too short")
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	if n == 0 {
		return nil
	}
	return out
}

// count reads how many entries follow, each of at least size bytes, so that nobody
// makes room for what is not there.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail("too short")
		return 0
	}
	return int(n)
}

// next reads an id: they ascend.
func (r *reader) next(last *uint64) uint64 {
	d := r.uint()
	if d == 0 || d > math.MaxUint64-*last {
		r.fail("ids do not ascend")
		return 0
	}
	*last += d
	return *last
}

func (r *reader) state() *State {
	s := &State{Partition: int(r.int32()), Next: r.int(), LogTimeMs: r.int(), Skipped: r.int(), Fingerprint: r.bytes()}
	s.Obeyed = make([]Skip, r.count(2))
	for i := range s.Obeyed {
		s.Obeyed[i] = Skip{Offset: r.int(), Fingerprint: r.bytes()}
	}
	s.Books = make([]Book, r.count(16))
	name := ""
	for i := range s.Books {
		r.book(&s.Books[i])
		r.ascends(&name, s.Books[i].Name)
	}
	s.Left = make([]Left, r.count(5))
	name = ""
	for i := range s.Left {
		s.Left[i] = Left{Name: string(r.bytes()), To: int(r.int32()), Seq: r.int(), Hash: r.bytes(), Image: r.bytes()}
		r.ascends(&name, s.Left[i].Name)
	}
	return s
}

func (r *reader) ascends(last *string, name string) {
	if name <= *last {
		r.fail("names do not ascend")
	}
	*last = name
}

func (r *reader) book(b *Book) {
	b.Seq, b.Head = r.int(), r.bytes()
	b.Name, b.Rules, b.Phase = string(r.bytes()), r.bytes(), r.byte()
	b.Flags = make([]string, r.count(1))
	for i := range b.Flags {
		b.Flags[i] = string(r.bytes())
	}
	if !slices.IsSorted(b.Flags) {
		r.fail("flags are not sorted")
	}
	for _, v := range b.Window.fields() {
		*v = r.int()
	}
	b.Live = make([]Order, r.count(5))
	last := uint64(0)
	for i := range b.Live {
		b.Live[i] = Order{ID: r.next(&last), Member: r.uint(), Price: r.int(), DeadlineMs: r.int(), Side: r.byte()}
	}
	b.IDs = make([]Remembered, r.count(9))
	last = 0
	for i := range b.IDs {
		b.IDs[i] = Remembered{
			ID: r.next(&last), Member: r.uint(), DeadlineMs: r.int(), Traded: r.int(), Turnover: r.int(), Fee: r.int(),
			Reason: r.int32(), Side: r.byte(), State: r.byte(),
		}
	}
	if len(r.b) < 8 {
		r.fail("too short")
		return
	}
	b.EngineHash = binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	b.Engine = r.bytes()
}
