package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
)

// ErrBadRecord is in the chain of every error about a record that cannot be what the matcher wrote:
// unreadable, inconsistent, or with a hash that does not match.
var ErrBadRecord = errors.New("bad record")

// Entry is one record of a symbol, read and verified.
type Entry struct {
	Message bus.Message
	Body    *eventpb.RecordBody
	// PrevHash is the hash of the symbol's previous record, empty for the first; Hash is this record's.
	PrevHash, Hash []byte
}

// Seal encodes body as a record that follows the one with hash prev (empty for seq 1). It returns the
// message value and the record's hash, SHA-256(prev ‖ encoded body). The same body and prev give the same
// bytes every time: a replay of the log writes identical records.
func Seal(body *eventpb.RecordBody, prev []byte) (value, hash []byte, err error) {
	return new(Sealer).Seal(body, prev)
}

// Sealer seals records and keeps its working memory for the next. It is for one goroutine.
type Sealer struct{ buf []byte }

// Seal is the function Seal.
func (s *Sealer) Seal(body *eventpb.RecordBody, prev []byte) (value, hash []byte, err error) {
	sum, err := s.Hash(body, prev)
	if err != nil {
		return nil, nil, err
	}
	encoded := s.buf[len(prev):]
	value = make([]byte, 0, s.Size())
	value = append(appendLen(value, 1, len(encoded)), encoded...)
	if len(prev) > 0 {
		value = append(appendLen(value, 2, len(prev)), prev...)
	}
	value = append(appendLen(value, 3, len(sum)), sum[:]...)
	return value, sum[:], nil
}

// Size returns how many bytes the record that was sealed or hashed last has at most.
func (s *Sealer) Size() int { return len(s.buf) + sha256.Size + 3*(1+binary.MaxVarintLen32) }

// Hash returns the hash of the record that Seal makes, without making it.
func (s *Sealer) Hash(body *eventpb.RecordBody, prev []byte) (hash [sha256.Size]byte, err error) {
	if err := checkBody(body, prev); err != nil {
		return hash, fmt.Errorf("seal record: %w", err)
	}
	if s.buf, err = appendBody(append(s.buf[:0], prev...), body); err != nil {
		return hash, fmt.Errorf("seal record: %w", err)
	}
	return sha256.Sum256(s.buf), nil
}

// Open decodes and verifies a record. The entry's Message is left empty.
func Open(value []byte) (Entry, error) {
	var record eventpb.Record
	if err := proto.Unmarshal(value, &record); err != nil {
		return Entry{}, fmt.Errorf("open record: %w: %w", ErrBadRecord, err)
	}
	if !bytes.Equal(record.GetHash(), chainHash(record.GetPrevHash(), record.GetBody())) {
		return Entry{}, fmt.Errorf("open record: %w: hash does not match the content", ErrBadRecord)
	}
	body := new(eventpb.RecordBody)
	if err := proto.Unmarshal(record.GetBody(), body); err != nil {
		return Entry{}, fmt.Errorf("open record: body: %w: %w", ErrBadRecord, err)
	}
	if err := checkBody(body, record.GetPrevHash()); err != nil {
		return Entry{}, fmt.Errorf("open record: %w", err)
	}
	return Entry{Body: body, PrevHash: record.GetPrevHash(), Hash: record.GetHash()}, nil
}

// OpenMessage is Open for a message, whose key must be the record's symbol.
func OpenMessage(m bus.Message) (Entry, error) {
	e, err := Open(m.Value)
	if err != nil {
		return Entry{}, err
	}
	if string(m.Key) != e.Body.GetSymbol() {
		return Entry{}, fmt.Errorf("open record: %w: key %q is not its symbol %q", ErrBadRecord, m.Key, e.Body.GetSymbol())
	}
	e.Message = m
	return e, nil
}

func checkBody(body *eventpb.RecordBody, prev []byte) error {
	switch {
	case body.GetSymbol() == "":
		return fmt.Errorf("%w: no symbol", ErrBadRecord)
	case body.GetSeq() < 1:
		return fmt.Errorf("%w: seq %d", ErrBadRecord, body.GetSeq())
	case body.GetSeq() == 1 && len(prev) != 0:
		return fmt.Errorf("%w: the first record has a predecessor", ErrBadRecord)
	case body.GetSeq() > 1 && len(prev) != sha256.Size:
		return fmt.Errorf("%w: previous hash has %d bytes", ErrBadRecord, len(prev))
	}
	return nil
}

func chainHash(prev, body []byte) []byte {
	h := sha256.New()
	h.Write(prev)
	h.Write(body)
	return h.Sum(nil)
}
