package lease

import (
	"context"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

const (
	// takeRounds bounds how often a look finds more to take, because somebody else was
	// quicker with the first choice.
	takeRounds = 3
	// settleLives is how many lives of a lease an instance must have been there before
	// others hand leases over to it: one that dies at each start is given none.
	settleLives = 2
	// rejectedLives is how many lives of a lease nothing is handed over after a partition
	// came back because nobody took it.
	rejectedLives = 30
)

// job is the work on one partition.
type job interface {
	// stop asks it to end because of cause; it returns at once.
	stop(cause error)
	// ended reports whether it has.
	ended() bool
}

// noWork is that on a lease which nobody begins any more: it has ended when what was
// before it has.
type noWork struct{ after job }

func (noWork) stop(error)    {}
func (w noWork) ended() bool { return w.after == nil || w.after.ended() }

// holding is a lease that this instance took.
type holding struct {
	lease Lease
	// until is when this instance gives it up by itself, by its own monotonic clock; zero
	// is never (static mode).
	until    time.Time
	stopping bool
	given    bool // stopping, to be handed over
	job      job
}

// gift is a lease that was handed over.
type gift struct {
	epoch int64
	at    time.Time
}

// keeper is what an instance knows of its leases. look, release and handOver belong to
// one goroutine, which is the only one to ask the database; the rest may be called by any.
type keeper struct {
	table  Table
	me     Instance
	static bool
	ttl    time.Duration
	now    func() time.Time
	start  func(l Lease, after job) job // starts the work once after, if not nil, has ended

	mu      sync.Mutex
	view    View
	viewAt  time.Time // before the view was asked for
	seen    bool      // there is a view
	taken   bool      // static: all were taken once
	leaving bool
	held    map[int]*holding
	last    map[int]job // the newest work on each partition
	// given is what was given away last and not taken by anybody since, and quietUntil the
	// time before which nothing is handed over.
	given      map[int]gift
	quietUntil time.Time
}

func newKeeper(table Table, me Instance, static bool, ttl time.Duration, now func() time.Time, start func(Lease, job) job) *keeper {
	return &keeper{
		table: table, me: me, static: static, ttl: ttl, now: now, start: start,
		held: map[int]*holding{}, last: map[int]job{}, given: map[int]gift{},
	}
}

// round renews the leases, releases those whose work has ended, looks at all, and takes
// what is due.
func (k *keeper) round(ctx context.Context) error {
	ttlMs := k.ttl.Milliseconds()
	if !k.isLeaving() {
		if err := k.table.Beat(ctx, k.me, ttlMs); err != nil {
			return err
		}
	}
	if err := k.release(ctx); err != nil {
		return err
	}
	if err := k.table.Renew(ctx, k.me.ID, ttlMs, k.static); err != nil {
		return err
	}
	if err := k.look(ctx); err != nil {
		return err
	}
	for range takeRounds {
		want := k.wanted()
		if len(want) == 0 {
			break
		}
		for _, l := range want {
			if err := k.table.Take(ctx, l, k.me, ttlMs, k.static); err != nil {
				return err
			}
		}
		if err := k.look(ctx); err != nil {
			return err
		}
	}
	return k.replaced()
}

// look reads the database and acts upon what it shows. A lease counts from before the
// question, for what was left of it when the database answered: so it is over here
// before it is over there, however long the answer took.
func (k *keeper) look(ctx context.Context) error {
	before := k.now()
	v, err := k.table.Read(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.view, k.viewAt, k.seen = v, before, true
	for i := range v.Leases {
		k.see(&v, &v.Leases[i], before)
	}
	k.expire()
	return nil
}

// see acts upon what the database shows of one lease.
func (k *keeper) see(v *View, l *Lease, before time.Time) {
	h := k.held[l.Partition]
	mine := l.Owner == k.me.ID && (k.static || !v.free(l))
	if g, ok := k.given[l.Partition]; ok && l.Epoch != g.epoch {
		delete(k.given, l.Partition)
		if mine { // nobody wanted it
			k.quietUntil = k.now().Add(rejectedLives * k.ttl)
		}
	}
	if h != nil && (!mine || h.lease.Epoch != l.Epoch) {
		k.stop(h, ErrLost)
		delete(k.held, l.Partition)
		h = nil
	}
	if !mine {
		return
	}
	var until time.Time
	if !k.static {
		until = before.Add(time.Duration(l.ExpiresAtMs-v.NowMs)*time.Millisecond - k.ttl/marginShare)
		if !until.After(k.now()) {
			return // too late; the next round knows more
		}
	}
	if h != nil {
		h.until = until
		return
	}
	if k.leaving { // a take whose answer was lost when the stop came
		k.held[l.Partition] = &holding{lease: *l, until: until, stopping: true, job: noWork{k.last[l.Partition]}}
		return
	}
	j := k.start(*l, k.last[l.Partition])
	k.held[l.Partition] = &holding{lease: *l, until: until, job: j}
	k.last[l.Partition] = j
	logx.Infof("lease of partition %d: taken, epoch %d", l.Partition, l.Epoch)
}

func (k *keeper) stop(h *holding, cause error) {
	if h.stopping {
		return
	}
	h.stopping, h.given = true, cause == ErrHandOver //nolint:errorlint // one of our two
	h.job.stop(cause)
	logx.Infof("lease of partition %d, epoch %d: %v", h.lease.Partition, h.lease.Epoch, cause)
}

// expire stops the work on leases that could not be renewed, and returns the next time to
// look; the zero time is never. The caller holds the lock.
func (k *keeper) expire() (next time.Time) {
	now := k.now()
	for _, h := range k.held {
		switch {
		case h.stopping || h.until.IsZero():
		case !h.until.After(now):
			k.stop(h, ErrLost)
		case next.IsZero() || h.until.Before(next):
			next = h.until
		}
	}
	return next
}

// expired is expire for other goroutines.
func (k *keeper) expired() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expire()
}

// wanted returns what to take now.
func (k *keeper) wanted() []Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaving {
		return nil
	}
	if k.static {
		return k.wantedStatic()
	}
	resting := func(p int) bool {
		g, ok := k.given[p]
		return ok && k.now().Sub(g.at) < 2*k.ttl
	}
	return wanted(&k.view, k.me.ID, resting, k.ttl.Milliseconds())
}

// wantedStatic returns all leases, once.
func (k *keeper) wantedStatic() []Lease {
	var want []Lease
	for i := range k.view.Leases {
		if l := &k.view.Leases[i]; l.Owner != k.me.ID && !k.taken {
			want = append(want, *l)
		}
	}
	k.taken = k.taken || len(want) == 0
	return want
}

// replaced reports that another instance has what a single one must have.
func (k *keeper) replaced() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.static || !k.taken || k.leaving {
		return nil
	}
	for i := range k.view.Leases {
		if k.view.Leases[i].Owner != k.me.ID {
			return ErrReplaced
		}
	}
	return nil
}

// release ends the leases whose work has ended.
func (k *keeper) release(ctx context.Context) error {
	for _, h := range k.done() {
		if err := k.table.Release(ctx, h.lease.Partition, k.me.ID, h.lease.Epoch); err != nil {
			return err
		}
		k.mu.Lock()
		delete(k.held, h.lease.Partition)
		if h.given {
			k.given[h.lease.Partition] = gift{h.lease.Epoch, k.now()}
		}
		k.mu.Unlock()
		logx.Infof("lease of partition %d, epoch %d: released", h.lease.Partition, h.lease.Epoch)
	}
	return nil
}

func (k *keeper) done() []*holding {
	k.mu.Lock()
	defer k.mu.Unlock()
	var done []*holding
	for _, h := range k.held {
		if h.job.ended() {
			done = append(done, h)
		}
	}
	return done
}

// balance stops the work on one partition when another instance should have it.
func (k *keeper) balance() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.static || k.leaving || !k.seen || k.now().Before(k.quietUntil) {
		return
	}
	for _, h := range k.held {
		if h.stopping {
			return
		}
	}
	if h := k.held[surplus(&k.view, k.me.ID, settleLives*k.ttl.Milliseconds())]; h != nil {
		k.stop(h, ErrHandOver)
	}
}

// leave stops all work; nothing is taken any more.
func (k *keeper) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaving = true
	for _, h := range k.held {
		k.stop(h, ErrHandOver)
	}
}

func (k *keeper) isLeaving() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leaving
}

// idle reports whether nothing is held or at work.
func (k *keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held) > 0 {
		return false
	}
	for _, j := range k.last {
		if !j.ended() {
			return false
		}
	}
	return true
}

// owner returns who has a partition, as far as is known; ok is false when nobody has.
func (k *keeper) owner(partition int) (l Lease, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.seen || partition < 0 || partition >= len(k.view.Leases) {
		return Lease{}, false
	}
	l = k.view.Leases[partition]
	left := time.Duration(l.ExpiresAtMs-k.view.NowMs)*time.Millisecond - k.now().Sub(k.viewAt)
	return l, left > 0
}

// nextEnd returns how long it takes until a lease of somebody else ends; at most limit.
func (k *keeper) nextEnd(limit time.Duration) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	since := k.now().Sub(k.viewAt)
	for i := range k.view.Leases {
		l := &k.view.Leases[i]
		left := time.Duration(l.ExpiresAtMs-k.view.NowMs)*time.Millisecond - since
		if l.Owner != k.me.ID && left > 0 {
			limit = min(limit, left+time.Millisecond)
		}
	}
	return limit
}
