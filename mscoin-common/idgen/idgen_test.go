package idgen_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/idgen"
	"mscoin/mscoin-common/testkit"
)

func migrate(t *testing.T, db *database.DB) {
	t.Helper()
	if err := idgen.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, g *idgen.Gen) int64 {
	t.Helper()
	id, err := g.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGen_Next(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		migrate(t, db)
		t.Run("ids of an instance grow by one within and across blocks", func(t *testing.T) {
			g := idgen.New(db, clock.Real(), "grow", 3)
			for want := int64(1); want <= 10; want++ {
				if got := next(t, g); got != want {
					t.Fatalf("got %d, want %d", got, want)
				}
			}
		})
		t.Run("a restarted instance goes on behind the lost block", func(t *testing.T) {
			next(t, idgen.New(db, clock.Real(), "restart", 100))
			if got := next(t, idgen.New(db, clock.Real(), "restart", 100)); got != 101 {
				t.Fatalf("got %d, want 101", got)
			}
		})
		t.Run("names count on their own", func(t *testing.T) {
			if a, b := next(t, idgen.New(db, clock.Real(), "a", 5)), next(t, idgen.New(db, clock.Real(), "b", 5)); a != 1 || b != 1 {
				t.Fatalf("got %d and %d, want 1 and 1", a, b)
			}
		})
		t.Run("no id twice among concurrent instances", func(t *testing.T) { concurrent(t, db) })
		t.Run("the last id is 2^53-1, then leases are refused", func(t *testing.T) { exhaust(t, db) })
	})
}

func concurrent(t *testing.T, db *database.DB) {
	const instances, callers, perCaller = 4, 3, 100
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for range instances {
		g := idgen.New(db, clock.Real(), "concurrent", 7)
		for range callers {
			wg.Go(func() {
				for range perCaller {
					id, err := g.Next(t.Context())
					mu.Lock()
					if err != nil {
						t.Errorf("next: %v", err)
					} else if seen[id] {
						t.Errorf("id %d was handed out twice", id)
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if len(seen) != instances*callers*perCaller {
		t.Errorf("got %d ids", len(seen))
	}
}

func exhaust(t *testing.T, db *database.DB) {
	err := db.Tx(t.Context(), func(tx *database.Tx) error {
		return tx.DB().Exec("INSERT INTO id_block (name, next_id, updated_ms) VALUES ('end', ?, 0)", idgen.MaxID-1).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	g := idgen.New(db, clock.Real(), "end", 2)
	if a, b := next(t, g), next(t, g); a != idgen.MaxID-1 || b != idgen.MaxID {
		t.Fatalf("got %d and %d", a, b)
	}
	for range 2 {
		if id, err := g.Next(t.Context()); err == nil {
			t.Fatalf("got %d beyond the last id", id)
		}
	}
}

func TestGen_Next_Context(t *testing.T) {
	db := testkit.SQLite(t)
	migrate(t, db)
	g := idgen.New(db, clock.Real(), "order", 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled caller got %v", err)
	}
	if got := next(t, g); got < 1 {
		t.Fatalf("the generator must go on after a failed call, got %d", got)
	}
}

func TestGen_Next_Failure(t *testing.T) {
	t.Run("a database that refuses is an error, never an id", func(t *testing.T) {
		db := testkit.SQLite(t) // not migrated
		g := idgen.New(db, clock.Real(), "order", 10)
		if id, err := g.Next(t.Context()); err == nil {
			t.Fatalf("got %d", id)
		}
		migrate(t, db)
		if got := next(t, g); got != 1 {
			t.Fatalf("got %d, want 1", got)
		}
	})
}

func BenchmarkGen_Next(b *testing.B) {
	db := testkit.SQLite(b)
	if err := idgen.Migrate(b.Context(), db); err != nil {
		b.Fatal(err)
	}
	g := idgen.New(db, clock.Real(), "order", 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
