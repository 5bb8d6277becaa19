package database_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"gorm.io/gorm"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

var errRefused = errors.New("refused")

func TestDB_Tx(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("nil commits", func(t *testing.T) {
			mustTx(t, db, func(tx *database.Tx) error { return set(tx, "a", 7) })
			if got := amount(t, db, "a"); got != 7 {
				t.Fatalf("got %d", got)
			}
		})
		t.Run("an error rolls back and is returned as it is", func(t *testing.T) {
			runs := 0
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				runs++
				return errors.Join(set(tx, "b", 1), errRefused)
			})
			if !errors.Is(err, errRefused) || runs != 1 || amount(t, db, "b") != 100 {
				t.Fatalf("err %v, %d runs, b has %d", err, runs, amount(t, db, "b"))
			}
		})
		t.Run("a panic rolls back, goes on, and leaves the pool usable", func(t *testing.T) {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				_ = db.Tx(t.Context(), func(tx *database.Tx) error {
					if err := set(tx, "b", 2); err != nil {
						return err
					}
					panic("boom")
				})
			}()
			mustTx(t, db, func(tx *database.Tx) error { return set(tx, "a", 8) })
			if amount(t, db, "b") != 100 || amount(t, db, "a") != 8 {
				t.Fatalf("a has %d, b has %d", amount(t, db, "a"), amount(t, db, "b"))
			}
		})
		t.Run("a cancelled context commits nothing", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			err := db.Tx(ctx, func(tx *database.Tx) error {
				err := set(tx, "b", 3)
				cancel()
				return err
			})
			if !errors.Is(err, context.Canceled) || errs.KindOf(err) == errs.KindUnknownOutcome {
				t.Fatalf("got %v", err)
			}
			if got := amount(t, db, "b"); got != 100 {
				t.Fatalf("b has %d", got)
			}
		})
	})
}

func TestTx_Poison(t *testing.T) {
	spoil := map[string]func(tx *database.Tx) error{
		"duplicate key": func(tx *database.Tx) error { return tx.DB().Create(&account{ID: "a"}).Error },
		"broken check":  func(tx *database.Tx) error { return set(tx, "a", -1) },
		"bad SQL":       func(tx *database.Tx) error { return tx.DB().Exec("UPDATE nowhere SET x = 1").Error },
		"bad query":     func(tx *database.Tx) error { return tx.DB().Raw("SELECT x FROM nowhere").Scan(new(int)).Error },
		"update of everything, refused by GORM": func(tx *database.Tx) error {
			return tx.DB().Model(&account{}).Updates(map[string]any{"amount": 1}).Error
		},
		"a model GORM cannot read": func(tx *database.Tx) error { return tx.DB().Create(new(int)).Error },
		"declared by hand":         func(tx *database.Tx) error { return tx.Fail(errRefused) },
	}
	forAll(t, func(t *testing.T, db *database.DB) {
		for name, f := range spoil {
			t.Run(name+" cannot be ignored", func(t *testing.T) {
				if name == "broken check" && !testkit.EnforcesChecks(t, db) {
					return // MySQL before 8.0.16 reads and forgets them
				}
				var first, later error
				err := db.Tx(t.Context(), func(tx *database.Tx) error {
					if err := set(tx, "a", 1); err != nil {
						return err
					}
					first = f(tx)
					later = set(tx, "b", 1)
					return nil
				})
				if first == nil || later == nil || err == nil {
					t.Fatalf("first %v, later %v, Tx %v: all must fail", first, later, err)
				}
				if k := errs.KindOf(err); k == errs.KindUnknownOutcome || k == errs.KindUnavailable {
					t.Errorf("kind %v", k)
				}
				if amount(t, db, "a") != 100 || amount(t, db, "b") != 100 {
					t.Fatalf("a has %d, b has %d: something was committed", amount(t, db, "a"), amount(t, db, "b"))
				}
			})
		}
		t.Run("later statements and the commit name the first error", func(t *testing.T) {
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				_ = tx.DB().Create(&account{ID: "a"}).Error
				_, later := lock(tx, "b")
				if !database.IsDuplicateKey(later) {
					t.Errorf("later statement got %v", later)
				}
				return nil
			})
			if !database.IsDuplicateKey(err) {
				t.Fatalf("got %v", err)
			}
		})
		t.Run("a row that is not found is no error", func(t *testing.T) {
			mustTx(t, db, func(tx *database.Tx) error {
				if _, err := lock(tx, "nobody"); !errors.Is(err, gorm.ErrRecordNotFound) {
					t.Errorf("got %v", err)
				}
				return set(tx, "a", 55)
			})
			if got := amount(t, db, "a"); got != 55 {
				t.Fatalf("a has %d", got)
			}
		})
		t.Run("the closure cannot commit by itself", func(t *testing.T) {
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				if err := set(tx, "b", 9); err != nil {
					return err
				}
				if tx.DB().Commit().Error == nil {
					t.Error("GORM committed")
				}
				return errRefused
			})
			if !errors.Is(err, errRefused) || amount(t, db, "b") != 100 {
				t.Fatalf("%v, b has %d", err, amount(t, db, "b"))
			}
		})
	})
}

// TestTx_Poison_MidResult: the error comes after the first row, where only the
// driver sees it and GORM reports it to a caller who may not look.
func TestTx_Poison_MidResult(t *testing.T) {
	db := testkit.SQLite(t)
	withAccounts(t, db)
	err := db.Tx(t.Context(), func(tx *database.Tx) error {
		if err := set(tx, "a", 1); err != nil {
			return err
		}
		rows, err := tx.DB().Raw("SELECT 1 UNION ALL SELECT abs(?)", int64(math.MinInt64)).Rows()
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			n++
		}
		if n != 1 || rows.Err() == nil {
			t.Errorf("%d rows and %v: the test needs an error after the first row", n, rows.Err())
		}
		return rows.Close() // rows.Err is forgotten
	})
	if err == nil || amount(t, db, "a") != 100 {
		t.Fatalf("Tx %v, a has %d", err, amount(t, db, "a"))
	}
}

func TestTx_InsertIfAbsent(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("tells new from present, and the transaction goes on", func(t *testing.T) {
			mustTx(t, db, func(tx *database.Tx) error {
				fresh, err := tx.InsertIfAbsent(&account{ID: "c", Amount: 5})
				if err != nil || !fresh {
					t.Errorf("new row: %v, %v", fresh, err)
				}
				again, err := tx.InsertIfAbsent(&account{ID: "a", Amount: 5})
				if err != nil || again {
					t.Errorf("present row: %v, %v", again, err)
				}
				return set(tx, "b", 6)
			})
			if amount(t, db, "a") != 100 || amount(t, db, "b") != 6 || amount(t, db, "c") != 5 {
				t.Fatalf("a %d, b %d, c %d", amount(t, db, "a"), amount(t, db, "b"), amount(t, db, "c"))
			}
		})
		t.Run("any other error ends the transaction", func(t *testing.T) {
			if !testkit.EnforcesChecks(t, db) {
				return // MySQL before 8.0.16 reads and forgets them
			}
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				if _, err := tx.InsertIfAbsent(&account{ID: "d", Amount: -1}); !database.IsCheckViolation(err) {
					t.Errorf("got %v", err)
				}
				return nil
			})
			if !database.IsCheckViolation(err) {
				t.Fatalf("got %v", err)
			}
		})
		t.Run("a duplicate key of another statement is not forgiven", func(t *testing.T) {
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				if _, err := tx.InsertIfAbsent(&account{ID: "a"}); err != nil {
					return err
				}
				_ = tx.DB().Create(&account{ID: "a"}).Error
				return nil
			})
			if !database.IsDuplicateKey(err) {
				t.Fatalf("got %v", err)
			}
		})
	})
}

// errDeadlock is a deadlock as the server reports it.
var errDeadlock = &mysql.MySQLError{Number: 1213, Message: "Deadlock found when trying to get lock"}

func TestDB_Tx_Retry(t *testing.T) {
	t.Run("the whole closure runs again, after a growing wait, a bounded number of times", func(t *testing.T) {
		clk := clock.NewFake(time.UnixMilli(0))
		db, err := database.Open(t.Context(), testkit.SQLiteConfig(t), clk)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		busy, again := testkit.Counted(t, "mscoin_database_errors_total", "kind", "busy"), testkit.Counted(t, "mscoin_database_retries_total")
		runs := 0
		done := make(chan error, 1)
		go func() {
			done <- db.Tx(t.Context(), func(tx *database.Tx) error {
				runs++
				return tx.Fail(errDeadlock)
			})
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for range 7 {
			if err := clk.WaitForSleepers(ctx, 1); err != nil {
				t.Fatal(err)
			}
			clk.AdvanceToNext()
		}
		err = <-done
		if runs != 8 || errs.KindOf(err) != errs.KindUnavailable || !errors.Is(err, errDeadlock) {
			t.Fatalf("%d runs, %v", runs, err)
		}
		if busy() != 1 || again() != 7 {
			t.Errorf("%v failures and %v repetitions are counted", busy(), again())
		}
		if total := clk.Now().Sub(time.UnixMilli(0)); total < 100*time.Millisecond || total > time.Second {
			t.Errorf("waited %v in all", total)
		}
	})
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("work before the deadlock is not there on the next run", func(t *testing.T) {
			runs := 0
			mustTx(t, db, func(tx *database.Tx) error {
				runs++
				have, err := lock(tx, "a")
				if err != nil || have != 100 {
					t.Errorf("run %d sees %d, %v", runs, have, err)
				}
				if err := set(tx, "a", have+1); err != nil {
					return err
				}
				if runs < 3 {
					_ = tx.Fail(errDeadlock)
					return nil // swallowed, or turned into something else: it counts
				}
				return nil
			})
			if runs != 3 || amount(t, db, "a") != 101 {
				t.Fatalf("%d runs, a has %d", runs, amount(t, db, "a"))
			}
		})
		t.Run("a deadlock under another error is repeated too", func(t *testing.T) {
			runs := 0
			mustTx(t, db, func(tx *database.Tx) error {
				if runs++; runs == 1 {
					_ = tx.Fail(errDeadlock)
					return errRefused
				}
				return nil
			})
			if runs != 2 {
				t.Fatalf("%d runs", runs)
			}
		})
		t.Run("a duplicate key is not repeated", func(t *testing.T) {
			runs := 0
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				runs++
				return tx.DB().Create(&account{ID: "a"}).Error
			})
			if runs != 1 || !database.IsDuplicateKey(err) {
				t.Fatalf("%d runs, %v", runs, err)
			}
		})
	})
}

// TestDB_Tx_Deadlock makes InnoDB break real deadlocks, with closures that swallow
// the error: without the guard the statements after it commit by themselves.
func TestDB_Tx_Deadlock(t *testing.T) {
	forServers(t, func(t *testing.T, db *database.DB, _ database.Config) { testDeadlock(t, db) })
}

func testDeadlock(t *testing.T, db *database.DB) {
	const rounds = 20
	var mu sync.Mutex
	runs := 0
	transfer := func(from, to string) {
		for range rounds {
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				mu.Lock()
				runs++
				mu.Unlock()
				have, _ := lock(tx, from)
				_ = set(tx, from, have-1)
				<-clock.Real().After(2 * time.Millisecond) // let the other lock its first row
				got, _ := lock(tx, to)
				_ = set(tx, to, got+1)
				return nil
			})
			if err != nil {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { transfer("a", "b") })
	wg.Go(func() { transfer("b", "a") })
	wg.Wait()
	if runs == 2*rounds {
		t.Fatal("no deadlock happened: the test proves nothing")
	}
	if a, b := amount(t, db, "a"), amount(t, db, "b"); a != 100 || b != 100 {
		t.Fatalf("after %d transfers each way a has %d, b has %d", rounds, a, b)
	}
	t.Logf("%d runs for %d transfers", runs, 2*rounds)
}

func TestTx_ForUpdate(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("concurrent read-modify-write loses no update", func(t *testing.T) {
			const workers, each = 4, 25
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for range each {
						err := db.Tx(t.Context(), func(tx *database.Tx) error {
							have, err := lock(tx, "a")
							if err != nil {
								return err
							}
							return set(tx, "a", have+1)
						})
						if err != nil {
							t.Errorf("increment: %v", err)
						}
					}
				})
			}
			wg.Wait()
			if got := amount(t, db, "a"); got != 100+workers*each {
				t.Fatalf("got %d", got)
			}
		})
	})
}

func TestDB_Read(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		writes := map[string]func(gdb *gorm.DB) error{
			"create": func(gdb *gorm.DB) error { return gdb.Create(&account{ID: "x"}).Error },
			"update": func(gdb *gorm.DB) error { return gdb.Model(&account{}).Where("id = 'a'").Update("amount", 1).Error },
			"delete": func(gdb *gorm.DB) error { return gdb.Delete(&account{ID: "a"}).Error },
			"exec":   func(gdb *gorm.DB) error { return gdb.Exec("DELETE FROM account").Error },
		}
		for name, write := range writes {
			t.Run(name+" outside a transaction is refused", func(t *testing.T) {
				if err := write(db.Read(t.Context())); !errors.Is(err, database.ErrReadOnly) {
					t.Errorf("Read: %v", err)
				}
				err := db.Snapshot(t.Context(), write)
				if !errors.Is(err, database.ErrReadOnly) {
					t.Errorf("Snapshot: %v", err)
				}
			})
		}
		t.Run("an update that changes nothing counts its row", func(t *testing.T) {
			mustTx(t, db, func(tx *database.Tx) error { return set(tx, "a", 100) }) // set wants one row
		})
		t.Run("reading goes on while a transaction writes", func(t *testing.T) {
			mustTx(t, db, func(tx *database.Tx) error {
				if err := set(tx, "a", 1); err != nil {
					return err
				}
				if got := amount(t, db, "a"); got != 100 {
					t.Errorf("a reader sees %d before the commit", got)
				}
				return nil
			})
		})
	})
}

func TestDB_Snapshot(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("all reads see one state, whatever is committed meanwhile", func(t *testing.T) {
			sum := func(read *gorm.DB) (total int64) {
				var all []account
				if err := read.Find(&all).Error; err != nil {
					t.Fatal(err)
				}
				for _, a := range all {
					total += a.Amount
				}
				return total
			}
			err := db.Snapshot(t.Context(), func(read *gorm.DB) error {
				before := sum(read)
				mustTx(t, db, func(tx *database.Tx) error { return set(tx, "a", 1) })
				if after := sum(read); before != 200 || after != 200 {
					t.Errorf("the snapshot saw %d, then %d", before, after)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := sum(db.Read(t.Context())); got != 101 {
				t.Errorf("after the snapshot %d", got)
			}
		})
	})
}

func TestInt64(t *testing.T) {
	forAll(t, func(t *testing.T, db *database.DB) {
		t.Run("the largest amount is kept to the last unit", func(t *testing.T) {
			mustTx(t, db, func(tx *database.Tx) error { return set(tx, "a", math.MaxInt64) })
			if got := amount(t, db, "a"); got != math.MaxInt64 {
				t.Fatalf("got %d", got)
			}
		})
		t.Run("keys differ by case", func(t *testing.T) {
			mustTx(t, db, func(tx *database.Tx) error {
				return tx.DB().Create(&account{ID: "A", Amount: 3}).Error
			})
			if amount(t, db, "A") != 3 || amount(t, db, "a") == 3 {
				t.Fatal("A and a are one row")
			}
		})
	})
}

// TestDB_Tx_TwoProcesses opens one SQLite file twice, as two processes do: a
// transaction takes the write lock at its beginning, so one that has read is never
// told that it read too early.
func TestDB_Tx_TwoProcesses(t *testing.T) {
	cfg := testkit.SQLiteConfig(t)
	first, second := testkit.OpenDatabase(t, cfg), testkit.OpenDatabase(t, cfg)
	withAccounts(t, first)
	const each = 50
	var mu sync.Mutex
	runs := 0
	var wg sync.WaitGroup
	for _, db := range []*database.DB{first, second} {
		wg.Go(func() {
			for range each {
				err := db.Tx(t.Context(), func(tx *database.Tx) error {
					mu.Lock()
					runs++
					mu.Unlock()
					have, err := lock(tx, "a")
					if err != nil {
						return err
					}
					return set(tx, "a", have+1)
				})
				if err != nil {
					t.Errorf("increment: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := amount(t, first, "a"); got != 100+2*each || runs != 2*each {
		t.Fatalf("a has %d after %d runs for %d transactions", got, runs, 2*each)
	}
}
