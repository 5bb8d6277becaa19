package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	walletsvc "mscoin/wallet/service"
)

// Databases are the services that have a database of their own, mscoin_<service>, with
// a user of the same name who sees no other.
func Databases() []string { return []string{"exchange", "wallet", "market", "ucenter"} }

// testUser may create databases whose names start with mscoin_test_.
const testUser = "test"

// DatabaseSecret names the password of a database user in the secrets.
func DatabaseSecret(user string) string { return "mysql/" + user }

// DatabaseSecrets names every password that the database needs.
func DatabaseSecrets() []string {
	names := []string{DatabaseSecret("root"), DatabaseSecret(testUser)}
	for _, s := range Databases() {
		names = append(names, DatabaseSecret(s))
	}
	return names
}

// DSN returns the DSN of a service's database.
func (s Site) DSN(service string) string { return s.dsn(service, "mscoin_"+service) }

// TestDSN returns the DSN with which tests create databases of their own.
func (s Site) TestDSN() string { return s.dsn(testUser, "") }

func (s Site) dsn(name, db string) string {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = "tcp", layout.Addr(s.Settings.DatabasePort())
	cfg.User, cfg.Passwd, cfg.DBName = "mscoin_"+name, s.Secrets.Get(DatabaseSecret(name)), db
	return cfg.FormatDSN()
}

// Limits of the database server.
const (
	databaseReady = 90 * time.Second
	databaseStop  = 30 * time.Second
)

func database(s Site) Component {
	name := s.Settings.DB
	dir := s.Folder.Data(s.Settings, name)
	conf, statements := s.Folder.Etc(name+".cnf"), s.Folder.Etc("database.sql")
	bin := s.Programs.MariaDB
	if name == layout.MySQL {
		bin = s.Programs.MySQL
	}
	return Component{
		Name:  name,
		Addr:  layout.Addr(s.Settings.DatabasePort()),
		Ports: []int{s.Settings.DatabasePort()},
		Prepare: func(ctx context.Context) error {
			if err := private.WriteFile(statements, []byte(s.databaseSQL())); err != nil {
				return err
			}
			text, err := s.databaseConf(dir)
			if err != nil {
				return err
			}
			if err := private.WriteFile(conf, []byte(text)); err != nil {
				return err
			}
			return once(dir, func() error { return s.initialiseDatabase(ctx, conf, dir) })
		},
		Spec:        s.spec(name, bin, "--defaults-file="+conf, "--init-file="+statements),
		Ready:       s.databaseReady,
		ReadyWithin: databaseReady,
		StopWithin:  databaseStop,
	}
}

// initialiseDatabase makes the system tables. On MariaDB root can log in through the
// socket alone; on MySQL root's password is set before the server first listens.
func (s Site) initialiseDatabase(ctx context.Context, conf, dir string) error {
	if s.Settings.DB == layout.MySQL {
		return s.runTool(ctx, nil, s.Programs.MySQL, "--defaults-file="+conf, "--initialize-insecure")
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	return s.runTool(ctx, nil, s.Programs.MariaDBInstall, "--no-defaults", "--user="+me.Username, "--datadir="+filepath.Join(dir, "data"),
		"--auth-root-authentication-method=socket", "--auth-root-socket-user="+me.Username, "--skip-test-db", "--skip-name-resolve")
}

// databaseConf renders the server's option file. A commit that was acknowledged is on
// the disk; nothing reads a binary log here, so there is none.
func (s Site) databaseConf(dir string) (string, error) {
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	lines := []string{
		"[mysqld]",
		"user=" + me.Username, // root is refused unless it is named
		"datadir=" + filepath.Join(dir, "data"),
		"socket=db.sock", // below datadir; an absolute path may be too long for a socket
		"pid-file=" + filepath.Join(dir, "pid"),
		"bind-address=127.0.0.1",
		fmt.Sprintf("port=%d", s.Settings.DatabasePort()),
		"skip-name-resolve",
		"local-infile=0",
		"",
		"innodb_flush_log_at_trx_commit=1",
		"innodb_doublewrite=1",
		"innodb_rollback_on_timeout=ON",
		"innodb_lock_wait_timeout=5",
		"innodb_buffer_pool_size=256M",
		"innodb_log_file_size=128M",
		"skip-log-bin",
		"sync_binlog=1",
		"transaction-isolation=READ-COMMITTED",
		"",
		"character-set-server=utf8mb4",
		"collation-server=utf8mb4_bin",
		"default-storage-engine=InnoDB",
		"default-time-zone=+00:00",
		"sql-mode=STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
		"max_allowed_packet=64M",
		"max_connections=400",
		"performance-schema=OFF",
	}
	if s.Settings.DB == layout.MySQL {
		lines = append(lines,
			"basedir="+filepath.Dir(filepath.Dir(s.Programs.MySQL)),
			"skip-mysqlx",
			"skip-ssl", // a build of 2019: for the loopback alone
		)
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// databaseSQL renders what the server runs at each start, before it listens: databases
// and users as they must be. One statement per line.
func (s Site) databaseSQL() string {
	var b strings.Builder
	user := func(name string) (account string) {
		account = fmt.Sprintf("'mscoin_%s'@'127.0.0.1'", name)
		password := s.Secrets.Get(DatabaseSecret(name))
		fmt.Fprintf(&b, "CREATE USER IF NOT EXISTS %s IDENTIFIED BY '%s';\n", account, password)
		fmt.Fprintf(&b, "ALTER USER %s IDENTIFIED BY '%s';\n", account, password)
		return account
	}
	grant := func(name, pattern string) {
		fmt.Fprintf(&b, "GRANT ALL PRIVILEGES ON `%s`.* TO %s;\n", pattern, user(name))
	}
	if s.Settings.DB == layout.MySQL {
		fmt.Fprintf(&b, "ALTER USER 'root'@'localhost' IDENTIFIED BY '%s';\n", s.Secrets.Get(DatabaseSecret("root")))
	}
	for _, service := range Databases() {
		fmt.Fprintf(&b, "CREATE DATABASE IF NOT EXISTS `mscoin_%s` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n", service)
		if service != "wallet" {
			grant(service, `mscoin\_`+service)
			continue
		}
		for _, statement := range walletsvc.Grants(user(service), "mscoin_"+service) {
			b.WriteString(statement + ";\n")
		}
	}
	grant(testUser, `mscoin\_test\_%`)
	return b.String()
}

// databaseReady logs in as every service.
func (s Site) databaseReady(ctx context.Context) error {
	for _, service := range Databases() {
		if err := s.pingDatabase(ctx, service); err != nil {
			return fmt.Errorf("database mscoin_%s: %w", service, err)
		}
	}
	return nil
}

func (s Site) pingDatabase(ctx context.Context, service string) (err error) {
	cfg, err := mysql.ParseDSN(s.DSN(service))
	if err != nil {
		return errors.New("malformed DSN") // the cause would show the password
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, pool.Close()) }()
	var collation string
	if err := pool.QueryRowContext(ctx, "SELECT @@collation_database").Scan(&collation); err != nil {
		return err
	}
	if collation != "utf8mb4_bin" {
		return fmt.Errorf("collation is %s", collation)
	}
	return nil
}
