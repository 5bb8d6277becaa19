package sequencer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/sequencer/snapshot"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
)

var errFault = errors.New("injected fault")

// fakeLog is both topics of one partition in memory.
type fakeLog struct {
	mu     sync.Mutex
	first  map[string]int64
	topics map[string][]bus.Message
	nowMs  int64
	grown  chan struct{}
	// fault decides what becomes of a Produce to the output: whether it is written
	// and what is answered.
	fault func(msgs []bus.Message) (written bool, err error)
}

func newFakeLog() *fakeLog {
	return &fakeLog{first: map[string]int64{}, topics: map[string][]bus.Message{}, nowMs: 1_000_000, grown: make(chan struct{})}
}

func (l *fakeLog) Bounds(_ context.Context, topic string, _ int) (first, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first[topic], l.first[topic] + int64(len(l.topics[topic])), nil
}

func (l *fakeLog) ReadOne(_ context.Context, topic string, _ int, offset int64) (bus.Message, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := offset - l.first[topic]
	if i < 0 || i >= int64(len(l.topics[topic])) {
		return bus.Message{}, bus.ErrNoRecord
	}
	return l.topics[topic][i], nil
}

func (l *fakeLog) Produce(_ context.Context, topic string, _ int, msgs []bus.Message) (int64, error) {
	written, err := true, error(nil)
	l.mu.Lock()
	fault := l.fault
	l.mu.Unlock()
	if topic == bus.TopicCompleted && fault != nil {
		written, err = fault(msgs)
	}
	if written {
		l.append(topic, msgs...)
	}
	return 0, err
}

func (l *fakeLog) append(topic string, msgs ...bus.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range msgs {
		m.Topic, m.Offset, m.TimeMs = topic, l.first[topic]+int64(len(l.topics[topic])), l.nowMs
		l.topics[topic] = append(l.topics[topic], m)
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *fakeLog) setFault(fault func(msgs []bus.Message) (bool, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *fakeLog) len(topic string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.topics[topic])
}

func (l *fakeLog) command(cmd *eventpb.Command) {
	value, err := proto.Marshal(cmd)
	if err != nil {
		panic(err)
	}
	l.append(bus.TopicCommands, bus.Message{Key: []byte(cmd.Symbol), Value: value})
}

func (l *fakeLog) Subscribe(topic string, _ int, offset int64) Subscription {
	return &fakeSub{l: l, topic: topic, next: offset}
}

// output returns the records, duplicates left out, and fails on a broken chain.
func (l *fakeLog) output() ([]*eventpb.RecordBody, error) {
	l.mu.Lock()
	msgs := slices.Clone(l.topics[bus.TopicCompleted])
	l.mu.Unlock()
	var all []*eventpb.RecordBody
	seen := map[string][][]byte{}
	for _, m := range msgs {
		e, err := stream.OpenMessage(m)
		if err != nil {
			return nil, err
		}
		hashes := seen[e.Body.Symbol]
		if e.Body.Seq <= int64(len(hashes)) {
			if string(hashes[e.Body.Seq-1]) != string(e.Hash) {
				return nil, fmt.Errorf("record %d of %s was written twice, differently", e.Body.Seq, e.Body.Symbol)
			}
			continue
		}
		if e.Body.Seq != int64(len(hashes))+1 {
			return nil, fmt.Errorf("gap before record %d of %s", e.Body.Seq, e.Body.Symbol)
		}
		if len(hashes) > 0 && string(hashes[len(hashes)-1]) != string(e.PrevHash) {
			return nil, fmt.Errorf("record %d of %s breaks the chain", e.Body.Seq, e.Body.Symbol)
		}
		seen[e.Body.Symbol] = append(hashes, e.Hash)
		all = append(all, e.Body)
	}
	return all, nil
}

type fakeSub struct {
	l     *fakeLog
	topic string
	next  int64
}

func (s *fakeSub) Fetch(ctx context.Context, limit int, wait time.Duration) ([]bus.Message, error) {
	for {
		s.l.mu.Lock()
		first, msgs, grown := s.l.first[s.topic], s.l.topics[s.topic], s.l.grown
		if s.next < first {
			s.l.mu.Unlock()
			return nil, bus.ErrTruncated
		}
		if at := s.next - first; at < int64(len(msgs)) {
			out := slices.Clone(msgs[at:min(at+int64(limit), int64(len(msgs)))])
			s.next += int64(len(out))
			s.l.mu.Unlock()
			return out, nil
		}
		s.l.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-grown:
		case <-time.After(wait):
			return nil, nil
		}
	}
}

func (s *fakeSub) Close() {}

// fakeSnapshots keeps snapshots and decisions in memory.
type fakeSnapshots struct {
	mu        sync.Mutex
	infos     map[int64]snapshot.Info
	images    map[int64][]byte
	decisions []snapshot.Decision
	fail      error // of every call, if set
	drop      int64 // the snapshot that is dropped when its image is asked for
}

func newFakeSnapshots() *fakeSnapshots {
	return &fakeSnapshots{infos: map[int64]snapshot.Info{}, images: map[int64][]byte{}}
}

func (f *fakeSnapshots) Snapshots(context.Context, int) ([]snapshot.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]snapshot.Info, 0, len(f.infos))
	for _, next := range slices.Sorted(maps.Keys(f.infos)) {
		all = append(all, f.infos[next])
	}
	slices.Reverse(all)
	return all, f.fail
}

func (f *fakeSnapshots) SnapshotImage(_ context.Context, _ int, next int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.drop == next {
		delete(f.infos, next)
		delete(f.images, next)
	}
	return f.images[next], f.fail
}

func (f *fakeSnapshots) SaveSnapshot(_ context.Context, info *snapshot.Info, image []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.infos[info.Next]; !there && f.fail == nil {
		f.infos[info.Next], f.images[info.Next] = *info, image
	}
	return f.fail
}

func (f *fakeSnapshots) DropSnapshots(_ context.Context, _ int, next []int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range next {
		delete(f.infos, n)
		delete(f.images, n)
	}
	return f.fail
}

func (f *fakeSnapshots) MarkVerified(_ context.Context, _ int, next int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if info, there := f.infos[next]; there {
		info.VerifiedMs = 1
		f.infos[next] = info
	}
	return f.fail
}

func (f *fakeSnapshots) SkipDecisions(context.Context, int) ([]snapshot.Decision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.decisions), f.fail
}

func (f *fakeSnapshots) SaveSkipDecision(_ context.Context, d *snapshot.Decision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decisions = append(f.decisions, *d)
	return f.fail
}

// newest returns the offset of the newest snapshot, 0 if there is none.
func (f *fakeSnapshots) newest() int64 {
	all, _ := f.Snapshots(context.Background(), 0)
	if len(all) == 0 {
		return 0
	}
	return all[0].Next
}
