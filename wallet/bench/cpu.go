package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is CPU time of this process, which contains the broker, and of the database
// server. Unlike rates it does not depend on what else the machine does.
type usage struct{ here, database time.Duration }

func (s *servers) cpu() usage {
	var r syscall.Rusage
	u := usage{}
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.here = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	if s.database != nil {
		u.database = processCPU(s.database.Process.Pid)
	}
	return u
}

func (u usage) since(before usage, n int) string {
	micros := func(d time.Duration) int64 { return d.Microseconds() / int64(n) }
	return fmt.Sprintf("%d µs here, %d µs in the database", micros(u.here-before.here), micros(u.database-before.database))
}

// ticksPerSecond is the unit of /proc/PID/stat on Linux.
const ticksPerSecond = 100

// processCPU reads user and system time of a process; 0 where there is no /proc.
func processCPU(pid int) time.Duration {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name in parentheses may contain anything; fields are counted after it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond
}
