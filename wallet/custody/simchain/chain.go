package simchain

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"

	"mscoin/wallet/custody"
)

// RestAfter is after how many empty blocks a chain rests.
const RestAfter = 64

// maxReorg bounds the depth of a reorganisation by a control call.
const maxReorg = 1000

// Errors of the controls.
var (
	errOperation = errors.New("simchain: not an operation that can be done")
	errConflict  = errors.New("simchain: the id was used for another payment")
	// errUnchanged: the operation was done before.
	errUnchanged = errors.New("simchain: nothing to do")
)

// Kinds of operations.
const (
	opAddress = "address"
	opPay     = "pay"
	opSend    = "send"
	opAbandon = "abandon"
	opMine    = "mine"
	opReorg   = "reorg"
	opForget  = "forget"
)

// operation is a line of the log.
type operation struct {
	Op     string `json:"op"`
	Coin   string `json:"coin"`
	Key    string `json:"key,omitempty"` // owner, id of a payment, or transaction
	To     string `json:"to,omitempty"`
	Amount string `json:"amount,omitempty"`
	Fee    string `json:"fee,omitempty"`
	Depth  int64  `json:"depth,omitempty"`
	Drop   bool   `json:"drop,omitempty"`
	TimeMs int64  `json:"timeMs,omitempty"`
}

// transaction pays one amount to one address; own are the custody's.
type transaction struct {
	id     string
	key    string // of the custody's payment, or of the control call
	own    bool
	to     string
	amount *big.Int
	fee    *big.Int
	height int64 // 0: in no block
	gone   bool  // never again in a block
}

type block struct {
	custody.BlockID

	parent string
	timeMs int64
	txs    []*transaction
}

// chain is the state of one coin. Its changes are operations, and depend on nothing else.
type chain struct {
	coin      string
	blocks    []block
	txs       map[string]*transaction
	waiting   []*transaction
	payments  map[string]*transaction // by key, the custody's
	paid      map[string]*transaction // by id, from outside
	abandoned map[string]bool
	owners    map[string]string // address by owner
	addresses map[string]bool
	forks     int64 // makes the hashes of other branches others
	awake     int64 // blocks until it rests
}

func newChain(coin string) *chain {
	genesis := block{BlockID: custody.BlockID{Hash: digest("genesis", coin)}}
	return &chain{
		coin: coin, blocks: []block{genesis}, txs: map[string]*transaction{}, payments: map[string]*transaction{},
		paid: map[string]*transaction{}, abandoned: map[string]bool{}, owners: map[string]string{}, addresses: map[string]bool{},
	}
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

var keyText = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// apply does an operation, or returns why not and changes nothing: errUnchanged when it
// was done before.
func (c *chain) apply(o *operation) error {
	switch o.Op {
	case opAddress:
		return c.issue(o.Key)
	case opPay:
		return c.pay(o)
	case opSend:
		return c.send(o)
	case opAbandon:
		return c.abandon(o.Key)
	case opMine:
		c.mine(o.TimeMs)
	case opReorg:
		return c.reorg(o)
	case opForget:
		return c.forget(o.Key)
	default:
		return errOperation
	}
	return nil
}

func (c *chain) issue(owner string) error {
	if !keyText.MatchString(owner) {
		return fmt.Errorf("%w: owner", errOperation)
	}
	if c.owners[owner] != "" {
		return errUnchanged
	}
	address := addressOf(c.coin, "owner\x00"+owner)
	c.owners[owner], c.addresses[address] = address, true
	return nil
}

func (c *chain) add(t *transaction) {
	c.txs[t.id] = t
	c.waiting = append(c.waiting, t)
	c.awake = RestAfter
}

// pay brings money from outside. o.Key makes it happen once.
func (c *chain) pay(o *operation) error {
	amount, err := parseAmount(o.Amount)
	if err != nil || amount.Sign() == 0 || !keyText.MatchString(o.Key) {
		return fmt.Errorf("%w: pay: amount or id", errOperation)
	}
	if err := CheckAddress(c.coin, o.To); err != nil {
		return err
	}
	if t := c.paid[o.Key]; t != nil {
		if t.to != o.To || t.amount.Cmp(amount) != 0 {
			return errConflict
		}
		return errUnchanged
	}
	t := &transaction{id: digest("pay", c.coin, o.Key), key: o.Key, to: o.To, amount: amount, fee: new(big.Int)}
	c.paid[o.Key] = t
	c.add(t)
	return nil
}

// send pays from the custody.
func (c *chain) send(o *operation) error {
	amount, err := parseAmount(o.Amount)
	if err != nil || amount.Sign() == 0 || !keyText.MatchString(o.Key) {
		return fmt.Errorf("%w: amount or key", custody.ErrRefused)
	}
	if err := CheckAddress(c.coin, o.To); err != nil {
		return err
	}
	if c.abandoned[o.Key] {
		return custody.ErrAbandoned
	}
	if t := c.payments[o.Key]; t != nil {
		if t.to != o.To || t.amount.Cmp(amount) != 0 {
			return custody.ErrMismatch
		}
		return errUnchanged
	}
	fee, err := parseAmount(o.Fee)
	if err != nil {
		return err
	}
	if c.spendable().Cmp(new(big.Int).Add(amount, fee)) < 0 {
		return custody.ErrFunds
	}
	t := &transaction{id: digest("send", c.coin, o.Key), key: o.Key, own: true, to: o.To, amount: amount, fee: fee}
	c.payments[o.Key] = t
	c.add(t)
	return nil
}

func (c *chain) abandon(key string) error {
	switch {
	case !keyText.MatchString(key):
		return custody.ErrUnknownPayment
	case c.payments[key] != nil || c.abandoned[key]:
		return errUnchanged
	}
	c.abandoned[key] = true
	return nil
}

// balance is what the custody has in the blocks.
func (c *chain) balance() *big.Int {
	sum := new(big.Int)
	for _, t := range c.txs {
		if t.height == 0 {
			continue
		}
		if c.addresses[t.to] {
			sum.Add(sum, t.amount)
		}
		if t.own {
			sum.Sub(sum, t.amount)
			sum.Sub(sum, t.fee)
		}
	}
	return sum
}

// spendable is the balance less what is on its way out.
func (c *chain) spendable() *big.Int {
	sum := c.balance()
	for _, t := range c.waiting {
		if t.own {
			sum.Sub(sum, t.amount)
			sum.Sub(sum, t.fee)
		}
	}
	return sum
}

func (c *chain) head() *block { return &c.blocks[len(c.blocks)-1] }

// mine puts everything that waits into a block.
func (c *chain) mine(timeMs int64) {
	head := c.head()
	b := block{BlockID: custody.BlockID{Height: head.Height + 1}, parent: head.Hash, timeMs: timeMs, txs: c.waiting}
	parts := []string{"block", c.coin, head.Hash, strconv.FormatInt(b.Height, 10), strconv.FormatInt(c.forks, 10)}
	for _, t := range b.txs {
		t.height = b.Height
		parts = append(parts, t.id)
	}
	b.Hash = digest(parts...)
	if c.awake--; len(b.txs) > 0 {
		c.awake = RestAfter
	}
	c.waiting = nil
	c.blocks = append(c.blocks, b)
}

// reorg replaces the last o.Depth blocks with one more. Their transactions wait again,
// the custody's own in any case, those from outside unless they are dropped.
func (c *chain) reorg(o *operation) error {
	keep := int64(len(c.blocks)) - o.Depth
	if o.Depth < 1 || o.Depth > maxReorg || keep < 1 {
		return fmt.Errorf("%w: reorg: depth", errOperation)
	}
	c.forks++
	var again []*transaction
	for _, b := range c.blocks[keep:] {
		for _, t := range b.txs {
			t.height = 0
			if t.gone = o.Drop && !t.own; !t.gone {
				again = append(again, t)
			}
		}
	}
	c.blocks = c.blocks[:keep]
	c.waiting = append(again, c.waiting...)
	// The replacing branch has nothing in its first blocks: what waits comes with its last.
	waiting := c.waiting
	c.waiting = nil
	for range o.Depth {
		c.mine(o.TimeMs)
	}
	c.waiting = waiting
	c.mine(o.TimeMs)
	c.awake = RestAfter
	return nil
}

// forget drops a transaction that is in no block.
func (c *chain) forget(id string) error {
	t := c.txs[id]
	if t == nil || t.height != 0 || t.gone {
		return fmt.Errorf("%w: forget: the transaction does not wait", errOperation)
	}
	t.gone = true
	c.waiting = slices.DeleteFunc(c.waiting, func(w *transaction) bool { return w == t })
	return nil
}

func (c *chain) blockAt(height int64) (custody.Block, error) {
	if height < 0 || height >= int64(len(c.blocks)) {
		return custody.Block{}, custody.ErrNoBlock
	}
	b := &c.blocks[height]
	out := custody.Block{BlockID: b.BlockID, Parent: b.parent, TimeMs: b.timeMs, Receipts: []custody.Receipt{}, Spends: []custody.Spend{}}
	for _, t := range b.txs {
		if c.addresses[t.to] {
			out.Receipts = append(out.Receipts, custody.Receipt{TxID: t.id, Address: t.to, Amount: formatAmount(t.amount)})
		}
		if t.own {
			out.Spends = append(out.Spends, t.spend())
		}
	}
	slices.SortFunc(out.Receipts, func(a, b custody.Receipt) int { return cmp.Compare(a.TxID, b.TxID) })
	return out, nil
}

func (t *transaction) spend() custody.Spend {
	return custody.Spend{TxID: t.id, Key: t.key, To: t.to, Amount: formatAmount(t.amount), Fee: formatAmount(t.fee)}
}

func (c *chain) sent(key string) (custody.Sent, error) {
	t := c.payments[key]
	switch {
	case t == nil && c.abandoned[key]:
		return custody.Sent{}, custody.ErrAbandoned
	case t == nil:
		return custody.Sent{}, custody.ErrUnknownPayment
	}
	s := custody.Sent{Spend: t.spend(), State: custody.Waiting}
	switch {
	case t.gone:
		s.State = custody.Failed
	case t.height > 0:
		s.State, s.Block = custody.Mined, c.blocks[t.height].BlockID
		s.Confirmations = c.head().Height - t.height + 1
	}
	return s, nil
}
