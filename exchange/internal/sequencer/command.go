package sequencer

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	eventpb "mscoin/grpc-common/gen/event/v1"
)

// decoder decodes commands into memory that it uses again. The kinds that make up
// the log are read by hand as long as they look as our own writers make them; all
// else, and everything doubtful, is proto.Unmarshal's.
type decoder struct {
	cmd     eventpb.Command
	place   eventpb.Command_Place
	cancel  eventpb.Command_Cancel
	resolve eventpb.Command_Resolve
}

func newDecoder() *decoder {
	return &decoder{
		place:   eventpb.Command_Place{Place: &eventpb.PlaceCommand{}},
		cancel:  eventpb.Command_Cancel{Cancel: &eventpb.CancelCommand{}},
		resolve: eventpb.Command_Resolve{Resolve: &eventpb.ResolveCommand{}},
	}
}

// Field numbers of Command.
const (
	fieldCommandID = 1
	fieldSymbol    = 2
	fieldPlace     = 3
	fieldCancel    = 4
	fieldResolve   = 6
)

// decode returns the command in value, false when it is none. A command that places,
// cancels or resolves is valid until the next call. name is the symbol that is
// expected: it saves a copy.
func (d *decoder) decode(value []byte, name string) (*eventpb.Command, bool) {
	if d.fast(value, name) {
		return &d.cmd, true
	}
	cmd := &eventpb.Command{}
	if proto.Unmarshal(value, cmd) != nil || cmd.Body == nil {
		return nil, false
	}
	return cmd, true
}

func (d *decoder) fast(b []byte, name string) bool {
	d.cmd.CommandId, d.cmd.Symbol, d.cmd.Body = 0, "", nil
	for len(b) > 0 {
		tag := b[0]
		if tag == fieldCommandID<<3 {
			v, n := binary.Uvarint(b[1:])
			if n <= 0 {
				return false
			}
			d.cmd.CommandId, b = int64(v), b[1+n:]
			continue
		}
		size, n := binary.Uvarint(b[1:])
		if tag&7 != 2 || n <= 0 || size > uint64(len(b)-1-n) {
			return false
		}
		field := b[1+n : 1+n+int(size)]
		b = b[1+n+int(size):]
		if tag>>3 == fieldSymbol {
			d.cmd.Symbol = name
			if string(field) != name {
				d.cmd.Symbol = string(field)
			}
			if !utf8.ValidString(d.cmd.Symbol) {
				return false
			}
			continue
		}
		if d.cmd.Body != nil || !d.body(tag>>3, field) { // a second body would be merged
			return false
		}
	}
	return d.cmd.Body != nil
}

// body reads one of the kinds that are read by hand.
func (d *decoder) body(field byte, b []byte) bool {
	switch field {
	case fieldPlace:
		d.cmd.Body = &d.place
		p := d.place.Place
		var side, typ, tif, stp, maker, taker int64
		ok := ints(b, &p.OrderId, &p.MemberId, &side, &typ, &tif, &stp, &p.Price, &p.StopPrice, &p.Quantity,
			&p.QuoteAmount, &p.HoldAmount, &maker, &taker, &p.DeadlineMs)
		p.Side, p.Type = eventpb.Side(side), eventpb.OrderType(typ)
		p.TimeInForce, p.SelfTradePrevention = eventpb.TimeInForce(tif), eventpb.SelfTradePrevention(stp)
		p.MakerFeePpm, p.TakerFeePpm = int32(maker), int32(taker)
		return ok
	case fieldCancel:
		d.cmd.Body = &d.cancel
		return ints(b, &d.cancel.Cancel.OrderId, &d.cancel.Cancel.MemberId)
	case fieldResolve:
		d.cmd.Body = &d.resolve
		r := d.resolve.Resolve
		return ints(b, &r.OrderId, &r.MemberId, &r.DeadlineMs)
	}
	return false
}

// ints reads a message of nothing but varints: fields[i] is field i+1. What is not
// there is zero.
func ints(b []byte, fields ...*int64) bool {
	for _, f := range fields {
		*f = 0
	}
	for len(b) > 0 {
		at := int(b[0]>>3) - 1
		v, n := binary.Uvarint(b[1:])
		if b[0]&7 != 0 || b[0] >= 0x80 || at < 0 || at >= len(fields) || n <= 0 {
			return false
		}
		*fields[at], b = int64(v), b[1+n:]
	}
	return true
}
