package sequencer

import (
	"fmt"
	"slices"

	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
)

// A release that changes what a command does, does so behind a flag (MONEY-SAFETY
// H13): until a SetFlags command of the symbol switches it on, it does what the
// releases before it did, so that all of them agree on the log up to there, and those
// that do not know the flag stop at the command. A new kind of command needs a flag as
// well: without it, it is the undecodable command that older releases see.

// FlagBoundedBook refuses rules by which a book could hold more orders than the record
// of a sweep has room for.
const FlagBoundedBook = "bounded-book"

// knownFlags are the flags of this release, sorted. A flag is never taken out, and
// never means anything else.
var knownFlags = []string{FlagBoundedBook}

// on reports whether a flag is on.
func (b *book) on(flag string) bool { return slices.Contains(b.flags, flag) }

// setFlags sets which flags are on. What names an unknown one cannot be executed: to
// guess would be to diverge from the releases that know it.
func (s *step) setFlags(names, known []string) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		if !slices.Contains(known, name) {
			s.err = fmt.Errorf("%w: %q of %s", ErrUnknownFlag, name, s.b.name)
			return
		}
	}
	if slices.Contains(names, FlagBoundedBook) && !bounded(s.b.rules) {
		s.reject(order.ReasonBadRules)
		return
	}
	s.b.flags = names
	s.body.Flags = &eventpb.Flags{Names: names}
}

// bounded reports whether the record of a sweep through a full book fits into a
// message.
func bounded(r *eventpb.SetRulesCommand) bool {
	return r.MaxBookOrders > 0 && r.MaxBookOrders <= maxBookOrders
}
