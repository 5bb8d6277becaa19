package site

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Toxic is what is wrong with a link.
type Toxic struct {
	// Type is one of toxiproxy: latency, bandwidth, reset_peer, timeout, limit_data or slow_close.
	Type string
	// Upstream hits what goes to the server; otherwise what comes back.
	Upstream bool
	// Attributes of the type.
	Attributes map[string]int64
}

// String tells the toxic.
func (t Toxic) String() string { return fmt.Sprintf("%s%v", t.Type, t.Attributes) }

// Link is a connection between processes, through a proxy that can spoil it.
type Link struct {
	// Name is client-server.
	Name  string
	proxy *toxiproxy.Proxy
}

// links opens proxies; they end with this process.
type links struct {
	server *toxiproxy.ApiServer
	all    []*Link
}

func newLinks() *links {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics log past the logger that they get
	return &links{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

// open makes a link and returns the address that stands for the server's.
func (l *links) open(name, listen, server string) (string, error) {
	p := toxiproxy.NewProxy(l.server, name, listen, server)
	if err := p.Start(); err != nil {
		return "", fmt.Errorf("proxy %s: %w", name, err)
	}
	l.all = append(l.all, &Link{Name: name, proxy: p})
	return listen, nil
}

func (l *links) close() {
	for _, link := range l.all {
		link.proxy.Stop()
	}
}

// Spoil adds a toxic until Heal.
func (l *Link) Spoil(t Toxic) error {
	stream := "downstream"
	if t.Upstream {
		stream = "upstream"
	}
	text, err := json.Marshal(map[string]any{"type": t.Type, "stream": stream, "attributes": t.Attributes})
	if err != nil {
		return err
	}
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		return fmt.Errorf("spoil %s: %w", l.Name, err)
	}
	return nil
}

// Cut closes the link's connections and lets nothing through until Restore.
func (l *Link) Cut() { l.proxy.Stop() }

// Restore opens a cut link again.
func (l *Link) Restore() error {
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("restore %s: %w", l.Name, err)
	}
	return nil
}

// Heal removes every toxic. Connections that a toxic has closed stay closed.
func (l *Link) Heal(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }
