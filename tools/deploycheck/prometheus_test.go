package deploycheck

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// alerts reads the rules as Prometheus does at its start.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(root, "deploy/prometheus/alerts.yml"), false, model.UTF8Validation)
	for _, err := range errs {
		t.Error(err)
	}
	if len(errs) > 0 {
		t.FailNow()
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestAlerts(t *testing.T) {
	rules := alerts(t)
	t.Run("each says how urgent it is and what has happened", func(t *testing.T) {
		for _, r := range rules {
			if !slices.Contains([]string{"page", "warn"}, r.Labels["severity"]) || r.Annotations["summary"] == "" {
				t.Errorf("%s: severity %q, summary %q", r.Alert, r.Labels["severity"], r.Annotations["summary"])
			}
		}
	})
	tried := map[string]bool{}
	for _, r := range rules {
		c, ok := cases[r.Alert]
		if !ok {
			t.Errorf("no case tries %s", r.Alert)
			continue
		}
		t.Run(r.Alert+" is quiet while all is well", func(t *testing.T) {
			if at, ok := fires(t, r, c.well); ok {
				t.Errorf("fires after %v", at)
			}
		})
		t.Run(r.Alert+" tells of the fault in time", func(t *testing.T) {
			at, ok := fires(t, r, c.fault)
			if !ok || at > c.within {
				t.Errorf("fires: %t, after %v, want within %v", ok, at, c.within)
			}
		})
		tried[r.Alert] = true
	}
	for name := range cases {
		if !tried[name] {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// scrape is how often the series of the cases have a sample, as in prometheus.yml.
const scrape = 5 * time.Second

// fires evaluates a rule at each scrape of the series and returns when it first fires.
func fires(t *testing.T, r rulefmt.Rule, series []string) (after time.Duration, ok bool) {
	t.Helper()
	data, length := parse(t, series)
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	since := map[string]time.Duration{} // by labels, while the expression holds
	for at := time.Duration(0); at < time.Duration(length)*scrape; at += scrape {
		q, err := engine.NewInstantQuery(t.Context(), data, nil, r.Expr, time.Unix(0, 0).Add(at))
		if err != nil {
			t.Fatal(err)
		}
		vector, err := q.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatal(err)
		}
		active := map[string]time.Duration{}
		for _, sample := range vector {
			key := sample.Metric.String()
			active[key] = at
			if begin, ok := since[key]; ok {
				active[key] = begin
			}
			if at-active[key] >= time.Duration(r.For) {
				return at, true
			}
		}
		since = active
	}
	return 0, false
}

// parse reads series in Prometheus' notation for tests: metric{label="x"} start+stepxTimes.
func parse(t *testing.T, lines []string) (data storage.Queryable, length int) {
	t.Helper()
	var all []storage.Series
	for _, line := range lines {
		set, values, err := parser.ParseSeriesDesc(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var samples []chunks.Sample
		for i, v := range values {
			if !v.Omitted {
				samples = append(samples, sample{int64(i) * scrape.Milliseconds(), v.Value})
			}
		}
		all = append(all, storage.NewListSeries(set, samples))
		length = max(length, len(values))
	}
	return storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return querier(all), nil }), length
}

type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                    { return s.t }
func (s sample) F() float64                  { return s.v }
func (s sample) Type() chunkenc.ValueType    { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }

// querier finds series by their labels.
type querier []storage.Series

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, s := range q {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
			found = append(found, s)
		}
	}
	return &set{all: found, at: -1}
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) Close() error { return nil }

type set struct {
	all []storage.Series
	at  int
}

func (s *set) Next() bool                      { s.at++; return s.at < len(s.all) }
func (s *set) At() storage.Series              { return s.all[s.at] }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

// TestDashboard parses every query as Prometheus does.
func TestDashboard(t *testing.T) {
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	content, err := os.ReadFile(filepath.Join(root, "deploy/grafana/dashboards/mscoin.json"))
	if err == nil {
		err = json.Unmarshal(content, &board)
	}
	if err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, p := range board.Panels {
		for i, target := range p.Targets {
			if _, err := parser.ParseExpr(target.Expr); err != nil {
				t.Error(fmt.Errorf("%s, query %d: %w", p.Title, i, err))
			}
			queries++
		}
	}
	if queries < 20 {
		t.Errorf("only %d queries were found", queries)
	}
}
