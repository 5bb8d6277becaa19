// Package password hashes and verifies passwords with argon2id. A hash carries its own
// parameters, so that they can be raised without locking anybody out.
//
// One hash needs tens of megabytes. How many are computed at a time, and how many
// callers wait for their turn, is bounded; a caller beyond that is refused at once.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"mscoin/mscoin-common/errs"
)

const (
	saltBytes = 16
	hashBytes = 32
	// maxEncodedBytes bounds what Verify parses.
	maxEncodedBytes = 255
	// Bounds of the parameters that Verify accepts, so that a damaged row cannot make
	// the service allocate gigabytes.
	maxMemoryKiB = 1 << 20
	maxTime      = 64
	maxThreads   = 64
)

// ErrBusy is returned when too many callers wait for a hash already.
var ErrBusy = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "too busy, try again")

// errEncoding says that a stored hash is damaged; it does not show it.
var errEncoding = errors.New("stored password hash is malformed")

// Params is the cost of a hash.
type Params struct {
	// MemoryKiB is the memory of one hash, in KiB.
	MemoryKiB uint32
	// Time is the number of passes over it.
	Time uint32
	// Threads is the number of lanes.
	Threads uint8
}

// validate keeps the parameters inside what Verify accepts.
func (p Params) validate() error {
	if p.Time < 1 || p.Time > maxTime || p.Threads < 1 || p.Threads > maxThreads ||
		p.MemoryKiB < 8*uint32(p.Threads) || p.MemoryKiB > maxMemoryKiB {
		return fmt.Errorf("argon2id parameters out of range: %+v", p)
	}
	return nil
}

// Hasher hashes with fixed parameters and verifies with those of the hash. It is safe
// for concurrent use.
type Hasher struct {
	params Params
	turns  chan struct{} // one token for each hash under way
	places chan struct{} // one token for each caller, waiting or hashing
	dummy  string
}

// New returns a hasher that computes at most parallel hashes at a time while at most
// waiting more callers wait.
func New(p Params, parallel, waiting int) (*Hasher, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	if parallel < 1 || waiting < 0 {
		return nil, fmt.Errorf("%d hashes at a time with %d waiting is out of range", parallel, waiting)
	}
	h := &Hasher{
		params: p,
		turns:  make(chan struct{}, parallel),
		places: make(chan struct{}, parallel+waiting),
	}
	// A hash that no password has, for VerifyNobody.
	raw := make([]byte, saltBytes+hashBytes)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	h.dummy = encode(p, raw[:saltBytes], raw[saltBytes:])
	return h, nil
}

// Hash returns the hash of a password in the usual text form
// ($argon2id$v=19$m=…,t=…,p=…$salt$hash). It returns ErrBusy, or the context's error
// when that ends while waiting.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return encode(h.params, salt, derive(password, salt, h.params, hashBytes)), nil
}

// Verify reports whether the password belongs to the hash, and if so whether the hash
// is to be replaced because the parameters have changed since. Errors are those of
// Hash, and one for a damaged hash.
func (h *Hasher) Verify(ctx context.Context, password, encoded string) (ok, stale bool, err error) {
	params, salt, want, err := decode(encoded)
	if err != nil {
		return false, false, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	got := derive(password, salt, params, uint32(len(want)))
	ok = subtle.ConstantTimeCompare(got, want) == 1
	return ok, ok && params != h.params, nil
}

// VerifyNobody costs as much as Verify and never succeeds: for names that do not
// exist, so that the time of an answer does not tell which do.
func (h *Hasher) VerifyNobody(ctx context.Context, password string) error {
	_, _, err := h.Verify(ctx, password, h.dummy)
	return err
}

// enter waits for a turn.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.places <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns; <-h.places }, nil
	case <-ctx.Done():
		<-h.places
		return nil, fmt.Errorf("wait for a turn to hash: %w", ctx.Err())
	}
}

func derive(password string, salt []byte, p Params, length uint32) []byte {
	return argon2.IDKey([]byte(password), salt, p.Time, p.MemoryKiB, p.Threads, length)
}

func encode(p Params, salt, hash []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.MemoryKiB, p.Time, p.Threads,
		b64.EncodeToString(salt), b64.EncodeToString(hash))
}

// decode is strict: one spelling of each hash, parameters within bounds.
func decode(encoded string) (p Params, salt, hash []byte, err error) {
	fields := strings.Split(encoded, "$")
	if len(encoded) > maxEncodedBytes || len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" ||
		fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, nil, nil, errEncoding
	}
	costs := strings.Split(fields[3], ",")
	if len(costs) != 3 {
		return p, nil, nil, errEncoding
	}
	memory, err1 := number(costs[0], "m=", maxMemoryKiB)
	passes, err2 := number(costs[1], "t=", maxTime)
	threads, err3 := number(costs[2], "p=", maxThreads)
	if errors.Join(err1, err2, err3) != nil {
		return p, nil, nil, errEncoding
	}
	p = Params{MemoryKiB: memory, Time: passes, Threads: uint8(threads)}
	if p.validate() != nil {
		return p, nil, nil, errEncoding
	}
	b64 := base64.RawStdEncoding.Strict()
	salt, err1 = b64.DecodeString(fields[4])
	hash, err2 = b64.DecodeString(fields[5])
	if errors.Join(err1, err2) != nil || len(salt) < 8 || len(hash) < 16 {
		return p, nil, nil, errEncoding
	}
	return p, salt, hash, nil
}

func number(text, prefix string, limit uint64) (uint32, error) {
	digits, found := strings.CutPrefix(text, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !found || err != nil || n > limit || strconv.FormatUint(n, 10) != digits {
		return 0, errEncoding
	}
	return uint32(n), nil
}
