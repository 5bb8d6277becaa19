package bus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"mscoin/mscoin-common/telemetry"
)

// The fetch request of the Kafka protocol, version 5 (brokers 0.11 up to 4.x): the newest that needs
// no flexible encoding and the oldest that says where the log starts.
const (
	fetchKey     = 1
	fetchVersion = 5
	// The delete-records request, version 1: kafka-go has none, and it is not worth another
	// client beside the fetch request, which is made here as well.
	deleteKey     = 21
	deleteVersion = 1
	// maxFrameBytes bounds an answer: the asked bytes, or one batch that is larger, and framing.
	maxFrameBytes = 64 << 20
	// maxInflatedBytes bounds a compressed batch after decompression.
	maxInflatedBytes = 64 << 20
)

var (
	errMalformed = errors.New("malformed answer")
	crcTable     = crc32.MakeTable(crc32.Castagnoli)
)

// fetchConn is one connection to a partition's leader, with one request in flight.
type fetchConn struct {
	conn     net.Conn
	clientID string
	corr     int32
	out      []byte
}

// fetchAnswer is the part of the answer that matters for one partition.
type fetchAnswer struct {
	code      kafka.Error
	highMark  int64
	logStart  int64
	recordSet []byte
}

type fetchQuery struct {
	topic     string
	partition int
	offset    int64
	maxWait   time.Duration
	maxBytes  int
}

func dialFetch(ctx context.Context, addr, clientID string, timeout time.Duration) (*fetchConn, error) {
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &fetchConn{conn: conn, clientID: clientID}, nil
}

func (c *fetchConn) close() {
	// The connection only ever reads committed records: there is nothing to flush or to lose.
	_ = c.conn.Close()
}

// fetch sends one request and waits for its answer. After an error the connection is unusable.
func (c *fetchConn) fetch(ctx context.Context, q fetchQuery) (fetchAnswer, error) {
	c.corr++
	c.out = appendFetchRequest(c.out[:0], c.corr, c.clientID, q)
	frame, err := c.roundTrip(ctx)
	if err != nil {
		return fetchAnswer{}, fmt.Errorf("fetch: %w", err)
	}
	return parseFetchResponse(frame, c.corr)
}

// deleteRecords has the leader delete what is before an offset, and returns where the
// log begins then.
func (c *fetchConn) deleteRecords(ctx context.Context, topic string, partition int, before int64, timeout time.Duration) (int64, error) {
	c.corr++
	c.out = appendDeleteRequest(c.out[:0], c.corr, c.clientID, topic, partition, before, timeout)
	frame, err := c.roundTrip(ctx)
	if err != nil {
		return 0, fmt.Errorf("delete records: %w", err)
	}
	return parseDeleteResponse(frame, c.corr)
}

// roundTrip sends what is in out and returns the answer.
func (c *fetchConn) roundTrip(ctx context.Context) ([]byte, error) {
	// A deadline in the past wakes a blocked read at once, whatever clock the process runs on.
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, fmt.Errorf("send: %w", errors.Join(ctx.Err(), err))
	}
	frame, err := readFrame(c.conn)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", errors.Join(ctx.Err(), err))
	}
	return frame, nil
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrameBytes {
		return nil, fmt.Errorf("%w: frame of %d bytes", errMalformed, size)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	return frame, nil
}

func appendFetchRequest(b []byte, corr int32, clientID string, q fetchQuery) []byte {
	be := binary.BigEndian
	b = appendHeader(b, fetchKey, fetchVersion, corr, clientID)
	b = be.AppendUint32(b, math.MaxUint32) // replica id -1: a consumer
	b = be.AppendUint32(b, uint32(max(q.maxWait.Milliseconds(), 0)))
	b = be.AppendUint32(b, 1) // min bytes
	b = be.AppendUint32(b, uint32(q.maxBytes))
	b = append(b, 0) // isolation: read uncommitted (no transactions here)
	b = be.AppendUint32(b, 1)
	b = appendString(b, q.topic)
	b = be.AppendUint32(b, 1)
	b = be.AppendUint32(b, uint32(q.partition))
	b = be.AppendUint64(b, uint64(q.offset))
	b = be.AppendUint64(b, math.MaxUint64) // log start offset -1: a consumer
	b = be.AppendUint32(b, uint32(q.maxBytes))
	be.PutUint32(b, uint32(len(b)-4))
	return b
}

// appendHeader begins a request; its first four bytes become the size of the frame.
func appendHeader(b []byte, key, version uint16, corr int32, clientID string) []byte {
	be := binary.BigEndian
	b = append(b, 0, 0, 0, 0)
	b = be.AppendUint16(b, key)
	b = be.AppendUint16(b, version)
	b = be.AppendUint32(b, uint32(corr))
	return appendString(b, clientID)
}

func appendDeleteRequest(b []byte, corr int32, clientID, topic string, partition int, before int64, timeout time.Duration) []byte {
	be := binary.BigEndian
	b = appendHeader(b, deleteKey, deleteVersion, corr, clientID)
	b = be.AppendUint32(b, 1)
	b = appendString(b, topic)
	b = be.AppendUint32(b, 1)
	b = be.AppendUint32(b, uint32(partition))
	b = be.AppendUint64(b, uint64(before))
	b = be.AppendUint32(b, uint32(timeout.Milliseconds()))
	be.PutUint32(b, uint32(len(b)-4))
	return b
}

func parseDeleteResponse(frame []byte, corr int32) (first int64, err error) {
	r := reader{b: frame}
	if got := int32(r.uint32()); got != corr && !r.failed {
		return 0, fmt.Errorf("%w: correlation %d, want %d", errMalformed, got, corr)
	}
	r.uint32() // throttle time
	if topics := r.uint32(); topics != 1 {
		return 0, fmt.Errorf("%w: %d topics", errMalformed, topics)
	}
	r.bytes(int(r.uint16()))
	if partitions := r.uint32(); partitions != 1 {
		return 0, fmt.Errorf("%w: %d partitions", errMalformed, partitions)
	}
	r.uint32() // partition
	first = int64(r.uint64())
	code := kafka.Error(int16(r.uint16()))
	switch {
	case r.failed:
		return 0, fmt.Errorf("%w: short answer", errMalformed)
	case code != 0:
		return 0, fmt.Errorf("broker refused: %w", code)
	}
	return first, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func parseFetchResponse(frame []byte, corr int32) (fetchAnswer, error) {
	r := reader{b: frame}
	if got := int32(r.uint32()); got != corr && !r.failed {
		return fetchAnswer{}, fmt.Errorf("%w: correlation %d, want %d", errMalformed, got, corr)
	}
	r.uint32() // throttle time: the broker itself delays the answer
	if topics := r.uint32(); topics != 1 {
		return fetchAnswer{}, fmt.Errorf("%w: %d topics", errMalformed, topics)
	}
	r.bytes(int(r.uint16()))
	if partitions := r.uint32(); partitions != 1 {
		return fetchAnswer{}, fmt.Errorf("%w: %d partitions", errMalformed, partitions)
	}
	r.uint32() // partition
	a := fetchAnswer{code: kafka.Error(int16(r.uint16()))}
	a.highMark = int64(r.uint64())
	r.uint64() // last stable offset
	a.logStart = int64(r.uint64())
	if aborted := int32(r.uint32()); aborted > 0 {
		r.bytes(int(aborted) * 16)
	}
	if size := int32(r.uint32()); size > 0 {
		a.recordSet = r.bytes(int(size))
	}
	if r.failed {
		return fetchAnswer{}, fmt.Errorf("%w: short fetch answer", errMalformed)
	}
	return a, nil
}

// reader takes values off a byte slice and remembers that it ran short.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.failed, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint8() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// nullable takes a length and that many bytes; a negative length is nil.
func (r *reader) nullable() []byte {
	n := r.varint()
	if n < 0 {
		return nil
	}
	if n > int64(len(r.b)) {
		r.failed, r.b = true, nil
		return nil
	}
	return r.bytes(int(n))
}

const (
	batchPrefixBytes  = 12 // base offset and length
	attrCompression   = 0x07
	attrLogAppendTime = 0x08
	attrControl       = 0x20
)

// decodeRecords appends the records at and after the offset from. A batch that is cut off at the end is
// left for the next fetch; anything else that is wrong is an error: a record is never skipped.
func decodeRecords(msgs []Message, set []byte, topic string, partition int, from int64) ([]Message, error) {
	for len(set) >= batchPrefixBytes {
		size := int64(int32(binary.BigEndian.Uint32(set[8:])))
		if size < 0 {
			return msgs, fmt.Errorf("%w: batch of %d bytes", errMalformed, size)
		}
		if batchPrefixBytes+size > int64(len(set)) {
			break
		}
		base := int64(binary.BigEndian.Uint64(set))
		var err error
		msgs, err = decodeBatch(msgs, set[batchPrefixBytes:batchPrefixBytes+size], base, from)
		if err != nil {
			return msgs, fmt.Errorf("batch at offset %d of %s/%d: %w", base, topic, partition, err)
		}
		set = set[batchPrefixBytes+size:]
	}
	for i := range msgs {
		msgs[i].Topic, msgs[i].Partition = topic, partition
	}
	return msgs, nil
}

func decodeBatch(msgs []Message, batch []byte, base, from int64) ([]Message, error) {
	r := reader{b: batch}
	r.uint32() // partition leader epoch
	if magic := r.uint8(); magic != 2 {
		return msgs, fmt.Errorf("%w: format version %d", errMalformed, magic)
	}
	if crc := r.uint32(); r.failed || crc != crc32.Checksum(r.b, crcTable) {
		return msgs, fmt.Errorf("%w: checksum mismatch", errMalformed)
	}
	attrs := r.uint16()
	r.uint32() // last offset delta
	firstMs, maxMs := int64(r.uint64()), int64(r.uint64())
	r.bytes(8 + 2 + 4) // producer id, epoch and first sequence
	count := int(int32(r.uint32()))
	switch {
	case r.failed || count < 0:
		return msgs, fmt.Errorf("%w: short batch header", errMalformed)
	case attrs&attrControl != 0:
		return msgs, fmt.Errorf("%w: control batch: the topic must not be used with transactions", errMalformed)
	}
	if codec := compress.Compression(attrs & attrCompression); codec != compress.None {
		inflated, err := inflate(codec, r.b)
		if err != nil {
			return msgs, err
		}
		r.b = inflated
	}
	for range count {
		m, deltaMs := decodeRecord(&r)
		if r.failed {
			return msgs, fmt.Errorf("%w: short record", errMalformed)
		}
		m.Offset += base
		m.TimeMs = firstMs + deltaMs
		if attrs&attrLogAppendTime != 0 {
			m.TimeMs = maxMs
		}
		if m.Offset >= from {
			msgs = append(msgs, m)
		}
	}
	return msgs, nil
}

// decodeRecord returns the record with its offset relative to the batch, and its time relative to the
// batch's first.
func decodeRecord(r *reader) (m Message, deltaMs int64) {
	body := reader{b: r.nullable()}
	if body.b == nil {
		r.failed = true
		return m, 0
	}
	body.uint8() // attributes: unused
	deltaMs = body.varint()
	m.Offset = body.varint()
	m.Key = body.nullable()
	m.Value = body.nullable()
	r.failed = r.failed || body.failed
	m.Trace = decodeTrace(&body)
	return m, deltaMs
}

// traceBytes is the length of a trace header: version, trace, span and flags.
const traceBytes = 55

// decodeTrace finds the trace among the headers. A record is never refused for its
// headers: they say nothing about it.
func decodeTrace(body *reader) string {
	for range body.varint() {
		key, value := body.nullable(), body.nullable()
		if body.failed {
			return ""
		}
		if len(value) == traceBytes && string(key) == telemetry.ParentHeader {
			return string(value)
		}
	}
	return ""
}

func inflate(codec compress.Compression, b []byte) ([]byte, error) {
	c := codec.Codec()
	if c == nil {
		return nil, fmt.Errorf("%w: compression %d", errMalformed, codec)
	}
	zr := c.NewReader(bytes.NewReader(b))
	out, err := io.ReadAll(io.LimitReader(zr, maxInflatedBytes+1))
	err = errors.Join(err, zr.Close())
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(out) > maxInflatedBytes {
		return nil, fmt.Errorf("%w: batch inflates to over %d bytes", errMalformed, maxInflatedBytes)
	}
	return out, nil
}
