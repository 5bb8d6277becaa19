// Package layout says where everything of a local stack is: its settings, the
// folders and files below its private folder, and who listens on which port.
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// The database servers.
const (
	// MariaDB is Debian's MariaDB.
	MariaDB = "mariadb"
	// MySQL is a genuine MySQL 8.0 test server.
	MySQL = "mysql"
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
	// Services are the services that run on the stack, in the order of their start.
	Services []string `json:"services"`
	// Root is the folder of the checkout: services are programs in its bin folder, with
	// the configuration of their own folders.
	Root string `json:"root"`
}

// Default returns one broker, MariaDB, one partition and the default ports.
func Default() Settings {
	return Settings{DB: MariaDB, Brokers: 1, BasePort: DefaultBasePort, Partitions: 1}
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

// SameServers reports whether the servers of both settings are the same, so that those
// that run need not be stopped.
func (s Settings) SameServers(o Settings) bool {
	return s.DB == o.DB && s.Brokers == o.Brokers && s.BasePort == o.BasePort && s.Partitions == o.Partitions && s.Unsynced == o.Unsynced
}

// The ports, counted from BasePort.
const (
	portDatabase   = 0
	portRedis      = 1
	portBroker     = 10
	portController = 20
	portService    = 30
)

// servicePorts are the RPC ports of the services, and the gateway's HTTP port.
var servicePorts = map[string]int{
	"wallet":   portService,
	"ucenter":  portService + 1,
	"exchange": portService + 2,
	"market":   portService + 3,
	"gateway":  80,
}

// Services lists every service in the order in which they start: each after those it
// needs.
func Services() []string { return []string{"wallet", "ucenter", "exchange", "market", "gateway"} }

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

// Open makes the folder, readable by its owner alone, and returns its absolute path.
func Open(dir string) (Folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("stack folder: %w", err)
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
	content, err := os.ReadFile(f.settingsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return Settings{}, false, fmt.Errorf("settings of the last start: %w", err)
	}
	return s, true, nil
}

// Save keeps the settings for the commands that come after a start.
func (f Folder) Save(s Settings) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = WriteFile(f.settingsFile(), append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("save settings: %w", err)
	}
	return nil
}

// WriteFile replaces a file as a whole: a crash leaves the old one or the new one. Only
// its owner may read it.
func WriteFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
