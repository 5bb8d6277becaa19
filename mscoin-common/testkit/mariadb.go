package testkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"mscoin/mscoin-common/clock"
)

// serverStart bounds installing and starting the private server.
const serverStart = 90 * time.Second

// privateServer is the MariaDB server of this test process, started by the first
// test that asks for it.
var privateServer struct {
	once sync.Once
	dsn  string
	err  error
	// stdin ties the server's life to this process: see startScript.
	stdin *os.File
}

// errNoMariaDB says that there is nothing to start.
var errNoMariaDB = errors.New("mariadbd or mariadb-install-db is not in PATH")

// mariaDBServer returns the DSN of the private server, or leaves the test out.
func mariaDBServer(t testing.TB) string {
	t.Helper()
	privateServer.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), serverStart)
		defer cancel()
		privateServer.dsn, privateServer.err = startMariaDB(ctx)
	})
	if errors.Is(privateServer.err, errNoMariaDB) {
		missing(t, "MariaDB", "install Debian's mariadb-server-core and mariadb-client-core ("+privateServer.err.Error()+")")
	}
	if privateServer.err != nil {
		t.Fatalf("start MariaDB: %v", privateServer.err)
	}
	return privateServer.dsn
}

// startScript runs the server until its standard input ends, which happens when this
// process is gone, however it ended; then it kills the server and removes its data.
const startScript = `
dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 &
server=$!
read -r _ || true
kill -9 "$server" 2>/dev/null
wait "$server" 2>/dev/null
rm -rf "$dir"
`

// startMariaDB installs a server in a temporary folder and starts it on a free
// loopback port.
func startMariaDB(ctx context.Context) (dsn string, err error) {
	server, err1 := exec.LookPath("mariadbd")
	install, err2 := exec.LookPath("mariadb-install-db")
	if err1 != nil || err2 != nil {
		return "", errNoMariaDB
	}
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "mscoin-mariadb-")
	if err != nil {
		return "", err
	}
	started := false
	defer func() {
		if !started {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	data := filepath.Join(dir, "data")
	// root refuses to run the server unless it is named.
	out, err := exec.CommandContext(ctx, install, "--no-defaults", "--user="+me.Username, "--datadir="+data, //nolint:gosec // a test tool
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("install: %w: %s", err, tail(out))
	}
	port, err := freePort(ctx)
	if err != nil {
		return "", err
	}
	if err := runServer(server, dir, me.Username, port); err != nil {
		return "", err
	}
	started = true
	dsn = fmt.Sprintf("root@tcp(127.0.0.1:%d)/", port)
	return dsn, waitForServer(ctx, dsn, filepath.Join(dir, "log"))
}

// runServer starts the server under the script that ends it with this process.
// Durability is off: a test's data is gone after it anyway.
func runServer(server, dir, username string, port int) error {
	stdin, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = stdin.Close() }()
	cmd := exec.Command("/bin/sh", "-c", startScript, "sh", dir, //nolint:gosec,noctx // lives as long as the process
		server, "--no-defaults", "--user="+username, "--datadir="+filepath.Join(dir, "data"),
		"--socket="+filepath.Join(dir, "sock"), "--pid-file="+filepath.Join(dir, "pid"),
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(port), "--skip-networking=0", "--skip-name-resolve",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-log-file-size=8M",
		"--innodb-buffer-pool-size=64M", "--innodb-rollback-on-timeout=ON", "--skip-log-bin",
		"--performance-schema=OFF", "--max-connections=500")
	cmd.Stdin = stdin
	if err := cmd.Start(); err != nil {
		return errors.Join(err, write.Close())
	}
	privateServer.stdin = write // kept open until this process ends
	return nil
}

// freePort returns a loopback port that was free a moment ago.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("unexpected address %v", l.Addr()), l.Close())
	}
	return addr.Port, l.Close()
}

// waitForServer waits until the server answers.
func waitForServer(ctx context.Context, dsn, logFile string) error {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return err
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(connector)
	defer func() { _ = pool.Close() }()
	for {
		pingErr := pool.PingContext(ctx)
		if pingErr == nil {
			return nil
		}
		if err := clock.Sleep(ctx, clock.Real(), 20*time.Millisecond); err != nil {
			log, readErr := os.ReadFile(logFile)
			return errors.Join(fmt.Errorf("no answer: %w: %s", pingErr, tail(log)), readErr)
		}
	}
}

// tail returns the last lines of a log.
func tail(out []byte) string {
	const lines = 10
	all := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
