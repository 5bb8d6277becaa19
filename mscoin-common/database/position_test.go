package database_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
)

const (
	consumer = "wallet"
	topic    = "exchange_order_complete_update_success"
	symbol   = "BTC/USDT"
)

func position(t *testing.T, db *database.DB) database.Position {
	t.Helper()
	pos, err := db.LoadPosition(t.Context(), consumer, topic, 2)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func TestDB_LoadPosition(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("a new consumer begins at offset 0, also when two load at once", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					pos, err := db.LoadPosition(t.Context(), consumer, topic, 2)
					if err != nil || pos.NextOffset != 0 || len(pos.Fingerprint) != 0 {
						t.Errorf("got %+v, %v", pos, err)
					}
				})
			}
			wg.Wait()
		})
		t.Run("partitions, topics and consumers are kept apart", func(t *testing.T) {
			print123 := []byte("123") // looks like a number, stays bytes
			mustTx(t, db, func(tx *database.Tx) error {
				return tx.AdvancePosition(consumer, topic, 2, 0, 5, print123)
			})
			if pos := position(t, db); pos.NextOffset != 5 || !bytes.Equal(pos.Fingerprint, print123) ||
				pos.Consumer != consumer || pos.Topic != topic || pos.Partition != 2 {
				t.Errorf("got %+v", pos)
			}
			for _, other := range []database.Position{
				{Consumer: consumer, Topic: topic, Partition: 1},
				{Consumer: consumer, Topic: "other", Partition: 2},
				{Consumer: "other", Topic: topic, Partition: 2},
			} {
				pos, err := db.LoadPosition(t.Context(), other.Consumer, other.Topic, other.Partition)
				if err != nil || pos.NextOffset != 0 {
					t.Errorf("%+v: got %+v, %v", other, pos, err)
				}
			}
		})
	})
}

// advance moves the position, one way or another.
type advance func(tx *database.Tx, from, to int64) error

func fenced(tx *database.Tx, from, to int64) error {
	return tx.AdvancePosition(consumer, topic, 2, from, to, []byte{1})
}

// unfenced moves the position without looking where it is: what the fence is for.
func unfenced(tx *database.Tx, _, to int64) error {
	return tx.DB().Exec("UPDATE consumer_position SET next_offset = ? WHERE consumer = ? AND topic = ? AND partition_id = 2",
		to, consumer, topic).Error
}

// zombie lets two consumers that both believe to own the partition apply the same
// five records of one unit, and returns what the second got and what a has then.
func zombie(t *testing.T, db *database.DB, move advance) (second error, total int64) { //nolint:staticcheck // the error is a finding
	t.Helper()
	believed := position(t, db) // both have loaded the position
	apply := func() error {
		return db.Tx(t.Context(), func(tx *database.Tx) error {
			if err := move(tx, believed.NextOffset, believed.NextOffset+5); err != nil {
				return err
			}
			have, err := lock(tx, "a")
			if err != nil {
				return err
			}
			return set(tx, "a", have+5)
		})
	}
	if err := apply(); err != nil {
		t.Fatal(err)
	}
	return apply(), amount(t, db, "a")
}

func TestTx_AdvancePosition(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("a zombie applies nothing twice", func(t *testing.T) {
			err, total := zombie(t, db, fenced)
			if !errors.Is(err, database.ErrFenced) || total != 105 {
				t.Fatalf("the zombie got %v, a has %d", err, total)
			}
			if k := errs.KindOf(err); k == errs.KindUnavailable || k == errs.KindUnknownOutcome {
				t.Errorf("kind %v", k)
			}
			if got := position(t, db).NextOffset; got != 5 {
				t.Errorf("position %d", got)
			}
		})
		t.Run("being fenced cannot be ignored", func(t *testing.T) {
			before := amount(t, db, "b")
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				_ = tx.AdvancePosition(consumer, topic, 2, 0, 1, nil)
				_ = set(tx, "b", 1)
				return nil
			})
			if !errors.Is(err, database.ErrFenced) || amount(t, db, "b") != before {
				t.Fatalf("%v, b has %d", err, amount(t, db, "b"))
			}
		})
		t.Run("the fence comes before any other statement", func(t *testing.T) {
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				if _, err := lock(tx, "a"); err != nil {
					return err
				}
				_ = tx.AdvancePosition(consumer, topic, 2, 5, 6, nil)
				return nil
			})
			if !errors.Is(err, database.ErrFenceNotFirst) || position(t, db).NextOffset != 5 {
				t.Fatalf("%v, position %d", err, position(t, db).NextOffset)
			}
		})
		t.Run("a position moves forward only", func(t *testing.T) {
			for _, to := range []int64{5, 4, -1} {
				err := db.Tx(t.Context(), func(tx *database.Tx) error { return tx.AdvancePosition(consumer, topic, 2, 5, to, nil) })
				if err == nil || position(t, db).NextOffset != 5 {
					t.Errorf("5 to %d: %v", to, err)
				}
			}
		})
	})
}

// TestTx_AdvancePosition_Unfenced shows that the test above can see what it is for:
// with the condition on the old offset removed, the zombie settles twice.
func TestTx_AdvancePosition_Unfenced(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		if err, total := zombie(t, db, unfenced); err != nil || total != 110 {
			t.Fatalf("without the fence: %v, a has %d; the zombie test would not notice", err, total)
		}
	})
}

// TestTx_AdvancePosition_Concurrent lets several owners race for each batch.
func TestTx_AdvancePosition_Concurrent(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		const owners, records, batch = 3, 60, 3
		position(t, db)
		var wg sync.WaitGroup
		var mu sync.Mutex
		wins, losses := 0, 0
		for range owners {
			wg.Go(func() {
				for {
					pos, err := db.LoadPosition(t.Context(), consumer, topic, 2)
					if err != nil {
						t.Errorf("load: %v", err)
						return
					}
					if pos.NextOffset >= records {
						return
					}
					err = db.Tx(t.Context(), func(tx *database.Tx) error {
						if err := fenced(tx, pos.NextOffset, pos.NextOffset+batch); err != nil {
							return err
						}
						have, err := lock(tx, "a")
						if err != nil {
							return err
						}
						return set(tx, "a", have+batch)
					})
					mu.Lock()
					switch {
					case err == nil:
						wins++
					case errors.Is(err, database.ErrFenced):
						losses++
					default:
						t.Errorf("apply: %v", err)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if got := amount(t, db, "a"); got != 100+records || wins != records/batch {
			t.Fatalf("a has %d after %d records, %d wins", got, records, wins)
		}
		t.Logf("%d wins, %d fenced", wins, losses)
	})
}

func TestTx_AdvanceSymbol(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		move := func(from, to int64, hash string) error {
			return db.Tx(t.Context(), func(tx *database.Tx) error {
				return tx.AdvanceSymbol(consumer, symbol, from, to, []byte(hash))
			})
		}
		check := func(t *testing.T, seq int64, hash string) {
			t.Helper()
			all, err := db.LoadSymbolPositions(t.Context(), consumer)
			if err != nil {
				t.Fatal(err)
			}
			if got := all[symbol]; got.Seq != seq || string(got.Hash) != hash {
				t.Fatalf("got %+v, want %d %q", got, seq, hash)
			}
		}
		check(t, 0, "")
		if err := move(0, 3, "h3"); err != nil {
			t.Fatal(err)
		}
		check(t, 3, "h3")
		if err := move(3, 4, "h4"); err != nil {
			t.Fatal(err)
		}
		check(t, 4, "h4")
		for _, from := range []int64{0, 3, 5} {
			if err := move(from, 9, "x"); !errors.Is(err, database.ErrFenced) {
				t.Errorf("from %d: got %v, want ErrFenced", from, err)
			}
		}
		for _, to := range []int64{4, 3, 0} {
			if err := move(4, to, "x"); err == nil {
				t.Errorf("4 to %d was accepted", to)
			}
		}
		check(t, 4, "h4")
		if other, err := db.LoadSymbolPositions(t.Context(), "other"); err != nil || len(other) != 0 {
			t.Errorf("another consumer has %v, %v", other, err)
		}
	})
}

func TestTx_AdvanceBoth(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("a symbol that is fenced takes the partition's position back", func(t *testing.T) {
			position(t, db)
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				if err := fenced(tx, 0, 5); err != nil {
					return err
				}
				return tx.AdvanceSymbol(consumer, symbol, 7, 8, nil)
			})
			if !errors.Is(err, database.ErrFenced) || position(t, db).NextOffset != 0 {
				t.Fatalf("%v, position %d", err, position(t, db).NextOffset)
			}
			var rows int64
			if err := db.Snapshot(t.Context(), func(read *gorm.DB) error {
				return read.Table("symbol_position").Count(&rows).Error
			}); err != nil || rows != 0 {
				t.Fatalf("%d symbol positions, %v", rows, err)
			}
		})
	})
}
