package deploycheck

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

func load(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env), cli.WithWorkingDirectory(root))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func environment(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, m := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(string(content), -1) {
		env = append(env, m[1]+"=x")
	}
	return env
}

var services = []string{"ucenter", "exchange", "wallet", "market", "gateway"}

func TestCompose(t *testing.T) {
	p, err := load(t, environment(t)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("without its .env it is refused: there is no default secret", func(t *testing.T) {
		if _, err := load(t); err == nil || !strings.Contains(err.Error(), "make env") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("every service is bounded, checked, on the one network, and pinned", func(t *testing.T) {
		for name, s := range p.Services {
			if s.MemLimit == 0 {
				t.Errorf("%s has no memory limit", name)
			}
			if name != "setup" && s.HealthCheck == nil {
				t.Errorf("%s has no health check", name)
			}
			if _, ok := s.Networks["mscoin"]; !ok || len(s.Networks) != 1 {
				t.Errorf("%s is on %v", name, s.Networks)
			}
			if s.Build == nil && !strings.HasPrefix(s.Image, "mscoin:") && !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
				t.Errorf("%s: image %s has no exact tag", name, s.Image)
			}
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s is open to the world at %s", name, port.Published)
				}
			}
		}
	})
	t.Run("a service starts after what it talks to, and what it reads exists", func(t *testing.T) {
		for name, s := range p.Services {
			for other := range s.DependsOn {
				if _, ok := p.Services[other]; !ok {
					t.Errorf("%s waits for %s, which is not there", name, other)
				}
			}
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeBind {
					if _, err := os.Stat(v.Source); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				} else if _, ok := p.Volumes[v.Source]; !ok {
					t.Errorf("%s: there is no volume %s", name, v.Source)
				}
			}
		}
	})
	t.Run("each address in a configuration is a service that listens there", func(t *testing.T) {
		listens := map[string]bool{"kafka:9092": true, "redis:6379": true, "mysql:3306": true}
		for _, name := range services {
			for _, m := range regexp.MustCompile(`(?m)^\s*ListenOn: 0\.0\.0\.0:(\d+)$`).FindAllStringSubmatch(etc(t, name), -1) {
				listens[name+":"+m[1]] = true
			}
		}
		for _, name := range services {
			for line := range strings.Lines(etc(t, name)) {
				if strings.HasPrefix(strings.TrimSpace(line), "#") {
					continue
				}
				for _, a := range address.FindAllString(line, -1) {
					if !listens[a] {
						t.Errorf("%s talks to %s, where nobody listens", name, a)
					}
				}
			}
			s := p.Services[name]
			if want := "/mscoin/bin/" + name; s.Command[0] != want || !slices.Contains(s.HealthCheck.Test, want) {
				t.Errorf("%s runs %v and is checked by %v", name, s.Command, s.HealthCheck.Test)
			}
		}
		scraped, err := os.ReadFile(filepath.Join(root, "deploy/prometheus/prometheus.yml"))
		if err != nil {
			t.Fatal(err)
		}
		targets := address.FindAllString(string(scraped), -1)
		for _, target := range targets {
			if !listens[target] {
				t.Errorf("Prometheus asks %s, where nobody listens", target)
			}
		}
		if len(targets) != len(services) {
			t.Errorf("Prometheus asks %v", targets)
		}
	})
}

func etc(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "deploy/docker/etc", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
