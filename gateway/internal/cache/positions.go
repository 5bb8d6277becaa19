// Package cache keeps in Redis what gateways tell each other.
package cache

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
)

const (
	positionKeyPrefix = "ryw::"
	// maxLocalMembers bounds what the process itself remembers, per generation.
	maxLocalMembers = 100_000
	// redisPause is how long Redis is left alone after it failed, so that its
	// absence does not slow every order.
	redisPause = time.Second
)

// Positions remembers for each member which records its own writes produced, so that
// its next reads can wait for them (read your writes). The memory is shared between
// gateways through Redis, a sorted set for each member (symbol scored by record
// number), and lives as long as records may take to be applied. Without Redis it
// degrades to what this process has seen: trading goes on. Safe for concurrent use.
type Positions struct {
	rdb     redis.UniversalClient // nil: this process only
	clk     clock.Clock
	ttl     time.Duration
	timeout time.Duration

	mu        sync.Mutex
	recent    map[int64]map[string]int64
	older     map[int64]map[string]int64
	rotatedAt time.Time
	pausedTo  time.Time
}

// NewPositions returns a memory of ttl. rdb may be nil; an operation on it takes at
// most timeout.
func NewPositions(rdb redis.UniversalClient, clk clock.Clock, ttl, timeout time.Duration) *Positions {
	return &Positions{
		rdb: rdb, clk: clk, ttl: ttl, timeout: timeout,
		recent: map[int64]map[string]int64{}, rotatedAt: clk.Now(),
	}
}

// Remember notes that the members' reads must see record seq of symbol. It returns
// once the note is visible to reads through every gateway, or Redis has failed (which
// is logged). A seq below one already noted changes nothing.
func (p *Positions) Remember(ctx context.Context, symbol string, seq int64, members ...int64) {
	if symbol == "" || seq <= 0 || len(members) == 0 {
		return
	}
	p.rememberLocal(symbol, seq, members)
	if !p.redisUsable() {
		return
	}
	// The write behind this has happened, so a client that hangs up must not undo the note.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.timeout)
	defer cancel()
	_, err := p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, member := range members {
			key := positionKey(member)
			// GT never takes a score back; the score is exact below 2^53.
			pipe.ZAddGT(ctx, key, redis.Z{Score: float64(seq), Member: symbol})
			pipe.PExpire(ctx, key, p.ttl)
		}
		return nil
	})
	if err != nil {
		p.pause("remember", err)
	}
}

// After returns the records that the member's reads must have applied.
func (p *Positions) After(ctx context.Context, member int64) []Position {
	merged := p.recallLocal(member)
	if p.redisUsable() {
		ctx, cancel := context.WithTimeout(ctx, p.timeout)
		defer cancel()
		noted, err := p.rdb.ZRangeWithScores(ctx, positionKey(member), 0, -1).Result()
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			p.pause("recall", err)
		}
		for _, z := range noted {
			if symbol, ok := z.Member.(string); ok {
				merged[symbol] = max(merged[symbol], int64(z.Score))
			}
		}
	}
	positions := make([]Position, 0, len(merged))
	for symbol, seq := range merged {
		positions = append(positions, Position{Symbol: symbol, Seq: seq})
	}
	return positions
}

// Position is a record that a read must have applied.
type Position struct {
	// Symbol of the record, like "BTC/USDT".
	Symbol string
	// Seq is its number.
	Seq int64
}

func positionKey(member int64) string { return positionKeyPrefix + strconv.FormatInt(member, 10) }

// rememberLocal keeps two generations, so that a note lives for at least ttl and the
// memory is bounded; members beyond the bound rely on Redis.
func (p *Positions) rememberLocal(symbol string, seq int64, members []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rotate()
	for _, member := range members {
		notes, ok := p.recent[member]
		if !ok {
			if len(p.recent) >= maxLocalMembers {
				continue
			}
			notes = make(map[string]int64, 1)
			p.recent[member] = notes
		}
		notes[symbol] = max(notes[symbol], seq)
	}
}

func (p *Positions) recallLocal(member int64) map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rotate()
	merged := make(map[string]int64, len(p.recent[member])+len(p.older[member]))
	for _, generation := range []map[int64]map[string]int64{p.older, p.recent} {
		for symbol, seq := range generation[member] {
			merged[symbol] = max(merged[symbol], seq)
		}
	}
	return merged
}

func (p *Positions) rotate() {
	now := p.clk.Now()
	age := now.Sub(p.rotatedAt)
	if age < p.ttl {
		return
	}
	p.older, p.recent, p.rotatedAt = p.recent, map[int64]map[string]int64{}, now
	if age >= 2*p.ttl {
		p.older = nil
	}
}

func (p *Positions) redisUsable() bool {
	if p.rdb == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.clk.Now().Before(p.pausedTo)
}

func (p *Positions) pause(operation string, err error) {
	p.mu.Lock()
	p.pausedTo = p.clk.Now().Add(redisPause)
	p.mu.Unlock()
	logx.Errorf("read your writes: %s: Redis failed, for %v only this process' own notes count: %v", operation, redisPause, err)
}
