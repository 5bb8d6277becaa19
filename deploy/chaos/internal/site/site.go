// Package site is an exchange under test: every service as a process of its own, started
// from the committed configuration files, exchange and wallet twice; or all in one
// process. Between the separate ones stand proxies.
package site

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mscoin/deploy/chaos/internal/process"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/failpoint"
)

// Partitions of the money topics.
const Partitions = 2

const (
	startWithin = 90 * time.Second
	dirMode     = 0o700
)

// Config says where a site is.
type Config struct {
	// AdminTool is mscoin-admin; only poison needs it.
	AdminTool string
	// Program is the fault tests' own program, built with the tag failpoint: each process is
	// one of its commands.
	Program string
	// Root is the folder of the checkout, Dir an empty one for everything that is written.
	Root, Dir string
	// DSNs, if set, are those of the services' empty databases on a MySQL server, which are
	// reached through proxies then. Otherwise they are SQLite files.
	DSNs map[string]string
}

// Site is an exchange under test.
type Site struct {
	cfg Config
	// Base is the address of the public API; Admin the operators' token.
	Base, Admin string
	// Units are all processes in the order of their start.
	Units []*Unit

	infra   *local
	links   *links
	env     []string
	brokers []string          // what clients connect to
	via     map[string]string // address that stands for a server's, by link
}

func secret() (string, error) {
	b := make([]byte, 32)
	_, err := rand.Read(b)
	return base64.StdEncoding.EncodeToString(b), err
}

// Open starts an exchange of separate processes and waits until it answers. Close ends it,
// also after an error.
func Open(ctx context.Context, cfg Config) (*Site, error) {
	s := &Site{cfg: cfg, links: newLinks(), via: map[string]string{}, infra: &local{}}
	if err := errors.Join(os.MkdirAll(s.logDir(), dirMode), os.MkdirAll(s.FailpointDir(), dirMode), s.secrets()); err != nil {
		return s, err
	}
	if err := s.infra.open(ctx, s); err != nil {
		return s, fmt.Errorf("servers: %w", err)
	}
	addrs, err := s.connect(ctx)
	if err != nil {
		return s, err
	}
	for service, name := range map[string]string{Exchange: "exchange-1", Wallet: "wallet-1", Market: "market"} {
		s.env = append(s.env, "MSCOIN_"+strings.ToUpper(service)+"_ADDR="+addrs[name])
	}
	for _, name := range []string{"ucenter", "wallet-1", "wallet-2", "exchange-1", "exchange-2", "market", "gateway"} {
		if err := s.addService(ctx, name, addrs[name]); err != nil {
			return s, err
		}
	}
	s.Base = "http://" + addrs["gateway"]
	return s, answers(ctx, addrs["gateway"], startWithin)
}

// connect chooses the services' addresses and opens the proxies between them.
func (s *Site) connect(ctx context.Context) (map[string]string, error) {
	addrs := map[string]string{}
	for _, name := range []string{"ucenter", "wallet-1", "wallet-2", "exchange-1", "exchange-2", "market", "gateway"} {
		addr, err := freeAddr(ctx)
		if err != nil {
			return nil, err
		}
		addrs[name] = addr
	}
	for _, server := range []string{"ucenter", "wallet-1", "wallet-2", "exchange-1", "exchange-2", "market"} {
		if err := s.link(ctx, Gateway, server, addrs[server]); err != nil {
			return nil, err
		}
	}
	for _, server := range []string{"wallet-1", "wallet-2"} {
		if err := s.link(ctx, Exchange, server, addrs[server]); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// link opens a proxy between a kind of client and a server.
func (s *Site) link(ctx context.Context, client, server, addr string) error {
	listen, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	name := client + "-" + server
	s.via[name], err = s.links.open(name, listen, addr)
	return err
}

func (s *Site) secrets() error {
	for _, name := range []string{"INTERNAL_TOKEN", "ADMIN_TOKEN", "UCENTER_ACCESS_SECRET", "UCENTER_MASTER_KEY", "UCENTER_HASH_KEY"} {
		value, err := secret()
		if err != nil {
			return err
		}
		if name == "ADMIN_TOKEN" {
			s.Admin = value
		}
		s.env = append(s.env, "MSCOIN_"+name+"="+value)
	}
	s.env = append(s.env, failpoint.Env+"="+s.FailpointDir())
	return nil
}

func (s *Site) logDir() string { return filepath.Join(s.cfg.Dir, "log") }

// FailpointDir is where failpoints are armed.
func (s *Site) FailpointDir() string { return filepath.Join(s.cfg.Dir, "failpoints") }

// addChild starts a process of the fault tests' own program.
func (s *Site) addChild(ctx context.Context, name, kind string, env []string, args ...string) error {
	u := &Unit{Name: name, Kind: kind, control: &child{spec: process.Spec{
		Name: name, Log: filepath.Join(s.logDir(), name+".log"), Path: s.cfg.Program, Args: args, Env: env,
	}}}
	s.Units = append(s.Units, u)
	return u.Start(ctx)
}

func (s *Site) addService(ctx context.Context, name, listen string) error {
	kind, _, _ := strings.Cut(name, "-")
	conf, err := render(s.cfg.Root, kind, name, s.cfg.Dir, s.changes(kind, listen))
	if err != nil {
		return err
	}
	env := append([]string{
		fmt.Sprintf("MSCOIN_%s_DSN=%s", strings.ToUpper(kind), s.infra.dsn(kind, s.via[kind+"-database"])),
		"MSCOIN_REDIS_PASSWORD=",
	}, s.env...)
	return s.addChild(ctx, name, kind, env, "serve", kind, "-f", conf)
}

// OpenAllInOne starts an exchange in one process on Dir/data.
func OpenAllInOne(ctx context.Context, cfg Config) (*Site, error) {
	s := &Site{cfg: cfg, links: newLinks(), infra: &local{dir: filepath.Join(cfg.Dir, "data")}}
	if err := errors.Join(os.MkdirAll(s.logDir(), dirMode), os.MkdirAll(s.FailpointDir(), dirMode)); err != nil {
		return s, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return s, err
	}
	s.Base = "http://" + addr
	env := []string{"MSCOIN_DATA=" + s.DataDir(), "MSCOIN_ADDR=" + addr, failpoint.Env + "=" + s.FailpointDir()}
	if err := s.addChild(ctx, AllInOne, AllInOne, env, "serve", AllInOne); err != nil {
		return s, err
	}
	if err := answers(ctx, addr, startWithin); err != nil {
		return s, err
	}
	content, err := os.ReadFile(filepath.Join(s.DataDir(), "secrets.json"))
	if err != nil {
		return s, err
	}
	var secrets struct{ AdminToken string }
	err = json.Unmarshal(content, &secrets)
	s.Admin = secrets.AdminToken
	return s, err
}

// DataDir is the data folder of an exchange in one process.
func (s *Site) DataDir() string { return filepath.Join(s.cfg.Dir, "data") }

// Links are the connections between processes.
func (s *Site) Links() []*Link { return s.links.all }

// Heal starts what does not run, lets go on what is suspended, takes every toxic away and
// disarms every failpoint.
func (s *Site) Heal(ctx context.Context) error {
	for _, l := range s.links.all {
		l.Heal(ctx)
	}
	armed, err := filepath.Glob(filepath.Join(s.FailpointDir(), "*"))
	if err != nil {
		return err
	}
	for _, file := range armed {
		_ = os.Remove(file) // it may have fired meanwhile
	}
	for _, u := range s.Units {
		if err := errors.Join(u.Resume(), u.Start(ctx)); err != nil {
			return fmt.Errorf("start %s again: %w", u.Name, err)
		}
	}
	return nil
}

// Database is a service's, past the proxies.
func (s *Site) Database(service string) database.Config {
	return database.Config{Dialect: s.infra.dialect(), DSN: s.infra.dsn(service, "")}
}

// Ask runs mscoin-admin and decodes its table. An exit status of 1 means that something is
// wrong with what it shows, which is no error here.
func (s *Site) Ask(ctx context.Context, args ...string) ([]map[string]string, error) {
	cmd := exec.CommandContext(ctx, s.cfg.AdminTool, append(args, "-json")...) //nolint:gosec // our own program
	cmd.Env = append(os.Environ(), s.env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("mscoin-admin %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	var rows []map[string]string
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, fmt.Errorf("mscoin-admin %s: %w", strings.Join(args, " "), err)
	}
	return rows, nil
}

// DatabaseLink is the connection of a service to its database.
func (s *Site) DatabaseLink(service string) (*Link, error) {
	for _, l := range s.links.all {
		if l.Name == service+"-database" {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s reaches its database without a proxy", service)
}

// ReconcileEnv tells the reconciling command where the books are.
func (s *Site) ReconcileEnv() []string {
	return []string{
		"MSCOIN_WALLET_DSN=" + s.infra.dialect() + ":" + s.infra.dsn(Wallet, ""),
		"MSCOIN_EXCHANGE_DSN=" + s.infra.dialect() + ":" + s.infra.dsn(Exchange, ""),
	}
}

// Brokers are the addresses of the log, past the proxies' back or not.
func (s *Site) Brokers() []string { return s.brokers }

// Close kills every process.
func (s *Site) Close() error {
	var errs []error
	for _, u := range s.Units {
		errs = append(errs, u.Kill())
	}
	s.links.close()
	return errors.Join(errs...)
}
