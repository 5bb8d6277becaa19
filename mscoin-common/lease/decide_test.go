package lease

import (
	"fmt"
	"slices"
	"testing"
)

const ttlMs = 2000

// viewOf makes a view at time 100,000 of instances a, b, c … with so many leases each, and
// free ones that ended so long ago.
func viewOf(counts []int, freeMs ...int64) *View {
	v := &View{NowMs: 100_000}
	add := func(owner string, expiresMs int64) {
		v.Leases = append(v.Leases, Lease{Partition: len(v.Leases), Owner: owner, Epoch: 1, ExpiresAtMs: expiresMs})
	}
	for i, n := range counts {
		id := string(rune('a' + i))
		v.Instances = append(v.Instances, Instance{ID: id})
		for range n {
			add(id, v.NowMs+1)
		}
	}
	for _, ago := range freeMs {
		add("gone", v.NowMs-ago)
	}
	return v
}

func partitions(all []Lease) []int {
	out := make([]int, len(all))
	for i := range all {
		out[i] = all[i].Partition
	}
	return out
}

func TestWanted(t *testing.T) {
	none := func(int) bool { return false }
	for _, c := range []struct {
		name    string
		view    *View
		me      string
		resting func(int) bool
		want    []int
	}{
		{"the only instance takes everything that is free", viewOf([]int{1}, 0, 1, 2), "a", none, []int{1, 2, 3}},
		{"of two, each takes its half", viewOf([]int{0, 0}, 0, 0, 0, 0), "b", none, []int{0, 1}},
		{"who has its share leaves the rest to others", viewOf([]int{2, 0}, 0, 0), "a", none, []int{}},
		{"the odd one goes to whoever is quicker", viewOf([]int{1, 1}, 0), "a", none, []int{2}},
		{"what nobody takes for the life of a lease is anybody's", viewOf([]int{2, 0}, ttlMs, ttlMs-1), "a", none, []int{2}},
		{"what it has given away it leaves to others", viewOf([]int{1, 1}, 0), "a", func(int) bool { return true }, []int{}},
		{"an instance that is not listed yet counts itself", viewOf([]int{0}, 0, 0), "z", none, []int{0}},
		{"what is owned is left alone", viewOf([]int{0, 3}), "a", none, []int{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := partitions(wanted(c.view, c.me, c.resting, ttlMs)); !slices.Equal(got, c.want) {
				t.Errorf("wants %v, want %v", got, c.want)
			}
		})
	}
}

func TestSurplus(t *testing.T) {
	young := viewOf([]int{4, 0})
	young.Instances[1].StartedAtMs = young.NowMs - 3999
	for _, c := range []struct {
		name string
		view *View
		me   string
		want int
	}{
		{"who has two more than another gives one", viewOf([]int{3, 1}), "a", 2},
		{"a difference of one is peace", viewOf([]int{2, 1}), "a", -1},
		{"only the richest gives", viewOf([]int{3, 2, 0}), "b", -1},
		{"of two that are equally rich the first gives", viewOf([]int{2, 2, 0}), "b", -1},
		{"of two that are equally rich the second waits", viewOf([]int{2, 2, 0}), "a", 1},
		{"nobody gives while something is moving", viewOf([]int{4, 0}, 0), "a", -1},
		{"a newcomer is given nothing at once", young, "a", -1},
		{"alone it gives nothing", viewOf([]int{9}), "a", -1},
		{"who is not known to be alive gives nothing", viewOf([]int{3, 1}), "z", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := surplus(c.view, c.me, 2*ttlMs); got != c.want {
				t.Errorf("gives %d, want %d", got, c.want)
			}
		})
	}
	t.Run("nobody gives while the dead still own something", func(t *testing.T) {
		v := viewOf([]int{4, 0})
		v.Leases[3].Owner = "dead"
		if got := surplus(v, "a", 0); got != -1 {
			t.Errorf("gives %d", got)
		}
	})
}

func TestConfig(t *testing.T) {
	t.Run("the defaults are valid", func(t *testing.T) {
		var c Config
		c.SetDefaults()
		if err := c.Validate(); err != nil || c.Mode != Shared {
			t.Errorf("%+v: %v", c, err)
		}
	})
	for _, bad := range []Config{
		{Mode: "both", TTLMs: 2000, RenewMs: 500},
		{Mode: Shared, TTLMs: 2000, RenewMs: 700},
		{Mode: Shared, TTLMs: 100, RenewMs: 20},
		{Mode: Shared, TTLMs: 2000, RenewMs: -1},
		{Mode: Static, TTLMs: 100_000, RenewMs: 500},
	} {
		t.Run(fmt.Sprintf("refused: %+v", bad), func(t *testing.T) {
			if err := bad.Validate(); err == nil {
				t.Error("accepted")
			}
		})
	}
}
