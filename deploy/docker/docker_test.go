// Package docker holds the container files against the services: see README.md.
package docker

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const checkout = "../.."

var update = flag.Bool("update", false, "write the containers' configurations anew from the services' own")

var services = []string{"ucenter", "exchange", "wallet", "market", "gateway"}

// rewrite moves a service's own configuration to the containers' addresses.
func rewrite(text string) string {
	own := regexp.MustCompile(`(?m)^(\s*ListenOn: )127\.0\.0\.1:`)
	text = own.ReplaceAllString(text, "${1}0.0.0.0:")
	return strings.NewReplacer(
		"127.0.0.1:9092", "kafka:9092", "127.0.0.1:6379", "redis:6379",
		"127.0.0.1:8101", "ucenter:8101", "127.0.0.1:8102", "exchange:8102",
		"127.0.0.1:8103", "wallet:8103", "127.0.0.1:8104", "market:8104",
		"# Endpoint: exchange-1:8102", "Endpoint: ${MSCOIN_ENDPOINT}", "# Endpoint: wallet-1:8103", "Endpoint: ${MSCOIN_ENDPOINT}",
		"\nPartitions: 1\n", "\nPartitions: ${MSCOIN_PARTITIONS}\n",
		"# Password: ${MSCOIN_REDIS_PASSWORD}", "Password: ${MSCOIN_REDIS_PASSWORD}",
	).Replace(text)
}

func TestConfigurations(t *testing.T) {
	for _, name := range services {
		t.Run(name+" has its own configuration with the containers' addresses", func(t *testing.T) {
			own, err := os.ReadFile(filepath.Join(checkout, name, "etc", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			want, file := rewrite(string(own)), filepath.Join("etc", name+".yaml")
			if *update {
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != want {
				t.Errorf("%s is not up to date (%v): go test ./deploy/docker -update", file, err)
			}
			if strings.Contains(want, "127.0.0.1") {
				t.Error("an address of the developer's machine is left")
			}
		})
	}
}

// TestBuild runs the commands of the image by hand, in a clean copy of what git has.
func TestBuild(t *testing.T) {
	content, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	src, out := filepath.Join(work, "src"), filepath.Join(work, "out")
	if err := os.Mkdir(src, 0o700); err != nil {
		t.Fatal(err)
	}
	sh := func(dir, command string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-ec", command)
		cmd.Dir = dir
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, text)
		}
	}
	sh(checkout, "git ls-files -z --cached --others --exclude-standard | xargs -0 tar cf - --ignore-failed-read | tar xf - -C "+src)
	steps := 0
	for line := range strings.Lines(string(content)) {
		if command, ok := strings.CutPrefix(line, "RUN "); ok {
			sh(src, strings.ReplaceAll(command, "/out", out))
			steps++
		}
	}
	if steps == 0 {
		t.Fatal("no step was found")
	}
	env := append(os.Environ(), composeEnv(t)...)
	for _, name := range services {
		t.Run(name+" is in the image, and takes the configuration that is there", func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(out, "bin", name), "-f", "etc/"+name+".yaml", "-check")
			cmd.Dir, cmd.Env = out, env
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
	for _, name := range append([]string{"setup", "reconcile", "chain", "admin"}, services...) {
		if _, err := os.Stat(filepath.Join(out, "bin", name)); err != nil {
			t.Error(err)
		}
	}
}

// composeEnv is what `make env` writes.
func composeEnv(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".env")
	if text, err := exec.CommandContext(t.Context(), "go", "run", "./env", "-o", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			env = append(env, line)
		}
	}
	return env
}

// TestEnv holds the variables together: what the configurations ask for, what compose gives
// to each service, and what `make env` makes.
func TestEnv(t *testing.T) {
	compose, err := os.ReadFile(filepath.Join(checkout, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, entry := range composeEnv(t) {
		name, value, _ := strings.Cut(entry, "=")
		made[name] = value != ""
	}
	asked := regexp.MustCompile(`\$\{(\w+)[}:]`)
	for _, m := range asked.FindAllStringSubmatch(string(compose), -1) {
		if !made[m[1]] {
			t.Errorf("docker-compose.yml asks for %s, which make env does not make", m[1])
		}
	}
	for _, name := range services {
		_, block, _ := strings.Cut(string(compose), "\n  "+name+":\n")
		block, _, _ = strings.Cut(block, "\n\n")
		etc, err := os.ReadFile(filepath.Join("etc", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(etc)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, m := range asked.FindAllStringSubmatch(line, -1) {
				if !strings.Contains(block, "\n      "+m[1]+":") {
					t.Errorf("%s asks for %s, which docker-compose.yml does not give it", name, m[1])
				}
			}
		}
	}
}
