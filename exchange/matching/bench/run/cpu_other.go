//go:build !linux

package run

import "time"

var start = time.Now()

// threadCPU is wall time where there is no clock for a thread.
func threadCPU() int64 { return int64(time.Since(start)) }
