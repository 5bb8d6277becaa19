package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"mscoin/deploy/demo/story"
)

// TestMetrics_Used holds the alerts and the dashboard against what a running exchange
// gives, and the runbook against the alerts.
func TestMetrics_Used(t *testing.T) {
	dir, addr, watch := t.TempDir(), freeAddr(t), freeAddr(t)
	e := &exchange{dir: dir, addr: addr}
	e.process = start(t, program(t, "mscoin/deploy/allinone"), []string{"MSCOIN_DATA=" + dir, "MSCOIN_ADDR=" + addr, "MSCOIN_TELEMETRY=" + watch})
	e.waitReady(60 * time.Second)
	if err := story.Tell(t.Context(), e.access(), io.Discard); err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, dir)
	given := scrape(t, "http://"+watch+"/metrics")
	used := regexp.MustCompile(`\b(mscoin|process|go|http_server|rpc_server|rpc_client)_[a-z_]+`)
	for what, expressions := range map[string][]string{"alert": alerts(t), "dashboard": panels(t)} {
		if len(expressions) == 0 {
			t.Fatalf("no %s was found", what)
		}
		for _, expr := range expressions {
			for _, name := range used.FindAllString(expr, -1) {
				if !given[name] {
					t.Errorf("%s uses %s, which nothing gives: %s", what, name, expr)
				}
			}
		}
	}
}

// scrape returns the names of the series.
func scrape(t *testing.T, url string) map[string]bool {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for line := range strings.Lines(string(body)) {
		if name, _, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
			name, _, _ = strings.Cut(name, "{")
			names[name] = true
		}
	}
	return names
}

// alerts returns the expressions of the alerts, each of which the runbook must explain.
func alerts(t *testing.T) []string {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	content, err := os.ReadFile(filepath.Join("..", "prometheus", "alerts.yml"))
	if err == nil {
		err = yaml.Unmarshal(content, &rules)
	}
	runbook, readErr := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil || readErr != nil {
		t.Fatal(err, readErr)
	}
	var all []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if !strings.Contains(string(runbook), "\n## "+r.Alert+"\n") {
				t.Errorf("the runbook does not explain %s", r.Alert)
			}
			all = append(all, r.Expr)
		}
	}
	return all
}

func panels(t *testing.T) []string {
	t.Helper()
	var board struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	content, err := os.ReadFile(filepath.Join("..", "grafana", "dashboards", "mscoin.json"))
	if err == nil {
		err = json.Unmarshal(content, &board)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}
