// Package rpc is gRPC between the services: zrpc with the middlewares that a money path can bear, our
// error type on both ends, an internal token, and a stop that finishes what it has begun.
//
// Chosen on purpose. On: tracing, Prometheus, health service. Off: the circuit breaker (after an outage
// it refuses settlements for minutes), load shedding (it trips at 90 % CPU, also for cancels), the stat
// and duration interceptors (they log the content of requests, passwords included), and the server's
// time-out interceptor (it answers while the handler runs on and may commit; here the handler's context
// ends and its own answer is sent).
//
// Errors. A handler returns an *errs.Error anywhere in its chain; the caller of the generated client gets
// an *errs.Error of the same kind, code, message and detail. An error that a handler returns without one is
// logged and told as "internal error". Transport errors become KindUnavailable only when the request has
// certainly not left this process; otherwise KindUnknownOutcome: it may have been executed, or may be yet.
// See OutcomeUnknown.
package rpc
