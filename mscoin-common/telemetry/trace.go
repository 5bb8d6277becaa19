package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	zerotrace "github.com/zeromicro/go-zero/core/trace"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// startTraces sets up where the process' traces go. go-zero's servers and clients use it.
func startTraces(name string, cfg TraceConfig) error {
	c := zerotrace.Config{Name: name, Batcher: ExporterOTLPGRPC} // trace ids for the logs, and nothing more
	if cfg.on() {
		c.Batcher, c.Endpoint, c.Sampler = cfg.Exporter, cfg.Endpoint, float64(cfg.SamplePpm)/million
	}
	zerotrace.StartAgent(c)
	if _, ok := otel.GetTracerProvider().(interface{ ForceFlush(context.Context) error }); !ok {
		return fmt.Errorf("traces cannot be sent to %s: see the log", cfg.Endpoint)
	}
	return nil
}

// flushTraces sends what is waiting.
func flushTraces(ctx context.Context) error {
	provider, ok := otel.GetTracerProvider().(interface{ ForceFlush(context.Context) error })
	if !ok {
		return errors.New("no trace provider")
	}
	return provider.ForceFlush(ctx)
}

// ParentHeader is the header, of a request and of a Kafka record, that carries a trace on:
// see https://www.w3.org/TR/trace-context/.
const ParentHeader = "traceparent"

var propagator = propagation.TraceContext{}

// carrier is the one header.
type carrier struct{ parent string }

// Get returns the header.
func (c *carrier) Get(key string) string {
	if key == ParentHeader {
		return c.parent
	}
	return ""
}

// Set keeps the header; tracestate is not carried on.
func (c *carrier) Set(key, value string) {
	if key == ParentHeader {
		c.parent = value
	}
}

// Keys names the header.
func (*carrier) Keys() []string { return []string{ParentHeader} }

// Parent returns the ParentHeader of the span in ctx, or "" when the request is not traced:
// most are not, and their records carry no header.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	var c carrier
	propagator.Inject(ctx, &c)
	return c.parent
}

// Begin begins a step of a traced request that ends with end: a span, and then a line in the
// log with the trace's id. What is sent with the returned context comes after it. For a
// request that is not traced it does nothing.
func Begin(ctx context.Context, name string, fields ...logx.LogField) (next context.Context, end func()) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, func() {}
	}
	next, span := otel.Tracer(namespace).Start(ctx, name, trace.WithSpanKind(trace.SpanKindProducer))
	span.SetAttributes(attributes(fields)...)
	return next, func() {
		span.End()
		Log(next, name, fields...)
	}
}

// attributes are the fields of a line as those of a span.
func attributes(fields []logx.LogField) []attribute.KeyValue {
	all := make([]attribute.KeyValue, len(fields))
	for i, f := range fields {
		all[i] = attribute.String(f.Key, fmt.Sprint(f.Value))
	}
	return all
}

// Step notes a step of a traced order that began at begin and has just ended: a span, and a
// line in the log with the trace's id. It returns the ParentHeader for the next step. For a
// parent of "", so nearly always, it does nothing and returns "".
func Step(ctx context.Context, parent, name string, begin, end time.Time, fields ...logx.LogField) (next string) {
	if parent == "" {
		return ""
	}
	ctx = propagator.Extract(ctx, &carrier{parent})
	ctx, span := otel.Tracer(namespace).Start(ctx, name, trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindConsumer))
	span.SetAttributes(attributes(fields)...)
	span.End(trace.WithTimestamp(end))
	Log(ctx, name, append(fields, logx.Field("tookMs", end.Sub(begin).Milliseconds()))...)
	return Parent(ctx)
}

// Log writes a line for a request that is traced, and nothing for others.
func Log(ctx context.Context, message string, fields ...logx.LogField) {
	if trace.SpanContextFromContext(ctx).IsSampled() {
		logx.WithContext(ctx).Infow(message, fields...)
	}
}
