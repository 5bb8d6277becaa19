package main

import (
	"path/filepath"
	"testing"
)

func TestMutants_Table(t *testing.T) {
	t.Run("the source still has each rule, once, and each mutant has a name of its own", func(t *testing.T) {
		root, err := filepath.Abs("../../exchange/matching")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i := range mutants {
			m := &mutants[i]
			if _, _, err := m.source(root); err != nil {
				t.Errorf("%s: %v", m.rule, err)
			}
			if m.old == m.new || m.test == "" || seen[m.rule] {
				t.Errorf("%s: no fault, no test, or twice", m.rule)
			}
			seen[m.rule] = true
		}
	})
}
