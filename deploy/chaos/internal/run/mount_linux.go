package run

import (
	"fmt"
	"syscall"
)

// mountSmall puts an empty file system of so many bytes at dir.
func mountSmall(dir string, bytes int64) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes))
}

func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
