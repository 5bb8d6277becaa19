package testkit

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Metric returns the sum of this process' series of that name whose labels include those
// given as name, value, …; of a histogram, how much was observed. found is false when there
// is no such series.
func Metric(t testing.TB, name string, labels ...string) (value float64, found bool) {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if !labelled(m, labels) {
				continue
			}
			found = true
			value += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return value, found
}

func labelled(m *dto.Metric, labels []string) bool {
	has := map[string]string{}
	for _, l := range m.GetLabel() {
		has[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if has[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// Counted returns how much the metric has grown since Counted was called.
func Counted(t testing.TB, name string, labels ...string) (grown func() float64) {
	t.Helper()
	before, _ := Metric(t, name, labels...)
	return func() float64 {
		t.Helper()
		now, _ := Metric(t, name, labels...)
		return now - before
	}
}
