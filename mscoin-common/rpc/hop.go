package rpc

import (
	"context"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc/metadata"
)

// hopKey marks a request that one instance of a service has sent on to another.
const hopKey = "x-mscoin-hop"

// Forward marks what is called with the returned context as sent on from another instance:
// it is not sent on again.
func Forward(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, hopKey, "1")
}

// Forwarded reports whether the request that ctx belongs to was sent on to this instance.
func Forwarded(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, hopKey)) > 0
}

// Endpoint returns the host:port at which other instances reach a server: what was
// configured, or else where it listens, with the machine's name for a server that listens
// everywhere.
func Endpoint(configured, listenOn string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	host, port, err := net.SplitHostPort(listenOn)
	if err != nil {
		return "", fmt.Errorf("endpoint of %q: %w", listenOn, err)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return listenOn, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("endpoint of %q: %w", listenOn, err)
	}
	return net.JoinHostPort(name, port), nil
}
