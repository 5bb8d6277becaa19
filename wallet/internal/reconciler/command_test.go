package reconciler

import "testing"

func TestSourceOf(t *testing.T) {
	t.Run("the embedded files are the default, flags win over the environment", func(t *testing.T) {
		env := map[string]string{"MSCOIN_DATA": "/d"}
		getenv := func(k string) string { return env[k] }
		if got := sourceOf("", "wallet", getenv); got != "sqlite:/d/wallet.db" {
			t.Error(got)
		}
		if got := sourceOf("", "exchange", func(string) string { return "" }); got != "sqlite:data/exchange.db" {
			t.Error(got)
		}
		env["MSCOIN_EXCHANGE_DSN"] = "mysql:x"
		if got := sourceOf("", "exchange", getenv); got != "mysql:x" {
			t.Error(got)
		}
		if got := sourceOf("sqlite:y", "exchange", getenv); got != "sqlite:y" {
			t.Error(got)
		}
	})
}
