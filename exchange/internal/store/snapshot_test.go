package store_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/internal/store"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

func TestSnapshots(t *testing.T) {
	info := func(next int64, size int) snapshot.Info {
		return snapshot.Info{
			Partition: 3, Next: next, Format: 1, Size: size, StateHash: []byte("state"), Checksum: []byte("sum"), Fingerprint: []byte("print"),
			Symbols: []snapshot.Symbol{{Name: "BTC/USDT", Seq: next, Hash: []byte("h")}, {Name: "ETH/USDT", Seq: 7, Hash: []byte("i")}}, TakenMs: 5,
		}
	}
	image := func(seed byte, size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i>>8) ^ byte(i) ^ seed
		}
		return b
	}
	eachDatabase(t, func(t *testing.T, db *database.DB, _ *store.Store) {
		s, ctx := store.NewSnapshots(db, clock.Real()), t.Context()
		t.Run("an image larger than a packet comes back whole", func(t *testing.T) {
			for next, size := range map[int64]int{10: 1, 20: 256 << 10, 30: 3<<20 + 1} {
				i := info(next, size)
				must(t, s.SaveSnapshot(ctx, &i, image(byte(next), size)))
			}
			all, err := s.Snapshots(ctx, 3)
			must(t, err)
			if len(all) != 3 || all[0].Next != 30 || all[2].Next != 10 || !slices.EqualFunc(all[1].Symbols, info(20, 0).Symbols, func(a, b snapshot.Symbol) bool {
				return a.Name == b.Name && a.Seq == b.Seq && bytes.Equal(a.Hash, b.Hash)
			}) {
				t.Fatalf("got %+v", all)
			}
			if got := all[0]; got.Size != 3<<20+1 || string(got.StateHash) != "state" || string(got.Checksum) != "sum" || string(got.Fingerprint) != "print" || got.Format != 1 {
				t.Errorf("got %+v", got)
			}
			for _, i := range all {
				got, err := s.SnapshotImage(ctx, 3, i.Next)
				must(t, err)
				if !bytes.Equal(got, image(byte(i.Next), i.Size)) {
					t.Errorf("snapshot %d: %d bytes", i.Next, len(got))
				}
			}
			if other, err := s.Snapshots(ctx, 4); err != nil || len(other) != 0 {
				t.Errorf("another partition has %v %v", other, err)
			}
		})
		t.Run("a second snapshot of the same place changes nothing", func(t *testing.T) {
			again := info(10, 1)
			again.Symbols = nil
			must(t, s.SaveSnapshot(ctx, &again, image(99, 1)))
			got, err := s.SnapshotImage(ctx, 3, 10)
			must(t, err)
			all, err := s.Snapshots(ctx, 3)
			must(t, err)
			if !bytes.Equal(got, image(10, 1)) || len(all) != 3 || len(all[2].Symbols) != 2 {
				t.Errorf("got %x %+v", got, all)
			}
		})
		t.Run("what is dropped is gone whole, with older parts that were never completed, and nothing else", func(t *testing.T) {
			must(t, db.Tx(ctx, func(tx *database.Tx) error {
				return tx.DB().Exec("INSERT INTO exchange_snapshot_part (partition_id, next_offset, part, data) VALUES (3, 15, 0, 'x'), (4, 15, 0, 'x'), (3, 35, 0, 'x')").Error
			}))
			must(t, s.DropSnapshots(ctx, 3, []int64{20}))
			all, err := s.Snapshots(ctx, 3)
			must(t, err)
			if len(all) != 2 || all[0].Next != 30 || all[1].Next != 10 {
				t.Errorf("got %+v", all)
			}
			for next, left := range map[int64]bool{10: true, 15: false, 20: false, 30: true, 35: true} {
				if got, err := s.SnapshotImage(ctx, 3, next); err != nil || len(got) > 0 != left {
					t.Errorf("offset %d: %d bytes, %v", next, len(got), err)
				}
			}
			if got, err := s.SnapshotImage(ctx, 4, 15); err != nil || len(got) != 1 {
				t.Errorf("another partition lost its part: %v", err)
			}
		})
		t.Run("a decision is stored once, and never changed", func(t *testing.T) {
			d := snapshot.Decision{Skip: snapshot.Skip{Offset: 5, Fingerprint: []byte("a")}, Partition: 3, Reason: "engine broke", DecidedMs: 9}
			must(t, s.SaveSkipDecision(ctx, &d))
			must(t, s.SaveSkipDecision(ctx, &d))
			other := d
			other.Fingerprint = []byte("b")
			if err := s.SaveSkipDecision(ctx, &other); !errors.Is(err, store.ErrDecided) {
				t.Errorf("got %v", err)
			}
			all, err := s.SkipDecisions(ctx, 3)
			must(t, err)
			if len(all) != 1 || all[0].Reason != "engine broke" || string(all[0].Fingerprint) != "a" || all[0].Offset != 5 {
				t.Errorf("got %+v", all)
			}
		})
	})
}
