// Package middleware is what every request passes before its handler, and the limits
// that handlers ask.
package middleware

import (
	"net/http"
	"runtime/debug"

	"github.com/zeromicro/go-zero/core/logx"
)

// Refuse writes an answer in the dialect that the path of r speaks.
type Refuse func(w http.ResponseWriter, r *http.Request)

const (
	allowedHeaders = "X-MBX-APIKEY, X-MBX-TIME-UNIT, X-Auth-Token, X-Admin-Token, Authorization, Content-Type, Accept"
	allowedMethods = "GET, POST, PUT, DELETE, OPTIONS"
	exposedHeaders = "X-MBX-USED-WEIGHT, X-MBX-USED-WEIGHT-1M, X-MBX-ORDER-COUNT-10S, X-MBX-ORDER-COUNT-1D, Retry-After"
)

// CORS lets browser front ends of any origin call: requests carry their own
// credentials in headers, never in cookies. Preflights are answered here.
func CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Expose-Headers", exposedHeaders)
		if r.Method == http.MethodOptions {
			header.Set("Access-Control-Allow-Methods", allowedMethods)
			header.Set("Access-Control-Allow-Headers", allowedHeaders)
			header.Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Recover answers a panicking handler's request with broken, and logs the panic. What
// the handler had started may have happened, so broken must not call it a failure.
func Recover(broken Refuse) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				fault := recover()
				if fault == nil {
					return
				}
				if err, ok := fault.(error); ok && err == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
					panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to drop a connection
				}
				logx.Errorf("handler %s %s: panic: %v\n%s", r.Method, r.URL.Path, fault, debug.Stack())
				broken(w, r)
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// InFlight bounds the requests that are served at once; busy answers the others
// before anything of them is done.
func InFlight(limit int, busy Refuse) func(http.Handler) http.Handler {
	slots := make(chan struct{}, limit)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				next.ServeHTTP(w, r)
			default:
				busy(w, r)
			}
		})
	}
}
