package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/operator"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/store"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

func decidedBy(id string) *exchangepb.DecidedBy {
	return &exchangepb.DecidedBy{RequestId: id, Name: "operator", Reason: "a test"}
}

// verify verifies a partition and returns the report.
func (r *rig) verify(partition int32, from exchangepb.VerifyFrom) (*exchangepb.VerifyReport, error) {
	s, err := r.op.VerifyLog(r.t.Context(), &exchangepb.VerifyLogRequest{Partition: partition, From: from})
	if err != nil {
		return nil, err
	}
	for {
		res, err := s.Recv()
		if err != nil || res.GetReport() != nil {
			return res.GetReport(), err
		}
	}
}

// clean fails unless a partition's log, records and snapshots fit from the beginning on.
func (r *rig) clean(partition int32) *exchangepb.VerifyReport {
	r.t.Helper()
	v, err := r.verify(partition, exchangepb.VerifyFrom_VERIFY_FROM_BEGINNING)
	if err != nil || v.GetDifference() != nil {
		r.t.Fatalf("partition %d: %v, %v", partition, v, err)
	}
	return v
}

// quiet waits until every consumer has applied everything and no snapshot is on its way.
func (r *rig) quiet() {
	r.t.Helper()
	testkit.Eventually(r.t, waitLimit, func() bool {
		for p := range r.cfg.Partitions {
			s := r.svc.partitions[p].run.Load()
			if s == nil {
				return false
			}
			_, end, err := r.bus.Bounds(context.Background(), bus.TopicCompleted, p)
			at, posErr := r.svc.db.LoadPosition(context.Background(), "order", bus.TopicCompleted, p)
			if err != nil || posErr != nil || at.NextOffset != end {
				return false
			}
		}
		stored, err := r.svc.db.LoadSymbolPositions(context.Background(), "order")
		r.wallet.mu.Lock()
		defer r.wallet.mu.Unlock()
		for name, at := range stored {
			if r.wallet.seqs[name] != at.Seq {
				return false
			}
		}
		return err == nil
	}, "everything is applied")
}

// busy places and cancels, and leaves an order open for each round.
func (r *rig) busy(rounds int) (open []int64) {
	r.t.Helper()
	for i := range rounds {
		maker := r.must(limit(2, sell, fmt.Sprintf("%d.00", 60000+i), "0.2"))
		r.must(limit(1, buy, fmt.Sprintf("%d.00", 60000+i), "0.1"))
		res := r.must(limit(1, buy, "50000.00", "0.01"))
		if _, err := r.rpc.CancelOrder(r.t.Context(), &exchangepb.CancelOrderRequest{MemberId: 1, OrderId: res.Order.OrderId}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.rpc.CancelOrder(r.t.Context(), &exchangepb.CancelOrderRequest{MemberId: 2, OrderId: maker.Order.OrderId}); err != nil {
			r.t.Fatal(err)
		}
		open = append(open, r.must(limit(2, sell, fmt.Sprintf("%d.00", 70000+i), "0.1")).Order.OrderId)
	}
	return open
}

// snapshots lists what is stored of a partition, newest first.
func (r *rig) snapshots(partition int32) []*exchangepb.SnapshotInfo {
	r.t.Helper()
	res, err := r.op.ListSnapshots(r.t.Context(), &exchangepb.ListSnapshotsRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(res.GetSnapshots(), func(i *exchangepb.SnapshotInfo) bool { return i.GetPartition() != partition })
}

func (r *rig) truncate(req *exchangepb.TruncateLogRequest) (*exchangepb.TruncateLogResponse, error) {
	s, err := r.op.TruncateLog(r.t.Context(), req)
	if err != nil {
		return nil, err
	}
	return s.Recv()
}

func TestOperator_Verify(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.busy(3)
	r.restart() // leaves a snapshot of the end
	r.busy(2)
	r.quiet()
	t.Run("what the naive matcher gives is what was published and stored (C8)", func(t *testing.T) {
		v := r.clean(0)
		if v.GetFromOffset() != 0 || v.GetRecords() < 25 || v.GetUnpublished() != 0 || len(v.GetSnapshots()) == 0 {
			t.Errorf("got %v", v)
		}
		stored := r.snapshots(0)
		if len(stored) == 0 || stored[len(stored)-1].GetVerifiedMs() == 0 {
			t.Errorf("the oldest is not noted as verified: %v", stored)
		}
	})
	t.Run("the next time it goes on from there", func(t *testing.T) {
		v, err := r.verify(0, exchangepb.VerifyFrom_VERIFY_FROM_UNSPECIFIED)
		if err != nil || v.GetDifference() != nil || v.GetFromOffset() == 0 {
			t.Errorf("got %v, %v", v, err)
		}
	})
	t.Run("an altered snapshot is named", func(t *testing.T) {
		stored, err := store.NewSnapshots(r.svc.db, clock.Real()).Snapshots(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		err = r.svc.db.Tx(t.Context(), func(tx *database.Tx) error {
			return tx.DB().Exec("UPDATE exchange_snapshot SET state_hash = ? WHERE next_offset = ?", make([]byte, 32), stored[0].Next).Error
		})
		if err != nil {
			t.Fatal(err)
		}
		v, err := r.verify(0, exchangepb.VerifyFrom_VERIFY_FROM_BEGINNING)
		d := v.GetDifference()
		if err != nil || d.GetWhat() != sequencer.WhatDamaged || d.GetCommandOffset() != stored[0].Next {
			t.Errorf("got %v, %v", v, err)
		}
	})
	t.Run("what does not exist is refused", func(t *testing.T) {
		if _, err := r.verify(7, 0); errs.CodeOf(err) != errs.CodeBadRequest {
			t.Errorf("partition: %v", err)
		}
		s, err := r.op.VerifyLog(t.Context(), &exchangepb.VerifyLogRequest{From: exchangepb.VerifyFrom_VERIFY_FROM_SNAPSHOT, SnapshotOffset: 1 << 40})
		if err == nil {
			_, err = s.Recv()
		}
		if errs.CodeOf(err) != errs.CodeBadRequest {
			t.Errorf("snapshot: %v", err)
		}
	})
}

func TestOperator_Truncate(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	open := r.busy(4)
	r.quiet()
	if _, err := r.truncate(&exchangepb.TruncateLogRequest{DryRun: true}); errs.CodeOf(err) != errs.CodeNotVerified {
		t.Fatalf("snapshots that nobody has verified: %v", err)
	}
	testkit.Eventually(t, waitLimit, func() bool {
		r.clean(0)
		verified := 0
		for _, i := range r.snapshots(0) {
			if i.GetVerifiedMs() > 0 {
				verified++
			}
		}
		if verified < 3 {
			r.busy(1)
			r.quiet()
		}
		return verified >= 3
	}, "three snapshots are verified")
	stored := r.snapshots(0)
	t.Run("a consumer that is behind keeps what it needs", func(t *testing.T) {
		r.wallet.claims(&streampb.GetPositionsResponse{Consumer: "wallet", Symbols: []*streampb.SymbolPosition{{Symbol: btc, Seq: 1}}})
		defer r.wallet.claims(nil)
		if _, err := r.truncate(&exchangepb.TruncateLogRequest{DryRun: true}); errs.CodeOf(err) != errs.CodeFollowerBehind || !strings.Contains(err.Error(), "wallet") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("so does one that the caller names, and one that does not answer", func(t *testing.T) {
		other := newFakeWallet()
		other.claims(&streampb.GetPositionsResponse{Consumer: "market"})
		req := &exchangepb.TruncateLogRequest{DryRun: true, Followers: []*exchangepb.Follower{{Name: "market", Endpoint: other.serve(t)}}}
		if _, err := r.truncate(req); errs.CodeOf(err) != errs.CodeFollowerBehind || !strings.Contains(err.Error(), "market") {
			t.Errorf("got %v", err)
		}
		req.Followers[0].Endpoint = "127.0.0.1:1"
		if _, err := r.truncate(req); errs.KindOf(err) != errs.KindUnavailable {
			t.Errorf("got %v", err)
		}
	})
	dry, err := r.truncate(&exchangepb.TruncateLogRequest{DryRun: true, Records: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a dry run deletes nothing, and a nameless one is refused", func(t *testing.T) {
		if _, err := r.truncate(&exchangepb.TruncateLogRequest{}); errs.CodeOf(err) != errs.CodeBadRequest {
			t.Errorf("without a name: %v", err)
		}
		for _, topic := range dry.GetTopics() {
			if first, _, err := r.bus.Bounds(t.Context(), topic.GetTopic(), 0); err != nil || first != 0 {
				t.Errorf("%s begins at %d, %v", topic.GetTopic(), first, err)
			}
		}
		if keep := dry.GetSnapshotOffset(); keep != stored[len(stored)-2].GetNextOffset() || dry.GetTopics()[0].GetNewFirstOffset() != keep-1 {
			t.Errorf("it would keep %v of %v", dry, stored)
		}
	})
	done, err := r.truncate(&exchangepb.TruncateLogRequest{Records: true, DecidedBy: decidedBy("t1")})
	if err != nil || !proto.Equal(done, dry) {
		t.Fatalf("got %v, %v, want %v", done, err, dry)
	}
	t.Run("the logs begin where they should, and trading goes on over starts", func(t *testing.T) {
		for _, topic := range done.GetTopics() {
			if first, _, err := r.bus.Bounds(t.Context(), topic.GetTopic(), 0); err != nil || first != topic.GetNewFirstOffset() || first == 0 {
				t.Errorf("%s begins at %d, %v", topic.GetTopic(), first, err)
			}
		}
		r.restart()
		for _, id := range open {
			if o := r.get(2, id); o.State != eventpb.OrderState_ORDER_STATE_NEW {
				t.Errorf("order %d: %v", id, o)
			}
		}
		taken := r.must(limit(1, buy, "70000.00", "0.1"))
		if len(taken.Fills) != 1 || taken.Fills[0].OrderId == 0 {
			t.Errorf("got %v", taken)
		}
		r.settled(taken.Position)
		r.quiet()
		if v := r.clean(0); v.GetFromOffset() == 0 {
			t.Errorf("got %v", v)
		}
		r.balances(nil)
	})
	t.Run("a repetition of the request is the same decision, another action is not", func(t *testing.T) {
		if _, err := r.truncate(&exchangepb.TruncateLogRequest{DecidedBy: decidedBy("t1")}); err != nil {
			t.Error(err)
		}
		if _, err := r.op.SetFlags(t.Context(), &exchangepb.SetFlagsRequest{Symbol: btc, DecidedBy: decidedBy("t1")}); errs.CodeOf(err) != errs.CodeIdempotencyMismatch {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without the snapshots that it needs, a start is refused, and says so", func(t *testing.T) {
		r.shutdown()
		db := testkit.OpenDatabase(t, r.cfg.Database)
		if err := db.Tx(t.Context(), func(tx *database.Tx) error { return tx.DB().Exec("DELETE FROM exchange_snapshot").Error }); err != nil {
			t.Fatal(err)
		}
		svc, err := newService(t.Context(), r.cfg, r.parts)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
		defer cancel()
		err = svc.Run(ctx)
		if !errors.Is(err, sequencer.ErrCommandLogTruncated) || !strings.Contains(err.Error(), "there is no snapshot") {
			t.Errorf("got %v", err)
		}
	})
}

func (r *rig) move(to int32, id string) (steps []string, err error) {
	s, err := r.op.MoveSymbol(r.t.Context(), &exchangepb.MoveSymbolRequest{Symbol: btc, ToPartition: to, DecidedBy: decidedBy(id)})
	for err == nil {
		var res *exchangepb.MoveSymbolResponse
		if res, err = s.Recv(); err == nil {
			steps = append(steps, res.GetStep())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return steps, err
}

// moved checks that a symbol trades on a partition with the orders that it had.
func (r *rig) moved(partition int32, open int64) {
	r.t.Helper()
	testkit.Eventually(r.t, waitLimit, func() bool {
		res, err := r.rpc.ListSymbols(context.Background(), &exchangepb.ListSymbolsRequest{})
		return err == nil && res.Symbols[0].Partition == partition && res.Symbols[0].Phase == eventpb.Phase_PHASE_TRADING
	}, "it trades on partition %d", partition)
	var res *exchangepb.PlaceOrderResponse
	testkit.Eventually(r.t, waitLimit, func() bool {
		var err error
		res, err = r.place(limit(1, buy, "70000.00", "0.01"))
		return err == nil
	}, "an order is taken")
	if len(res.Fills) != 1 {
		r.t.Fatalf("the order that waited is gone: %v", res)
	}
	r.settled(res.Position)
	o := r.get(2, open, res.Position)
	if o.State != eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED {
		r.t.Errorf("got %v", o)
	}
	r.atRest()
	r.balances(nil)
}

var moveSteps = []string{
	operator.StepBegun, operator.StepHalted, operator.StepLeft, operator.StepPassed, operator.StepAdopted, operator.StepRouted,
	operator.StepResumed, operator.StepDone,
}

func TestOperator_Move(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	open := r.busy(2)
	t.Run("what cannot be is refused, and nothing changes", func(t *testing.T) {
		for code, req := range map[errs.Code]*exchangepb.MoveSymbolRequest{
			errs.CodeUnknownSymbol: {Symbol: "X/Y", ToPartition: 1, DecidedBy: decidedBy("x")},
			errs.CodeBadRequest:    {Symbol: btc, ToPartition: 2, DecidedBy: decidedBy("x")},
		} {
			s, err := r.op.MoveSymbol(t.Context(), req)
			if err == nil {
				_, err = s.Recv()
			}
			if errs.CodeOf(err) != code {
				t.Errorf("got %v, want %s", err, code)
			}
		}
		if _, err := r.move(1, ""); errs.CodeOf(err) != errs.CodeBadRequest {
			t.Errorf("without a request id: %v", err)
		}
	})
	t.Run("a symbol moves with its orders and its chain, there and back", func(t *testing.T) {
		for i, to := range []int32{1, 0, 1} {
			steps, err := r.move(to, fmt.Sprint("there", i))
			if err != nil || !slices.Equal(steps, moveSteps) {
				t.Fatalf("steps %v, %v", steps, err)
			}
			r.moved(to, open[0])
			if steps, err := r.move(to, fmt.Sprint("there", i)); err != nil || !slices.Equal(steps, []string{operator.StepDone}) {
				t.Errorf("again: %v, %v", steps, err)
			}
			r.quiet()
			r.clean(0)
			r.clean(1)
			r.restart()
		}
	})
	t.Run("who moved it, and why, is recorded", func(t *testing.T) {
		all, err := r.svc.db.ListDecisions(t.Context(), "order", 10)
		if err != nil || len(all) != 3 || all[0].Action != "move" || all[0].By != "operator" || all[0].Reason != "a test" || all[0].Symbol != btc {
			t.Errorf("got %v, %v", all, err)
		}
	})
	t.Run("a consumer that has not passed keeps it halted, and another target is refused meanwhile", func(t *testing.T) {
		r.wallet.claims(&streampb.GetPositionsResponse{Consumer: "wallet", Symbols: []*streampb.SymbolPosition{{Symbol: btc, Seq: 1}}})
		ctx, cancel := context.WithCancel(t.Context())
		s, err := r.op.MoveSymbol(ctx, &exchangepb.MoveSymbolRequest{Symbol: btc, ToPartition: 0, DecidedBy: decidedBy("slow")})
		for err == nil {
			var res *exchangepb.MoveSymbolResponse
			if res, err = s.Recv(); res.GetStep() == operator.StepLeft {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.move(0, "beside"); errs.CodeOf(err) != errs.CodeOverloaded {
			t.Errorf("while it moves: %v", err)
		}
		cancel()
		testkit.Eventually(t, waitLimit, func() bool {
			_, err := r.move(3, "beside")
			return errs.CodeOf(err) == errs.CodeBadRequest
		}, "the move that nobody waits for ends")
		if _, err := r.move(1, "back"); errs.CodeOf(err) != errs.CodeMoveInProgress {
			t.Errorf("back: %v", err)
		}
		if _, err := r.place(limit(1, buy, "60000.00", "1")); errs.CodeOf(err) != errs.CodeMatcherMoving {
			t.Errorf("an order meanwhile: %v", err)
		}
		r.restart() // it is ready, although it does not know the symbol
		r.wallet.claims(nil)
		if _, err := r.move(0, "slow"); err != nil {
			t.Fatal(err)
		}
		r.moved(0, open[0])
	})
}

func TestOperator_MoveInterrupted(t *testing.T) {
	for _, step := range moveSteps {
		t.Run("a crash before '"+step+"' loses nothing, and the move can be finished", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 2)
			r.shutdown()
			stopAt := step
			r.parts.moving = func(at string) error {
				if at == stopAt {
					return errInjected
				}
				return nil
			}
			r.start()
			open := r.busy(1)
			if _, err := r.move(1, "m"); err == nil {
				t.Fatal("it was not interrupted")
			}
			r.shutdown()
			stopAt = ""
			r.start()
			if _, err := r.move(1, "m"); err != nil {
				t.Fatal(err)
			}
			r.moved(1, open[0])
			r.quiet()
			r.clean(0)
			r.clean(1)
		})
	}
}

func TestOperator_Instances(t *testing.T) {
	t.Parallel()
	a, b := pair(t) // a owns partition 0 with BTC/USDT, b partition 1
	open := a.busy(1)
	if _, err := b.move(1, "m"); err != nil { // b sends it on to a
		t.Fatal(err)
	}
	for _, via := range []*rig{a, b} {
		via.moved(1, open[0])
	}
	if _, err := a.move(0, "n"); err != nil {
		t.Fatal(err)
	}
	a.moved(0, open[0])
}

func TestOperator_Flags(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	set := func(id string, flags ...string) (*exchangepb.SetFlagsResponse, error) {
		return r.op.SetFlags(t.Context(), &exchangepb.SetFlagsRequest{Symbol: btc, Flags: flags, DecidedBy: decidedBy(id)})
	}
	res, err := set("f1", sequencer.FlagBoundedBook)
	if err != nil || res.GetSeq() == 0 || !slices.Equal(res.GetFlags(), []string{sequencer.FlagBoundedBook}) || len(res.GetKnown()) == 0 {
		t.Fatalf("got %v, %v", res, err)
	}
	if _, err := set("f2", "of-tomorrow"); errs.CodeOf(err) != errs.CodeUnknownFlag {
		t.Errorf("a flag that stops this release: %v", err)
	}
	if res, err := set("f3"); err != nil || len(res.GetFlags()) != 0 {
		t.Errorf("off: %v, %v", res, err)
	}
	all, err := r.svc.db.ListDecisions(t.Context(), "order", 10)
	if err != nil || len(all) != 2 {
		t.Errorf("decisions: %v, %v", all, err)
	}
	r.must(limit(2, sell, "60000.00", "1"))
}

func TestOperator_Skip(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shutdown()
	r.cfg.Lease = quick // an instance that is alone would end
	r.start()
	r.must(limit(2, sell, "60000.00", "1"))
	skip := func(id string, offset int64, fingerprint []byte) error {
		_, err := r.op.SkipCommand(t.Context(), &exchangepb.SkipCommandRequest{Offset: offset, Fingerprint: fingerprint, DecidedBy: decidedBy(id)})
		return err
	}
	healthy, err := r.bus.ReadOne(t.Context(), bus.TopicCommands, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := skip("s0", 1, bus.Fingerprint(healthy)); errs.CodeOf(err) != errs.CodeNotPoison {
		t.Errorf("a command that has been executed: %v", err)
	}
	value, err := proto.Marshal(&eventpb.Command{CommandId: 1, Symbol: btc, Body: &eventpb.Command_SetFlags{SetFlags: &eventpb.SetFlagsCommand{Flags: []string{"of-tomorrow"}}}})
	if err != nil {
		t.Fatal(err)
	}
	offset, err := r.bus.Produce(t.Context(), bus.TopicCommands, 0, []bus.Message{{Key: []byte(btc), Value: value}})
	if err != nil {
		t.Fatal(err)
	}
	poison, err := r.bus.ReadOne(t.Context(), bus.TopicCommands, 0, offset)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, waitLimit, func() bool {
		f := r.svc.partitions[0].failure.Load()
		p, ok := (*sequencer.PoisonError)(nil), false
		if f != nil {
			p, ok = errors.AsType[*sequencer.PoisonError](*f)
		}
		return ok && p.Offset == offset
	}, "the matcher stands at the command")
	if err := skip("s1", offset, []byte("another")); errs.CodeOf(err) != errs.CodeNotPoison {
		t.Errorf("another fingerprint: %v", err)
	}
	if err := skip("s1", offset-1, bus.Fingerprint(poison)); errs.CodeOf(err) != errs.CodeNotPoison {
		t.Errorf("another offset: %v", err)
	}
	for range 2 { // repeated
		if err := skip("s1", offset, bus.Fingerprint(poison)); err != nil && errs.CodeOf(err) != errs.CodeNotPoison {
			t.Fatal(err)
		}
	}
	var res *exchangepb.PlaceOrderResponse
	testkit.Eventually(t, waitLimit, func() bool {
		res, err = r.place(limit(1, buy, "60000.00", "0.1"))
		return err == nil
	}, "the matcher goes on")
	r.settled(res.Position)
	r.restart() // every replay obeys
	r.quiet()
	r.clean(0)
	all, err := r.svc.db.ListDecisions(t.Context(), "order", 10)
	if err != nil || len(all) != 1 || all[0].Action != "skip-command" {
		t.Errorf("decisions: %v, %v", all, err)
	}
}

func TestOperator_SkipPublished(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shutdown()
	r.cfg.Snapshot.EveryCommands = 1_000_000 // no commands beside those of the test
	r.start()
	res := r.must(limit(2, sell, "60000.00", "1"))
	record, err := sequencer.Answered(t.Context(), r.svc.log, 0, 1)
	if err != nil || record == nil || record.Symbol != btc {
		t.Errorf("command 1 is answered: %v, %v", record, err)
	}
	_, end, err := r.bus.Bounds(t.Context(), bus.TopicCommands, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.settled(res.Position)
	value, err := proto.Marshal(&eventpb.Command{Symbol: "NONE"})
	if err != nil {
		t.Fatal(err)
	}
	at, err := r.bus.Produce(t.Context(), bus.TopicCommands, 0, []bus.Message{{Key: []byte("NONE"), Value: value}})
	if err != nil || at < end {
		t.Fatal(at, err)
	}
	if record, err := sequencer.Answered(t.Context(), r.svc.log, 0, at); err != nil || record != nil {
		t.Errorf("nothing answers the last command: %v, %v", record, err)
	}
}
