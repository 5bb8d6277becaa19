package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// proc is what /proc says about a process.
type proc struct {
	state      byte
	threads    int
	startTicks uint64
	cmdline    []string
}

// gone reports whether only the entry in its parent's table is left. A killed process
// shows as a zombie while its other threads still hold its files and ports.
func (p proc) gone() bool { return p.state == 'X' || p.state == 'Z' && p.threads <= 1 }

func procPath(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), file)
}

func readProc(pid int) (proc, error) {
	stat, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return proc{}, err
	}
	p, err := parseStat(stat)
	if err != nil {
		return proc{}, err
	}
	cmdline, err := os.ReadFile(procPath(pid, "cmdline"))
	if err != nil {
		return proc{}, err
	}
	p.cmdline = strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	return p, nil
}

// Places among the fields after the program's name, which is in parentheses and may
// itself hold parentheses and blanks.
const (
	threadsField = 17
	startField   = 19
)

func parseStat(stat []byte) (proc, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return proc{}, errors.New("process status has no name")
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) <= startField || len(fields[0]) != 1 {
		return proc{}, errors.New("process status is too short")
	}
	ticks, err := strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return proc{}, fmt.Errorf("process start time: %w", err)
	}
	threads, err := strconv.Atoi(fields[threadsField])
	if err != nil {
		return proc{}, fmt.Errorf("process threads: %w", err)
	}
	return proc{state: fields[0][0], threads: threads, startTicks: ticks}, nil
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// Strays returns the processes that carry the mark of a stack's folder: those whose
// record was lost, and children that outlived their parents.
func Strays(home string) ([]Record, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	mark := []byte(HomeEnv + "=" + home)
	var found []Record
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(procPath(pid, "environ"))
		if err != nil {
			continue // gone, or somebody else's: not ours to stop
		}
		for entry := range bytes.SplitSeq(environ, []byte{0}) {
			if !bytes.Equal(entry, mark) {
				continue
			}
			if rec, err := identify(pid); err == nil {
				found = append(found, rec)
			}
			break
		}
	}
	return found, nil
}
