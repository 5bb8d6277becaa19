package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"mscoin/deploy/chaos/internal/fault"
	"mscoin/deploy/chaos/internal/load"
	"mscoin/deploy/chaos/internal/site"
)

// together tests the exchange in one process: kills, a full disk, damaged data.
func (r *Runner) together(ctx context.Context) (err error) {
	cfg := r.cfg.Config
	cfg.Dir = filepath.Join(cfg.Dir, "together")
	var disk *disk
	if r.cfg.Disk {
		if disk, err = newDisk(filepath.Join(cfg.Dir, "data")); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, disk.close()) }()
	}
	s, err := site.OpenAllInOne(ctx, cfg)
	if err != nil {
		return errors.Join(err, s.Close(), r.logs(s))
	}
	err = r.test(ctx, s, func(*load.Load) []fault.Fault {
		var all []fault.Fault
		for range r.cfg.AllInOneKills {
			all = append(all, fault.Kill(site.AllInOne, site.AllInOne))
		}
		if disk != nil {
			all = append(all, disk.fault())
		}
		return all
	}, false)
	if err != nil {
		err = errors.Join(err, r.logs(s))
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if r.cfg.Damage {
		if err := r.damage(ctx, s.DataDir()); err != nil {
			return fmt.Errorf("damaged data: %w", err)
		}
	}
	return nil
}
