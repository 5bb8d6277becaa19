package service

import (
	"context"
	"os"

	"mscoin/exchange/internal/app"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/lifecycle"
	"mscoin/mscoin-common/rpc"
)

// newGroup lists what runs, in the order it starts; it stops in reverse: the partitions are
// handed over while requests are still served, so that they reach the next owner.
func (s *Service) newGroup() *lifecycle.Group {
	g := lifecycle.New()
	g.StopTimeout = stopTimeout
	g.Signals = []os.Signal{} // they belong to the process, which ends ctx
	g.Add("resources", nil, func(context.Context) error { return s.Close() })
	g.Go("intents", s.store.Run)
	g.Go("admission", s.admission.Run)
	g.Add("rpc", s.server.Start, s.server.Stop)
	g.Go("leases", s.keepLeases)
	g.Add("serving", s.setServing(true), s.setServing(false))
	g.Go("symbols", s.app.FollowSymbols)
	g.Go("sweeper", app.NewSweeper(s.app).Run)
	return g
}

func (s *Service) setServing(serving bool) func(context.Context) error {
	return func(context.Context) error {
		s.serving.Store(serving)
		return nil
	}
}

// keepLeases owns partitions until ctx ends.
func (s *Service) keepLeases(ctx context.Context) error {
	endpoint, err := rpc.Endpoint(s.cfg.Endpoint, s.server.Addr())
	if err != nil {
		return err
	}
	return s.leases.Run(ctx, endpoint)
}

// newLeases prepares the leases; Run keeps them.
func (s *Service) newLeases(ctx context.Context) error {
	if err := lease.Migrate(ctx, s.db); err != nil {
		return err
	}
	table := lease.NewTable(s.db, leaseName, s.cfg.Partitions)
	if err := table.Prepare(ctx); err != nil {
		return err
	}
	s.id = lease.NewID(s.cfg.Name)
	s.leases = lease.New(s.cfg.Lease, table, s.clk, s.id, s.own)
	return nil
}
