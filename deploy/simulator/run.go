package main

import (
	"errors"
	"math/rand/v2"
)

const (
	// maxSteps bounds a schedule; the longest seen take a tenth.
	maxSteps = 200_000
	// stormMs is how long faults happen at most; then everything heals.
	stormMs = 60_000
	// settleMs is how long a healed exchange may take to leave nothing in doubt: the age
	// at which the sweeper asks, even by a clock that was wrong, and the time to answer.
	settleMs = 120_000
	// stillMs is how long it must then stay so: longer than the longest pause of a consumer
	// (5 s), which may have applied what it has not forwarded.
	stillMs = 6_000
)

// result is what became of a schedule.
type result struct {
	seed    uint64
	steps   int
	failure error
	story   *story
	unseen  bool // the log was damaged at the last record of a symbol: nothing has followed that could tell
}

// run runs one schedule.
func run(seed uint64, m *mutant, tell bool) result {
	s := &sim{seed: seed, rnd: rand.New(rand.NewPCG(seed, 0x6d73636f696e)), mutant: m, nowMs: startMs, damaged: map[string]bool{}} //nolint:gosec // a schedule, no secret
	if tell {
		s.story = &story{}
	}
	s.faults = draw(s)
	s.world = newWorld(s)
	s.world.members = s.startMembers()
	s.storm()
	if s.failure == nil {
		s.heal()
	}
	if s.failure == nil {
		s.settle()
	}
	if s.failure == nil {
		if err := s.world.finish(); err != nil {
			s.fail("%v", err)
		}
	}
	s.end()
	return result{seed, s.steps, s.failure, s.story, s.unseen()}
}

// storm lets members act while everything fails.
func (s *sim) storm() {
	for s.world.members.running > 0 && s.nowMs < startMs+stormMs && s.tick() {
	}
}

// tick is one step with the checks that hold at all times.
func (s *sim) tick() bool {
	s.world.supervise()
	more := s.step()
	if s.steps%64 == 0 {
		s.world.checkHalted()
	}
	if s.steps > maxSteps {
		s.fail("no end after %d steps", s.steps)
	}
	return more && s.failure == nil
}

// heal ends all faults. What is in flight still lands, and zombies live on.
func (s *sim) heal() {
	s.say("simulator", "from here on nothing fails any more")
	s.calm = true
	w := s.world
	w.broker.skewMs, w.fundsClock = 0, 0
	for _, p := range w.processes {
		p.skewMs, p.pausedUntilMs = 0, 0
	}
	for k := range w.bootAtMs {
		w.bootAtMs[k] = min(w.bootAtMs[k], s.nowMs)
	}
}

var errInFlight = errors.New("writes are still in flight")

// settle waits until nothing is in doubt.
func (s *sim) settle() {
	end, still := s.nowMs+settleMs, int64(0)
	for s.tick() {
		if s.steps%16 != 0 {
			continue
		}
		why := s.world.quiet()
		if why == nil && s.inFlight() {
			why = errInFlight
		}
		switch {
		case why == nil && still == 0:
			still = s.nowMs
		case why != nil:
			still = 0
		}
		if still > 0 && s.nowMs >= still+stillMs {
			return
		}
		if s.nowMs > end {
			s.fail("liveness: %d s after everything has healed: %v", settleMs/1000, why)
		}
	}
	if s.failure == nil {
		if why := s.world.quiet(); why != nil {
			s.fail("liveness: nothing happens any more: %v", why)
		}
	}
}

// end unwinds what still runs.
func (s *sim) end() {
	for _, a := range s.actors {
		s.kill(a)
	}
}
