// Package layout says where everything of a local stack is: its settings, the
// folders and files below its private folder, and who listens on which port.
package layout

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mscoin/deploy/internal/private"
)

// The database servers.
const (
	// MariaDB is Debian's MariaDB.
	MariaDB = "mariadb"
	// MySQL is a genuine MySQL 8.0 test server.
	MySQL = "mysql"
)

// What the exchange is for.
const (
	// Demo lists coins and symbols, makes two funded accounts, and is generous with
	// request limits.
	Demo = "demo"
	// Normal starts empty.
	Normal = "normal"
)

// Settings are what a user chooses.
type Settings struct {
	// DB is MariaDB or MySQL.
	DB string `json:"db"`
	// Brokers is the number of Kafka brokers: 1, or 3 with replication 3.
	Brokers int `json:"brokers"`
	// BasePort is the first of the stack's PortSpan ports.
	BasePort int `json:"basePort"`
	// Partitions is the partition count of the money topics.
	Partitions int `json:"partitions"`
	// Unsynced lets a single broker acknowledge records that are not on the disk yet.
	Unsynced bool `json:"unsynced,omitempty"`
	// Profile is Demo or Normal; it matters to the services only.
	Profile string `json:"profile"`
	// Services are the services that run on the stack, in the order of their start.
	Services []string `json:"services"`
	// Root is the folder of the checkout: services are programs in its bin folder, with
	// the configuration of their own folders.
	Root string `json:"root"`
}

// Default returns one broker, MariaDB, one partition, the default ports, for a demo.
func Default() Settings {
	return Settings{DB: MariaDB, Brokers: 1, BasePort: DefaultBasePort, Partitions: 1, Profile: Demo}
}

// Bounds of Settings.
const (
	// DefaultBasePort lies below the range of ephemeral ports.
	DefaultBasePort = 21000
	// PortSpan is how many ports from BasePort on belong to the stack.
	PortSpan = 100

	maxPartitions = 256
	lowestPort    = 1024
	highestPort   = 65535
)

// Validate reports the first setting that cannot be.
func (s Settings) Validate() error {
	if s.DB != MariaDB && s.DB != MySQL {
		return fmt.Errorf("database %q is neither %s nor %s", s.DB, MariaDB, MySQL)
	}
	if s.Profile != Demo && s.Profile != Normal {
		return fmt.Errorf("profile %q is neither %s nor %s", s.Profile, Demo, Normal)
	}
	if s.Brokers != 1 && s.Brokers != 3 {
		return fmt.Errorf("%d Kafka brokers: choose 1 or 3", s.Brokers)
	}
	if s.Partitions < 1 || s.Partitions > maxPartitions {
		return fmt.Errorf("%d partitions: choose 1 to %d", s.Partitions, maxPartitions)
	}
	if s.BasePort < lowestPort || s.BasePort+PortSpan-1 > highestPort {
		return fmt.Errorf("base port %d: the %d ports from it on must lie between %d and %d", s.BasePort, PortSpan, lowestPort, highestPort)
	}
	for _, name := range s.Services {
		if _, ok := servicePorts[name]; !ok {
			return fmt.Errorf("there is no service %q", name)
		}
	}
	return nil
}

// SameServers reports whether servers and services that run with one of the settings fit
// the other, so that they need not be stopped.
func (s Settings) SameServers(o Settings) bool {
	return s.DB == o.DB && s.Brokers == o.Brokers && s.BasePort == o.BasePort && s.Partitions == o.Partitions && s.Unsynced == o.Unsynced &&
		s.Profile == o.Profile
}

// The first ports that FreeBasePort tries.
const (
	firstFreeBase = 25000
	lastFreeBase  = 31900
)

// FreeBasePort finds a base port whose ports are all free at the moment.
func FreeBasePort(ctx context.Context) (int, error) {
	for base := firstFreeBase; base <= lastFreeBase; base += PortSpan {
		if PortsFree(ctx, base, PortSpan) == nil {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports between %d and %d", PortSpan, firstFreeBase, lastFreeBase+PortSpan-1)
}

// PortsFree says early and clearly what a server would say late in its log: which of n
// ports from first on is taken.
func PortsFree(ctx context.Context, first, n int) error {
	for port := first; port < first+n; port++ {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", Addr(port))
		if err != nil {
			return fmt.Errorf("port %d is taken by another program (choose other ports with -port): %w", port, err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("port %d: %w", port, err)
		}
	}
	return nil
}

// The ports, counted from BasePort.
const (
	portDatabase   = 0
	portRedis      = 1
	portBroker     = 10
	portController = 20
	portService    = 30
)

// Gateway is the service that the outside talks to.
const Gateway = "gateway"

// servicePorts are the RPC ports of the services, and the gateway's HTTP port.
var servicePorts = map[string]int{
	"wallet":   portService,
	"ucenter":  portService + 1,
	"exchange": portService + 2,
	"market":   portService + 3,
	Gateway:    80,
}

// telemetryStep is added to a service's port for that of its metrics and probes.
const telemetryStep = 10

// TelemetryPort is the port of a service's metrics and probes; 0 when there is no such
// service.
func (s Settings) TelemetryPort(name string) int {
	if s.ServicePort(name) == 0 {
		return 0
	}
	return s.ServicePort(name) + telemetryStep
}

// Services lists every service in the order in which they start: each after those it
// needs.
func Services() []string { return []string{"wallet", "ucenter", "exchange", "market", Gateway} }

// Addr returns the loopback address of a port.
func Addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// DatabasePort is the port of MariaDB or MySQL.
func (s Settings) DatabasePort() int { return s.BasePort + portDatabase }

// RedisPort is the port of Redis.
func (s Settings) RedisPort() int { return s.BasePort + portRedis }

// BrokerPort is the port of broker n (from 1) for clients.
func (s Settings) BrokerPort(n int) int { return s.BasePort + portBroker + n - 1 }

// ControllerPort is the port on which broker n (from 1) talks to the quorum.
func (s Settings) ControllerPort(n int) int { return s.BasePort + portController + n - 1 }

// ServicePort is the port of a service; 0 when there is no such service.
func (s Settings) ServicePort(name string) int {
	p, ok := servicePorts[name]
	if !ok {
		return 0
	}
	return s.BasePort + p
}

// BrokerAddrs are the addresses of all brokers for clients.
func (s Settings) BrokerAddrs() []string {
	addrs := make([]string, s.Brokers)
	for i := range addrs {
		addrs[i] = Addr(s.BrokerPort(i + 1))
	}
	return addrs
}

// Folder is the private folder of a stack.
type Folder string

// special means something to one of the servers in a path: the comma ends one of Kafka's
// folders, the colon one of Java's, the others quote or comment.
const special = ",:;*?\"'\\#$\r\n\t"

// Open makes the folder, readable by its owner alone, and returns its absolute path.
func Open(dir string) (Folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("stack folder: %w", err)
	}
	if strings.ContainsAny(abs, special) {
		return "", fmt.Errorf("stack folder: %q: the servers cannot take a path with one of %q", abs, special)
	}
	f := Folder(abs)
	for _, d := range []string{abs, f.runDir(), f.logDir(), f.etcDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return "", fmt.Errorf("stack folder: %w", err)
		}
	}
	return f, nil
}

func (f Folder) path(elem ...string) string {
	return filepath.Join(append([]string{string(f)}, elem...)...)
}
func (f Folder) runDir() string { return f.path("run") }
func (f Folder) logDir() string { return f.path("log") }
func (f Folder) etcDir() string { return f.path("etc") }

// Programs holds the programs that no Debian package brings.
func (f Folder) Programs() string { return f.path("programs") }

// PIDFile records the process of a component.
func (f Folder) PIDFile(name string) string { return filepath.Join(f.runDir(), name+".json") }

// Log is what a component prints.
func (f Folder) Log(name string) string { return filepath.Join(f.logDir(), name+".log") }

// Etc is a rendered configuration file.
func (f Folder) Etc(name string) string { return filepath.Join(f.etcDir(), name) }

// Secrets is the file with the passwords.
func (f Folder) Secrets() string { return f.path("secrets.json") }

// Env is the file with the environment of services and tests, for a shell to source.
func (f Folder) Env() string { return f.path("env") }

// Lock keeps two commands from changing the stack at once.
func (f Folder) Lock() string { return f.path("lock") }

// Data is the folder with a component's data. Every combination of database and
// brokers has data of its own: positions kept in one database mean nothing in the log
// of another.
func (f Folder) Data(s Settings, name string) string {
	return f.path("data", fmt.Sprintf("%s-%d", s.DB, s.Brokers), name)
}

// Names lists the components that have a PID file.
func (f Folder) Names() ([]string, error) {
	files, err := filepath.Glob(f.PIDFile("*"))
	if err != nil {
		return nil, fmt.Errorf("list pid files: %w", err)
	}
	names := make([]string, len(files))
	for i, file := range files {
		base := filepath.Base(file)
		names[i] = base[:len(base)-len(".json")]
	}
	return names, nil
}

func (f Folder) settingsFile() string { return f.path("stack.json") }

// Load returns the settings of the last start; found is false when there was none.
func (f Folder) Load() (s Settings, found bool, err error) {
	s = Default() // for what an older version has not written
	found, err = private.ReadJSON(f.settingsFile(), &s)
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return Settings{}, false, fmt.Errorf("settings of the last start: %w", err)
	}
	return s, found, nil
}

// Save keeps the settings for the commands that come after a start.
func (f Folder) Save(s Settings) error {
	if err := private.WriteJSON(f.settingsFile(), s); err != nil {
		return fmt.Errorf("save settings: %w", err)
	}
	return nil
}
