package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
)

// refusedWithin is how long a start on damaged data may take to be refused. (It is meant to
// be 5 s; the rest is for a busy machine. How long it took is printed.)
const refusedWithin = 20 * time.Second

// damage is what happens to a data folder, and what the refusal must name.
type damage struct {
	name string
	do   func(r *Runner, dir string) error
	says []string
}

func logOf(topic string) string { return "broker/log/partitions/" + topic + "-0" }

func damages() []damage {
	all := []damage{
		{"the broker's folder is gone", remove("broker"), []string{"log"}},
		{"the exchange's database is gone", remove("exchange.db*"), []string{"database"}},
		{"the wallet's database is gone", remove("wallet.db*"), []string{"database"}},
		{"the log is another exchange's", otherLog, []string{"log"}},
	}
	for _, topic := range []string{bus.TopicCommands, bus.TopicCompleted, bus.TopicSettle} {
		all = append(all,
			damage{topic + " is empty", remove(logOf(topic) + "/*"), []string{"log", topic}},
			damage{topic + " is cut in the middle", cut(topic), []string{"log", topic}},
		)
	}
	return all
}

// damage starts an exchange on damaged copies of a data folder: each start must be refused,
// with an error that names what and where. The last copy is left whole, and starts.
func (r *Runner) damage(ctx context.Context, data string) error {
	slowest := time.Duration(0)
	for _, d := range damages() {
		dir, err := os.MkdirTemp(r.cfg.Dir, "damaged-")
		if err != nil {
			return err
		}
		copied := filepath.Join(dir, "data")
		if err := errors.Join(os.CopyFS(copied, os.DirFS(data)), d.do(r, copied)); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		took, err := r.refused(ctx, dir, d)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		slowest = max(slowest, took)
		r.count("damaged: " + d.name)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	r.say("%d starts on damaged data were refused, the slowest after %v", len(damages()), slowest.Round(time.Millisecond))
	return nil
}

// refused starts an exchange on dir/data, which must refuse.
func (r *Runner) refused(ctx context.Context, dir string, d damage) (took time.Duration, err error) {
	log := filepath.Join(dir, "out.log")
	begin := clock.Real().Now()
	p, err := process.Start(process.Spec{
		Name: site.AllInOne, Log: log, Path: r.cfg.Program, Args: []string{"serve", site.AllInOne},
		Env: []string{"MSCOIN_DATA=" + filepath.Join(dir, "data"), "MSCOIN_ADDR=127.0.0.1:0"},
	})
	if err != nil {
		return 0, err
	}
	defer p.Kill()
	waiting, cancel := context.WithTimeout(ctx, refusedWithin)
	defer cancel()
	if err := p.Wait(waiting); err != nil {
		return 0, fmt.Errorf("it was not refused: %w\n%s", err, process.Tail(log, logTail))
	}
	took = clock.Real().Now().Sub(begin)
	said := refusal(process.Tail(log, logTail))
	if p.Err() == nil || said == "" {
		return took, fmt.Errorf("it ended (%v) without a refusal\n%s", p.Err(), process.Tail(log, logTail)) //nolint:errorlint // may be nil
	}
	for _, word := range d.says {
		if !strings.Contains(said, word) {
			return took, fmt.Errorf("the refusal does not name %q: %s", word, said)
		}
	}
	r.say("%s: refused after %v: %.300s", d.name, took.Round(time.Millisecond), said)
	return took, nil
}

// refusal is the last word of the program.
func refusal(out string) string {
	for _, line := range slices.Backward(strings.Split(strings.TrimSpace(out), "\n")) {
		if strings.HasPrefix(line, "mscoin: ") {
			return line
		}
	}
	return ""
}

func remove(pattern string) func(*Runner, string) error {
	return func(_ *Runner, dir string) error {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("%s: there is nothing to remove: %w", pattern, err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
		return nil
	}
}

// cut takes the second half of the largest segment of a topic's log away.
func cut(topic string) func(*Runner, string) error {
	return func(_ *Runner, dir string) error {
		var largest string
		var size int64
		err := filepath.WalkDir(filepath.Join(dir, logOf(topic)), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Size() > size {
				largest, size = path, info.Size()
			}
			return err
		})
		if err != nil || largest == "" {
			return fmt.Errorf("%s has no segment: %w", topic, err)
		}
		return os.Truncate(largest, size/2)
	}
}

// otherLog puts the log of a fresh exchange in place of the one that is there.
func otherLog(r *Runner, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), tradesWithin)
	defer cancel()
	cfg := r.cfg.Config
	fresh, err := os.MkdirTemp(r.cfg.Dir, "fresh-")
	if err != nil {
		return err
	}
	cfg.Dir = fresh
	s, err := site.OpenAllInOne(ctx, cfg)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	broker := filepath.Join(dir, "broker")
	return errors.Join(os.RemoveAll(broker), os.CopyFS(broker, os.DirFS(filepath.Join(s.DataDir(), "broker"))), os.RemoveAll(fresh))
}
