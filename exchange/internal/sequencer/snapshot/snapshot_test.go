package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"testing"

	"mscoin/mscoin-common/testkit"
)

// random returns a state with a bit of everything.
func random(rnd *rand.Rand) *State {
	some := func() []byte { return []byte{byte(rnd.Uint32()), byte(rnd.Uint32())} }
	num := func() int64 { return int64(rnd.Uint64()>>1) >> rnd.IntN(63) }
	s := &State{
		Partition: rnd.IntN(8), Next: num(), LogTimeMs: num(), Skipped: num(), Fingerprint: some(),
		Obeyed: []Skip{}, Books: []Book{}, Left: []Left{},
	}
	for range rnd.IntN(3) {
		s.Obeyed = append(s.Obeyed, Skip{num(), some()})
	}
	for i := range rnd.IntN(4) {
		b := Book{
			Name: string(rune('A' + i)), Seq: num(), Head: some(), Rules: some(), Phase: uint8(rnd.IntN(4)), Flags: []string{},
			Live: []Order{}, IDs: []Remembered{}, Engine: some(), EngineHash: rnd.Uint64(),
		}
		for _, v := range b.Window.fields() {
			*v = num()
		}
		for f := range rnd.IntN(3) {
			b.Flags = append(b.Flags, string(rune('a'+f)))
		}
		for range rnd.IntN(4) {
			b.Live = append(b.Live, Order{ID: rnd.Uint64() | 1, Member: rnd.Uint64(), Price: num(), DeadlineMs: num(), Side: 1})
			b.IDs = append(b.IDs, Remembered{ID: rnd.Uint64() | 1, Member: 7, DeadlineMs: num(), Traded: num(), Turnover: num(), Fee: num(), Reason: 104, Side: 2, State: 8})
		}
		s.Books = append(s.Books, b)
	}
	for i := range rnd.IntN(3) {
		s.Left = append(s.Left, Left{Name: string(rune('P' + i)), To: rnd.IntN(8), Seq: num(), Hash: some(), Image: some()})
	}
	return s
}

func TestEncode(t *testing.T) {
	t.Run("what is encoded is decoded, and encodes to the same bytes", func(t *testing.T) {
		rnd := testkit.Rand(t)
		for range 500 {
			s := random(rnd)
			image, hash := Encode(s)
			got, gotHash, err := Decode(image)
			if err != nil || !bytes.Equal(hash, gotHash) {
				t.Fatalf("%v %x, want %x", err, gotHash, hash)
			}
			again, _ := Encode(got)
			if !bytes.Equal(again, image) {
				t.Fatalf("%+v\n%+v", s, got)
			}
		}
	})
	t.Run("the order of the lists does not matter", func(t *testing.T) {
		rnd := testkit.Rand(t)
		for range 200 {
			s := random(rnd)
			want, _ := Encode(s)
			for i := range s.Books {
				b := &s.Books[i]
				rnd.Shuffle(len(b.Live), func(i, j int) { b.Live[i], b.Live[j] = b.Live[j], b.Live[i] })
				rnd.Shuffle(len(b.IDs), func(i, j int) { b.IDs[i], b.IDs[j] = b.IDs[j], b.IDs[i] })
			}
			rnd.Shuffle(len(s.Books), func(i, j int) { s.Books[i], s.Books[j] = s.Books[j], s.Books[i] })
			if got, _ := Encode(s); !bytes.Equal(got, want) {
				t.Fatal("the image depends on the order of a list")
			}
		}
	})
	t.Run("a symbol's image is decoded, and its hash leaves the chain out", func(t *testing.T) {
		rnd := testkit.Rand(t)
		for range 200 {
			for _, b := range random(rnd).Books {
				got, at, err := DecodeSymbol(EncodeSymbol(&b, 42))
				if err != nil || at != 42 || !bytes.Equal(EncodeSymbol(got, 42), EncodeSymbol(&b, 42)) {
					t.Fatalf("%+v %d %v", got, at, err)
				}
				hash := b.Hash()
				b.Seq, b.Head = b.Seq+1, []byte("other")
				if !bytes.Equal(b.Hash(), hash) {
					t.Fatal("the place in the chain is hashed")
				}
				if b.EngineHash++; bytes.Equal(b.Hash(), hash) {
					t.Fatal("the book is not hashed")
				}
			}
		}
	})
}

func TestDecode(t *testing.T) {
	t.Run("an image with any byte changed, cut off or added is refused", func(t *testing.T) {
		rnd := testkit.Rand(t)
		image, _ := Encode(random(rnd))
		for i := range image {
			bad := bytes.Clone(image)
			bad[i] ^= 1 << rnd.IntN(8)
			if _, _, err := Decode(bad); !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d: %v", i, err)
			}
			if _, _, err := Decode(image[:i]); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%d bytes: %v", i, err)
			}
		}
		if _, _, err := Decode(append(bytes.Clone(image), 0)); !errors.Is(err, ErrDamaged) {
			t.Fatalf("one more byte: %v", err)
		}
	})
	t.Run("a format that is not known is named", func(t *testing.T) {
		image, _ := Encode(&State{})
		image[len(magic)-1]++
		if _, _, err := Decode(image); !errors.Is(err, ErrFormat) || !errors.Is(err, ErrDamaged) || err.Error() != "damaged snapshot: unknown format 2, this release reads 1" {
			t.Errorf("got %v", err)
		}
	})
}

// reseal makes the checksum fit, so that what lies behind it is reached.
func reseal(magic string, body []byte) []byte {
	image := append([]byte(magic), body...)
	sum := sha256.Sum256(image)
	return append(image, sum[:]...)
}

func FuzzDecode(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		image, _ := Encode(random(rnd))
		f.Add(image[len(magic) : len(image)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		image := reseal(magic, body)
		s, hash, err := Decode(image)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		again, want := Encode(s)
		if bytes.Equal(hash, want) && !bytes.Equal(again, image) {
			t.Fatalf("two images of one state: %x and %x", image, again)
		}
	})
}

func FuzzDecodeSymbol(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		for _, b := range random(rnd).Books {
			image := EncodeSymbol(&b, 42)
			f.Add(image[len(symbolMagic) : len(image)-sha256.Size])
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		image := reseal(symbolMagic, body)
		b, at, err := DecodeSymbol(image)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := EncodeSymbol(b, at); !bytes.Equal(again, image) {
			t.Fatalf("two images of one symbol: %x and %x", image, again)
		}
	})
}

func TestInfo_Open(t *testing.T) {
	rnd := testkit.Rand(t)
	s := random(rnd)
	s.Next, s.Partition = 100, 3
	image, hash := Encode(s)
	good := InfoOf(s, image, hash, 7)
	if got, err := good.Open(image); err != nil || got.Next != 100 || len(good.Symbols) != len(s.Books)+len(s.Left) {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(i *Info){
		"another format":      func(i *Info) { i.Format++ },
		"another size":        func(i *Info) { i.Size-- },
		"another checksum":    func(i *Info) { i.Checksum = bytes.Repeat([]byte{1}, 32) },
		"another state hash":  func(i *Info) { i.StateHash = bytes.Repeat([]byte{1}, 32) },
		"another fingerprint": func(i *Info) { i.Fingerprint = []byte{9} },
		"another offset":      func(i *Info) { i.Next++ },
		"another partition":   func(i *Info) { i.Partition++ },
	} {
		t.Run("an image does not fit a row with "+name, func(t *testing.T) {
			bad := good
			damage(&bad)
			if _, err := bad.Open(image); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}
