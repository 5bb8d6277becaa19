package sequencer

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	"mscoin/exchange/matching"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
)

// flow returns a log of n commands around one price: places that rest, places that
// take, and cancels.
func flow(n int) []bus.Message {
	rnd := rand.New(rand.NewPCG(1, 2))
	cmds := []*eventpb.Command{rules(btc, "BTC", "USDT")}
	for id := int64(1); len(cmds) < n; id++ {
		cmd := &eventpb.Command{CommandId: id, Symbol: btc}
		if id > 100 && rnd.IntN(3) == 0 {
			victim := id - 1 - rnd.Int64N(100)
			cmd.Body = &eventpb.Command_Cancel{Cancel: &eventpb.CancelCommand{OrderId: victim, MemberId: 1 + victim%50}}
		} else {
			side := buy
			price := (1000 - rnd.Int64N(50) + 8) * usdt
			if rnd.IntN(2) == 0 {
				side, price = sell, (1000+rnd.Int64N(50)-8)*usdt
			}
			cmd.Body = &eventpb.Command_Place{Place: placing(id, 1+id%50, side, price, (1+rnd.Int64N(20))*bitcoin/10)}
		}
		cmds = append(cmds, cmd)
	}
	msgs := make([]bus.Message, len(cmds))
	for i, cmd := range cmds {
		value, err := proto.Marshal(cmd)
		if err != nil {
			panic(err)
		}
		msgs[i] = bus.Message{Offset: int64(i), TimeMs: 1_000_000, Key: []byte(cmd.Symbol), Value: value}
	}
	return msgs
}

// BenchmarkMachine is one command: decode, match, encode, hash.
func BenchmarkMachine(b *testing.B) { benchmark(b, (*Machine).Apply) }

// BenchmarkReplay is one command of a replay, which compares the hash only.
func BenchmarkReplay(b *testing.B) { benchmark(b, (*Machine).Replay) }

func benchmark(b *testing.B, apply func(*Machine, bus.Message) (Sealed, bool, error)) {
	msgs := flow(200_000)
	m := NewMachine(0, func() matching.Engine { return matching.New() })
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		at := i % len(msgs)
		if at == 0 {
			m = NewMachine(0, func() matching.Engine { return matching.New() })
		}
		if _, _, err := apply(m, msgs[at]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}

// BenchmarkSequencer is the loop with a log in memory: log → match → record.
func BenchmarkSequencer(b *testing.B) {
	logx.Disable()
	l := newFakeLog()
	l.topics[bus.TopicCommands] = flow(b.N + 1)
	s := New(Config{
		NewEngine: func() matching.Engine { return matching.New() }, Clock: clock.Real(), Log: l,
		Positions: func(context.Context) (Positions, error) { return Positions{}, nil },
	})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.ResetTimer()
	go func() { ended <- s.Run(ctx) }()
	for !s.Ready() {
		<-clock.Real().After(100 * time.Microsecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
