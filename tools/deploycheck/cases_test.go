package deploycheck

import "time"

// trial is how an alert is tried: series for ten minutes, a sample every five seconds.
type trial struct {
	well, fault []string
	// within is how long after the first sample of fault it must fire.
	within time.Duration
}

// cases try each alert of alerts.yml.
var cases = map[string]trial{
	"ServiceDown": {
		well:   []string{`up{job="mscoin",instance="wallet:9103"} 1x120`, `up{job="other",instance="x"} 0x120`},
		fault:  []string{`up{job="mscoin",instance="wallet:9103"} 0x120`},
		within: 30 * time.Second,
	},
	"ServiceNotReady": {
		well:   []string{`mscoin_ready{service="exchange"} 0x8 1x112`}, // a start
		fault:  []string{`mscoin_ready{service="exchange"} 0x120`, `mscoin_ready{service="wallet"} 1x120`},
		within: time.Minute,
	},
	"SymbolHalted": {
		well:   []string{`mscoin_halted_symbols{consumer="wallet"} 0x120`},
		fault:  []string{`mscoin_halted_symbols{consumer="wallet"} 1x120`},
		within: 0,
	},
	"ConsumerLag": {
		well:   []string{`mscoin_consumer_lag_records{consumer="wallet",partition="0"} 0+1000x9 0x110`},
		fault:  []string{`mscoin_consumer_lag_records{consumer="wallet",partition="0"} 6000+100x120`},
		within: time.Minute,
	},
	"ConsumerStuck": {
		well:   []string{`mscoin_consumer_errors_total{consumer="wallet"} 0x20 1x100`},
		fault:  []string{`mscoin_consumer_errors_total{consumer="wallet"} 0+1x120`},
		within: 3 * time.Minute,
	},
	"SettlementSlow": {
		well: []string{
			`mscoin_consumer_delay_seconds_bucket{consumer="wallet",le="0.1"} 0+100x120`,
			`mscoin_consumer_delay_seconds_bucket{consumer="wallet",le="+Inf"} 0+100x120`,
		},
		fault: []string{
			`mscoin_consumer_delay_seconds_bucket{consumer="wallet",le="5"} 0+50x120`,
			`mscoin_consumer_delay_seconds_bucket{consumer="wallet",le="10"} 0+100x120`,
			`mscoin_consumer_delay_seconds_bucket{consumer="wallet",le="+Inf"} 0+100x120`,
		},
		within: 3 * time.Minute,
	},
	"HoldsPending": {
		well:   []string{`mscoin_holds_pending{age="10s"} 500x120`, `mscoin_holds_pending{age="1m"} 3x120`, `mscoin_holds_pending{age="1h"} 0x120`},
		fault:  []string{`mscoin_holds_pending{age="1h"} 1x120`},
		within: time.Minute,
	},
	"OrdersUnknown": {
		well:   []string{`mscoin_orders_total{result="UNKNOWN_OUTCOME"} 0x40 1x80`, `mscoin_orders_total{result="accepted"} 0+500x120`},
		fault:  []string{`mscoin_orders_total{result="UNKNOWN_OUTCOME"} 0+5x120`},
		within: 2 * time.Minute,
	},
	"OrdersSlow": {
		well: []string{
			`mscoin_order_answer_seconds_bucket{result="accepted",le="0.01"} 0+100x120`,
			`mscoin_order_answer_seconds_bucket{result="accepted",le="+Inf"} 0+100x120`,
		},
		fault: []string{
			`mscoin_order_answer_seconds_bucket{result="accepted",le="1"} 0+90x120`,
			`mscoin_order_answer_seconds_bucket{result="accepted",le="2.5"} 0+100x120`,
			`mscoin_order_answer_seconds_bucket{result="accepted",le="+Inf"} 0+100x120`,
		},
		within: 6 * time.Minute,
	},
	"DatabaseFaults": {
		well:   []string{`mscoin_database_errors_total{instance="wallet:9103",kind="unavailable"} 0x120`},
		fault:  []string{`mscoin_database_errors_total{instance="wallet:9103",kind="unavailable"} 0+1x120`},
		within: 2 * time.Minute,
	},
	"DatabasePoolFull": {
		well: []string{
			`mscoin_database_connections{instance="wallet:9103",database="wallet",state="in_use"} 15x120`,
			`mscoin_database_connections{instance="wallet:9103",database="wallet",state="max"} 16x120`,
		},
		fault: []string{
			`mscoin_database_connections{instance="wallet:9103",database="wallet",state="in_use"} 16x120`,
			`mscoin_database_connections{instance="wallet:9103",database="wallet",state="max"} 16x120`,
		},
		within: time.Minute,
	},
	"LocksSlow": {
		well: []string{
			`mscoin_lock_wait_seconds_bucket{result="obtained",le="0.005"} 0+100x120`,
			`mscoin_lock_wait_seconds_bucket{result="obtained",le="+Inf"} 0+100x120`,
		},
		fault: []string{
			`mscoin_lock_wait_seconds_bucket{result="obtained",le="1"} 0+10x120`,
			`mscoin_lock_wait_seconds_bucket{result="obtained",le="2.5"} 0+100x120`,
			`mscoin_lock_wait_seconds_bucket{result="obtained",le="+Inf"} 0+100x120`,
		},
		within: 3 * time.Minute,
	},
	"RedisFaults": {
		well:   []string{`mscoin_lock_wait_seconds_count{instance="wallet:9103",result="error"} 0x120`, `mscoin_lock_wait_seconds_count{instance="wallet:9103",result="obtained"} 0+10x120`},
		fault:  []string{`mscoin_lock_wait_seconds_count{instance="wallet:9103",result="error"} 0+1x120`},
		within: 2 * time.Minute,
	},
	"KafkaFaults": {
		well:   []string{`mscoin_kafka_errors_total{instance="exchange:9102",operation="produce"} 0x120`},
		fault:  []string{`mscoin_kafka_errors_total{instance="exchange:9102",operation="produce"} 0+1x120`},
		within: 2 * time.Minute,
	},
	"PartitionWithoutOwner": {
		well: []string{ // moved from one instance to the other
			`mscoin_partition_owned{service="exchange",instance="a",partition="0"} 1x60 0x60`,
			`mscoin_partition_owned{service="exchange",instance="b",partition="0"} 0x62 1x58`,
		},
		fault: []string{
			`mscoin_partition_owned{service="exchange",instance="a",partition="0"} 0x120`,
			`mscoin_partition_owned{service="exchange",instance="a",partition="1"} 1x120`,
		},
		within: 30 * time.Second,
	},
	"PartitionDown": {
		well: []string{ // a start that replays for a while
			`mscoin_partition_live{service="exchange",instance="a",partition="0"} 1x40 0x8 1x72`,
		},
		fault:  []string{`mscoin_partition_live{service="exchange",instance="a",partition="0"} 1x4 0x116`},
		within: 2 * time.Minute,
	},
	"ReconciliationFailed": {
		well:   []string{`mscoin_reconcile_discrepancies 0x120`},
		fault:  []string{`mscoin_reconcile_discrepancies 2x120`},
		within: 0,
	},
	"ReconciliationAlarms": {
		well:   []string{`mscoin_reconcile_alarms 0x40 1x12 0x68`},
		fault:  []string{`mscoin_reconcile_alarms 1x120`},
		within: 2 * time.Minute,
	},
	"ReconciliationStale": {
		well:   []string{`mscoin_reconcile_finished_timestamp_seconds 0+5x120`},
		fault:  []string{`mscoin_reconcile_finished_timestamp_seconds 0x120`},
		within: 7 * time.Minute,
	},
}
