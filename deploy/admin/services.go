package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"

	"mscoin/mscoin-common/rpc"
)

// serviceNames are the services with a consumer, in the order they are shown.
var serviceNames = []string{"exchange", "wallet", "market"}

// services are the connections to those that have an address.
type services struct {
	conns   map[string]grpc.ClientConnInterface
	addrs   map[string]string // host:port of each
	closers []io.Closer
}

func (s *services) close() {
	for _, c := range s.closers {
		_ = c.Close() // nothing is sent any more
	}
}

// of returns the connection to a service.
func (s *services) of(name string) (grpc.ClientConnInterface, error) {
	conn, ok := s.conns[name]
	if !ok {
		return nil, fmt.Errorf("no address of the service %q: set -service to %s, and its address", name, strings.Join(serviceNames, ", "))
	}
	return conn, nil
}

// connect finds the services and the token; see the command's documentation.
func connect(o *options, getenv func(string) string) (*services, error) {
	dir := getenv("MSCOIN_DATA")
	if dir == "" {
		dir = "data"
	}
	var secrets struct {
		InternalToken string `json:"internalToken"`
	}
	written := map[string]string{}
	if err := errors.Join(readJSON(filepath.Join(dir, "services.json"), &written), readJSON(filepath.Join(dir, "secrets.json"), &secrets)); err != nil {
		return nil, err
	}
	token := getenv("MSCOIN_INTERNAL_TOKEN")
	if token == "" {
		token = secrets.InternalToken
	}
	if token == "" {
		return nil, errors.New("no token: set MSCOIN_INTERNAL_TOKEN, or MSCOIN_DATA to the folder of a running exchange")
	}
	s := &services{conns: map[string]grpc.ClientConnInterface{}, addrs: map[string]string{}}
	for _, name := range serviceNames {
		addr := *o.addresses[name]
		if addr == "" {
			addr = getenv("MSCOIN_" + strings.ToUpper(name) + "_ADDR")
		}
		if addr == "" {
			addr = written[name]
		}
		if addr == "" {
			continue
		}
		conn, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{addr}, TimeoutMs: o.timeout.Milliseconds(), Token: token})
		if err != nil {
			s.close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.conns[name], s.addrs[name], s.closers = conn, addr, append(s.closers, closer)
	}
	if len(s.conns) == 0 {
		return nil, errors.New("no service has an address")
	}
	return s, nil
}

// readJSON reads a file that need not be there.
func readJSON(path string, into any) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
