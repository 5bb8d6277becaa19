package server

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"

	"mscoin/deploy/demo/seed"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/mscoin-common/rpc"
)

// seedCallMs bounds one call to a service; a password's hash takes its time.
const seedCallMs = 30_000

// Seeded reports whether this stack is an exchange with demo accounts.
func (s Site) Seeded() bool {
	return s.Settings.Profile == layout.Demo && len(s.Settings.Services) == len(layout.Services())
}

// DemoDir is the folder of demo.json. It belongs to the data: other data has other
// accounts.
func (s Site) DemoDir() string { return s.Folder.Data(s.Settings, "demo") }

// URL is where the gateway answers.
func (s Site) URL() string { return "http://" + layout.Addr(s.Settings.ServicePort(layout.Gateway)) }

// Seed fills an empty exchange: see seed.Seed. Its services must run.
func (s Site) Seed(ctx context.Context) (first bool, err error) {
	if err := os.MkdirAll(s.DemoDir(), 0o700); err != nil {
		return false, err
	}
	var to seed.Services
	for name, conn := range map[string]*grpc.ClientConnInterface{"ucenter": &to.Ucenter, "wallet": &to.Wallet, "exchange": &to.Exchange} {
		dialed, closer, err := rpc.Dial(rpc.ClientConfig{
			Endpoints: []string{layout.Addr(s.Settings.ServicePort(name))}, TimeoutMs: seedCallMs, Token: s.Secrets.Get(tokenSecret),
		})
		if err != nil {
			return false, fmt.Errorf("dial %s: %w", name, err)
		}
		defer func() { _ = closer.Close() }()
		*conn = dialed
	}
	return seed.Seed(ctx, s.DemoDir(), to, s.URL(), "ws"+s.URL()[len("http"):])
}
