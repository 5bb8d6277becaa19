package simchain

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/custody"
)

// DefaultFee is the network's fee of a payment when a coin has no other.
const DefaultFee = "0.00001"

// Config of a Node.
type Config struct {
	// File keeps the log of operations; one process at a time uses it.
	File string
	// Fees are the network's fees of a payment by coin, DefaultFee for the others.
	Fees map[string]string
}

// Node is the chains of all coins and their custody. It is safe for concurrent use.
type Node struct {
	clk  clock.Clock
	fees map[string]string

	mu     sync.Mutex
	log    *os.File
	chains map[string]*chain
	broken error // the log could not be written: nothing more is done
}

var _ custody.Custody = (*Node)(nil)

// Open replays the log, or begins one.
func Open(cfg Config, clk clock.Clock) (*Node, error) {
	for coin, fee := range cfg.Fees {
		if _, err := parseAmount(fee); err != nil || !coinName.MatchString(coin) {
			return nil, fmt.Errorf("simchain: fee of %s: %w", coin, errAmount)
		}
	}
	if err := os.MkdirAll(filepath.Dir(cfg.File), 0o700); err != nil {
		return nil, fmt.Errorf("simchain: %w", err)
	}
	log, err := os.OpenFile(cfg.File, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("simchain: %w", err)
	}
	n := &Node{clk: clk, fees: maps.Clone(cfg.Fees), log: log, chains: map[string]*chain{}}
	if err := n.replay(); err != nil {
		return nil, errors.Join(fmt.Errorf("simchain: %s: %w", cfg.File, err), log.Close())
	}
	return n, nil
}

// replay applies the log and cuts off an incomplete last line.
func (n *Node) replay() error {
	r := bufio.NewReader(n.log)
	var end int64
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var o operation
		if err := json.Unmarshal(line, &o); err != nil {
			return fmt.Errorf("at byte %d: %w", end, err)
		}
		if err := n.chain(o.Coin).apply(&o); err != nil {
			return fmt.Errorf("at byte %d: %w", end, err)
		}
		end += int64(len(line))
	}
	if err := n.log.Truncate(end); err != nil {
		return err
	}
	_, err := n.log.Seek(end, io.SeekStart)
	return err
}

// Close ends the log.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if errors.Is(n.broken, os.ErrClosed) {
		return nil
	}
	n.broken = os.ErrClosed
	return n.log.Close()
}

func (n *Node) chain(coin string) *chain {
	c := n.chains[coin]
	if c == nil {
		c = newChain(coin)
		n.chains[coin] = c
	}
	return c
}

// look runs fn on a coin's chain.
func (n *Node) look(coin string, fn func(c *chain) error) error {
	if !coinName.MatchString(coin) {
		return custody.ErrUnknownCoin
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken != nil {
		return n.broken
	}
	return fn(n.chain(coin))
}

// do applies an operation and writes it down, unless it was done before; then runs fn.
func (n *Node) do(o *operation, fn func(c *chain) error) error {
	return n.look(o.Coin, func(c *chain) error {
		err := c.apply(o)
		if errors.Is(err, errUnchanged) {
			return fn(c)
		}
		if err != nil {
			return err
		}
		if err := n.write(o); err != nil {
			n.broken = fmt.Errorf("simchain: the log cannot be written: %w", err)
			return n.broken
		}
		return fn(c)
	})
}

func (n *Node) write(o *operation) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := n.log.Write(append(line, '\n')); err != nil {
		return err
	}
	return n.log.Sync()
}

// Address implements custody.Custody.
func (n *Node) Address(_ context.Context, coin, owner string) (address string, err error) {
	err = n.do(&operation{Op: opAddress, Coin: coin, Key: owner}, func(c *chain) error { address = c.owners[owner]; return nil })
	return address, err
}

// CheckAddress implements custody.Custody.
func (n *Node) CheckAddress(_ context.Context, coin, address string) error {
	return CheckAddress(coin, address)
}

// Head implements custody.Custody.
func (n *Node) Head(_ context.Context, coin string) (id custody.BlockID, err error) {
	err = n.look(coin, func(c *chain) error { id = c.head().BlockID; return nil })
	return id, err
}

// Block implements custody.Custody.
func (n *Node) Block(_ context.Context, coin string, height int64) (b custody.Block, err error) {
	err = n.look(coin, func(c *chain) (err error) { b, err = c.blockAt(height); return err })
	return b, err
}

// Send implements custody.Custody.
func (n *Node) Send(_ context.Context, coin string, p custody.Payment) (s custody.Sent, err error) {
	fee, ok := n.fees[coin]
	if !ok {
		fee = DefaultFee
	}
	o := &operation{Op: opSend, Coin: coin, Key: p.Key, To: p.To, Amount: p.Amount, Fee: fee}
	err = n.do(o, func(c *chain) (err error) { s, err = c.sent(p.Key); return err })
	return s, err
}

// Sent implements custody.Custody.
func (n *Node) Sent(_ context.Context, coin, key string) (s custody.Sent, err error) {
	err = n.look(coin, func(c *chain) (err error) { s, err = c.sent(key); return err })
	return s, err
}

// Abandon implements custody.Custody.
func (n *Node) Abandon(_ context.Context, coin, key string) (s custody.Sent, err error) {
	err = n.do(&operation{Op: opAbandon, Coin: coin, Key: key}, func(c *chain) (err error) { s, err = c.sent(key); return err })
	return s, err
}

// Balance implements custody.Custody.
func (n *Node) Balance(_ context.Context, coin string) (b custody.Balance, err error) {
	err = n.look(coin, func(c *chain) error {
		b = custody.Balance{At: c.head().BlockID, Amount: formatAmount(c.balance())}
		return nil
	})
	return b, err
}

// Pay brings money from outside to an address, once for its id, and returns the
// transaction's id.
func (n *Node) Pay(_ context.Context, coin, id, to, amount string) (txID string, err error) {
	err = n.do(&operation{Op: opPay, Coin: coin, Key: id, To: to, Amount: amount},
		func(c *chain) error { txID = c.paid[id].id; return nil })
	return txID, err
}

// Mine adds blocks, at most 1000 at once, and returns the last.
func (n *Node) Mine(_ context.Context, coin string, blocks int64) (id custody.BlockID, err error) {
	if blocks < 1 || blocks > maxReorg {
		return id, fmt.Errorf("%w: mine: 1 to %d blocks", errOperation, maxReorg)
	}
	for range blocks {
		err = n.do(&operation{Op: opMine, Coin: coin, TimeMs: n.clk.NowMs()}, func(c *chain) error { id = c.head().BlockID; return nil })
		if err != nil {
			return id, err
		}
	}
	return id, nil
}

// Reorg replaces the last blocks, 1 to 1000, by one more, and returns the last. Payments
// from outside in them come again in the new ones unless they are dropped.
func (n *Node) Reorg(_ context.Context, coin string, depth int64, drop bool) (id custody.BlockID, err error) {
	err = n.do(&operation{Op: opReorg, Coin: coin, Depth: depth, Drop: drop, TimeMs: n.clk.NowMs()},
		func(c *chain) error { id = c.head().BlockID; return nil })
	return id, err
}

// Forget drops a transaction that is in no block: it fails for good.
func (n *Node) Forget(_ context.Context, coin, txID string) error {
	return n.do(&operation{Op: opForget, Coin: coin, Key: txID}, func(*chain) error { return nil })
}

// Run mines a block every so often on each chain that does not rest, until ctx ends or
// the log cannot be written.
func (n *Node) Run(ctx context.Context, every time.Duration) error {
	for {
		if clock.Sleep(ctx, n.clk, every) != nil {
			return nil
		}
		for _, coin := range n.awake() {
			if _, err := n.Mine(ctx, coin, 1); err != nil {
				return err
			}
		}
	}
}

func (n *Node) awake() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var coins []string
	for coin, c := range n.chains {
		if c.awake > 0 || len(c.waiting) > 0 {
			coins = append(coins, coin)
		}
	}
	slices.Sort(coins)
	return coins
}
