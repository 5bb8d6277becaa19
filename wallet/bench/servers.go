package main

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
	"slices"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/embedded"
)

// startWait bounds the start of a server.
const startWait = 60 * time.Second

// servers are the database, Redis and broker of this run, all private and all gone
// with it.
type servers struct {
	dir      string
	what     string // for people
	mysql    string // DSN without a database; empty is SQLite
	redis    string
	broker   string
	closers  []func() error
	database *exec.Cmd // nil with SQLite
}

// start starts everything in a new folder under parent. With embedded set, or where
// the programs are missing, SQLite and an in-process Redis take their place.
func start(ctx context.Context, parent string, embeddedOnly bool) (_ *servers, err error) {
	dir, err := os.MkdirTemp(parent, "mscoin-bench-")
	if err != nil {
		return nil, err
	}
	s := &servers{dir: dir, closers: []func() error{func() error { return os.RemoveAll(dir) }}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	broker, err := embedded.StartBroker(embedded.Config{Dir: filepath.Join(dir, "broker")})
	if err != nil {
		return nil, err
	}
	s.broker, s.closers = broker.Addr(), append(s.closers, broker.Close)
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	if err := s.startDatabase(ctx, embeddedOnly); err != nil {
		return nil, err
	}
	return s, s.startRedis(ctx, embeddedOnly)
}

// close stops the servers, the last started first.
func (s *servers) close() error {
	var all []error
	for _, stop := range slices.Backward(s.closers) {
		all = append(all, stop())
	}
	return errors.Join(all...)
}

func (s *servers) startDatabase(ctx context.Context, embeddedOnly bool) error {
	server, err1 := exec.LookPath("mariadbd")
	install, err2 := exec.LookPath("mariadb-install-db")
	if embeddedOnly || err1 != nil || err2 != nil {
		s.what = "SQLite (synchronous=FULL)"
		if !embeddedOnly {
			s.what += ", because MariaDB is not installed"
		}
		return nil
	}
	s.what = "MariaDB (flush at each commit)"
	me, err := user.Current()
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	out, err := exec.CommandContext(ctx, install, "--no-defaults", "--user="+me.Username, "--datadir="+data, //nolint:gosec // found in PATH
		"--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput()
	if err != nil {
		return fmt.Errorf("install MariaDB: %w: %s", err, out)
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.database, err = s.program(server, "--no-defaults", "--user="+me.Username, "--datadir="+data,
		"--socket="+filepath.Join(s.dir, "sock"), "--pid-file="+filepath.Join(s.dir, "pid"),
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(port), "--skip-name-resolve", "--skip-log-bin",
		"--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M",
		"--innodb-rollback-on-timeout=ON", "--performance-schema=OFF")
	if err != nil {
		return err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.Logger = "root", "tcp", fmt.Sprintf("127.0.0.1:%d", port), &mysql.NopLogger{}
	s.mysql = cfg.FormatDSN()
	return s.untilAnswers(ctx, "MariaDB", func() error { return s.exec(ctx, "SELECT 1") })
}

func (s *servers) startRedis(ctx context.Context, embeddedOnly bool) error {
	server, err := exec.LookPath("redis-server")
	if embeddedOnly || err != nil {
		r, err := embedded.StartRedis("")
		if err != nil {
			return err
		}
		s.redis, s.closers, s.what = r.Addr(), append(s.closers, r.Close), s.what+" and an in-process Redis"
		return nil
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	_, err = s.program(server, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir)
	if err != nil {
		return err
	}
	s.redis, s.what = fmt.Sprintf("127.0.0.1:%d", port), s.what+" and Redis"
	return s.untilAnswers(ctx, "Redis", func() error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.redis)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// program starts a server that is killed at the end: its data goes with it.
func (s *servers) program(path string, args ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(s.dir, filepath.Base(path)+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...) //nolint:gosec,noctx // found in PATH; close ends it
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	s.closers = append(s.closers, func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait() // "killed" is what it says
		return errors.Join(err, log.Close())
	})
	return cmd, nil
}

func (s *servers) untilAnswers(ctx context.Context, name string, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if sleepErr := clock.Sleep(ctx, clock.Real(), 20*time.Millisecond); sleepErr != nil {
			return fmt.Errorf("%s does not answer: %w", name, err)
		}
	}
}

// exec runs a statement outside any database.
func (s *servers) exec(ctx context.Context, statement string) (err error) {
	pool, err := sql.Open("mysql", s.mysql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	_, err = pool.ExecContext(ctx, statement)
	return err
}

// createDatabase makes an empty database and says how to open it.
func (s *servers) createDatabase(ctx context.Context, name string) (database.Config, error) {
	if s.mysql == "" {
		return database.Config{Dialect: database.SQLite, DSN: filepath.Join(s.dir, name+".db")}, nil
	}
	if err := s.exec(ctx, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"); err != nil {
		return database.Config{}, err
	}
	cfg, err := mysql.ParseDSN(s.mysql)
	if err != nil {
		return database.Config{}, err
	}
	cfg.DBName = name
	return database.Config{Dialect: database.MySQL, DSN: cfg.FormatDSN()}, nil
}

// freePort returns a loopback port that was free a moment ago.
func freePort(ctx context.Context) (port int, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("unexpected address %v", l.Addr())
	}
	return addr.Port, nil
}
