package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Everything that is counted. Names are part of the interface: dashboards and alerts in
// deploy/ use them, and a test holds the two together. go-zero adds the requests of the
// gateway (http_server_…) and between the services (rpc_server_…, rpc_client_…).
var (
	orders = counter("orders_total", "Orders by result: accepted, or the code of the refusal.", "result")
	answer = histogram("order_answer_seconds", "Time from an order's arrival at the exchange service to its answer, by result.", "result")
	match  = histogram("match_seconds", "Time from writing a command to the matcher's published record.", "command")

	consumed  = counter("consumer_records_total", "Records that a consumer has applied.", "consumer")
	delay     = histogram("consumer_delay_seconds", "Time from a record's append to the log to the commit that applied it.", "consumer")
	batchTime = histogram("consumer_batch_seconds", "Time that a consumer's batch took, from its first statement to its commit.", "consumer")
	stumbles  = counter("consumer_errors_total", "Errors after which a consumer begins anew from its stored position.", "consumer")

	journal  = counter("journal_lines_total", "Lines written to the wallet's journal, those of transactions that were run again included.")
	lockWait = histogram("lock_wait_seconds", "Time that taking locks in Redis took, by result.", "result")

	databaseErrors  = counter("database_errors_total", "Transactions that failed for the database's sake (busy, unavailable, unknown outcome), and statements whose connection broke (connection).", "kind")
	databaseRetries = counter("database_retries_total", "Transactions that were run again after a deadlock, a lock time-out or a busy database.")
	kafkaErrors     = counter("kafka_errors_total", "Requests to Kafka that failed, by operation.", "operation")
	produce         = histogram("kafka_produce_seconds", "Time that a write to Kafka took until all replicas had it, by topic.", "topic")
)

// What is looked up when somebody asks; see Collect.
var (
	// Ready is 1 when the service is ready, else 0.
	Ready = gauge("ready", "Whether the service does its work.", "service")
	// ConsumerLag is how far a consumer is behind the end of its log.
	ConsumerLag = gauge("consumer_lag_records", "Records between a consumer's position and the end of its log.", "consumer", "partition")
	// HaltedSymbols are the symbols at which a consumer stands still.
	HaltedSymbols = gauge("halted_symbols", "Symbols at which a consumer stands still.", "consumer")
	// PendingHolds are holds of which the matcher's records do not speak yet.
	PendingHolds = gauge("holds_pending", "Holds that no record has spoken of yet, by age: up to 10s, 1m, 1h, or more.", "age")
	// ReconcileDiscrepancies, ReconcileAlarms and ReconcileTime tell of the last reconciliation,
	// whichever instance has made it.
	ReconcileDiscrepancies = gauge("reconcile_discrepancies", "Discrepancies that the last reconciliation has found.")
	ReconcileAlarms        = gauge("reconcile_alarms", "Alarms (C10) of the last reconciliation: holds, suspense or records that are too old.")
	ReconcileTime          = gauge("reconcile_finished_timestamp_seconds", "When the last reconciliation has ended, s since the epoch.")
	// Connections are those of a database's pool.
	Connections = gauge("database_connections", "Connections to a database by state: in_use, idle, or max.", "database", "state")
	// ConnectionWaits is how often somebody waited for a connection.
	ConnectionWaits = gauge("database_connection_waits", "How often somebody has waited for a free connection, since the start.", "database")
	// Owned is 1 for a partition that this instance works on.
	Owned = gauge("partition_owned", "Whether this instance works on a partition.", "service", "partition")
	// Live is 1 for a partition whose matcher answers, 0 for one that this instance owns and
	// whose matcher does not: it replays, or cannot start. There is none for others' partitions.
	Live = gauge("partition_live", "Whether the matcher of a partition that this instance owns answers.", "service", "partition")
)

// What is rare is there from the beginning: a rate of nothing is no answer.
func init() {
	for _, kind := range []string{"busy", "unavailable", "unknown outcome", "connection"} {
		databaseErrors.WithLabelValues(kind)
	}
	for _, operation := range []string{"produce", "fetch", "bounds"} {
		kafkaErrors.WithLabelValues(operation)
	}
	databaseRetries.WithLabelValues()
	journal.WithLabelValues()
	for _, result := range []string{accepted, "UNKNOWN_OUTCOME"} {
		orders.WithLabelValues(result)
	}
}

const namespace = "mscoin"

// buckets reach from a tenth of a millisecond, which is a fast commit, to ten seconds.
var buckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return promauto.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return promauto.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// Gauge is a metric that is looked up when somebody asks.
type Gauge struct {
	desc   *prometheus.Desc
	name   string
	labels int
}

func gauge(name, help string, labels ...string) *Gauge {
	full := prometheus.BuildFQName(namespace, "", name)
	return &Gauge{desc: prometheus.NewDesc(full, help, labels, nil), name: full, labels: len(labels)}
}

// accepted is the result of an order that was not refused.
const accepted = "accepted"

// Order counts an order and the time its answer took. code is the refusal's public code,
// empty for an accepted order.
func Order(code string, took time.Duration) {
	if code == "" {
		code = accepted
	}
	orders.WithLabelValues(code).Inc()
	answer.WithLabelValues(code).Observe(took.Seconds())
}

// Matched counts a command and the time until its record was published.
func Matched(command string, took time.Duration) {
	match.WithLabelValues(command).Observe(took.Seconds())
}

// Consumed counts the records of one committed batch. appendedMs is when the first of them
// was appended to the log, ms since the epoch.
func Consumed(consumer string, records int, appendedMs int64, begin, end time.Time) {
	consumed.WithLabelValues(consumer).Add(float64(records))
	batchTime.WithLabelValues(consumer).Observe(end.Sub(begin).Seconds())
	delay.WithLabelValues(consumer).Observe(max(0, end.Sub(time.UnixMilli(appendedMs)).Seconds()))
}

// ConsumerStarts makes the consumer's metrics appear before anything happens to it.
func ConsumerStarts(consumer string) {
	consumed.WithLabelValues(consumer)
	stumbles.WithLabelValues(consumer)
}

// ConsumerError counts an error after which a consumer begins anew.
func ConsumerError(consumer string) { stumbles.WithLabelValues(consumer).Inc() }

// Journal counts lines written to the journal.
func Journal(lines int) { journal.WithLabelValues().Add(float64(lines)) }

// Locked counts an attempt to take locks: obtained, held or error.
func Locked(result string, took time.Duration) {
	lockWait.WithLabelValues(result).Observe(took.Seconds())
}

// DatabaseError counts a transaction that failed for a reason of the database's (busy,
// unavailable, unknown outcome), or a statement whose connection broke (connection).
func DatabaseError(kind string) { databaseErrors.WithLabelValues(kind).Inc() }

// DatabaseRetry counts a transaction that is run again.
func DatabaseRetry() { databaseRetries.WithLabelValues().Inc() }

// KafkaError counts a request to Kafka that failed.
func KafkaError(operation string) { kafkaErrors.WithLabelValues(operation).Inc() }

// Produced counts a write to Kafka.
func Produced(topic string, took time.Duration) {
	produce.WithLabelValues(topic).Observe(took.Seconds())
}
