package reconciler

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/custody"
	"mscoin/wallet/reconcile"
)

// consumers' names in the position tables.
const (
	walletConsumer = "wallet"
	orderConsumer  = "order"
)

// Result is a report and what it takes to print it. Scales are the coins' decimals,
// Settled how far the wallet has come with each symbol.
type Result struct {
	Report  reconcile.Report
	Scales  map[string]int64
	Settled map[string]reconcile.Position
	At      time.Time
	Took    time.Duration
	// BooksOnly says that there was no order store to compare with.
	BooksOnly bool
	// Custody says that the custody was asked what it has.
	Custody bool
	// Seal is the last seal of the journal's days, nil when none is sealed.
	Seal *reconcile.Seal
}

// Full compares all books of the wallet with the order store. Both are data sources,
// dialect:dsn; without an order store the wallet's own books are compared alone, and
// without a custody (nil) what it has is not asked for.
func Full(ctx context.Context, walletSource, orderSource string, keeper custody.Custody, clk clock.Clock) (_ *Result, err error) {
	begin := clk.Now()
	wallet, closeWallet, err := openSnapshot(ctx, walletSource)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	defer func() { err = errors.Join(err, closeWallet()) }()
	p := &pass{books: books{wallet}, seed: randomSeed()}
	r := &Result{At: begin}
	if r.Scales, err = p.readWalletFrame(clk.NowMs()); err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	if orderSource != "" {
		store, closeStore, err := openSnapshot(ctx, orderSource) // after the wallet's first read
		if err != nil {
			return nil, fmt.Errorf("order store: %w", err)
		}
		defer func() { _ = closeStore() }() // it was only read
		p.orders = &orders{store}
		if err := p.readOrderFrame(); err != nil {
			return nil, fmt.Errorf("order store: %w", err)
		}
	}
	p.frame.BooksOnly = p.orders == nil
	if r.Report, err = p.run(); err != nil {
		return nil, err
	}
	transfers, err := p.compareTransfers(ctx, r.Scales, keeper)
	if err != nil {
		return nil, err
	}
	r.Report.Join(&transfers)
	r.Custody = keeper != nil
	suspended, err := p.books.suspended()
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	r.Report.Suspend(suspended)
	r.Seal = p.seal
	r.Settled, r.BooksOnly, r.Took = p.frame.Settled, p.frame.BooksOnly, clk.Now().Sub(begin)
	return r, nil
}

// compareTransfers compares withdrawals and deposits with what chains paid (C11).
func (p *pass) compareTransfers(ctx context.Context, scales map[string]int64, keeper custody.Custody) (reconcile.Report, error) {
	c := custodyCheck{books: p.books, check: reconcile.NewCustody(p.frame), scales: scales}
	if err := c.run(); err != nil {
		return reconcile.Report{}, fmt.Errorf("wallet: %w", err)
	}
	if keeper != nil {
		if err := c.compare(ctx, keeper); err != nil {
			return reconcile.Report{}, err
		}
	}
	return c.check.Finish(), nil
}

func randomSeed() (seed [2]uint64) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return [2]uint64{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// pass is one comparison over two snapshots.
type pass struct {
	frame  reconcile.Frame
	books  books
	orders *orders // nil without an order store
	seed   [2]uint64
	seal   *reconcile.Seal // the last one, after run
}

func (p *pass) readWalletFrame(nowMs int64) (scales map[string]int64, err error) {
	p.frame.NowMs = nowMs
	if p.frame.Settled, err = p.books.positions(walletConsumer); err != nil {
		return nil, err
	}
	if p.frame.Numbers, err = p.books.numbers("SELECT symbol, number FROM wallet_symbol"); err != nil {
		return nil, err
	}
	return p.books.numbers("SELECT name, scale FROM coin")
}

func (p *pass) readOrderFrame() (err error) {
	if p.frame.Stored, err = p.orders.positions(orderConsumer); err != nil {
		return err
	}
	p.frame.Symbols, err = p.orders.symbols()
	return err
}

// run reads both snapshots side by side and, when something differs, the suspects
// once more.
func (p *pass) run() (reconcile.Report, error) {
	sealed, err := p.books.readSeals(p.frame)
	if err != nil {
		return reconcile.Report{}, fmt.Errorf("wallet: %w", err)
	}
	sketch := reconcile.NewSketch(p.frame, p.seed)
	type read struct {
		sketch *reconcile.Sketch
		unsure reconcile.Unsure
		err    error
	}
	stored := make(chan read, 1)
	if p.orders != nil {
		go func() {
			s := reconcile.NewSketch(p.frame, p.seed)
			unsure, err := s.ReadOrderStore(p.orders)
			stored <- read{s, unsure, err}
		}()
	}
	err = sketch.ReadBooks(sealed)
	var other read
	if p.orders != nil {
		other = <-stored
	}
	if other.err != nil {
		return reconcile.Report{}, fmt.Errorf("order store: %w", other.err)
	}
	if err == nil {
		err = sketch.ReadHolds(p.books, other.unsure)
	}
	if err != nil {
		return reconcile.Report{}, fmt.Errorf("wallet: %w", err)
	}
	if other.sketch != nil {
		sketch.Merge(other.sketch)
	}
	report, suspects := sketch.Finish()
	seals, err := sealed.end()
	if err != nil {
		return reconcile.Report{}, fmt.Errorf("compare seals: %w", err)
	}
	report.Join(&seals)
	if head, ok := sealed.check.Head(); ok {
		p.seal = &head
	}
	if suspects == nil {
		return report, nil
	}
	exact := reconcile.NewExact(p.frame, suspects)
	if err := p.readExact(exact); err != nil {
		return reconcile.Report{}, fmt.Errorf("read suspects: %w", err)
	}
	second := exact.Finish()
	report.Join(&second)
	return report, nil
}

func (p *pass) readExact(exact *reconcile.Checker) error {
	if p.orders == nil {
		return exact.Read(p.books, nil)
	}
	return exact.Read(p.books, p.orders)
}
