package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mscoin/deploy/chaos/internal/fault"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/clock"
)

const (
	// diskBytes is the size of the small disk.
	diskBytes = 96 << 20
	// fullFor is how long no space is left.
	fullFor = 4 * time.Second
)

// disk is a small file system of its own.
type disk struct{ dir string }

// newDisk mounts one at dir, which needs the right to.
func newDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := mountSmall(dir, diskBytes); err != nil {
		return nil, fmt.Errorf("a full disk needs a small one, and root to mount it (-disk=false goes without): %w", err)
	}
	return &disk{dir}, nil
}

func (d *disk) close() error { return unmount(d.dir) }

// fault takes all space away for a while.
func (d *disk) fault() fault.Fault {
	return fault.Fault{Kind: "full disk", Do: func(ctx context.Context, _ *site.Site, _ *rand.Rand) error {
		if err := d.fill(); err != nil {
			return fmt.Errorf("fill the disk: %w", err)
		}
		err := clock.Sleep(ctx, clock.Real(), fullFor)
		return errors.Join(err, os.Remove(d.filler()))
	}}
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill writes until nothing more fits.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for len(buf) > 0 {
		_, err := f.Write(buf)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			buf = buf[:len(buf)/2]
		case err != nil:
			return errors.Join(err, f.Close())
		}
		if size, err := f.Seek(0, io.SeekCurrent); err != nil || size > 2*diskBytes {
			return errors.Join(err, f.Close(), errors.New("the disk does not get full"))
		}
	}
	return f.Close()
}
