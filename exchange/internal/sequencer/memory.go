package sequencer

import (
	"math"

	eventpb "mscoin/grpc-common/gen/event/v1"
)

// memory remembers ids that must not be placed (again): finished, refused and
// resolved orders, each until the deadline of its Place has passed in log time
// (MONEY-SAFETY H3). After that a Place of the id is refused for being late, so
// forgetting is safe, and what an id means never depends on when it is purged.
type memory struct {
	entries map[uint64]remembered
	expiry  []expiring // min-heap by deadline
}

// remembered is the last word on an order, for Resolve to repeat.
type remembered struct {
	deadlineMs int64
	member     uint64
	traded     int64
	turnover   int64
	fee        int64
	reason     int32
	side       eventpb.Side
	state      eventpb.OrderState
}

type expiring struct {
	deadlineMs int64
	id         uint64
}

func newMemory() memory { return memory{entries: map[uint64]remembered{}} }

// get returns what is remembered of id at log time now.
func (m *memory) get(id uint64, nowMs int64) (remembered, bool) {
	e, ok := m.entries[id]
	return e, ok && nowMs <= e.deadlineMs
}

// put remembers id unless its deadline has passed.
func (m *memory) put(id uint64, e remembered, nowMs int64) {
	m.purge(nowMs)
	if nowMs > e.deadlineMs {
		return
	}
	if _, known := m.entries[id]; !known {
		m.push(expiring{e.deadlineMs, id})
	}
	m.entries[id] = e
}

// purge forgets what has expired.
func (m *memory) purge(nowMs int64) {
	for len(m.expiry) > 0 && m.expiry[0].deadlineMs < nowMs {
		id := m.pop().id
		// An id that was put again with a later deadline has to wait for that.
		if e := m.entries[id]; e.deadlineMs >= nowMs {
			m.push(expiring{e.deadlineMs, id})
			continue
		}
		delete(m.entries, id)
	}
}

// minDeadline returns the earliest deadline, MaxInt64 if there is none.
func (m *memory) minDeadline() int64 {
	if len(m.expiry) == 0 {
		return math.MaxInt64
	}
	return m.expiry[0].deadlineMs
}

func (m *memory) push(e expiring) {
	h := append(m.expiry, e)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].deadlineMs <= h[i].deadlineMs {
			break
		}
		h[parent], h[i] = h[i], h[parent]
		i = parent
	}
	m.expiry = h
}

func (m *memory) pop() expiring {
	h := m.expiry
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && h[child+1].deadlineMs < h[child].deadlineMs {
			child++
		}
		if h[i].deadlineMs <= h[child].deadlineMs {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	m.expiry = h
	return top
}
