package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is a line of `go test -json`: see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

type testID struct{ pkg, name string }

// report collects the events of one run.
type report struct {
	out io.Writer
	// output is what tests that have not ended yet have printed.
	output map[testID]*strings.Builder
	// left are the tests that were left out, by reason.
	left map[string][]testID
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[testID]*strings.Builder{}, left: map[string][]testID{}}
}

// maxLine bounds one event; the output of a failing test may hold long lines.
const maxLine = 16 << 20

// read takes the events of a run up to its end. A line that is no event is printed.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			r.print(lines.Text() + "\n")
			continue
		}
		r.take(e)
	}
	return lines.Err()
}

func (r *report) print(text string) { _, _ = io.WriteString(r.out, text) }

func (r *report) take(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		r.print(e.Output)
	case "output":
		r.takeOutput(id, e.Output)
	case "pass":
		delete(r.output, id)
	case "skip":
		if e.Test != "" { // a package without tests is "skipped", too
			reason := reasonOf(r.text(id))
			r.left[reason] = append(r.left[reason], id)
		}
		delete(r.output, id)
	case "fail":
		if e.Test == "" {
			r.failPackage(e.Package)
			return
		}
		r.print(r.text(id))
		delete(r.output, id)
	}
}

func (r *report) takeOutput(id testID, text string) {
	if id.name == "" {
		if text != "PASS\n" {
			r.print(text)
		}
		return
	}
	if r.output[id] == nil {
		r.output[id] = &strings.Builder{}
	}
	_, _ = r.output[id].WriteString(text)
}

func (r *report) text(id testID) string {
	if b := r.output[id]; b != nil {
		return b.String()
	}
	return ""
}

// failPackage prints what is left of tests that never ended: the process died in them.
func (r *report) failPackage(pkg string) {
	for _, id := range slices.SortedFunc(maps.Keys(r.output), func(a, b testID) int { return strings.Compare(a.name, b.name) }) {
		if id.pkg == pkg {
			r.print(r.text(id))
			delete(r.output, id)
		}
	}
}

var reasonLine = regexp.MustCompile(`^\s+\w+\.go:\d+: (.*)$`)

// reasonOf finds the reason in what a skipped test has printed: its last message.
func reasonOf(output string) string {
	reason := "no reason given"
	for line := range strings.Lines(output) {
		if m := reasonLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			reason = m[1]
		}
	}
	return reason
}

// elsewhere begins the reason of a test that another command of `.ci/run` runs
// (testkit.Elsewhere).
const elsewhere = "run by make "

// shown bounds how many tests are named for one reason.
const shown = 5

// summary prints what was left out and returns how many tests nobody runs.
func (r *report) summary() (left int) {
	if len(r.left) == 0 {
		r.print("\nNo test was left out.\n")
		return 0
	}
	r.print("\nLeft out:\n")
	for _, reason := range slices.Sorted(maps.Keys(r.left)) {
		tests := r.left[reason]
		if !strings.HasPrefix(reason, elsewhere) {
			left += len(tests)
		}
		_, _ = fmt.Fprintf(r.out, "  %s (%d)\n", reason, len(tests))
		for _, id := range tests[:min(shown, len(tests))] {
			_, _ = fmt.Fprintf(r.out, "      %s %s\n", id.pkg, id.name)
		}
		if more := len(tests) - shown; more > 0 {
			_, _ = fmt.Fprintf(r.out, "      and %d more\n", more)
		}
	}
	return left
}
