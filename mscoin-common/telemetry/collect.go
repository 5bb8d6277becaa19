package telemetry

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"
)

// scrapeLimit bounds what all collectors of a process take together.
const scrapeLimit = 3 * time.Second

// Emit gives the value of a gauge; labels are values in the order of its names.
type Emit func(g *Gauge, value float64, labels ...string)

// Collector looks up gauges when somebody asks for the metrics. What it cannot find out it
// leaves out and returns an error, which is logged.
type Collector func(ctx context.Context, emit Emit) error

// collectors are those of all services of this process.
var collectors = newRegistry(prometheus.DefaultRegisterer)

// Collect adds a collector until stop is called.
func Collect(c Collector) (stop func()) { return collectors.add(c) }

type registry struct {
	mu   sync.Mutex
	next int
	all  map[int]Collector
}

func newRegistry(to prometheus.Registerer) *registry {
	r := &registry{all: map[int]Collector{}}
	to.MustRegister(r)
	return r
}

func (r *registry) add(c Collector) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.next
	r.next++
	r.all[id] = c
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.all, id)
	}
}

func (r *registry) current() []Collector {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]int, 0, len(r.all))
	for id := range r.all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	now := make([]Collector, len(ids))
	for i, id := range ids {
		now[i] = r.all[id]
	}
	return now
}

// Describe describes nothing: which gauges there are is known when they are collected.
func (r *registry) Describe(chan<- *prometheus.Desc) {}

// Collect asks the collectors one after the other. When two services of one process give
// the same gauge, the one that was added last counts.
func (r *registry) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	found := map[string]prometheus.Metric{}
	emit := func(g *Gauge, value float64, labels ...string) {
		metric, err := prometheus.NewConstMetric(g.desc, prometheus.GaugeValue, value, labels...)
		if err != nil {
			logx.Errorf("metric %s: %v", g.name, err)
			return
		}
		found[g.name+"\x00"+strings.Join(labels, "\x00")] = metric
	}
	for _, collect := range r.current() {
		if err := collect(ctx, emit); err != nil {
			logx.Errorf("metrics: %v", err)
		}
	}
	for _, metric := range found {
		out <- metric
	}
}
