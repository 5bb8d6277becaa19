//go:build unix

package embedded

import (
	"os"
	"syscall"
)

// lockFile takes the exclusive advisory lock of the file or fails at once. The kernel drops it when
// the process ends, however it ends.
func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
