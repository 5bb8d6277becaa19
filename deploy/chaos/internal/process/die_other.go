//go:build !linux

package process

import "syscall"

// dieWithUs does nothing: elsewhere, a process outlives a fault test that was killed.
func dieWithUs() *syscall.SysProcAttr { return nil }
