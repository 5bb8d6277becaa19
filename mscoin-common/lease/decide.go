package lease

import "slices"

// free reports whether anybody may take the lease.
func (v *View) free(l *Lease) bool { return l.ExpiresAtMs <= v.NowMs }

// count returns how many leases each living instance has, and whether every lease is
// owned by one of them.
func (v *View) count() (counts map[string]int, settled bool) {
	counts, settled = make(map[string]int, len(v.Instances)), true
	for i := range v.Instances {
		counts[v.Instances[i].ID] = 0
	}
	for i := range v.Leases {
		l := &v.Leases[i]
		if _, alive := counts[l.Owner]; v.free(l) || !alive {
			settled = false
			continue
		}
		counts[l.Owner]++
	}
	return counts, settled
}

// wanted returns the leases that an instance should try to take: free ones up to its fair
// share, and beyond it those that nobody has taken for the life of a lease. resting are
// the partitions that it has just given away; it leaves them to the others as long.
func wanted(v *View, me string, resting func(partition int) bool, ttlMs int64) []Lease {
	counts, _ := v.count()
	mine := counts[me]
	counts[me] = mine // alive, whether it is listed yet or not
	share := (len(v.Leases) + len(counts) - 1) / len(counts)
	var want []Lease
	for i := range v.Leases {
		l := &v.Leases[i]
		overdue := v.NowMs-l.ExpiresAtMs >= ttlMs
		if v.free(l) && (overdue || mine < share && !resting(l.Partition)) {
			want = append(want, *l)
			mine++
		}
	}
	return want
}

// surplus returns a partition that an instance should hand over, or -1. Only the instance
// with the most leases does so, only when another one has at least two less and has been
// alive for a while, and only when nothing else is moving: each hand-over brings the
// counts closer, and at a difference of one there is peace.
func surplus(v *View, me string, settleMs int64) int {
	counts, settled := v.count()
	mine, alive := counts[me]
	if !settled || !alive {
		return -1
	}
	for id, n := range counts {
		if n > mine || n == mine && id < me {
			return -1
		}
	}
	poorer := slices.ContainsFunc(v.Instances, func(in Instance) bool {
		return mine-counts[in.ID] >= 2 && v.NowMs-in.StartedAtMs >= settleMs
	})
	if !poorer {
		return -1
	}
	for i := range slices.Backward(v.Leases) {
		if v.Leases[i].Owner == me {
			return v.Leases[i].Partition
		}
	}
	return -1
}
