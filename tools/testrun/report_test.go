package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// try runs the command on a package with this test file.
func try(t *testing.T, strict bool, content string) (int, string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example\n", "x_test.go": "package example\n\nimport \"testing\"\n\n" + content} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")
	var out strings.Builder
	code, err := run(t.Context(), []string{"./..."}, strict, &out)
	if err != nil {
		t.Log(err)
	}
	return code, out.String()
}

func wantAll(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("%q is missing in\n%s", part, out)
		}
	}
}

const skips = `
func TestA(t *testing.T) { t.Run("mysql", func(t *testing.T) { t.Log("noise"); t.Skip("no MySQL: start one") }) }
func TestB(t *testing.T) { t.Skip("no MySQL: start one") }
func TestC(t *testing.T) {}
`

func TestRun(t *testing.T) {
	t.Run("what was left out is listed by reason and is no failure", func(t *testing.T) {
		code, out := try(t, false, skips)
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		wantAll(t, out, "ok  \texample", "no MySQL: start one (2)", "example TestA/mysql", "example TestB")
	})
	t.Run("CI fails when something was left out", func(t *testing.T) {
		if code, out := try(t, true, skips); code == 0 {
			t.Errorf("exit code 0:\n%s", out)
		}
	})
	t.Run("CI does not fail for a test that another command runs", func(t *testing.T) {
		code, out := try(t, true, `func TestA(t *testing.T) { t.Skip("run by make test-stack") }`)
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		wantAll(t, out, "run by make test-stack (1)")
	})
	t.Run("nothing left out is said, too", func(t *testing.T) {
		code, out := try(t, true, `func TestA(t *testing.T) { t.Log("quiet") }`)
		if code != 0 || strings.Contains(out, "quiet") {
			t.Errorf("exit code %d:\n%s", code, out)
		}
		wantAll(t, out, "No test was left out.")
	})
	t.Run("a failing test is shown with what it printed", func(t *testing.T) {
		code, out := try(t, false, `func TestA(t *testing.T) { t.Run("rule", func(t *testing.T) { t.Error("7 is not 8") }) }`)
		if code == 0 {
			t.Error("exit code 0")
		}
		wantAll(t, out, "7 is not 8", "--- FAIL: TestA/rule", "FAIL\texample")
	})
	t.Run("code that does not compile is shown", func(t *testing.T) {
		code, out := try(t, false, `func TestA(t *testing.T) { nothing() }`)
		if code == 0 {
			t.Error("exit code 0")
		}
		wantAll(t, out, "undefined: nothing", "[build failed]")
	})
	t.Run("a process that dies is shown with what its test printed", func(t *testing.T) {
		code, out := try(t, false, `func TestA(t *testing.T) { println("last words"); panic("boom") }`)
		if code == 0 {
			t.Error("exit code 0")
		}
		wantAll(t, out, "last words", "boom")
	})
}
