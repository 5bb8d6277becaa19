package telemetry

import (
	"errors"
	"net"
	"slices"
)

// Config says how a process is watched.
type Config struct {
	// ListenOn is host:port of /metrics, /healthz and /readyz; empty opens none. It is for
	// the operator's network, never for the public.
	ListenOn string `json:",optional"`
	// LogLevel is debug, info, error or severe: what is less is not logged. The log is JSON,
	// a line for each entry, on the standard output.
	LogLevel string `json:",default=info,options=debug|info|error|severe"`
	// Traces says where traces go.
	Traces TraceConfig `json:",optional"`
}

// TraceConfig says where traces go.
type TraceConfig struct {
	// Exporter is none, otlpgrpc, otlphttp or file.
	Exporter string `json:",default=none,options=none|otlpgrpc|otlphttp|file"`
	// Endpoint is host:port of the collector, or the path of the file.
	Endpoint string `json:",optional"`
	// SamplePpm is how many of a million requests are traced.
	SamplePpm int `json:",default=1000,range=[0:1000000]"`
	// AcceptParents lets a client decide, by a traceparent header, that its request is
	// traced. Only the gateway is asked by clients.
	AcceptParents bool `json:",optional"`
}

// Exporters of traces.
const (
	ExporterNone     = "none"
	ExporterOTLPGRPC = "otlpgrpc"
	ExporterOTLPHTTP = "otlphttp"
	ExporterFile     = "file"
)

const million = 1_000_000

// Validate reports everything that is wrong.
func (c *Config) Validate() error {
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	if c.ListenOn != "" {
		_, _, err := net.SplitHostPort(c.ListenOn)
		check(err == nil, "Telemetry.ListenOn is not host:port")
	}
	known := []string{"", ExporterNone, ExporterOTLPGRPC, ExporterOTLPHTTP, ExporterFile}
	check(slices.Contains(known, c.Traces.Exporter), "Telemetry.Traces.Exporter is neither none, otlpgrpc, otlphttp nor file")
	check(!c.Traces.on() || c.Traces.Endpoint != "", "Telemetry.Traces.Endpoint is missing")
	check(c.Traces.SamplePpm >= 0 && c.Traces.SamplePpm <= million, "Telemetry.Traces.SamplePpm must be 0 to 1000000")
	return errors.Join(problems...)
}

func (c *TraceConfig) on() bool { return c.Exporter != "" && c.Exporter != ExporterNone }
