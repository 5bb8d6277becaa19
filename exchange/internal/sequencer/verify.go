package sequencer

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	"mscoin/mscoin-common/bus"
)

// FromBeginning and FromVerified are where a verification begins that names no snapshot.
const (
	// FromBeginning is the beginning of the log; of a truncated one the oldest snapshot in it.
	FromBeginning = int64(-1)
	// FromVerified is the newest snapshot that was verified before; if there is none, FromBeginning.
	FromVerified = int64(-2)
)

// ErrNoSuchSnapshot says that a verification cannot begin where it is told to.
var ErrNoSuchSnapshot = errors.New("there is no such snapshot in the log")

// VerifyConfig is what a verification is made of (MONEY-SAFETY C8).
type VerifyConfig struct {
	Partition int
	// Log is the broker.
	Log Log
	// Snapshots has the snapshots and decisions.
	Snapshots Snapshots
	// NewEngine makes an empty book of the matcher that is believed: the naive one.
	NewEngine func() matching.Engine
	// Symbol, if set, is the only one whose records and books are compared.
	Symbol string
	// From is the next offset of the snapshot to begin at, FromBeginning or FromVerified.
	From int64
	// Progress, if set, is told after each batch how far the replay is, and where it ends.
	Progress func(next, end int64)
}

// Verification is what a verification has found.
type Verification struct {
	Partition int
	// From is the first command that was replayed, End the offset after the last one.
	From, End int64
	// Records that were compared; Unpublished commands at the end have no record yet.
	Records, Unpublished int64
	// Snapshots are the next offsets of those whose state, and image, the replay gave.
	Snapshots []int64
	// Difference is the first one, nil if there is none.
	Difference *Difference
}

// Difference is something that is not as the replay says.
type Difference struct {
	// What it is: one of the What constants.
	What string
	// Command is the command's offset, Record that of the published record or −1.
	Command, Record int64
	Symbol          string
	Seq             int64
	// Field of the record or of the state, what is stored there, and what the replay gives.
	Field, Stored, Replayed string
}

// Kinds of differences.
const (
	WhatRecord     = "record differs"
	WhatMissing    = "record is missing"
	WhatUnreadable = "record cannot be read"
	WhatTwice      = "record was published twice, differently"
	WhatUnexpected = "record answers no command"
	WhatSnapshot   = "snapshot holds another state"
	WhatDamaged    = "snapshot is damaged"
	WhatCommand    = "command is not the one that the snapshot consumed"
	WhatExecuted   = "record answers a command that cannot be executed"
)

// Error says all of it in one line.
func (d *Difference) Error() string {
	s := fmt.Sprintf("%s: command offset %d", d.What, d.Command)
	if d.Record >= 0 {
		s += fmt.Sprintf(", record offset %d", d.Record)
	}
	if d.Symbol != "" {
		s += fmt.Sprintf(", %s record %d", d.Symbol, d.Seq)
	}
	if d.Field != "" {
		s += fmt.Sprintf(", %s: stored %s, replayed %s", d.Field, d.Stored, d.Replayed)
	}
	return s
}

// Verify replays a partition's command log, from a snapshot or from its beginning, and
// compares each record with the published one, and the state with each snapshot on the
// way. It only reads, and notes the snapshots that it has verified. It does not need the
// matcher, and does not disturb one.
//
// An error says that it could not be found out; one that wraps a *PoisonError that this
// release cannot execute a command that was never answered, or knows less than the release
// that wrote the log.
func Verify(ctx context.Context, cfg VerifyConfig) (*Verification, error) {
	v := &verifier{cfg: cfg}
	if err := v.begin(ctx); err != nil {
		return nil, v.wrap(err)
	}
	from, err := v.recordsFrom(ctx)
	if err != nil {
		return nil, v.wrap(err)
	}
	found, err := v.run(ctx, from)
	if err == nil && found.Difference != nil && found.Difference.What == WhatMissing && from > v.outFirst {
		// It may have been published before the place that was looked up. Sure is sure.
		found, err = v.run(ctx, v.outFirst)
	}
	if err != nil {
		return nil, v.wrap(err)
	}
	return found, nil
}

func (v *verifier) wrap(err error) error {
	return fmt.Errorf("verify %s/%d: %w", bus.TopicCommands, v.cfg.Partition, err)
}

// verifier is one verification.
type verifier struct {
	cfg VerifyConfig
	m   *Machine

	first, end       int64 // of the command log
	outFirst, outEnd int64 // of the records
	stored           []snapshot.Info
	due              map[int64]*snapshot.Info // snapshots on the way, by next offset
	found            *Verification
	out              *published
}

// begin finds out what there is and puts the machine where the replay begins.
func (v *verifier) begin(ctx context.Context) (err error) {
	p := v.cfg.Partition
	decisions, err := v.cfg.Snapshots.SkipDecisions(ctx, p)
	if err != nil {
		return fmt.Errorf("load skip decisions: %w", err)
	}
	if v.stored, err = v.cfg.Snapshots.Snapshots(ctx, p); err != nil {
		return fmt.Errorf("load snapshots: %w", err)
	}
	if v.first, v.end, err = v.cfg.Log.Bounds(ctx, bus.TopicCommands, p); err != nil {
		return fmt.Errorf("inspect command log: %w", err)
	}
	if v.outFirst, v.outEnd, err = v.cfg.Log.Bounds(ctx, bus.TopicCompleted, p); err != nil {
		return fmt.Errorf("inspect output log: %w", err)
	}
	v.m = NewMachine(p, v.cfg.NewEngine)
	at, err := v.startAt()
	if err != nil {
		return err
	}
	v.found = &Verification{Partition: p, From: 0, End: v.end}
	if at != nil {
		v.found.From = at.Next
		if err := v.restore(ctx, at); err != nil {
			return err
		}
	}
	v.m.Decide(decisions)
	return nil
}

// startAt returns the snapshot to begin at, nil for offset 0.
func (v *verifier) startAt() (*snapshot.Info, error) {
	var oldest, verified, named *snapshot.Info
	for i := range v.stored { // newest first
		s := &v.stored[i]
		if s.Next-1 < v.first || s.Next > v.end {
			continue
		}
		oldest = s
		if verified == nil && s.VerifiedMs > 0 {
			verified = s
		}
		if s.Next == v.cfg.From {
			named = s
		}
	}
	switch {
	case v.cfg.From >= 0 && named == nil:
		return nil, fmt.Errorf("%w: next offset %d", ErrNoSuchSnapshot, v.cfg.From)
	case v.cfg.From >= 0:
		return named, nil
	case v.cfg.From == FromVerified && verified != nil:
		return verified, nil
	case v.first == 0:
		return nil, nil //nolint:nilnil // from the beginning
	case oldest == nil:
		return nil, fmt.Errorf("%w: it begins at offset %d, and no snapshot is in it", ErrCommandLogTruncated, v.first)
	}
	return oldest, nil
}

// restore begins at a snapshot. One that is not what it should be is the difference.
func (v *verifier) restore(ctx context.Context, info *snapshot.Info) error {
	msg, err := v.cfg.Log.ReadOne(ctx, bus.TopicCommands, info.Partition, info.Next-1)
	if err != nil {
		return fmt.Errorf("read the last command of the snapshot at offset %d: %w", info.Next, err)
	}
	if got := bus.Fingerprint(msg); !bytes.Equal(got, info.Fingerprint) {
		v.found.Difference = &Difference{
			What: WhatCommand, Command: info.Next - 1, Record: -1,
			Field: "fingerprint", Stored: hex.EncodeToString(info.Fingerprint), Replayed: hex.EncodeToString(got),
		}
		return nil
	}
	image, err := v.cfg.Snapshots.SnapshotImage(ctx, info.Partition, info.Next)
	if err != nil {
		return fmt.Errorf("load image: %w", err)
	}
	m, err := restored(info, image, v.cfg.NewEngine)
	switch {
	case errors.Is(err, snapshot.ErrFormat) || errors.Is(err, ErrUnknownFlag):
		return fmt.Errorf("snapshot at offset %d is of another release: %w", info.Next, err)
	case err != nil:
		v.found.Difference = &Difference{What: WhatDamaged, Command: info.Next, Record: -1, Field: "image", Stored: err.Error(), Replayed: "nothing: it begins here"}
		return nil
	}
	v.m = m
	return nil
}

// restart returns another machine in m's state.
func restart(m *Machine, newEngine func() matching.Engine) (*Machine, error) {
	image, hash := snapshot.Encode(m.Capture())
	s, _, err := snapshot.Decode(image)
	if err != nil {
		return nil, err
	}
	again, err := RestoreMachine(s, hash, newEngine)
	if err != nil {
		return nil, err
	}
	again.decisions = m.decisions
	return again, nil
}

// searchMargin is how many records before the place that was looked up are read as well:
// another instance may have written some twice there.
const searchMargin = 4096

// recordsFrom looks up where in the output the records of the commands from the machine's
// offset on begin.
func (v *verifier) recordsFrom(ctx context.Context) (int64, error) {
	if v.m.Next() == 0 || v.found.Difference != nil {
		return v.outFirst, nil
	}
	low, high := v.outFirst, v.outEnd
	for low < high {
		mid := low + (high-low)/2
		msg, err := v.cfg.Log.ReadOne(ctx, bus.TopicCompleted, v.cfg.Partition, mid)
		if err != nil {
			return 0, fmt.Errorf("look up record %d: %w", mid, err)
		}
		if r, ok := recordOf(msg); ok && r.entry.Body.GetCommandOffset() >= v.m.Next() {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return max(v.outFirst, low-searchMargin), nil
}

// run replays and compares until the first difference.
func (v *verifier) run(ctx context.Context, outFrom int64) (*Verification, error) {
	found := *v.found
	if found.Difference != nil {
		return &found, nil
	}
	m, err := restart(v.m, v.cfg.NewEngine) // v.m stays as it is
	if err != nil {
		return nil, err
	}
	v.due = map[int64]*snapshot.Info{}
	for i := range v.stored {
		v.due[v.stored[i].Next] = &v.stored[i]
	}
	v.out = newPublished(v.cfg.Log, v.cfg.Partition, v.cfg.Symbol, outFrom, m)
	defer v.out.close()
	sub := v.cfg.Log.Subscribe(bus.TopicCommands, v.cfg.Partition, m.Next())
	defer sub.Close()
	for m.Next() < v.end {
		msgs, err := sub.Fetch(ctx, int(min(replayBatch, v.end-m.Next())), idleWait)
		if err != nil {
			return nil, fmt.Errorf("read command log: %w", err)
		}
		for i := range msgs {
			d, err := v.one(ctx, m, &found, msgs[i])
			if err != nil {
				return nil, err
			}
			if d != nil {
				found.Difference = d
				return &found, nil
			}
		}
		if v.cfg.Progress != nil {
			v.cfg.Progress(m.Next(), v.end)
		}
	}
	if found.Unpublished == 0 {
		found.Difference, err = v.out.rest(ctx, m.Next())
	}
	return &found, err
}

// one replays a command and compares what it gives.
func (v *verifier) one(ctx context.Context, m *Machine, found *Verification, msg bus.Message) (*Difference, error) {
	rec, ok, err := m.Replay(msg)
	if err != nil {
		return v.poisoned(ctx, err)
	}
	if ok && (v.cfg.Symbol == "" || v.cfg.Symbol == rec.Symbol) {
		if d, err := v.record(ctx, found, rec); err != nil || d != nil {
			return d, err
		}
	}
	info := v.due[m.Next()]
	if info == nil {
		return nil, nil //nolint:nilnil // nothing differs
	}
	return v.snapshot(ctx, m, found, info)
}

// record compares a record, unless one before it is not published yet either.
func (v *verifier) record(ctx context.Context, found *Verification, rec Sealed) (*Difference, error) {
	if found.Unpublished > 0 {
		found.Unpublished++
		return nil, nil //nolint:nilnil // nothing differs
	}
	d, published, err := v.out.compare(ctx, rec)
	switch {
	case err != nil || d != nil:
		return d, err
	case !published:
		found.Unpublished++
	default:
		found.Records++
	}
	return nil, nil //nolint:nilnil // nothing differs
}

// poisoned tells a command that nobody has executed from one that somebody has.
func (v *verifier) poisoned(ctx context.Context, cause error) (*Difference, error) {
	poison, ok := errors.AsType[*PoisonError](cause)
	if !ok || errors.Is(cause, ErrUnknownFlag) || errors.Is(cause, snapshot.ErrFormat) {
		return nil, cause
	}
	r, err := v.out.find(ctx, poison.Offset)
	if err != nil || r == nil {
		return nil, errors.Join(cause, err)
	}
	return r.differs(WhatExecuted, "execution", "a record", poison.Cause.Error()), nil
}

// snapshot compares a stored snapshot with the machine that has come to its place.
func (v *verifier) snapshot(ctx context.Context, m *Machine, found *Verification, info *snapshot.Info) (*Difference, error) {
	image, err := v.cfg.Snapshots.SnapshotImage(ctx, info.Partition, info.Next)
	if err != nil {
		return nil, fmt.Errorf("load snapshot at offset %d: %w", info.Next, err)
	}
	if len(image) == 0 && !v.stillThere(ctx, info.Next) {
		return nil, nil //nolint:nilnil // dropped meanwhile
	}
	replayed := m.Capture()
	again, hash := snapshot.Encode(replayed)
	if !bytes.Equal(image, again) || !bytes.Equal(hash, info.StateHash) || !bytes.Equal(replayed.Fingerprint, info.Fingerprint) {
		if d := v.snapshotDiffers(info, image, replayed, hash); d != nil {
			return d, nil
		}
		return nil, nil //nolint:nilnil // in another symbol than the one that is looked at
	}
	found.Snapshots = append(found.Snapshots, info.Next)
	if v.cfg.Symbol != "" { // a part of it was not compared with the records
		return nil, nil //nolint:nilnil // nothing differs
	}
	if err := v.cfg.Snapshots.MarkVerified(ctx, info.Partition, info.Next); err != nil {
		return nil, fmt.Errorf("note that the snapshot at offset %d is verified: %w", info.Next, err)
	}
	return nil, nil //nolint:nilnil // nothing differs
}

func (v *verifier) stillThere(ctx context.Context, next int64) bool {
	stored, err := v.cfg.Snapshots.Snapshots(ctx, v.cfg.Partition)
	if err != nil {
		return true
	}
	for i := range stored {
		if stored[i].Next == next {
			return true
		}
	}
	return false
}

// snapshotDiffers names the first thing in which a snapshot is not the replayed state;
// nil if it is in a symbol that is not looked at.
func (v *verifier) snapshotDiffers(info *snapshot.Info, image []byte, replayed *snapshot.State, hash []byte) *Difference {
	d := &Difference{What: WhatDamaged, Command: info.Next, Record: -1, Field: "image", Replayed: fmt.Sprintf("state hash %x", hash)}
	stored, err := info.Open(image)
	if err != nil {
		d.Stored = err.Error()
		return d
	}
	d.What = WhatSnapshot
	for i := range min(len(stored.Books), len(replayed.Books)) {
		a, b := &stored.Books[i], &replayed.Books[i]
		field, x, y, differs := firstDifference(a, b)
		if !differs {
			continue
		}
		if a.Name == b.Name && v.cfg.Symbol != "" && a.Name != v.cfg.Symbol {
			continue
		}
		d.Symbol, d.Seq, d.Field, d.Stored, d.Replayed = b.Name, b.Seq, field, x, y
		return d
	}
	if v.cfg.Symbol != "" {
		return nil
	}
	if field, x, y, differs := firstDifference(stored, replayed); differs {
		d.Field, d.Stored, d.Replayed = field, x, y
		return d
	}
	d.Field, d.Stored = "state hash", fmt.Sprintf("state hash %x", info.StateHash)
	return d
}
