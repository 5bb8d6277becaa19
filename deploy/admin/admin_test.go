package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"

	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/stream/remote"
	"mscoin/mscoin-common/testkit"
)

const (
	patience = 20 * time.Second
	token    = "token-of-the-tests"
	btc      = "BTC/USDT"
)

// suspended is a wallet with an order in suspense.
type suspended struct {
	walletpb.UnimplementedWalletServiceServer
}

func (suspended) ListSuspense(context.Context, *walletpb.ListSuspenseRequest) (*walletpb.ListSuspenseResponse, error) {
	return &walletpb.ListSuspenseResponse{Orders: []*walletpb.SuspendedOrder{
		{OrderId: 7, MemberId: 3, Symbol: btc, Seq: 2, Cause: "no hold\x1b[31m", SinceMs: 1000},
	}}, nil
}

// serve runs a wallet's consumer and its gRPC server, and writes the files that `make run` would.
func serve(t *testing.T) (client *bus.Client, dir string) {
	t.Helper()
	logx.Disable()
	client = testkit.Broker(t)
	db := testkit.SQLite(t)
	if err := db.MigratePositions(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := stream.New(stream.Config{Name: "wallet", Topic: bus.TopicSettle}, stream.Deps{
		Bus: stream.ClientBus(client), Store: stream.DatabaseStore(db), Clock: clock.Real(),
		Apply: func(context.Context, *database.Tx, []stream.Entry) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	server, err := rpc.NewServer(rpc.ServerConfig{ListenOn: "127.0.0.1:0", InternalToken: token}, func(g *grpc.Server) {
		walletpb.RegisterWalletServiceServer(g, suspended{})
		streampb.RegisterConsumerServiceServer(g, remote.NewServer(remote.ServerConfig{
			Consumer: "wallet", Topic: bus.TopicSettle, Partitions: 1, DB: db, Bus: stream.ClientBus(client), Clock: clock.Real(),
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopCtx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer stop()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := server.Stop(stopCtx); err != nil {
			t.Error(err)
		}
	})
	dir = t.TempDir()
	for name, content := range map[string]any{"services.json": map[string]string{"wallet": server.Addr()}, "secrets.json": map[string]string{"internalToken": token}} {
		text, err := json.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return client, dir
}

// TestRun has an operator find a halted symbol, look at what is parked, and get it going again.
func TestRun(t *testing.T) {
	client, dir := serve(t)
	admin := func(args ...string) (code int, stdout, stderr string) {
		var out, errOut bytes.Buffer
		getenv := func(name string) string { return map[string]string{"MSCOIN_DATA": dir}[name] }
		code = run(t.Context(), args, getenv, &out, &errOut)
		return code, out.String(), errOut.String()
	}
	list := func(wantCode int, args ...string) []map[string]string {
		t.Helper()
		code, out, errOut := admin(append(args, "-json")...)
		var rows []map[string]string
		if err := json.Unmarshal([]byte(out), &rows); err != nil || code != wantCode {
			t.Fatalf("%v: exit %d, %q, %q, %v", args, code, out, errOut, err)
		}
		return rows
	}
	if rows := list(exitFine, "halted"); len(rows) != 0 {
		t.Errorf("halted: %v", rows)
	}
	var prev []byte
	for seq := int64(1); seq <= 3; seq++ {
		value, hash, err := stream.Seal(&eventpb.RecordBody{Symbol: btc, Seq: seq}, prev)
		if err != nil {
			t.Fatal(err)
		}
		prev = hash
		topics := []string{bus.TopicCompleted, bus.TopicSettle}
		if seq == 2 {
			topics = topics[:1] // lost on the way to the wallet
		}
		for _, topic := range topics {
			if _, err := client.Produce(t.Context(), topic, 0, []bus.Message{{Key: []byte(btc), Value: value}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	testkit.Eventually(t, patience, func() bool { code, _, _ := admin("halted"); return code == exitWrong }, "the symbol is halted")
	h := list(exitWrong, "halted")[0]
	if h["service"] != "wallet" || h["symbol"] != btc || h["state"] != "halted: gap" || h["wantSeq"] != "2" || h["gotSeq"] != "3" || h["parked"] != "1" {
		t.Errorf("halted: %v", h)
	}
	if rows := list(exitWrong, "positions"); len(rows) != 2 || rows[1]["position"] != "1" {
		t.Errorf("positions: %v", rows)
	}
	if rows := list(exitFine, "lag"); len(rows) != 1 || rows[0]["records"] != "0" {
		t.Errorf("lag: %v", rows)
	}
	first := list(exitFine, "parked", "-service", "wallet", "-symbol", btc, "-values")[0]
	if first["seq"] != "3" || first["fingerprint"] == "" || first["value"] == "" {
		t.Errorf("parked: %v", first)
	}
	decision := []string{"-service", "wallet", "-symbol", btc, "-fingerprint", first["fingerprint"], "-from", bus.TopicCompleted}
	if code, _, errOut := admin(append([]string{"resync", "-by", "ann"}, decision...)...); code != exitUnknown || !strings.Contains(errOut, "why") {
		t.Errorf("without a reason: exit %d, %s", code, errOut)
	}
	decision = append(decision, "-by", "ann", "-reason", "lost by the broker")
	if rows := list(exitFine, append([]string{"resync"}, decision...)...); len(rows) != 1 || rows[0]["by"] != "ann" {
		t.Errorf("decided: %v", rows)
	}
	testkit.Eventually(t, patience, func() bool { code, _, _ := admin("halted"); return code == exitFine }, "live again")
	if rows := list(exitFine, "decisions"); len(rows) != 1 || rows[0]["action"] != "resync" || rows[0]["reason"] != "lost by the broker" || rows[0]["service"] != "wallet" {
		t.Errorf("decisions: %v", rows)
	}
	if rows := list(exitWrong, "suspense"); len(rows) != 1 || rows[0]["order"] != "7" || rows[0]["member"] != "3" {
		t.Errorf("suspense: %v", rows)
	}
	if _, out, _ := admin("suspense"); strings.Contains(out, "\x1b") || !strings.Contains(out, "ORDER") {
		t.Errorf("a cause reaches the terminal as it is: %q", out)
	}
}

func TestRun_Refuses(t *testing.T) {
	dir := t.TempDir()
	for what, args := range map[string][]string{
		"no command":         {},
		"an unknown command": {"forget"},
		"a word too many":    {"lag", "wallet"},
		"an unknown flag":    {"lag", "-force"},
		"no token":           {"lag", "-wallet", "127.0.0.1:1"},
	} {
		var out, errOut bytes.Buffer
		getenv := func(name string) string { return map[string]string{"MSCOIN_DATA": dir}[name] }
		if code := run(t.Context(), args, getenv, &out, &errOut); code != exitUnknown || errOut.Len() == 0 {
			t.Errorf("%s: exit %d, %q", what, code, errOut.String())
		}
	}
	getenv := func(name string) string {
		return map[string]string{"MSCOIN_INTERNAL_TOKEN": token, "MSCOIN_WALLET_ADDR": "127.0.0.1:1", "MSCOIN_DATA": dir}[name]
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"lag"}, getenv, &out, &errOut); code != exitUnknown || !strings.Contains(errOut.String(), "wallet") {
		t.Errorf("a service that is down: exit %d, %q", code, errOut.String())
	}
}

// matchers is an exchange with one partition, whose log differs and cannot be truncated.
type matchers struct {
	exchangepb.UnimplementedOperatorServiceServer

	moves *exchangepb.MoveSymbolRequest
}

func (*matchers) ListSnapshots(context.Context, *exchangepb.ListSnapshotsRequest) (*exchangepb.ListSnapshotsResponse, error) {
	return &exchangepb.ListSnapshotsResponse{Snapshots: []*exchangepb.SnapshotInfo{
		{NextOffset: 20, TakenMs: 1000, Size: 5, Format: 1, StateHash: []byte{1, 2}, NotUsable: "wallet"}, {NextOffset: 10, VerifiedMs: 2000},
	}}, nil
}

func (*matchers) VerifyLog(req *exchangepb.VerifyLogRequest, s grpc.ServerStreamingServer[exchangepb.VerifyLogResponse]) error {
	if err := s.Send(&exchangepb.VerifyLogResponse{NextOffset: 3, EndOffset: 9}); err != nil {
		return err
	}
	r := &exchangepb.VerifyReport{Partition: req.GetPartition(), EndOffset: 9, Records: 4, Snapshots: []int64{3}}
	if req.GetFrom() == exchangepb.VerifyFrom_VERIFY_FROM_BEGINNING {
		r.Difference = &exchangepb.Difference{What: "record differs", CommandOffset: 4, RecordOffset: 5, Symbol: btc, Seq: 6, Field: "LogTimeMs", Stored: "1", Replayed: "2"}
	}
	return s.Send(&exchangepb.VerifyLogResponse{Report: r})
}

func (*matchers) TruncateLog(*exchangepb.TruncateLogRequest, grpc.ServerStreamingServer[exchangepb.TruncateLogResponse]) error {
	return errs.New(errs.KindFailedPrecondition, errs.CodeNotVerified, "verify first")
}

func (m *matchers) MoveSymbol(req *exchangepb.MoveSymbolRequest, s grpc.ServerStreamingServer[exchangepb.MoveSymbolResponse]) error {
	m.moves = req
	if err := s.Send(&exchangepb.MoveSymbolResponse{Step: "halted", Seq: 7}); err != nil {
		return err
	}
	if req.GetToPartition() == 2 {
		return errs.New(errs.KindUnavailable, errs.CodeFollowerBehind, "repeat it")
	}
	return s.Send(&exchangepb.MoveSymbolResponse{Step: "moved", Done: true})
}

func (*matchers) SetFlags(_ context.Context, req *exchangepb.SetFlagsRequest) (*exchangepb.SetFlagsResponse, error) {
	return &exchangepb.SetFlagsResponse{Seq: 8, Flags: req.GetFlags(), Known: []string{"a", "b"}}, nil
}

func (*matchers) SkipCommand(_ context.Context, req *exchangepb.SkipCommandRequest) (*exchangepb.SkipCommandResponse, error) {
	return &exchangepb.SkipCommandResponse{Cause: "panic: x\nstack of " + req.GetDecidedBy().GetName()}, nil
}

// TestRun_Matchers has an operator look after matchers and their logs.
func TestRun_Matchers(t *testing.T) {
	logx.Disable()
	m := &matchers{}
	server, err := rpc.NewServer(rpc.ServerConfig{ListenOn: "127.0.0.1:0", InternalToken: token}, func(g *grpc.Server) {
		exchangepb.RegisterOperatorServiceServer(g, m)
	})
	if err == nil {
		err = server.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	by := []string{"-by", "ann", "-reason", "r"}
	for _, tt := range []struct {
		args []string
		code int
		want []string // in what is printed
	}{
		{[]string{"snapshots"}, exitFine, []string{"0102", "NOT REACHED BY", "wallet", "1970-01-01T00:00:02.000Z", "no"}},
		{[]string{"verify", "-partition", "0"}, exitFine, []string{"the same", "partition 0: 3 of 9"}},
		{[]string{"verify", "-partition", "0", "-from", "beginning"}, exitWrong, []string{"record differs", "LogTimeMs", btc}},
		{[]string{"verify", "-partition", "0", "-from", "yesterday"}, exitUnknown, []string{"-from is"}},
		{[]string{"truncate", "-dry-run"}, exitUnknown, []string{"-partition is missing"}},
		{[]string{"truncate", "-partition", "0"}, exitUnknown, []string{"no address of the market"}},
		{[]string{"truncate", "-partition", "0", "-without-market"}, exitUnknown, []string{"NOT_VERIFIED"}},
		{append([]string{"move", "-symbol", btc, "-to", "1", "-market", "127.0.0.1:1"}, by...), exitFine, []string{"halted", "7", "moved"}},
		{append([]string{"move", "-symbol", btc, "-to", "2", "-without-market"}, by...), exitUnknown, []string{"say it again with -request"}},
		{append([]string{"move", "-symbol", btc}, by...), exitUnknown, []string{"-to is missing"}},
		{append([]string{"flag", "-symbol", btc, "-set", "b,a"}, by...), exitFine, []string{"a b"}},
		{append([]string{"skip-command", "-partition", "0", "-offset", "4", "-fingerprint", "0a"}, by...), exitFine, []string{"panic: x"}},
		{append([]string{"skip-command", "-partition", "0", "-offset", "4", "-fingerprint", "xyz"}, by...), exitUnknown, []string{"hexadecimal"}},
	} {
		var out bytes.Buffer
		getenv := func(name string) string {
			return map[string]string{"MSCOIN_INTERNAL_TOKEN": token, "MSCOIN_EXCHANGE_ADDR": server.Addr(), "MSCOIN_DATA": t.TempDir()}[name]
		}
		if code := run(t.Context(), tt.args, getenv, &out, &out); code != tt.code {
			t.Errorf("%v: exit %d, want %d: %s", tt.args, code, tt.code, out.String())
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: no %q in %s", tt.args, want, out.String())
			}
		}
		if tt.args[0] == "move" && tt.code == exitFine {
			f := m.moves.GetFollowers()
			if len(f) != 1 || f[0].GetEndpoint() != "127.0.0.1:1" || m.moves.GetDecidedBy().GetRequestId() == "" || m.moves.GetDecidedBy().GetName() != "ann" {
				t.Errorf("asked for %v", m.moves)
			}
		}
	}
}
