package process

import "syscall"

// dieWithUs has the system kill the process when the thread that has started it ends.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
