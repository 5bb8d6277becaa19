package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
)

// rpcTimeoutMs is how long a caller waits for the wallet.
const rpcTimeoutMs = 2000

// conn is the network from a process to the wallet: requests and answers get lost, come
// late or twice.
type conn struct{ s *sim }

var _ grpc.ClientConnInterface = conn{}

// reply is the answer to a request, once it is there.
type reply struct {
	there bool
	value proto.Message
	err   error
}

// Invoke implements grpc.ClientConnInterface.
func (c conn) Invoke(ctx context.Context, method string, args, out any, _ ...grpc.CallOption) error {
	s := c.s
	name := method[strings.LastIndexByte(method, '/')+1:]
	what := func() string { return fmt.Sprintf("asks the wallet to %s (%v)", name, args) }
	decided := s.fate(walletNet, what)
	if decided == refused {
		return errUnavailable
	}
	request := proto.Clone(args.(proto.Message))
	if decided == late {
		s.after(s.delayMs(), s.tell(func() string { return fmt.Sprintf("%s (%v)", name, args) }), func() { c.deliver(ctx, name, request) })
		return c.timeout()
	}
	r, target := c.deliver(ctx, name, request)
	switch {
	case r == nil:
		return errUnavailable
	case decided == doubled:
		s.after(s.delayMs(), s.tell(func() string { return fmt.Sprintf("%s once more (%v)", name, args) }), func() { c.deliver(ctx, name, request) })
	case decided == lost || decided == torn:
		return c.timeout()
	case decided == dies:
		s.die("after the request has left")
	}
	s.park(func() bool { return r.there || !target.alive }, s.nowMs+rpcTimeoutMs)
	if !r.there {
		return errUnknown
	}
	s.pass()
	if r.err != nil {
		return r.err
	}
	proto.Merge(out.(proto.Message), r.value)
	return nil
}

// timeout is waiting for an answer that does not come.
func (c conn) timeout() error {
	c.s.park(nil, c.s.nowMs+rpcTimeoutMs)
	return errUnknown
}

// NewStream implements grpc.ClientConnInterface; the exchange opens none.
func (conn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errUnavailable
}

// deliver starts the handling of a request in the newest wallet; nil if there is none.
func (c conn) deliver(ctx context.Context, name string, request proto.Message) (*reply, *process) {
	target := c.s.world.newest(walletKind)
	if target == nil || target.wallet == nil {
		return nil, nil
	}
	r := &reply{}
	c.s.spawn(target, name, func() error {
		var err error
		r.value, err = handle(context.WithoutCancel(ctx), target.wallet.Server, name, request)
		return err
	}, func(err error) { r.err, r.there = travelled(err), true })
	return r, target
}

func handle(ctx context.Context, w walletpb.WalletServiceServer, name string, request proto.Message) (proto.Message, error) {
	switch req := request.(type) {
	case *walletpb.PlaceHoldRequest:
		return w.PlaceHold(ctx, req)
	case *walletpb.ListStaleHoldsRequest:
		return w.ListStaleHolds(ctx, req)
	case *walletpb.ListCoinsRequest:
		return w.ListCoins(ctx, req)
	case *walletpb.DepositRequest:
		return w.Deposit(ctx, req)
	}
	return nil, errors.New("simulator: no handler of " + name)
}

// travelled is an error as it comes out of the network: see package rpc.
func travelled(err error) error {
	if err == nil {
		return nil
	}
	e := errs.From(err)
	return errs.New(e.Kind, e.Code, e.Message).With(e.Detail)
}
