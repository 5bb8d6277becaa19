package bus_test

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mscoin/mscoin-common/bus"
)

// encode builds a batch of records as a broker stores it: base offset 100, first time 5,000 ms, largest
// time 9,000 ms.
func encode(t testing.TB, attributes int16, values ...string) []byte {
	t.Helper()
	var records []byte
	for i, v := range values {
		r := kmsg.NewRecord()
		r.TimestampDelta64, r.OffsetDelta, r.Key, r.Value = int64(i), int32(i), []byte("k"), []byte(v)
		r.Headers = []kmsg.Header{{Key: "h", Value: []byte("unused")}}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // its own length takes one byte here
		records = r.AppendTo(records)
	}
	if attributes&7 != 0 {
		c, err := kgo.DefaultCompressor(kgo.SnappyCompression())
		if err != nil {
			t.Fatal(err)
		}
		records, _ = c.Compress(new(bytes.Buffer), records)
	}
	b := kmsg.NewRecordBatch()
	b.FirstOffset, b.PartitionLeaderEpoch, b.Magic, b.Attributes = 100, 0, 2, attributes
	b.LastOffsetDelta, b.FirstTimestamp, b.MaxTimestamp = int32(len(values)-1), 5_000, 9_000
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	b.NumRecords, b.Records = int32(len(values)), records
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	raw := b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

func TestDecodeRecords(t *testing.T) {
	const logAppendTime, control = 8, 32
	t.Run("with LogAppendTime all records of a batch have the broker's time, otherwise their own", func(t *testing.T) {
		for attributes, want := range map[int16][]int64{0: {5_000, 5_001}, logAppendTime: {9_000, 9_000}} {
			msgs, err := bus.DecodeRecords(encode(t, attributes, "a", "b"), 100)
			if err != nil || len(msgs) != 2 {
				t.Fatalf("%d messages, %v", len(msgs), err)
			}
			for i, m := range msgs {
				if m.TimeMs != want[i] || m.Offset != int64(100+i) {
					t.Errorf("attributes %d: record %d has time %d", attributes, m.Offset, m.TimeMs)
				}
			}
		}
	})
	t.Run("records before the asked offset are left out", func(t *testing.T) {
		set := append(encode(t, 0, "a", "b", "c"), encode(t, 0, "d")[:30]...) // a second batch, cut off
		msgs, err := bus.DecodeRecords(set, 102)
		if err != nil || len(msgs) != 1 || string(msgs[0].Value) != "c" {
			t.Errorf("%d messages, %v", len(msgs), err)
		}
	})
	t.Run("compressed batches are read", func(t *testing.T) {
		msgs, err := bus.DecodeRecords(encode(t, 2, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "b"), 100)
		if err != nil || len(msgs) != 2 || string(msgs[1].Value) != "b" {
			t.Errorf("%d messages, %v", len(msgs), err)
		}
	})
	t.Run("a damaged or a control batch is an error, never skipped", func(t *testing.T) {
		good := encode(t, 0, "a", "b")
		for i := 16; i < len(good); i++ { // what comes before is the broker's: offset, length, epoch
			bad := append([]byte(nil), good...)
			bad[i] ^= 1
			if msgs, err := bus.DecodeRecords(bad, 100); err == nil {
				t.Fatalf("byte %d: %d messages and no error", i, len(msgs))
			}
		}
		if _, err := bus.DecodeRecords(encode(t, control, "a"), 100); err == nil {
			t.Error("a control batch was taken")
		}
	})
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add(encode(f, 0, "a", "b"))
	f.Add(encode(f, 2, "a"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, set []byte) {
		msgs, err := bus.DecodeRecords(set, 0)
		if err == nil && len(msgs) > len(set) {
			t.Errorf("%d messages out of %d bytes", len(msgs), len(set))
		}
		if err := bus.ParseFetchResponse(set); err == nil && len(set) < 20 {
			t.Error("a short answer was taken")
		}
		if err := bus.ParseDeleteResponse(set); err == nil && len(set) < 30 {
			t.Error("a short answer to a deletion was taken")
		}
	})
}
