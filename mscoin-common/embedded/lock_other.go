//go:build !unix

package embedded

import "os"

// lockFile does nothing where the operating system has no advisory file locks.
func lockFile(*os.File) error { return nil }
