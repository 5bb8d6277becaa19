package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/member"
)

const (
	queueSize = 256
	workers   = 4
	// attempts and firstPause bound the retries of a message: codes do not live long.
	attempts   = 3
	firstPause = time.Second
	// deliverTimeout bounds one attempt.
	deliverTimeout = 20 * time.Second
)

// errBusy is returned when the queue is full.
var errBusy = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "messages cannot be sent at the moment")

// Queue hands messages to deliverers in the background. It holds a bounded number; a
// stop or a crash loses those not yet delivered, and their receivers ask again.
type Queue struct {
	clk        clock.Clock
	deliverers map[member.ContactType]Deliverer
	messages   chan app.Message
}

var _ app.Sender = (*Queue)(nil)

// NewQueue returns a queue with a deliverer for each kind of contact that is offered.
func NewQueue(clk clock.Clock, deliverers map[member.ContactType]Deliverer) *Queue {
	return &Queue{clk: clk, deliverers: deliverers, messages: make(chan app.Message, queueSize)}
}

// Offers reports whether there is a deliverer.
func (q *Queue) Offers(t member.ContactType) bool { return q.deliverers[t] != nil }

// Send queues a message, or refuses it when the queue is full.
func (q *Queue) Send(_ context.Context, m app.Message) error {
	select {
	case q.messages <- m:
		return nil
	default:
		return errBusy
	}
}

// Run delivers until ctx ends.
func (q *Queue) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { q.work(ctx) })
	}
	wg.Wait()
	return nil
}

func (q *Queue) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-q.messages:
			if err := q.deliver(ctx, m); err != nil {
				// The error may name the server, never the message.
				logx.WithContext(ctx).Errorf("message to %s was given up: %v", kind(m.To), err)
			}
		}
	}
}

// deliver tries a few times.
func (q *Queue) deliver(ctx context.Context, m app.Message) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := q.once(ctx, m)
		if err == nil {
			return nil
		}
		if attempt == attempts {
			return fmt.Errorf("attempt %d: %w", attempt, err)
		}
		if sleepErr := clock.Sleep(ctx, q.clk, pause); sleepErr != nil {
			return fmt.Errorf("stopped after attempt %d: %w", attempt, err)
		}
		pause *= 2
	}
}

func (q *Queue) once(ctx context.Context, m app.Message) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	return q.deliverers[m.To.Type].Deliver(ctx, m)
}
