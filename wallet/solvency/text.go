package solvency

import (
	"fmt"
	"strconv"
	"strings"
)

// The published root and a proof are lines of text, so that they can be read, compared
// and kept by anyone:
//
//	root COIN TIME MEMBERS TOTAL HASH
//	proof COIN TIME MEMBER AMOUNT NONCE STEP STEP …
//
// where a step is L or R (the side of the branch beside), its sum, a colon and its hash.
const (
	rootWord  = "root"
	proofWord = "proof"
)

// String is the root as a line.
func (r Root) String() string {
	return fmt.Sprintf("%s %s %d %d %d %x", rootWord, r.Coin, r.AtMs, r.Members, r.Total, r.Hash)
}

// String is the proof as a line.
func (p Proof) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %d %d %d %x", proofWord, p.Coin, p.AtMs, p.MemberID, p.Amount, p.Nonce)
	for _, s := range p.Steps {
		side := 'R'
		if s.Left {
			side = 'L'
		}
		fmt.Fprintf(&b, " %c%d:%x", side, s.Sum, s.Hash)
	}
	return b.String()
}

// ParseRoot is the inverse of [Root.String]; it returns [ErrMalformed].
func ParseRoot(line string) (Root, error) {
	words := strings.Split(line, " ")
	if len(words) != 6 || words[0] != rootWord {
		return Root{}, fmt.Errorf("%w: not a root", ErrMalformed)
	}
	r := Root{Coin: words[1]}
	if !ints(words[2:5], &r.AtMs, &r.Members, &r.Total) || !hash(words[5], &r.Hash) || r.String() != line {
		return Root{}, fmt.Errorf("%w: not a root", ErrMalformed)
	}
	return r, nil
}

// ParseProof is the inverse of [Proof.String]; it returns [ErrMalformed].
func ParseProof(line string) (Proof, error) {
	words := strings.Split(line, " ")
	if len(words) < 6 || len(words) > 6+maxDepth || words[0] != proofWord {
		return Proof{}, fmt.Errorf("%w: not a proof", ErrMalformed)
	}
	p := Proof{Coin: words[1]}
	if !ints(words[2:5], &p.AtMs, &p.MemberID, &p.Amount) || !hash(words[5], &p.Nonce) {
		return Proof{}, fmt.Errorf("%w: not a proof", ErrMalformed)
	}
	for _, word := range words[6:] {
		sum, hex, ok := strings.Cut(word, ":")
		s := Step{Left: strings.HasPrefix(sum, "L")}
		if !ok || sum == "" || !ints([]string{sum[1:]}, &s.Sum) || !hash(hex, &s.Hash) {
			return Proof{}, fmt.Errorf("%w: step %q", ErrMalformed, word)
		}
		p.Steps = append(p.Steps, s)
	}
	if p.String() != line {
		return Proof{}, fmt.Errorf("%w: not written as a proof is", ErrMalformed)
	}
	return p, nil
}

func ints(words []string, into ...*int64) bool {
	for i, word := range words {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return false
		}
		*into[i] = n
	}
	return true
}

// hash reads a number of Size bytes.
func hash(text string, into *[Size]byte) bool {
	if len(text) != 2*Size {
		return false
	}
	for i := range into {
		n, err := strconv.ParseUint(text[2*i:2*i+2], 16, 8)
		if err != nil {
			return false
		}
		into[i] = byte(n)
	}
	return true
}
