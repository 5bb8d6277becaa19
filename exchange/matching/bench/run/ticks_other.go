//go:build !amd64

package run

import "time"

var epoch = time.Now()

// ticks counts nanoseconds.
func ticks() int64 { return int64(time.Since(epoch)) }
