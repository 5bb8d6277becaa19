package service

import (
	"context"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/rpc"
	"mscoin/wallet/custody"
	"mscoin/wallet/custody/simchain"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/transfer"
)

// transferLeaseName names the lease of whoever reads the chains.
const transferLeaseName = "wallet-transfer"

// newTransfers prepares deposits by chain and withdrawals; Run keeps them going. Rules
// that do not fit a listed coin are refused here.
func (s *Service) newTransfers(ctx context.Context) (err error) {
	c := s.cfg.Custody
	cfg := app.TransferConfig{AddressDelayMs: c.AddressDelaySeconds * msPerSecond, MaxAddresses: c.MaxAddresses}
	for i := range c.Coins {
		cfg.Coins = append(cfg.Coins, c.Coins[i].rules())
	}
	if c.URL == "" {
		s.transfers = app.NewTransfers(s.app, s.store, nil, s.clk, cfg)
		return nil
	}
	if s.custody, err = simchain.NewClient(c.URL, c.Token); err != nil {
		return err
	}
	var keeper custody.Custody = s.custody
	s.transfers = app.NewTransfers(s.app, s.store, keeper, s.clk, cfg)
	if _, err = s.transfers.Offered(ctx); err != nil {
		return err
	}
	table := lease.NewTable(s.db, transferLeaseName, 1)
	if err = table.Prepare(ctx); err != nil {
		return err
	}
	worker := transfer.New(s.store, s.transfers, keeper, s.clk, time.Duration(c.EveryMs)*time.Millisecond)
	s.transferLease = lease.New(s.cfg.Lease, table, s.clk, lease.NewID(s.cfg.Name), func(ctx context.Context, _ lease.Lease) {
		lease.Repeat(ctx, s.clk, worker.Run, func(err error) { logx.Errorf("transfers: %v", err) })
	})
	return nil
}

// keepTransfers has the lease of the chains, when no other instance has, until ctx ends.
func (s *Service) keepTransfers(ctx context.Context) error {
	endpoint, err := rpc.Endpoint(s.cfg.Endpoint, s.server.Addr())
	if err != nil {
		return err
	}
	return s.transferLease.Run(ctx, endpoint)
}
