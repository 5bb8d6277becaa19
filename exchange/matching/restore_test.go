package matching_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/image"
)

// imageOf writes an image with the orders given, whether they make sense or not.
func imageOf(head image.Head, bids, asks, waiting []image.Order) []byte {
	w := image.NewWriter(nil)
	w.Head(&head, len(bids), len(asks), len(waiting))
	sum := head.Hash()
	for _, o := range append(slices.Clip(bids), asks...) {
		w.Rest(&o)
		sum += image.Rest(o.ID, o.Member, o.Seq, o.Side, o.Price, o.Leaves, o.MakerFee)
		sum += image.Filled(o.ID, o.CumQty, o.CumQuote, o.CumFee)
	}
	for _, o := range waiting {
		w.Wait(&o)
		sum += o.Full()
	}
	return w.Close(sum)
}

func goodHead() image.Head {
	return image.Head{
		Listed: true, Phase: 1, BaseUnitsPerLot: 2, QuoteUnitsPerTickLot: 3, MaxPrice: 1000, MaxQty: 1000,
		Seq: 9, Low: image.NoLow, High: image.NoHigh,
	}
}

func bid(id, seq uint64, price int64) image.Order {
	return image.Order{ID: id, Member: 1, Seq: seq, Side: 0, Price: price, Leaves: 5}
}

func ask(id, seq uint64, price int64) image.Order {
	o := bid(id, seq, price)
	o.Side = 1
	return o
}

func stop(id, seq uint64) image.Order {
	return image.Order{
		ID: id, Member: 1, Seq: seq, Type: uint8(matching.StopLossLimit), TIF: 1, STP: 1, Price: 50, Stop: 60,
		Leaves: 5, Quote: math.MaxInt64, AnyQuote: true,
	}
}

func TestBook_Restore(t *testing.T) {
	type orders = []image.Order
	good := imageOf(goodHead(), orders{bid(1, 2, 99), bid(2, 3, 99), bid(3, 1, 98)}, orders{ask(4, 4, 101)}, orders{stop(5, 5), stop(6, 6)})
	with := func(change func(h *image.Head)) []byte {
		h := goodHead()
		change(&h)
		return imageOf(h, orders{bid(1, 2, 99)}, nil, nil)
	}
	changed := func(o image.Order, change func(o *image.Order)) orders {
		change(&o)
		return orders{o}
	}
	wrongHash := bytes.Clone(good)
	wrongHash[len(wrongHash)-16] ^= 1
	image.Seal(wrongHash)
	version := bytes.Clone(good)
	version[7]++
	image.Seal(version)
	leftOver := slices.Insert(bytes.Clone(good), len(good)-16, 0)
	image.Seal(leftOver)
	for rule, img := range map[string][]byte{
		"nothing at all":                     nil,
		"a state hash that is not its own":   wrongHash,
		"another version":                    version,
		"bytes left over":                    leftOver,
		"bytes after its end":                append(bytes.Clone(good), 0),
		"bids out of order":                  imageOf(goodHead(), orders{bid(1, 2, 98), bid(2, 3, 99)}, nil, nil),
		"asks out of order":                  imageOf(goodHead(), nil, orders{ask(1, 2, 101), ask(2, 3, 100)}, nil),
		"a queue out of order":               imageOf(goodHead(), orders{bid(1, 3, 99), bid(2, 2, 99)}, nil, nil),
		"a crossed book":                     imageOf(goodHead(), orders{bid(1, 2, 99)}, orders{ask(2, 3, 99)}, nil),
		"a duplicate id":                     imageOf(goodHead(), orders{bid(1, 2, 99)}, orders{ask(1, 3, 101)}, nil),
		"a duplicate id in wait":             imageOf(goodHead(), orders{bid(1, 2, 99)}, nil, orders{stop(1, 3)}),
		"a sequence number from the future":  imageOf(goodHead(), orders{bid(1, 10, 99)}, nil, nil),
		"waiting orders out of sequence":     imageOf(goodHead(), nil, nil, orders{stop(1, 3), stop(2, 2)}),
		"an order without an id":             imageOf(goodHead(), orders{bid(0, 2, 99)}, nil, nil),
		"an order without lots":              imageOf(goodHead(), changed(bid(1, 2, 99), func(o *image.Order) { o.Leaves = 0 }), nil, nil),
		"lots that overflow":                 imageOf(goodHead(), changed(bid(1, 2, 99), func(o *image.Order) { o.Leaves = 1 << 61 }), nil, nil),
		"a fee above what was received":      imageOf(goodHead(), changed(bid(1, 2, 99), func(o *image.Order) { o.CumQty, o.CumQuote, o.CumFee = 1, 297, 3 }), nil, nil),
		"a waiting order that has traded":    imageOf(goodHead(), nil, nil, changed(stop(1, 2), func(o *image.Order) { o.CumQty = 1 })),
		"a waiting order without stop price": imageOf(goodHead(), nil, nil, changed(stop(1, 2), func(o *image.Order) { o.Stop = 0 })),
		"a self-trade mode that is none":     imageOf(goodHead(), nil, nil, changed(stop(1, 2), func(o *image.Order) { o.STP = 6 })),
		"orders without rules":               imageOf(image.Head{Phase: 1}, orders{bid(1, 0, 99)}, nil, nil),
		"a phase that is none":               with(func(h *image.Head) { h.Phase = 4 }),
		"a last price without a trade":       with(func(h *image.Head) { h.Last = 5 }),
		"units that are not positive":        with(func(h *image.Head) { h.BaseUnitsPerLot = 0 }),
		"a continuation of nothing":          with(func(h *image.Head) { h.Pending = true }),
	} {
		for kind, newEngine := range engines() {
			t.Run(kind+"/an image with "+rule+" is refused and changes nothing", func(t *testing.T) {
				e := newEngine()
				before := e.StateHash()
				if err := e.Restore(img); !errors.Is(err, matching.ErrDamaged) {
					t.Fatal(err)
				}
				if e.StateHash() != before || e.Open() != 0 {
					t.Error("the book has changed")
				}
			})
		}
	}
	for kind, newEngine := range engines() {
		t.Run(kind+"/a whole image is restored, and any flipped bit or cut is noticed", func(t *testing.T) {
			e := newEngine()
			if err := e.Restore(good); err != nil || !bytes.Equal(e.Snapshot(nil), good) {
				t.Fatal(err)
			}
			for i := range good {
				bad := bytes.Clone(good)
				bad[i] ^= 1 << (i % 8)
				if e.Restore(bad) == nil || e.Restore(good[:i]) == nil {
					t.Fatalf("byte %d", i)
				}
			}
			if !bytes.Equal(e.Snapshot(nil), good) {
				t.Error("a refused image has changed the book")
			}
		})
	}
}

func TestBook_Allocations(t *testing.T) {
	t.Run("a command allocates nothing in steady state", func(t *testing.T) {
		m := newMix(3, 200, 40)
		b := matching.New(matching.WithCapacity(1000))
		out := b.Apply(m.start(), make([]matching.Event, 0, 1024))
		var commands []*matching.Command
		for range 30_000 {
			c := m.command()
			out = b.Apply(c, out[:0])
			m.see(out)
			commands = append(commands, c)
		}
		// One run of them all: an average over the runs would be cut to a whole number.
		if n := testing.AllocsPerRun(1, func() {
			for _, c := range commands {
				out = b.Apply(c, out[:0])
			}
		}); n != 0 {
			t.Errorf("%v allocations in %d commands", n, len(commands))
		}
	})
}

func TestBook_Index(t *testing.T) {
	// The inverse of the hash's factor makes ids whose hashes are alike.
	const inverse = 0x2D5A6A5688CFA17B
	t.Run("ids that all hash to one value are found, and deleted in any order", func(t *testing.T) {
		testIndex(t, func(i uint64) uint64 { return (0x1234567<<32 + i) * inverse })
	})
	t.Run("so are ids that only want the same place", func(t *testing.T) {
		testIndex(t, func(i uint64) uint64 { return ((i+1)<<52 | 0x4567<<32) * inverse })
	})
	t.Run("so are ids that want neighbouring places", func(t *testing.T) {
		testIndex(t, func(i uint64) uint64 { return ((i+1)<<52 | (0x4567+i%5)<<32) * inverse })
	})
}

func testIndex(t *testing.T, idOf func(i uint64) uint64) {
	b := matching.New(matching.WithCapacity(1000))
	out := b.Apply(&matching.Command{Op: matching.OpSetRules, Rules: &matching.Rules{
		BaseUnitsPerLot: 1, QuoteUnitsPerTickLot: 1, MaxPrice: 1 << 40, MaxQty: 1 << 20,
	}}, nil)
	var ids []uint64
	for i := range uint64(300) {
		ids = append(ids, idOf(i))
	}
	place := func(id uint64, price int64) {
		out = b.Apply(&matching.Command{
			Op: matching.OpPlace, Type: matching.Limit, TIF: matching.GTC, STP: matching.STPNone,
			OrderID: id, Price: price, Qty: 1, Hold: 1 << 40,
		}, out[:0])
		if out[0].State != matching.StateNew {
			t.Fatalf("%+v", out[0])
		}
	}
	for i := range uint64(400) { // makes room, so that what follows goes the short way
		place(i+1, 1)
	}
	for i := range uint64(400) {
		out = b.Apply(&matching.Command{Op: matching.OpCancel, OrderID: i + 1}, out[:0])
	}
	for i, id := range ids {
		place(id, 1+int64(i)/16)
	}
	for i := range ids {
		id := ids[i*7%len(ids)]
		out = b.Apply(&matching.Command{Op: matching.OpCancel, OrderID: id}, out[:0])
		if out[0].State != matching.StateCanceled {
			t.Fatalf("%d: %+v", i, out[0])
		}
		for _, left := range []uint64{ids[(i+1)*7%len(ids)], ids[(i+150)*7%len(ids)]} {
			if _, ok := b.Order(left); i+1 < len(ids) && !ok && left != id && i < 150 {
				t.Fatalf("after %d: %d is lost", i, left)
			}
		}
	}
	if b.Open() != 0 {
		t.Error("orders left")
	}
}
