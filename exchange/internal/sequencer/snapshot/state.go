// Package snapshot is the image of a partition's machine: what it holds, its bytes,
// and how they are checked. It is a pure package: who takes, keeps and restores
// images is package sequencer.
//
// An image is
//
//	magic "mscseq" and a format byte
//	partition, next offset, log time, number of commands without a record,
//	fingerprint of the last consumed command, skip decisions obeyed
//	the symbols by name, each with its book (matching's own image), rules, phase,
//	flags, open orders and remembered ids; the symbols that have left, by name
//	state hash, 32 bytes: SHA-256 of the state
//	checksum, 32 bytes: SHA-256 of everything before it
//
// Numbers are variable-length, ids are differences. Every state has exactly one
// image, whatever order its lists are in.
package snapshot

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Format is the version of the image that Encode makes.
const Format = 1

// ErrDamaged is what every refusal of an image wraps.
var ErrDamaged = errors.New("damaged snapshot")

// ErrFormat is an ErrDamaged for an image of a format that this release does not read.
var ErrFormat = fmt.Errorf("%w: unknown format", ErrDamaged)

// State is everything that decides what a partition's machine does next.
type State struct {
	Partition int
	// Next is the offset of the first command that is not consumed.
	Next      int64
	LogTimeMs int64
	// Skipped counts the commands that yielded no record.
	Skipped int64
	// Fingerprint identifies the command at Next − 1 (bus.Fingerprint); empty at 0.
	Fingerprint []byte
	// Obeyed are the skip decisions that have been carried out, in order.
	Obeyed []Skip
	Books  []Book
	// Left are the symbols that have gone to another partition.
	Left []Left
}

// Skip is an operator's decision that a command is not executed.
type Skip struct {
	Offset int64
	// Fingerprint of the command (bus.Fingerprint): the decision is about no other.
	Fingerprint []byte
}

// Book is a listed symbol.
type Book struct {
	Name string
	// Seq is the number of its last record, Head that record's hash.
	Seq  int64
	Head []byte
	// Rules is a serialised SetRulesCommand.
	Rules []byte
	Phase uint8
	// Flags are the behaviour flags that are on, sorted.
	Flags []string
	// Window is what has happened since the last checkpoint.
	Window Window
	// Live are the open orders, IDs the remembered ones.
	Live []Order
	IDs  []Remembered
	// Engine is matching's image of the book, EngineHash its state hash.
	Engine     []byte
	EngineHash uint64
}

// Window sums the trades since the last checkpoint; see event.v1.Checkpoint.
type Window struct {
	AfterSeq, AfterTrade, LastTrade       int64
	Traded, Turnover, BaseFees, QuoteFees int64
}

// Order is what the machine knows of an open order beside the engine.
type Order struct {
	ID, Member uint64
	Price      int64 // ticks
	DeadlineMs int64
	Side       uint8
}

// Remembered is an id that must not be placed (again), with its last word.
type Remembered struct {
	ID, Member            uint64
	DeadlineMs            int64
	Traded, Turnover, Fee int64
	Reason                int32
	Side, State           uint8
}

// Left is a symbol that has gone to another partition.
type Left struct {
	Name string
	To   int
	// Seq and Hash are those of its last record here.
	Seq  int64
	Hash []byte
	// Image is what the other partition adopts: EncodeSymbol.
	Image []byte
}

// Sort puts the lists into the order in which they are written.
func (s *State) Sort() {
	for i := range s.Books {
		s.Books[i].sorted()
	}
	slices.SortFunc(s.Books, func(a, b Book) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Left, func(a, b Left) int { return cmp.Compare(a.Name, b.Name) })
}

func (b *Book) sorted() {
	slices.SortFunc(b.Live, func(x, y Order) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(b.IDs, func(x, y Remembered) int { return cmp.Compare(x.ID, y.ID) })
}

// Encode returns the image of a state, whose lists it sorts, and its state hash.
func Encode(s *State) (image, stateHash []byte) {
	s.Sort()
	hash := s.Hash()
	w := writer(magic)
	w.state(s, true)
	w = append(w, hash...)
	sum := sha256.Sum256(w)
	return append(w, sum[:]...), hash
}

// Hash returns the state hash of a state whose lists are sorted. In place of the
// books' images it covers their state hashes: a restored machine can compute it.
func (s *State) Hash() []byte {
	var w writer
	w.state(s, false)
	sum := sha256.Sum256(w)
	return sum[:]
}

// Hash returns the state hash of one symbol without its place in the chain.
func (b *Book) Hash() []byte {
	b.sorted()
	var w writer
	w.content(b, false)
	sum := sha256.Sum256(w)
	return sum[:]
}

// Decode reads an image. It checks format and checksum, and that the image is one
// that Encode makes; the state hash is returned for the restored machine to match.
// Every error wraps ErrDamaged.
func Decode(image []byte) (s *State, stateHash []byte, err error) {
	body, err := open(image, magic)
	if err != nil {
		return nil, nil, err
	}
	if len(body) < sha256.Size {
		return nil, nil, damaged("too short")
	}
	cut := len(body) - sha256.Size
	r := &reader{b: body[:cut]}
	s = r.state()
	if err := r.end(); err != nil {
		return nil, nil, err
	}
	return s, body[cut:], nil
}

// EncodeSymbol returns the image of one symbol at a log time, for another partition
// to adopt.
func EncodeSymbol(b *Book, logTimeMs int64) []byte {
	b.sorted()
	w := writer(symbolMagic)
	w.int(logTimeMs)
	w.book(b, true)
	sum := sha256.Sum256(w)
	return append(w, sum[:]...)
}

// DecodeSymbol reads what EncodeSymbol has made. Every error wraps ErrDamaged.
func DecodeSymbol(image []byte) (b *Book, logTimeMs int64, err error) {
	body, err := open(image, symbolMagic)
	if err != nil {
		return nil, 0, err
	}
	r := &reader{b: body}
	logTimeMs = r.int()
	b = new(Book)
	r.book(b)
	return b, logTimeMs, r.end()
}

const (
	magic       = "mscseq\x01"
	symbolMagic = "mscsym\x01"
)

// open checks what every image begins and ends with and returns what is between.
func open(image []byte, magic string) ([]byte, error) {
	kind := len(magic) - 1
	switch {
	case len(image) < len(magic)+sha256.Size || string(image[:kind]) != magic[:kind]:
		return nil, damaged("not an image")
	case image[kind] != magic[kind]:
		return nil, fmt.Errorf("%w %d, this release reads %d", ErrFormat, image[kind], magic[kind])
	}
	cut := len(image) - sha256.Size
	if sum := sha256.Sum256(image[:cut]); string(sum[:]) != string(image[cut:]) {
		return nil, damaged("checksum does not match")
	}
	return image[len(magic):cut], nil
}

func damaged(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }
