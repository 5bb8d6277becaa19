package main

import (
	"fmt"
	"io"
)

// story is what happened, for a person.
type story struct {
	lines []string
}

// say notes what somebody did. It costs nothing while nobody reads.
func (s *sim) say(who, format string, args ...any) {
	if s.story == nil {
		return
	}
	s.story.lines = append(s.story.lines, fmt.Sprintf("%8.3f s  %-28s %s", float64(s.nowMs-startMs)/1000, who, fmt.Sprintf(format, args...)))
}

// who names the actor that runs.
func (s *sim) who() string {
	if s.story == nil {
		return ""
	}
	if s.cur == nil {
		return "simulator"
	}
	if s.cur.proc == nil {
		return s.cur.name
	}
	return s.cur.proc.name + " " + s.cur.name
}

// print writes the last lines.
func (st *story) print(w io.Writer, last int) {
	lines := st.lines
	if len(lines) > last {
		_, _ = fmt.Fprintf(w, "… %d earlier lines, see -lines\n", len(lines)-last)
		lines = lines[len(lines)-last:]
	}
	for _, l := range lines {
		_, _ = fmt.Fprintln(w, l)
	}
}
