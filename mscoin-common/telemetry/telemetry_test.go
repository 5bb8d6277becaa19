package telemetry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func gather(t *testing.T, from prometheus.Gatherer) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*dto.MetricFamily{}
	for _, f := range families {
		found[f.GetName()] = f
	}
	return found
}

func TestCollect(t *testing.T) {
	gauges := prometheus.NewRegistry()
	r := newRegistry(gauges)
	lag := func(value float64) Collector {
		return func(_ context.Context, emit Emit) error {
			emit(ConsumerLag, value, "wallet", "0")
			return nil
		}
	}
	t.Run("gauges are looked up when somebody asks", func(t *testing.T) {
		value := 1.0
		stop := r.add(func(ctx context.Context, emit Emit) error { return lag(value)(ctx, emit) })
		defer stop()
		for _, value = range []float64{7, 8} {
			if got := gather(t, gauges)["mscoin_consumer_lag_records"].GetMetric()[0].GetGauge().GetValue(); got != value {
				t.Errorf("got %v, want %v", got, value)
			}
		}
	})
	t.Run("a collector that is stopped is asked no more", func(t *testing.T) {
		r.add(lag(1))()
		if f := gather(t, gauges)["mscoin_consumer_lag_records"]; f != nil {
			t.Errorf("got %v", f)
		}
	})
	t.Run("two instances in one process do not make the answer invalid: the later one counts", func(t *testing.T) {
		defer r.add(lag(1))()
		defer r.add(lag(2))()
		if got := gather(t, gauges)["mscoin_consumer_lag_records"].GetMetric(); len(got) != 1 || got[0].GetGauge().GetValue() != 2 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("one that fails hides nothing of the others", func(t *testing.T) {
		defer r.add(func(context.Context, Emit) error { return errors.New("database is away") })()
		defer r.add(lag(3))()
		defer r.add(func(_ context.Context, emit Emit) error { emit(ConsumerLag, 1, "a label is missing"); return nil })()
		if got := gather(t, gauges)["mscoin_consumer_lag_records"].GetMetric(); len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

func TestStep(t *testing.T) {
	t.Run("nothing happens to what is not traced", func(t *testing.T) {
		if next := Step(t.Context(), "", "matched", time.Time{}, time.Time{}); next != "" {
			t.Errorf("got %q", next)
		}
		if parent := Parent(t.Context()); parent != "" {
			t.Errorf("got %q", parent)
		}
		ctx, end := Begin(t.Context(), "command written")
		end()
		if ctx != t.Context() {
			t.Error("a step was begun")
		}
	})
	t.Run("nonsense in a record's header is not carried on", func(t *testing.T) {
		for _, parent := range []string{"x", strings.Repeat("-", 55), "00-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 16) + "-01"} {
			if next := Step(t.Context(), parent, "matched", time.Time{}, time.Time{}); next != "" {
				t.Errorf("%q became %q", parent, next)
			}
		}
	})
}

func TestConfig_Validate(t *testing.T) {
	for name, cfg := range map[string]Config{
		"a port alone":                {ListenOn: "9100"},
		"an exporter nobody knows":    {Traces: TraceConfig{Exporter: "carrier pigeon", Endpoint: "x"}},
		"an exporter without an end":  {Traces: TraceConfig{Exporter: ExporterOTLPGRPC}},
		"more samples than requests":  {Traces: TraceConfig{SamplePpm: 1_000_001}},
		"a negative share of samples": {Traces: TraceConfig{SamplePpm: -1}},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if err := cfg.Validate(); err == nil {
				t.Error("accepted")
			}
		})
	}
	t.Run("nothing at all is fine", func(t *testing.T) {
		if err := (&Config{}).Validate(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkStep_NotTraced(b *testing.B) {
	now := time.UnixMilli(0)
	for b.Loop() {
		Step(b.Context(), "", "matched", now, now)
	}
}

func BenchmarkOrder(b *testing.B) {
	for b.Loop() {
		Order("", time.Millisecond)
	}
}
