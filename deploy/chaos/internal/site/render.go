package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// change replaces a line's text in a committed configuration.
type change struct{ from, to string }

// render writes the committed configuration of a service with changes to dir. Text that
// is not there exactly once is an error: the configuration has changed and this has not.
func render(root, kind, name, dir string, changes []change) (string, error) {
	file := filepath.Join(root, kind, "etc", kind+".yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	text := string(content)
	var problems []error
	for _, c := range changes {
		if strings.Count(text, c.from) != 1 {
			problems = append(problems, fmt.Errorf("%s has %q %d times, not once", file, c.from, strings.Count(text, c.from)))
		}
		text = strings.Replace(text, c.from, c.to, 1)
	}
	if err := errors.Join(problems...); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".yaml")
	return path, os.WriteFile(path, []byte(text), 0o600) //nolint:gosec // in a folder of the test's own
}

// list renders addresses as items of a YAML list that stands four blanks in.
func list(addrs []string) string { return "- " + strings.Join(addrs, "\n    - ") }

// times make what a crash leaves behind be swept up soon (intents and holds may be 6 s
// old), and snapshots be taken so often that starts begin at one.
var times = []change{
	{"  DeadlineMs: 8000", "  DeadlineMs: 5000"},
	{"  AfterMs: 10000", "  AfterMs: 6000"},
	{"  EveryMs: 2000", "  EveryMs: 500"},
	{"  ResendMs: 30000", "  ResendMs: 4000"},
	{"  EveryCommands: 200000", "  EveryCommands: 100"},
}

// SweptAfterMs is how old something in doubt may become before it is asked about.
const SweptAfterMs = 6000

func (s *Site) changes(kind, listen string) []change {
	// Metrics and probes: any port.
	watched := change{map[string]string{
		Ucenter: "127.0.0.1:9101", Exchange: "127.0.0.1:9102", Wallet: "127.0.0.1:9103", Market: "127.0.0.1:9104", Gateway: "127.0.0.1:9105",
	}[kind], "127.0.0.1:0"}
	return append(s.own(kind, listen), watched)
}

func (s *Site) own(kind, listen string) []change {
	dialect := change{"Dialect: mysql", "Dialect: " + s.infra.dialect()}
	brokers := change{"- 127.0.0.1:9092", list(s.brokers)}
	partitions := change{"\nPartitions: 1\n", fmt.Sprintf("\nPartitions: %d\n", Partitions)}
	redis := change{"Addr: 127.0.0.1:6379", "Addr: " + s.via[kind+"-redis"]}
	switch kind {
	case Exchange:
		return append([]change{
			{"ListenOn: 127.0.0.1:8102", "ListenOn: " + listen},
			dialect, brokers, partitions,
			{"- 127.0.0.1:8103", list([]string{s.via["exchange-wallet-1"], s.via["exchange-wallet-2"]})},
		}, times...)
	case Wallet:
		return []change{{"ListenOn: 127.0.0.1:8103", "ListenOn: " + listen}, dialect, brokers, partitions, redis}
	case Market:
		return []change{{"ListenOn: 127.0.0.1:8104", "ListenOn: " + listen}, dialect, brokers, partitions}
	case Ucenter:
		return []change{
			{"ListenOn: 127.0.0.1:8101", "ListenOn: " + listen},
			dialect,
			{"LoginsPerContactAddress: 10\n", "LoginsPerContactAddress: 100000\n"},
			{"LoginsPerContact: 100\n", "LoginsPerContact: 100000\n"},
			{"LoginsPerAddress: 100\n", "LoginsPerAddress: 100000\n"},
			// What a hash takes for a moment would hide what an outage takes.
			{"MemoryKiB: 65536", "MemoryKiB: 19456"},
			{"Parallel: 2", "Parallel: 1"},
		}
	case Gateway:
		return []change{
			{"ListenOn: 0.0.0.0:8080", "ListenOn: " + listen},
			redis,
			{"[127.0.0.1:8101]", "[" + s.via["gateway-ucenter"] + "]"},
			{"[127.0.0.1:8102]", "[" + s.via["gateway-exchange-1"] + ", " + s.via["gateway-exchange-2"] + "]"},
			{"[127.0.0.1:8103]", "[" + s.via["gateway-wallet-1"] + ", " + s.via["gateway-wallet-2"] + "]"},
			{"[127.0.0.1:8104]", "[" + s.via["gateway-market"] + "]"},
			{"WeightPerMinute: 6000", "WeightPerMinute: -1"},
			{"OrdersPer10s: 100", "OrdersPer10s: -1"},
			{"OrdersPerDay: 200000", "OrdersPerDay: -1"},
		}
	}
	return nil
}
