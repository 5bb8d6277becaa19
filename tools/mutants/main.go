// Command mutants takes the rules of the order book out of it, one at a time, and
// sees that the test which names the rule turns red: a rule without such a test
// could be lost without anybody noticing. Run it from the repository's root with
// `make mutants-matching`; it changes no file, the compiler reads the faulty source
// from an overlay.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
)

// perTest is how long the test of one mutant may take, the compiler included.
const perTest = 3 * time.Minute

func main() {
	only := flag.String("run", "", "regular expression: only the rules that match")
	parallel := flag.Int("parallel", runtime.NumCPU(), "mutants at a time")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	survivors, err := hunt(context.Background(), os.Stdout, pattern, max(*parallel, 1))
	if err == nil && survivors > 0 {
		err = fmt.Errorf("%d rules can be removed without their test noticing", survivors)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// hunt runs the mutants whose rule matches and returns how many were not caught.
func hunt(ctx context.Context, report io.Writer, pattern *regexp.Regexp, parallel int) (survivors int, err error) {
	root, err := packageDir(ctx)
	if err != nil {
		return 0, err
	}
	green, err := greenTests(ctx, root)
	if err != nil {
		return 0, err
	}
	var chosen []*mutant
	for i := range mutants {
		if m := &mutants[i]; pattern.MatchString(m.rule) {
			chosen = append(chosen, m)
			if !green[m.test] {
				return 0, fmt.Errorf("%s: %q is no test that is green without the fault", m.rule, m.test)
			}
		}
	}
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		turn  = make(chan struct{}, parallel)
	)
	for _, m := range chosen {
		group.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			err := m.try(ctx, root)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				survivors++
				_, _ = fmt.Fprintf(report, "SURVIVED  %s: %v\n", m.rule, err)
				return
			}
			_, _ = fmt.Fprintf(report, "caught    %s: %s\n", m.rule, m.test)
		})
	}
	group.Wait()
	_, _ = fmt.Fprintf(report, "%d of %d mutants caught by the test that names their rule\n", len(chosen)-survivors, len(chosen))
	return survivors, nil
}

// packageDir is where the order book's source is.
func packageDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "mscoin/exchange/matching").Output()
	if err != nil {
		return "", fmt.Errorf("find the package: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

var passed = regexp.MustCompile(`(?m)^ *--- PASS: (\S+)`)

// greenTests runs the tests without any fault and returns the names of those that passed.
func greenTests(ctx context.Context, root string) (map[string]bool, error) {
	out, err := goTest(ctx, root, "-v", "-run", "^TestBook_")
	if err != nil {
		return nil, fmt.Errorf("the tests are red without any fault: %w\n%s", err, out)
	}
	green := map[string]bool{}
	for _, name := range passed.FindAllSubmatch(out, -1) {
		green[strings.ReplaceAll(string(name[1]), "_", " ")] = true
	}
	names := make(map[string]bool, len(mutants))
	for i := range mutants {
		names[mutants[i].test] = green[strings.ReplaceAll(mutants[i].test, "_", " ")]
	}
	return names, nil
}

func goTest(ctx context.Context, root string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, perTest)
	defer cancel()
	args = append([]string{"test", "-vet=off", "-count=1", "-timeout=60s"}, args...)
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...) //nolint:gosec // go itself, with our own table
	cmd.Dir = root
	cmd.WaitDelay = 10 * time.Second
	return cmd.CombinedOutput()
}

// source returns the file of a mutant with the fault in it.
func (m *mutant) source(root string) (string, []byte, error) {
	path := filepath.Join(root, filepath.FromSlash(m.file))
	text, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	if n := bytes.Count(text, []byte(m.old)); n != 1 {
		return "", nil, fmt.Errorf("%s has %d places like %q, want one: bring the table up to date", m.file, n, m.old)
	}
	return path, bytes.Replace(text, []byte(m.old), []byte(m.new), 1), nil
}

// try returns nil if the test turns red with the fault, by its own name.
func (m *mutant) try(ctx context.Context, root string) error {
	path, text, err := m.source(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary file at worst
	faulty := filepath.Join(dir, "faulty.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: faulty}})
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := errors.Join(os.WriteFile(faulty, text, 0o600), os.WriteFile(list, overlay, 0o600)); err != nil {
		return err
	}
	out, err := goTest(ctx, root, "-overlay", list, "-run", runPattern(m.test))
	if err == nil {
		return fmt.Errorf("%q stays green", m.test)
	}
	name := strings.ReplaceAll(m.test, " ", "_")
	if !bytes.Contains(out, []byte("--- FAIL: "+name+" (")) {
		return fmt.Errorf("red, but not by the name of %q: %w\n%s", m.test, err, out)
	}
	return nil
}

// runPattern is the -run argument for exactly one test.
func runPattern(test string) string {
	parts := strings.Split(strings.ReplaceAll(test, " ", "_"), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
