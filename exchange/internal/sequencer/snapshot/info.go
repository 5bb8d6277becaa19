package snapshot

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Info is what is known of a stored snapshot without its image.
type Info struct {
	Partition int
	// Next is the offset of the first command that the snapshot has not consumed.
	Next int64
	// Format is the version of the image, Size its length.
	Format, Size int
	// StateHash, Checksum (SHA-256 of the image) and Fingerprint (of the command at
	// Next − 1) are what a boot compares.
	StateHash, Checksum, Fingerprint []byte
	// Symbols are the heads of the symbols' chains, those that have left included.
	Symbols []Symbol
	TakenMs int64
	// VerifiedMs is when a replay by the naive matcher gave the same image; 0 is never.
	VerifiedMs int64
}

// Symbol is the head of a symbol's chain.
type Symbol struct {
	Name string
	Seq  int64
	Hash []byte
}

// Decision is an operator's decision that the command at an offset is not executed,
// because the matcher cannot.
type Decision struct {
	Skip

	Partition int
	Reason    string
	DecidedMs int64
}

// InfoOf describes the image of a state.
func InfoOf(s *State, image, stateHash []byte, nowMs int64) Info {
	sum := sha256.Sum256(image)
	info := Info{
		Partition: s.Partition, Next: s.Next, Format: Format, Size: len(image),
		StateHash: stateHash, Checksum: sum[:], Fingerprint: s.Fingerprint, TakenMs: nowMs,
	}
	for i := range s.Books {
		info.Symbols = append(info.Symbols, Symbol{s.Books[i].Name, s.Books[i].Seq, s.Books[i].Head})
	}
	for _, l := range s.Left {
		info.Symbols = append(info.Symbols, Symbol{l.Name, l.Seq, l.Hash})
	}
	return info
}

// Open checks an image against what was noted of it, and decodes it. Every error
// wraps ErrDamaged.
func (i *Info) Open(image []byte) (*State, error) {
	if i.Format != Format {
		return nil, fmt.Errorf("%w %d, this release reads %d", ErrFormat, i.Format, Format)
	}
	if sum := sha256.Sum256(image); len(image) != i.Size || string(sum[:]) != string(i.Checksum) {
		return nil, damaged(fmt.Sprintf("the image (%d bytes) is not the one that was taken (%d bytes)", len(image), i.Size))
	}
	s, hash, err := Decode(image)
	if err != nil {
		return nil, err
	}
	if s.Partition != i.Partition || s.Next != i.Next || string(s.Fingerprint) != string(i.Fingerprint) || string(hash) != string(i.StateHash) {
		return nil, damaged("the image is of another place in the log than its row says")
	}
	inImage := InfoOf(s, image, hash, i.TakenMs).Symbols
	same := slices.EqualFunc(byName(i.Symbols), byName(inImage), func(a, b Symbol) bool {
		return a.Name == b.Name && a.Seq == b.Seq && string(a.Hash) == string(b.Hash)
	})
	if !same {
		return nil, damaged("the image holds other records of its symbols than its rows say")
	}
	return s, nil
}

func byName(all []Symbol) []Symbol {
	return slices.SortedFunc(slices.Values(all), func(a, b Symbol) int { return strings.Compare(a.Name, b.Name) })
}
