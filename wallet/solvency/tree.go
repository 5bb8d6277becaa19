package solvency

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"mscoin/mscoin-common/money"
)

// Size is the length of hashes and nonces in bytes.
const Size = sha256.Size

// maxDepth bounds a proof: more members than could ever be.
const maxDepth = 64

// Errors. Verify wraps one of the last three.
var (
	ErrBadBalance = errors.New("solvency: balance is negative, or a member is named twice")
	ErrOtherRoot  = errors.New("solvency: proof is for another coin or time")
	ErrMalformed  = errors.New("solvency: proof is malformed")
	ErrNotProved  = errors.New("solvency: proof does not lead to the root")
)

// Balance is what one member is owed of the coin, in units.
type Balance struct {
	MemberID int64
	Amount   int64
}

// Node is a sum and the hash that commits to it.
type Node struct {
	Sum  int64      `json:"sum"`
	Hash [Size]byte `json:"-"`
}

// Root is what is published: that Members members are owed Total units of Coin at AtMs.
type Root struct {
	Coin    string
	AtMs    int64
	Members int64
	Total   int64
	Hash    [Size]byte
}

// Step is a node beside the way from a leaf to the root. Left says on which side.
type Step struct {
	Node

	Left bool
}

// Proof is a member's proof. The nonce is a secret between exchange and member.
type Proof struct {
	Coin     string
	AtMs     int64
	MemberID int64
	Amount   int64
	Nonce    [Size]byte
	Steps    []Step
}

// Tree is the tree of one coin.
type Tree struct {
	root   Root
	leaves []leaf // ordered by hash
	place  map[int64]int
	levels [][]Node
}

type leaf struct {
	Balance

	node  Node
	nonce [Size]byte
}

// Build makes the tree. nonce must give each member an unpredictable number of its own,
// different for each coin and time. Members without a balance may be left out. It returns
// [ErrBadBalance] or [money.ErrRange].
func Build(coin string, atMs int64, balances []Balance, nonce func(memberID int64) [Size]byte) (*Tree, error) {
	t := &Tree{root: Root{Coin: coin, AtMs: atMs, Members: int64(len(balances))}, place: make(map[int64]int, len(balances))}
	for _, b := range balances {
		if b.Amount < 0 {
			return nil, fmt.Errorf("%w: member %d has %d", ErrBadBalance, b.MemberID, b.Amount)
		}
		l := leaf{Balance: b, nonce: nonce(b.MemberID)}
		l.node = leafNode(coin, atMs, b, &l.nonce)
		t.leaves = append(t.leaves, l)
	}
	slices.SortFunc(t.leaves, func(a, b leaf) int {
		return cmp.Or(bytes.Compare(a.node.Hash[:], b.node.Hash[:]), cmp.Compare(a.MemberID, b.MemberID))
	})
	level := make([]Node, len(t.leaves))
	for i := range t.leaves {
		if _, twice := t.place[t.leaves[i].MemberID]; twice {
			return nil, fmt.Errorf("%w: member %d", ErrBadBalance, t.leaves[i].MemberID)
		}
		t.place[t.leaves[i].MemberID] = i
		level[i] = t.leaves[i].node
	}
	return t, t.grow(level)
}

// grow builds the levels up to the root. The last node of an odd level goes up as it is.
func (t *Tree) grow(level []Node) error {
	for len(level) > 1 {
		t.levels = append(t.levels, level)
		next := make([]Node, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			n, err := join(level[i], level[i+1])
			if err != nil {
				return err
			}
			next = append(next, n)
		}
		if len(level)%2 == 1 {
			next = append(next, level[len(level)-1])
		}
		level = next
	}
	if len(level) == 1 {
		t.root.Total, t.root.Hash = level[0].Sum, level[0].Hash
	}
	return nil
}

func leafNode(coin string, atMs int64, b Balance, nonce *[Size]byte) Node {
	data := append(make([]byte, 0, 128), 0, byte(len(coin)))
	data = append(data, coin...)
	data = binary.BigEndian.AppendUint64(data, uint64(atMs))
	data = binary.BigEndian.AppendUint64(data, uint64(b.MemberID))
	data = append(data, nonce[:]...)
	data = binary.BigEndian.AppendUint64(data, uint64(b.Amount))
	return Node{Sum: b.Amount, Hash: sha256.Sum256(data)}
}

// join makes the node above two.
func join(left, right Node) (Node, error) {
	sum, err := money.Add(left.Sum, right.Sum)
	if err != nil {
		return Node{}, fmt.Errorf("solvency: sum of two branches: %w", err)
	}
	data := append(make([]byte, 0, 2*(Size+8)+1), 1)
	for _, n := range [...]Node{left, right} {
		data = binary.BigEndian.AppendUint64(data, uint64(n.Sum))
		data = append(data, n.Hash[:]...)
	}
	return Node{Sum: sum, Hash: sha256.Sum256(data)}, nil
}

// Root returns what is published.
func (t *Tree) Root() Root { return t.root }

// Proof returns a member's proof; ok is false for a member who is not in the tree.
func (t *Tree) Proof(memberID int64) (p Proof, ok bool) {
	i, ok := t.place[memberID]
	if !ok {
		return Proof{}, false
	}
	l := &t.leaves[i]
	p = Proof{Coin: t.root.Coin, AtMs: t.root.AtMs, MemberID: memberID, Amount: l.Amount, Nonce: l.nonce}
	for _, level := range t.levels {
		if beside := i ^ 1; beside < len(level) {
			p.Steps = append(p.Steps, Step{Node: level[beside], Left: beside < i})
		}
		i /= 2
	}
	return p, true
}

// Verify reports whether the member's balance is part of the root's total: nil, or
// [ErrOtherRoot], [ErrMalformed] or [ErrNotProved]. A root without members proves nothing.
func Verify(root Root, p Proof) error {
	switch {
	case p.Coin != root.Coin || p.AtMs != root.AtMs:
		return ErrOtherRoot
	case p.Amount < 0 || len(p.Steps) > maxDepth || len(p.Coin) > 255:
		return ErrMalformed
	}
	n := leafNode(p.Coin, p.AtMs, Balance{MemberID: p.MemberID, Amount: p.Amount}, &p.Nonce)
	for _, s := range p.Steps {
		if s.Sum < 0 {
			return fmt.Errorf("%w: a branch owes %d", ErrMalformed, s.Sum)
		}
		left, right := n, s.Node
		if s.Left {
			left, right = right, left
		}
		var err error
		if n, err = join(left, right); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	if n.Hash != root.Hash || n.Sum != root.Total {
		return ErrNotProved
	}
	return nil
}
