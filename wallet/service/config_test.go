package service_test

import (
	"strings"
	"testing"

	"github.com/zeromicro/go-zero/core/conf"

	walletsvc "mscoin/wallet/service"
)

func TestConfig(t *testing.T) {
	t.Setenv("MSCOIN_INTERNAL_TOKEN", "a-token")
	t.Setenv("MSCOIN_WALLET_DSN", "u:p@tcp(db:3306)/mscoin_wallet")
	t.Setenv("MSCOIN_REDIS_PASSWORD", "")
	t.Run("the example file is complete and takes its secrets from the environment", func(t *testing.T) {
		var cfg walletsvc.Config
		if err := conf.Load("../etc/wallet.yaml", &cfg, conf.UseEnv()); err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		if cfg.InternalToken != "a-token" || cfg.Database.DSN != "u:p@tcp(db:3306)/mscoin_wallet" || cfg.SettleBatch != 2000 {
			t.Fatalf("%+v", cfg)
		}
	})
	t.Run("everything that is missing is named at once", func(t *testing.T) {
		err := (&walletsvc.Config{}).Validate()
		for _, want := range []string{"InternalToken", "Database.DSN", "Kafka.Brokers", "Partitions"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not named in: %v", want, err)
			}
		}
	})
}
