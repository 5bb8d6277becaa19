package service

import (
	"context"
	"errors"
	"fmt"
	"os"

	"mscoin/exchange/internal/app"
	"mscoin/mscoin-common/lifecycle"
)

// group lists what runs, in the order it starts; it stops in reverse, so that
// requests end before the matcher that answers them does.
func (s *Service) group() *lifecycle.Group {
	g := lifecycle.New()
	g.StopTimeout = stopTimeout
	g.Signals = []os.Signal{} // they belong to the process, which ends ctx
	g.Add("resources", nil, func(context.Context) error { return s.Close() })
	g.Go("intents", s.store.Run)
	for partition := range s.cfg.Partitions {
		g.Go(fmt.Sprintf("order consumer %d", partition), s.consumers[partition].Run)
		g.Go(fmt.Sprintf("commands %d", partition), s.gates[partition].Run)
		g.Go(fmt.Sprintf("sequencer %d", partition), func(ctx context.Context) error { return s.sequence(ctx, partition) })
	}
	g.Add("rpc", s.server.Start, s.server.Stop)
	g.Add("serving", s.setServing(true), s.setServing(false))
	g.Go("repair", s.repair)
	g.Go("sweeper", s.sweep)
	return g
}

func (s *Service) setServing(serving bool) func(context.Context) error {
	return func(context.Context) error {
		s.serving.Store(serving)
		return nil
	}
}

// sequence runs a sequencer. When it ends by itself nobody will be answered any more.
func (s *Service) sequence(ctx context.Context, partition int) error {
	err := s.sequencers[partition].Run(ctx)
	if ctx.Err() == nil {
		s.gates[partition].Close()
		return errors.Join(err, errEnded)
	}
	return err
}

var errEnded = errors.New("ended by itself")

func (s *Service) sweep(ctx context.Context) error {
	if err := s.waitReplayed(ctx); err != nil {
		return err
	}
	return app.NewSweeper(s.app).Run(ctx)
}
