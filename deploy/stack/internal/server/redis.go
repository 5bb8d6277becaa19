package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
)

// RedisSecret names the password of Redis in the secrets.
const RedisSecret = "redis"

// Limits of Redis.
const (
	redisReady = 30 * time.Second
	redisStop  = 10 * time.Second
)

func redis(s Site) Component {
	dir := s.Folder.Data(s.Settings, "redis")
	conf := s.Folder.Etc("redis.conf")
	return Component{
		Name:  "redis",
		Addr:  layout.Addr(s.Settings.RedisPort()),
		Ports: []int{s.Settings.RedisPort()},
		Prepare: func(context.Context) error {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			return private.WriteFile(conf, []byte(s.redisConf(dir)))
		},
		Spec:        s.spec("redis", s.Programs.Redis, conf),
		Ready:       s.redisReady,
		ReadyWithin: redisReady,
		StopWithin:  redisStop,
	}
}

// redisConf renders the configuration. Redis holds locks, short read positions and
// caches: nothing is ever evicted to make room (a lock that vanishes is no lock), and
// what one second of a power cut takes is rebuilt.
func (s Site) redisConf(dir string) string {
	return strings.Join([]string{
		"bind 127.0.0.1",
		fmt.Sprintf("port %d", s.Settings.RedisPort()),
		"protected-mode yes",
		"requirepass " + s.Secrets.Get(RedisSecret),
		"daemonize no",
		"set-proc-title no", // its command line is how it is found again
		"logfile \"\"",
		fmt.Sprintf("dir %q", dir),
		"appendonly yes",
		"appendfsync everysec",
		"save \"\"",
		"maxmemory 256mb",
		"maxmemory-policy noeviction",
		"databases 16",
	}, "\n") + "\n"
}

// redisReady authenticates and expects the answer to PING. It speaks the two lines of
// the protocol itself.
func (s Site) redisReady(ctx context.Context) (err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", layout.Addr(s.Settings.RedisPort()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", s.Secrets.Get(RedisSecret)); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(line); got != want {
			return fmt.Errorf("redis answers %q, want %q", got, want)
		}
	}
	return nil
}
