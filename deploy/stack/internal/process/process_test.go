package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/testkit"
)

// childEnv makes this test binary a process to be started and stopped: "obedient" ends
// at SIGTERM, "stubborn" does not, "brief" ends at once.
const childEnv = "MSCOIN_TEST_CHILD"

const limit = 20 * time.Second

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "brief":
		os.Exit(1)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	fmt.Println("child is up")
	<-time.NewTimer(5 * time.Minute).C
}

// start starts a child in a folder of its own and waits until it has printed.
func start(t *testing.T, kind string) (Spec, Record) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	spec := Spec{
		Path: self, Args: []string{"an argument", dir}, Env: []string{childEnv + "=" + kind}, Home: dir,
		Log: filepath.Join(dir, "log"), PIDFile: filepath.Join(dir, "pid"),
	}
	rec, err := Start(spec, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if ok, _ := rec.alive(); ok {
			_ = syscall.Kill(rec.PID, syscall.SIGKILL)
		}
	})
	if kind != "brief" {
		testkit.Eventually(t, limit, func() bool {
			log, err := os.ReadFile(spec.Log)
			return err == nil && strings.Contains(string(log), "child is up")
		}, "the child to print")
	}
	return spec, rec
}

func wantState(t *testing.T, spec Spec, want State) {
	t.Helper()
	if got, _, err := Look(spec.PIDFile); err != nil || got != want {
		t.Errorf("state %v, %v; want %v", got, err, want)
	}
}

func stop(t *testing.T, spec Spec, grace time.Duration, want Outcome) {
	t.Helper()
	if got, err := Stop(t.Context(), spec.PIDFile, grace, clock.Real()); err != nil || got != want {
		t.Errorf("outcome %v, %v; want %v", got, err, want)
	}
}

// rewrite changes the record of a process.
func rewrite(t *testing.T, spec Spec, change func(*Record)) {
	t.Helper()
	content, err := os.ReadFile(spec.PIDFile)
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	if err := json.Unmarshal(content, &rec); err != nil {
		t.Fatal(err)
	}
	change(&rec)
	if err := rec.save(spec.PIDFile); err != nil {
		t.Fatal(err)
	}
}

func TestStart(t *testing.T) {
	t.Run("the record names the process and nobody else may read it", func(t *testing.T) {
		spec, rec := start(t, "obedient")
		state, got, err := Look(spec.PIDFile)
		if err != nil || state != Running || got.PID != rec.PID || got.StartedMs == 0 {
			t.Errorf("%v %+v %v", state, got, err)
		}
		if got.Cmdline[1] != "an argument" {
			t.Errorf("command line %q", got.Cmdline)
		}
		if info, err := os.Stat(spec.PIDFile); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		stop(t, spec, limit, Ended)
	})
	t.Run("a program that is missing is an error without a record", func(t *testing.T) {
		dir := t.TempDir()
		spec := Spec{Path: filepath.Join(dir, "nothing"), Home: dir, Log: filepath.Join(dir, "log"), PIDFile: filepath.Join(dir, "pid")}
		if _, err := Start(spec, clock.Real()); err == nil {
			t.Error("no error")
		}
		wantState(t, spec, Stopped)
	})
	t.Run("a log that has grown large is put aside", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(log, make([]byte, maxLog+1), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := openLog(log)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || info.Size() != 0 {
			t.Errorf("%d bytes, %v", info.Size(), err)
		}
	})
}

func TestLook(t *testing.T) {
	t.Run("a process that was killed from outside has crashed", func(t *testing.T) {
		spec, rec := start(t, "obedient")
		if err := syscall.Kill(rec.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, limit, func() bool { s, _, err := Look(spec.PIDFile); return err == nil && s == Crashed }, "the crash to show")
		stop(t, spec, limit, WasNotRunning)
		wantState(t, spec, Stopped)
	})
	t.Run("a damaged record is an error", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pid")
		for _, content := range []string{"", "{", "{}", `{"pid":1}`, `{"pid":-5}`} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Look(path); err == nil {
				t.Errorf("%q was accepted", content)
			}
		}
	})
}

func TestStop(t *testing.T) {
	t.Run("a process that does not end is killed when its time is over", func(t *testing.T) {
		spec, _ := start(t, "stubborn")
		stop(t, spec, 100*time.Millisecond, Killed)
		wantState(t, spec, Stopped)
	})
	t.Run("an ended context does not wait, and still leaves no process", func(t *testing.T) {
		spec, rec := start(t, "stubborn")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := Stop(ctx, spec.PIDFile, time.Hour, clock.Real()); err != nil || got != Killed {
			t.Errorf("%v, %v", got, err)
		}
		if ok, err := rec.alive(); ok || err != nil {
			t.Errorf("alive %v, %v", ok, err)
		}
	})
	t.Run("stopping twice is fine", func(t *testing.T) {
		spec, _ := start(t, "obedient")
		stop(t, spec, limit, Ended)
		stop(t, spec, limit, WasNotRunning)
	})
	for what, change := range map[string]func(*Record){
		"started at another time":   func(r *Record) { r.StartTicks++ },
		"with another command line": func(r *Record) { r.Cmdline = append(r.Cmdline, "more") },
		"of another boot":           func(r *Record) { r.BootID = "x" },
	} {
		t.Run("a process with our number "+what+" is never touched", func(t *testing.T) {
			spec, rec := start(t, "obedient")
			rewrite(t, spec, change)
			wantState(t, spec, Crashed)
			stop(t, spec, limit, WasNotRunning)
			if ok, err := rec.alive(); !ok || err != nil {
				t.Errorf("alive %v, %v", ok, err)
			}
		})
	}
}

func TestStrays(t *testing.T) {
	t.Run("a process whose record was lost is found by its mark", func(t *testing.T) {
		spec, rec := start(t, "obedient")
		other, _ := start(t, "obedient")
		if err := os.Remove(spec.PIDFile); err != nil {
			t.Fatal(err)
		}
		strays, err := Strays(spec.Home)
		if err != nil || len(strays) != 1 || strays[0].PID != rec.PID {
			t.Fatalf("%+v, %v", strays, err)
		}
		if got, err := StopRecord(t.Context(), strays[0], limit, clock.Real()); err != nil || got != Ended {
			t.Errorf("%v, %v", got, err)
		}
		wantState(t, other, Running)
	})
}

func TestParseStat(t *testing.T) {
	tail := " 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0"
	for name, want := range map[string]proc{
		"12 (redis) S":         {state: 'S', startTicks: 777},
		"12 (a) b) (c d) Z":    {state: 'Z', startTicks: 777},
		"12 (line\nbreak) R":   {state: 'R', startTicks: 777},
		"12 (mariadbd) x) ) X": {state: 'X', startTicks: 777},
	} {
		got, err := parseStat([]byte(name + tail))
		if err != nil || got.state != want.state || got.startTicks != want.startTicks {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "12", "12 (x)", "12 (x) S 1 2", "12 (x) S" + strings.Replace(tail, "777", "x", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestProc_Gone(t *testing.T) {
	for _, tt := range []struct {
		p    proc
		want bool
	}{
		{proc{state: 'S', threads: 1}, false},
		{proc{state: 'Z', threads: 1}, true},
		{proc{state: 'Z', threads: 0}, true},
		{proc{state: 'Z', threads: 5}, false}, // the others still hold its ports
		{proc{state: 'X', threads: 1}, true},
	} {
		if got := tt.p.gone(); got != tt.want {
			t.Errorf("%+v: %v", tt.p, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (redis) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0"))
	f.Fuzz(func(_ *testing.T, stat []byte) { _, _ = parseStat(stat) })
}

func TestRecord_Save(t *testing.T) {
	t.Run("a record that cannot be written is an error", func(t *testing.T) {
		if err := (Record{PID: 2}).save(filepath.Join(t.TempDir(), "missing", "pid")); err == nil {
			t.Error("accepted")
		}
	})
}
