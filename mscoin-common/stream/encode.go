package stream

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	eventpb "mscoin/grpc-common/gen/event/v1"
)

// The wire format of RecordBody, written by hand: every command of every symbol passes here, and again at
// each replay. The bytes are those of proto.Marshal, field by field in order of their numbers; fields that a
// body has rarely are left to it.

const (
	wireVarint = 0
	wireBytes  = 2
)

// appendBody appends the encoding of body. Unknown fields of the body, its result, trades, orders and levels
// are not written: the matcher makes none.
func appendBody(b []byte, body *eventpb.RecordBody) ([]byte, error) {
	if !utf8.ValidString(body.Symbol) || !utf8.ValidString(body.BaseCoin) || !utf8.ValidString(body.QuoteCoin) {
		return b, fmt.Errorf("%w: a name is not UTF-8", ErrBadRecord)
	}
	b = appendString(b, 1, body.Symbol)
	b = appendInt(b, 2, body.Seq)
	b = appendInt(b, 3, int64(body.CommandPartition))
	b = appendInt(b, 4, body.CommandOffset)
	b = appendInt(b, 5, body.LogTimeMs)
	b = appendInt(b, 6, body.CommandId)
	b = appendString(b, 7, body.BaseCoin)
	b = appendString(b, 8, body.QuoteCoin)
	if r := body.Result; r != nil {
		b = appendLen(b, 9, sizeInts(flag(r.Rejected), int64(r.Reason), r.OrderId))
		b = appendInt(b, 1, flag(r.Rejected))
		b = appendInt(b, 2, int64(r.Reason))
		b = appendInt(b, 3, r.OrderId)
	}
	for _, t := range body.Trades {
		b = appendTrade(appendLen(b, 10, sizeTrade(t)), t)
	}
	for _, u := range body.Orders {
		b = appendOrder(appendLen(b, 11, sizeOrder(u)), u)
	}
	for _, l := range body.Levels {
		b = appendLen(b, 12, sizeInts(int64(l.Side), l.Price, l.Quantity))
		b = appendInt(b, 1, int64(l.Side))
		b = appendInt(b, 2, l.Price)
		b = appendInt(b, 3, l.Quantity)
	}
	return appendRare(b, body)
}

// appendRare appends the fields that few records have.
func appendRare(b []byte, body *eventpb.RecordBody) ([]byte, error) {
	var err error
	if body.Rules != nil {
		b, err = appendMessage(b, 13, body.Rules)
	}
	b = appendInt(b, 14, int64(body.Phase))
	if err == nil && body.Checkpoint != nil {
		b, err = appendMessage(b, 15, body.Checkpoint)
	}
	if err == nil && body.Flags != nil {
		b, err = appendMessage(b, 16, body.Flags)
	}
	if err == nil && body.Left != nil {
		b, err = appendMessage(b, 17, body.Left)
	}
	if err == nil && body.Adopted != nil {
		b, err = appendMessage(b, 18, body.Adopted)
	}
	return b, err
}

func appendMessage(b []byte, field int, m proto.Message) ([]byte, error) {
	options := proto.MarshalOptions{Deterministic: true}
	b = appendLen(b, field, options.Size(m))
	b, err := options.MarshalAppend(b, m)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	return b, nil
}

func appendTrade(b []byte, t *eventpb.Trade) []byte {
	b = appendInt(b, 1, t.TradeId)
	b = appendInt(b, 2, t.Price)
	b = appendInt(b, 3, t.Quantity)
	b = appendInt(b, 4, t.Turnover)
	b = appendInt(b, 5, int64(t.TakerSide))
	b = appendInt(b, 6, t.MakerOrderId)
	b = appendInt(b, 7, t.TakerOrderId)
	b = appendInt(b, 8, t.MakerMemberId)
	b = appendInt(b, 9, t.TakerMemberId)
	b = appendInt(b, 10, t.MakerFee)
	return appendInt(b, 11, t.TakerFee)
}

func sizeTrade(t *eventpb.Trade) int {
	return sizeInts(t.TradeId, t.Price, t.Quantity, t.Turnover, int64(t.TakerSide), t.MakerOrderId, t.TakerOrderId,
		t.MakerMemberId, t.TakerMemberId, t.MakerFee, t.TakerFee)
}

func appendOrder(b []byte, u *eventpb.OrderUpdate) []byte {
	b = appendInt(b, 1, u.OrderId)
	b = appendInt(b, 2, u.MemberId)
	b = appendInt(b, 3, int64(u.Side))
	b = appendInt(b, 4, int64(u.State))
	b = appendInt(b, 5, int64(u.Reason))
	b = appendInt(b, 6, u.TradedAmount)
	b = appendInt(b, 7, u.Turnover)
	b = appendInt(b, 8, u.Fee)
	b = appendInt(b, 9, u.HeldRemaining)
	return appendInt(b, 10, u.OpenAmount)
}

func sizeOrder(u *eventpb.OrderUpdate) int {
	return sizeInts(u.OrderId, u.MemberId, int64(u.Side), int64(u.State), int64(u.Reason), u.TradedAmount, u.Turnover,
		u.Fee, u.HeldRemaining, u.OpenAmount)
}

// appendInt appends a varint field; zero is not written. All fields here have numbers below 16, one byte.
func appendInt(b []byte, field int, v int64) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, byte(field<<3|wireVarint)), uint64(v))
}

// sizeInts is what appendInt writes for the values.
func sizeInts(values ...int64) int {
	n := 0
	for _, v := range values {
		if v != 0 {
			n += 1 + (bits.Len64(uint64(v))+6)/7
		}
	}
	return n
}

func appendString(b []byte, field int, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendLen(b, field, len(s)), s...)
}

// appendLen begins a field of n bytes.
func appendLen(b []byte, field, n int) []byte {
	b = binary.AppendUvarint(b, uint64(field<<3|wireBytes))
	return binary.AppendUvarint(b, uint64(n))
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
