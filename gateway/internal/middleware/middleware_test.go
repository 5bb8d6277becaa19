package middleware

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
)

func TestMemoryLimiter(t *testing.T) {
	clk := clock.NewFake(time.Unix(1_700_000_040, 0)) // 20 s past a UTC minute
	t.Run("refuses what exceeds the limit and says when to come back", func(t *testing.T) {
		l := NewMemoryLimiter(clk, 10, time.Minute, 100)
		if used, _, ok := l.Take("a", 10); !ok || used != 10 {
			t.Fatal(used, ok)
		}
		used, retry, ok := l.Take("a", 1)
		if want := time.Minute - time.Duration(clk.Now().Unix()%60)*time.Second; ok || used != 10 || retry != want {
			t.Errorf("used %d, retry after %v (want %v), allowed %v", used, retry, want, ok)
		}
		if _, _, ok := l.Take("b", 1); !ok {
			t.Error("another key pays for the first")
		}
		clk.Advance(time.Minute)
		if used, _, ok := l.Take("a", 1); !ok || used != 1 {
			t.Error("the window does not end")
		}
	})
	t.Run("what is returned can be taken again", func(t *testing.T) {
		l := NewMemoryLimiter(clk, 1, time.Minute, 100)
		l.Take("a", 1)
		l.Return("a", 1)
		if _, _, ok := l.Take("a", 1); !ok {
			t.Error("not returned")
		}
		l.Return("a", 5)
		if used, _, _ := l.Take("a", 1); used != 1 {
			t.Errorf("returned more than was taken: %d", used)
		}
	})
	t.Run("memory is bounded: keys beyond the bound share", func(t *testing.T) {
		l := NewMemoryLimiter(clk, 5, time.Minute, 10)
		refused := 0
		for i := range 1000 {
			if _, _, ok := l.Take(fmt.Sprint(i), 1); !ok {
				refused++
			}
		}
		if len(l.used) > 11 || refused != 1000-10-5 {
			t.Errorf("%d keys, %d refused", len(l.used), refused)
		}
	})
	t.Run("no limit still counts", func(t *testing.T) {
		l := NewMemoryLimiter(clk, Unlimited, time.Minute, 10)
		if used, _, ok := l.Take("a", 1_000_000); !ok || used != 1_000_000 {
			t.Error(used, ok)
		}
	})
}

func TestClientAddress(t *testing.T) {
	request := func(remote string, forwarded ...string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		for _, f := range forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		return r
	}
	tests := []struct {
		rule, header string
		r            *http.Request
		want         string
	}{
		{"no header is believed by default", "", request("10.0.0.9:1234", "1.2.3.4"), "10.0.0.9"},
		{"the proxy's own entry is the last one", "X-Forwarded-For", request("10.0.0.9:1234", "6.6.6.6, 1.2.3.4"), "1.2.3.4"},
		{"the last header of several", "X-Forwarded-For", request("10.0.0.9:1234", "6.6.6.6", "1.2.3.4"), "1.2.3.4"},
		{"nonsense is not believed", "X-Forwarded-For", request("10.0.0.9:1234", "1.2.3.4, nonsense"), "10.0.0.9"},
		{"IPv4 within IPv6 is IPv4", "", request("[::ffff:10.0.0.9]:1234"), "10.0.0.9"},
		{"IPv6 without its zone", "", request("[fe80::1%eth0]:1234"), "fe80::1"},
		{"an address that cannot be read", "", request("@"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if got := ClientAddress(tt.r, tt.header); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("limits count an IPv6 site as one", func(t *testing.T) {
		if LimitKey("2001:db8::1") != LimitKey("2001:db8::ffff") || LimitKey("1.2.3.4") != "1.2.3.4" {
			t.Error(LimitKey("2001:db8::1"), LimitKey("1.2.3.4"))
		}
	})
}
