package sequencer

import (
	"sync"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/errs"
)

// maxWaiters bounds the commands whose answers are waited for at once.
const maxWaiters = 65536

var errBusy error = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "too many requests wait for the matcher")

// waiters hold the callers that wait for the records of their commands. A waiter is
// registered before its command is written and gone when its caller is.
type waiters struct {
	mu     sync.Mutex
	by     map[int64]chan *eventpb.RecordBody
	closed bool
}

func newWaiters() *waiters { return &waiters{by: map[int64]chan *eventpb.RecordBody{}} }

// add registers a waiter. Call drop in any case.
func (w *waiters) add(commandID int64) (<-chan *eventpb.RecordBody, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.by) >= maxWaiters {
		return nil, errBusy
	}
	c := make(chan *eventpb.RecordBody, 1)
	w.by[commandID] = c
	return c, nil
}

func (w *waiters) drop(commandID int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.by, commandID)
}

// complete answers those of the records' commands that are waited for. The first
// record of a command counts: a later one is of a duplicate in the log.
func (w *waiters) complete(records []Sealed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range records {
		id := records[i].Body.CommandId
		if c, ok := w.by[id]; ok {
			delete(w.by, id)
			c <- records[i].Body // one place in the channel, one send: never blocks
		}
	}
}

// close ends all waiting without an answer: nothing will be published any more.
func (w *waiters) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for id, c := range w.by {
		delete(w.by, id)
		c <- nil // one place, one send, as in complete
	}
}

// len returns how many wait.
func (w *waiters) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.by)
}
