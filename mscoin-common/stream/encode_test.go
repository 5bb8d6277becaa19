package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/testkit"
)

// fill sets about half of the fields of m, whatever they are, so that a field that is new in the protocol is
// not forgotten by the encoder.
func fill(rnd *rand.Rand, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case rnd.IntN(2) == 0:
		case f.IsList():
			list := m.Mutable(f).List()
			for range rnd.IntN(4) {
				if f.Kind() == protoreflect.MessageKind {
					fill(rnd, list.AppendMutable().Message())
				} else {
					list.Append(scalar(rnd, f))
				}
			}
		case f.Kind() == protoreflect.MessageKind:
			fill(rnd, m.Mutable(f).Message())
		default:
			m.Set(f, scalar(rnd, f))
		}
	}
}

func scalar(rnd *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	v := int64(rnd.Uint64()) >> rnd.IntN(64)
	text := []string{"", "BTC", "ETH/USDT", "ключ", string(make([]byte, 200))}[rnd.IntN(5)]
	switch f.Kind() { //nolint:exhaustive // the others are not in use
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(v&1 == 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(v)))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(v))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(v)
	case protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(v))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(text))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text)
	}
	panic("no value for " + f.FullName())
}

func TestAppendBody(t *testing.T) {
	t.Run("the bytes are those of proto.Marshal, for every field there is", func(t *testing.T) {
		rnd := testkit.Rand(t)
		for range 20_000 {
			body := &eventpb.RecordBody{}
			fill(rnd, body.ProtoReflect())
			want, err := proto.MarshalOptions{Deterministic: true}.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := appendBody([]byte("head"), body)
			if err != nil || !bytes.Equal(got[4:], want) {
				t.Fatalf("got %x %v\nwant %x\nof %v", got, err, want, body)
			}
		}
	})
	t.Run("a name that is not UTF-8 is refused, as proto.Marshal does", func(t *testing.T) {
		for _, body := range []*eventpb.RecordBody{{Symbol: "\xff"}, {BaseCoin: "\xff"}, {QuoteCoin: "\xff"}} {
			if _, err := appendBody(nil, body); err == nil {
				t.Errorf("%v is encoded", body)
			}
		}
	})
}

func TestSealer(t *testing.T) {
	t.Run("a sealer that is used again gives what a new one gives", func(t *testing.T) {
		rnd := testkit.Rand(t)
		var s Sealer
		var prev []byte
		for seq := int64(1); seq < 500; seq++ {
			body := &eventpb.RecordBody{}
			fill(rnd, body.ProtoReflect())
			body.Symbol, body.Seq = "BTC/USDT", seq
			value, hash, err := s.Seal(body, prev)
			if err != nil {
				t.Fatal(err)
			}
			only, err := s.Hash(body, prev)
			if err != nil || !bytes.Equal(only[:], hash) {
				t.Fatalf("hash %x %v, want %x", only, err, hash)
			}
			e, err := Open(value)
			if err != nil || !proto.Equal(e.Body, body) || !bytes.Equal(e.PrevHash, prev) || !bytes.Equal(e.Hash, hash) {
				t.Fatalf("opened %v %v, want %v", e, err, body)
			}
			prev = hash
		}
	})
}
