package service

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"mscoin/mscoin-common/telemetry"
)

func TestUntraced(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for rule, tt := range map[string]struct {
		accept bool
		want   string
	}{
		"a client cannot have its requests traced":     {false, ""},
		"where clients may, their trace is carried on": {true, parent},
	} {
		t.Run(rule, func(t *testing.T) {
			got := "not served"
			cfg := &Config{}
			cfg.Telemetry.Traces.AcceptParents = tt.accept
			h := untraced(cfg, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get(telemetry.ParentHeader) }))
			r := httptest.NewRequest(http.MethodGet, "/api/v3/ping", nil)
			r.Header.Set(telemetry.ParentHeader, parent)
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
