package main

import (
	"mscoin/mscoin-common/errs"
)

// faults are what may go wrong in a schedule, in parts of a thousand calls or steps.
// Each schedule draws its own: one with everything at once finds other faults than one
// in which only writes land late.
type faults struct {
	crashBefore, crashAfter int // of the calling process, around any call
	refuse                  int // the call does nothing and says so
	lose                    int // the call works, the answer is lost
	late                    int // the call works later, maybe long after its caller is gone
	double                  int // the call works twice
	torn                    int // of a batch only the beginning arrives
	longLate                bool

	crash, zombie, pause, outage, lease, jump, garbage int // per step

	skewMs int64 // clocks are off by up to this much
}

// draw chooses the faults of a schedule.
func draw(s *sim) faults {
	rate := func(most int) int {
		if s.rnd.IntN(2) == 0 {
			return 0
		}
		return 1 + s.rnd.IntN(most)
	}
	f := faults{
		crashBefore: rate(8), crashAfter: rate(8), refuse: rate(25), lose: rate(30), late: rate(30), double: rate(25), torn: rate(20),
		longLate: s.rnd.IntN(2) == 0,
		crash:    rate(3), zombie: rate(4), pause: rate(3), outage: rate(3), lease: rate(3), jump: rate(2), garbage: rate(4),
	}
	if s.rnd.IntN(3) == 0 {
		f.skewMs = 20_000
	}
	return f
}

// service is something that can be away for a while.
type service int

const (
	logService service = iota
	orderDB
	walletDB
	walletNet
	services
)

var serviceNames = [services]string{"log", "order database", "wallet database", "network to the wallet"}

// fate is what becomes of one call.
type fate int

const (
	works fate = iota
	refused
	lost
	late
	doubled
	torn
	dies
)

var (
	errUnavailable error = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "simulated: nothing was done")
	errUnknown     error = errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "simulated: outcome unknown")
)

// fate decides about a write of the running actor. It lets others go first.
func (s *sim) fate(v service, what func() string) fate {
	s.pass()
	if s.chance(s.faults.crashBefore) {
		s.die("before it " + s.tell(what))
	}
	if s.world.awayUntilMs[v] > s.nowMs && !s.calm {
		s.say(s.who(), "%s: refused, %s is away", s.tell(what), serviceNames[v])
		return refused
	}
	decided := works
	switch {
	case s.chance(s.faults.refuse):
		decided = refused
	case s.chance(s.faults.lose):
		decided = lost
	case s.chance(s.faults.late):
		decided = late
	case s.chance(s.faults.double):
		decided = doubled
	case s.chance(s.faults.torn):
		decided = torn
	case s.chance(s.faults.crashAfter):
		decided = dies
	}
	s.say(s.who(), "%s%s", s.tell(what), [...]string{"", ": refused", ": its answer is lost", ": it will land late", ": it arrives twice", ": torn", ": and dies"}[decided])
	return decided
}

// read is a call that changes nothing: it works or fails.
func (s *sim) read(v service) error {
	s.pass()
	if s.chance(s.faults.crashBefore) {
		s.die("while it reads from the " + serviceNames[v])
	}
	if s.world.awayUntilMs[v] > s.nowMs && !s.calm || s.chance(s.faults.refuse/2) {
		return errUnavailable
	}
	return nil
}

// write runs a write of a database under a fate.
func (s *sim) write(v service, what func() string, effect func() error) error {
	switch s.fate(v, what) {
	case refused, torn: // a transaction is never torn
		return errUnavailable
	case lost, late: // nor does it land late: its rows stay locked until it has
		if err := effect(); err != nil {
			return err
		}
		s.pass()
		return errUnknown
	case dies:
		_ = effect()
		s.die("after it did so")
	case works, doubled:
	}
	err := effect()
	s.pass()
	return err
}

func (s *sim) delayMs() int64 {
	if s.faults.longLate && s.rnd.IntN(2) == 0 {
		return s.between(1000, 20_000)
	}
	return s.between(1, 100)
}

// die crashes the process of the running actor.
func (s *sim) die(when string) {
	p := s.cur.proc
	if p == nil {
		return // clients do not crash
	}
	s.world.crash(p, when)
	unwind()
}

func (s *sim) tell(what func() string) string {
	if s.story == nil {
		return ""
	}
	return what()
}
