package service_test

import (
	"testing"
	"time"

	eventpb "mscoin/grpc-common/gen/event/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/testkit"
)

// another starts one more instance on the same database and broker. Only one of them
// publishes.
func (r *running) another(leases lease.Config) *running {
	r.t.Helper()
	other := &running{t: r.t, broker: r.broker, redis: r.redis, db: r.db, leases: leases}
	other.run()
	return other
}

// reaches waits until what was published is settled, as this instance sees it.
func (r *running) reaches(seq int64) {
	r.t.Helper()
	r.seq = seq
	testkit.Eventually(r.t, 20*time.Second, func() bool {
		_, err := r.client.GetWallets(r.t.Context(), &walletpb.GetWalletsRequest{MemberId: alice, ReadAfter: []*walletpb.Position{{Symbol: symbol, Seq: seq}}})
		return err == nil
	}, "record %d is settled", seq)
}

func TestService_Instances(t *testing.T) {
	testkit.DatabaseConfigs(t, func(t *testing.T, db database.Config) {
		// stubborn looks at its leases so rarely that it goes on settling when another
		// instance has taken them by force.
		stubborn := lease.Config{Mode: lease.Shared, TTLMs: 12_000, RenewMs: 4000}
		r := start(t, db)
		r.setUp()
		r.stop()
		r.leases = stubborn
		r.run()
		door := r.another(lease.Config{Mode: lease.Shared})
		t.Run("every instance answers, and shows what another one has settled", func(*testing.T) {
			r.publish(resting())
			door.reaches(r.seq)
			if got := door.wallets(bob); got["BTC"] != "0.50000000 1.50000000" {
				r.t.Errorf("seller has %v", got)
			}
		})
		t.Run("two instances that both settle a partition settle each record once", func(*testing.T) {
			alone := r.another(lease.Config{Mode: lease.Static})
			for range 30 {
				r.publish(resting(), resting(), resting())
			}
			r.publish(filled())
			for range 10 {
				r.publish(&eventpb.RecordBody{})
			}
			for _, at := range []*running{r, door, alone} {
				at.reaches(r.seq)
				at.wantFilled()
			}
			alone.stop()
		})
		t.Run("an instance that stops leaves the settlement to the others", func(*testing.T) {
			r.stop()
			r.publish(&eventpb.RecordBody{})
			door.reaches(r.seq)
			door.wantFilled()
		})
	})
}
