// Package telemetry is how a running process can be watched: metrics for Prometheus
// (metric.go names all of them), traces that follow one order through REST, gRPC and Kafka,
// and the probes /healthz and /readyz.
//
// Metrics are always counted; that costs nanoseconds. Traces cost nothing worth naming for
// a request that is not sampled: it has a trace id for the logs, and no span is kept.
package telemetry
