// Command setup prepares the servers of an installation: each service's database and user
// on MySQL, and the topics on Kafka. It runs before the services, as often as one likes:
// what is there is left alone, passwords and grants become what the environment says.
//
// Environment: MSCOIN_ADMIN_DSN (a MySQL user that may create users and databases),
// MSCOIN_WALLET_DSN, MSCOIN_EXCHANGE_DSN, MSCOIN_MARKET_DSN and MSCOIN_UCENTER_DSN as the
// services have them, MSCOIN_KAFKA_BROKERS (host:port,…).
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	walletsvc "mscoin/wallet/service"
)

// limit bounds all of it.
const limit = 2 * time.Minute

func main() {
	partitions := flag.Int("partitions", 1, "partitions of the money topics")
	replication := flag.Int("replication", 1, "replicas of each partition; min.insync.replicas is one less, at least 1")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	err := errors.Join(databases(ctx, os.Getenv), topics(ctx, os.Getenv("MSCOIN_KAFKA_BROKERS"), *partitions, *replication))
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
	fmt.Println("setup: databases, users and topics are as they must be")
}

// databases makes the databases and users.
func databases(ctx context.Context, getenv func(string) string) (err error) {
	admin, err := parse("MSCOIN_ADMIN_DSN", getenv)
	if err != nil {
		return err
	}
	connector, err := mysql.NewConnector(admin)
	if err != nil {
		return errors.New("MSCOIN_ADMIN_DSN is not usable")
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, service := range []string{"wallet", "exchange", "market", "ucenter"} {
		cfg, err := parse("MSCOIN_"+strings.ToUpper(service)+"_DSN", getenv)
		if err != nil {
			return err
		}
		all, err := statements(service, cfg)
		if err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
		for _, s := range all {
			if _, err := db.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %s: %w", service, strings.Join(strings.Fields(s)[:2], " "), err) // the rest may be a password
			}
		}
	}
	return nil
}

// parse reads a DSN; its errors show nothing of it.
func parse(name string, getenv func(string) string) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(getenv(name))
	if err != nil || getenv(name) == "" {
		return nil, fmt.Errorf("%s is missing or malformed", name)
	}
	return cfg, nil
}

// plain is what may stand in a statement without quoting.
var plain = regexp.MustCompile(`^[A-Za-z0-9_+/=.-]+$`)

// statements make the database and the user of a service.
func statements(service string, cfg *mysql.Config) ([]string, error) {
	for what, v := range map[string]string{"user": cfg.User, "password": cfg.Passwd, "database": cfg.DBName} {
		if !plain.MatchString(v) {
			return nil, fmt.Errorf("the %s of its DSN is empty, or holds more than letters, digits and _+/=.-", what)
		}
	}
	account := "'" + cfg.User + "'@'%'"
	all := []string{
		"CREATE DATABASE IF NOT EXISTS `" + cfg.DBName + "` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		"CREATE USER IF NOT EXISTS " + account + " IDENTIFIED BY '" + cfg.Passwd + "'",
		"ALTER USER " + account + " IDENTIFIED BY '" + cfg.Passwd + "'",
	}
	if service == "wallet" { // it may add to its journal, and change nothing there
		return append(all, walletsvc.Grants(account, cfg.DBName)...), nil
	}
	return append(all, "GRANT ALL PRIVILEGES ON `"+strings.ReplaceAll(cfg.DBName, "_", `\_`)+"`.* TO "+account), nil
}

// topics makes the money topics.
func topics(ctx context.Context, brokers string, partitions, replication int) error {
	client, err := bus.Connect(bus.Config{Brokers: strings.Split(brokers, ","), ClientID: "setup"}, clock.Real())
	if err != nil {
		return err
	}
	defer client.Close()
	all := bus.MoneyTopics(partitions)
	for i := range all {
		all[i].Replication = replication
		all[i].Configs["min.insync.replicas"] = strconv.Itoa(max(1, replication-1))
		all[i].Configs["unclean.leader.election.enable"] = "false"
	}
	return client.EnsureTopics(ctx, all)
}
