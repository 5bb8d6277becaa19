package service

import (
	"testing"

	"github.com/zeromicro/go-zero/core/conf"
)

func TestConfig_file(t *testing.T) {
	t.Setenv("MSCOIN_INTERNAL_TOKEN", "token")
	t.Setenv("MSCOIN_MARKET_DSN", "user:x@tcp(127.0.0.1:3306)/mscoin_market")
	var fromFile Config
	if err := conf.Load("../etc/market.yaml", &fromFile, conf.UseEnv()); err != nil {
		t.Fatal(err)
	}
	if err := fromFile.Validate(); err != nil {
		t.Fatal(err)
	}
	fromCode := Config{InternalToken: fromFile.InternalToken, Database: fromFile.Database, Kafka: fromFile.Kafka}
	fromCode.SetDefaults()
	if fromCode.Name != fromFile.Name || fromCode.ListenOn != fromFile.ListenOn || fromCode.Partitions != fromFile.Partitions ||
		fromCode.MaxBatch != fromFile.MaxBatch {
		t.Errorf("the file says %+v, SetDefaults %+v", fromFile, fromCode)
	}
}
