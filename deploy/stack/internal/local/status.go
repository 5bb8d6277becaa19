package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"mscoin/deploy/stack/internal/process"
	"mscoin/deploy/stack/internal/server"
	"mscoin/mscoin-common/clock"
)

// Health sums a status up.
type Health uint8

const (
	// Healthy means that everything runs and is ready.
	Healthy Health = iota
	// Down means that nothing runs, and nothing has crashed.
	Down
	// Unhealthy means that something has crashed, is missing or is not ready.
	Unhealthy
)

// line is one component's status.
type line struct {
	state   process.State
	record  process.Record
	problem error
}

// Status prints how every component is, and sums it up.
func (s *Stack) Status(ctx context.Context) (Health, error) {
	components, err := s.components()
	if err != nil {
		return Unhealthy, err
	}
	lines := make([]line, len(components))
	var wg sync.WaitGroup
	for i, c := range components {
		wg.Go(func() { lines[i] = s.inspect(ctx, c) })
	}
	wg.Wait()
	strays, err := s.unrecorded(lines)
	if err != nil {
		return Unhealthy, err
	}
	if err := s.print(components, lines, strays); err != nil {
		return Unhealthy, err
	}
	return sum(lines, len(strays)), nil
}

func (s *Stack) inspect(ctx context.Context, c server.Component) line {
	var l line
	l.state, l.record, l.problem = s.state(c.Name)
	if l.problem == nil && l.state == process.Running && c.Ready != nil {
		l.problem = ask(ctx, c.Ready)
	}
	return l
}

func (s *Stack) unrecorded(lines []line) ([]process.Record, error) {
	known := map[int]bool{}
	for _, l := range lines {
		known[l.record.PID] = true
	}
	all, err := process.Strays(string(s.Folder))
	if err != nil {
		return nil, err
	}
	var strays []process.Record
	for _, rec := range all {
		if !known[rec.PID] {
			strays = append(strays, rec)
		}
	}
	return strays, nil
}

func sum(lines []line, strays int) Health {
	down, up := strays == 0, strays == 0
	for _, l := range lines {
		down = down && l.state == process.Stopped && l.problem == nil
		up = up && l.state == process.Running && l.problem == nil
	}
	switch {
	case up:
		return Healthy
	case down:
		return Down
	}
	return Unhealthy
}

func (s *Stack) print(components []server.Component, lines []line, strays []process.Record) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tSTATE\tADDRESS\tPROCESS\tSINCE\t")
	for i, c := range components {
		l := lines[i]
		pid, since := "-", "-"
		if l.state != process.Stopped {
			pid, since = fmt.Sprint(l.record.PID), time.UnixMilli(l.record.StartedMs).Format(time.DateTime)
		}
		state := l.state.String()
		if l.problem != nil {
			state += ", not ready"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", c.Name, state, c.Addr, pid, since)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	for i, c := range components {
		if lines[i].problem != nil {
			s.say("%s: %v", c.Name, lines[i].problem)
		}
	}
	for _, rec := range strays {
		s.say("process %d belongs to this stack and has no record: %s", rec.PID, strings.Join(rec.Cmdline, " "))
	}
	return nil
}

// Logs prints the last n lines of the named components' logs (all without a name), and
// goes on with what is added until ctx ends when follow is set.
func (s *Stack) Logs(ctx context.Context, names []string, n int, follow bool) error {
	if len(names) == 0 {
		components, err := s.components()
		if err != nil {
			return err
		}
		for _, c := range components {
			names = append(names, c.Name)
		}
	}
	sizes := make([]int64, len(names))
	for i, name := range names {
		path := s.Folder.Log(name)
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("log of %s: %w", name, err)
		}
		sizes[i] = info.Size()
		lines, err := lastLines(path, n)
		if err != nil {
			return fmt.Errorf("log of %s: %w", name, err)
		}
		s.say("==> %s <==", path)
		for _, l := range lines {
			s.say("%s", l)
		}
	}
	for follow && clock.Sleep(ctx, s.Clock, followEvery) == nil {
		for i, name := range names {
			if err := s.follow(name, &sizes[i]); err != nil {
				return fmt.Errorf("log of %s: %w", name, err)
			}
		}
	}
	return nil
}

const followEvery = 200 * time.Millisecond

// follow prints what was added to a log since it had the given size.
func (s *Stack) follow(name string, size *int64) error {
	f, err := os.Open(s.Folder.Log(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Size() == *size {
		return err
	}
	if info.Size() < *size {
		*size = 0 // a new file
	}
	added := io.NewSectionReader(f, *size, info.Size()-*size)
	*size = info.Size()
	for lines := bufio.NewScanner(added); lines.Scan(); {
		s.say("%s: %s", name, lines.Text())
	}
	return nil
}

// tailBytes bounds how much of a log is read for its last lines.
const tailBytes = 256 << 10

func lastLines(path string, n int) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-tailBytes)
	content, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return lines[max(0, len(lines)-n):], nil
}
