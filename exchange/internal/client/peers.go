package client

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/rpc"
)

// peerIdle is when the connection to an instance that nothing was sent to is closed.
const peerIdle = 5 * time.Minute

// Peers are the other instances of the exchange. It is safe for concurrent use.
type Peers struct {
	token     string
	timeoutMs int64
	clk       clock.Clock

	mu sync.Mutex
	by map[string]*Peer
}

// Peer is another instance.
type Peer struct {
	exchangepb.ExchangeServiceClient

	Operator exchangepb.OperatorServiceClient
	// Positions is how far the order consumer is, as that instance tells.
	Positions GetPositions

	closer io.Closer
	used   time.Time
}

// NewPeers returns peers that are called with that token and time-out.
func NewPeers(token string, timeoutMs int64, clk clock.Clock) *Peers {
	return &Peers{token: token, timeoutMs: timeoutMs, clk: clk, by: map[string]*Peer{}}
}

// At returns a client of the instance that answers on endpoint.
func (p *Peers) At(endpoint string) (*Peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clk.Now()
	if known, ok := p.by[endpoint]; ok {
		known.used = now
		return known, nil
	}
	conn, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{endpoint}, Token: p.token, TimeoutMs: p.timeoutMs})
	if err != nil {
		return nil, fmt.Errorf("instance %s: %w", endpoint, err)
	}
	for at, old := range p.by { // instances come and go with ports of their own
		if now.Sub(old.used) > peerIdle {
			_ = old.closer.Close() // of no use any more
			delete(p.by, at)
		}
	}
	p.by[endpoint] = &Peer{
		ExchangeServiceClient: exchangepb.NewExchangeServiceClient(conn), Operator: exchangepb.NewOperatorServiceClient(conn),
		Positions: RemotePositions(conn), closer: closer, used: now,
	}
	return p.by[endpoint], nil
}

// Close closes all connections.
func (p *Peers) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []error
	for at, known := range p.by {
		all = append(all, known.closer.Close())
		delete(p.by, at)
	}
	return errors.Join(all...)
}
