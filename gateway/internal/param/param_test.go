package param

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestRaw_SignedPayload(t *testing.T) {
	tests := []struct{ rule, query, body, want string }{
		{"query only", "symbol=BTCUSDT&timestamp=1&signature=ab", "", "symbol=BTCUSDT&timestamp=1"},
		{"body only", "", "symbol=BTCUSDT&timestamp=1&signature=ab", "symbol=BTCUSDT&timestamp=1"},
		{"query and body are joined by nothing", "timestamp=1&signature=ab", "symbol=BTCUSDT", "timestamp=1symbol=BTCUSDT"},
		{"a signed leading ampersand stays", "&timestamp=1&signature=ab", "", "&timestamp=1"},
		{"the signature may come first", "signature=ab&timestamp=1", "", "timestamp=1"},
		{"the signature may stand in the middle", "a=1&signature=ab&b=2", "", "a=1&b=2"},
		{"the signature alone leaves nothing", "signature=ab", "", ""},
		{"percent-encoding stays as it came, in either case", "a=%2D%2d%20+&signature=ab", "b=%c3%A9", "a=%2D%2d%20+b=%c3%A9"},
		{"other keys that contain the word stay", "signatures=1&mysignature=2&signature=ab", "", "signatures=1&mysignature=2"},
		{"a signature in the body of a signed query goes too", "a=1", "b=2&signature=ab", "a=1b=2"},
		{"empty pairs stay", "a=1&&b=2&signature=ab&", "", "a=1&&b=2&"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if got := string(Raw{Query: tt.query, Body: tt.body}.SignedPayload()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRaw_Values(t *testing.T) {
	form := "application/x-www-form-urlencoded"
	tests := []struct {
		rule string
		raw  Raw
		want map[string]string
		err  error
	}{
		{"query wins over body", Raw{"a=1", "a=2&b=3", form}, map[string]string{"a": "1", "b": "3"}, nil},
		{"a body without a type is a form", Raw{"", "a=2", ""}, map[string]string{"a": "2"}, nil},
		{"a JSON body has no parameters", Raw{"a=1", `{"b":2}`, "application/json"}, map[string]string{"a": "1"}, nil},
		{"plus and percent are decoded, once", Raw{"a=1%2525+2", "", ""}, map[string]string{"a": "1%25 2"}, nil},
		{"keys are decoded", Raw{"%61=1", "", ""}, map[string]string{"a": "1"}, nil},
		{"an encoded key is the same key", Raw{"%61=1&a=2", "", ""}, nil, ErrDuplicate},
		{"a key without a value is empty", Raw{"a&b=", "", ""}, map[string]string{"a": "", "b": ""}, nil},
		{"empty pairs are skipped", Raw{"&&a=1&", "", ""}, map[string]string{"a": "1"}, nil},
		{"commas and semicolons are text", Raw{"a=1,2;b=3", "", ""}, map[string]string{"a": "1,2;b=3"}, nil},
		{"twice in the query", Raw{"a=1&a=1", "", ""}, nil, ErrDuplicate},
		{"twice in the body", Raw{"", "a=1&a=2", form}, nil, ErrDuplicate},
		{"a bad percent sign", Raw{"a=%g1", "", ""}, nil, ErrEncoding},
		{"too many", Raw{manyPairs(MaxPairs + 1), "", ""}, nil, ErrTooMany},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			values, err := tt.raw.Values()
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "g1") {
				t.Error("the error repeats what was sent")
			}
			if values.Len() != len(tt.want) {
				t.Errorf("got %d values, want %d", values.Len(), len(tt.want))
			}
			for key, want := range tt.want {
				if got, ok := values.Lookup(key); !ok || got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
		})
	}
}

func manyPairs(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, "k"+strings.Repeat("x", i)+"=1")
	}
	return strings.Join(pairs, "&")
}

func TestRead(t *testing.T) {
	t.Run("the body of a DELETE is read", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodDelete, "/api/v3/order?timestamp=1", strings.NewReader("symbol=BTCUSDT"))
		r.Header.Set("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")
		raw, err := Read(r)
		if err != nil || raw.Body != "symbol=BTCUSDT" || raw.ContentType != formType {
			t.Fatal(raw, err)
		}
	})
	t.Run("a body is read up to 64 KB, announced or not", func(t *testing.T) {
		for _, announced := range []bool{true, false} {
			for size, want := range map[int]error{MaxBytes: nil, MaxBytes + 1: ErrTooLarge, 1 << 20: ErrTooLarge} {
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("1", size)))
				if !announced {
					r.ContentLength = -1
				}
				if _, err := Read(r); !errors.Is(err, want) {
					t.Errorf("%d bytes: %v, want %v", size, err, want)
				}
			}
		}
	})
}

func TestIsDecimal(t *testing.T) {
	for _, text := range []string{"0", "1", "00.10", "12345678901234567890.12345678901234567890"} {
		if !IsDecimal(text) {
			t.Errorf("%q is a decimal", text)
		}
	}
	for _, text := range []string{
		"", ".", "1.", ".1", "-1", "+1", "1e5", "1E+2", " 1", "1 ", "1,0", "0x1", "Inf", "NaN", "１", "١", "−1", "1.2.3",
		"123456789012345678901", "1.123456789012345678901", strings.Repeat("9", 1<<20), "1\x00",
	} {
		if IsDecimal(text) {
			t.Errorf("%.30q is no decimal", text)
		}
	}
}

func TestFixed8(t *testing.T) {
	for text, want := range map[string]string{
		"": "0.00000000", "0": "0.00000000", "1.5": "1.50000000", "-0.01": "-0.01000000", "1.": "1.00000000",
		"92233720368547758070": "92233720368547758070.00000000", "1.1234567800": "1.12345678", "1.123456789": "1.123456789",
		"odd": "odd", "-": "-", "1.2x": "1.2x",
	} {
		if got := Fixed8(text); got != want {
			t.Errorf("Fixed8(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCanonical(t *testing.T) {
	for text, want := range map[string]string{"000": "0", "0.000": "0", "007.500": "7.5", "1.00000000000000000000": "1", "0.10": "0.1"} {
		if got, _ := Canonical(text); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", text, got, want)
		}
	}
}

// FuzzRaw checks the splitter and the decoder against net/url, and that nothing but
// signatures is lost from what was signed.
func FuzzRaw(f *testing.F) {
	for _, seed := range []string{"a=1&signature=ab", "&a=%2D", "signature=&signature", "a=1&a=2", "%61=%zz", "a;b=1", "=", "&&"} {
		f.Add(seed, "b=2")
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		raw := Raw{Query: query, Body: body, ContentType: formType}
		payload := string(raw.SignedPayload())
		if again := (Raw{Query: WithoutSignature(query), Body: WithoutSignature(body)}); string(again.SignedPayload()) != payload {
			t.Fatal("taking the signature away twice takes more away")
		}
		if !strings.Contains(query+body, "signature") && payload != query+body {
			t.Fatal("unsigned bytes changed")
		}
		for pair := range strings.SplitSeq(WithoutSignature(query), "&") {
			if key, _, _ := strings.Cut(pair, "="); key == "signature" {
				t.Fatal("a signature is left")
			}
		}
		values, err := raw.Values()
		if err != nil {
			return
		}
		if strings.Contains(query, ";") {
			return // net/url refuses what is text here
		}
		want, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("accepted what net/url refuses: %v", err)
		}
		for key := range want {
			if got, _ := values.Lookup(key); got != want.Get(key) {
				t.Fatalf("%q is %q, net/url says %q", key, got, want.Get(key))
			}
		}
	})
}

// FuzzDecimal checks that texts survive their canonical form and Fixed8.
func FuzzDecimal(f *testing.F) {
	for _, seed := range []string{"0", "00.10", "1.", "-1", "123456789012345678901", "1e5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !IsDecimal(text) {
			return
		}
		canonical, decimals := Canonical(text)
		if !IsDecimal(canonical) || IsZero(canonical) != IsZero(text) {
			t.Fatalf("%q became %q", text, canonical)
		}
		if again, n := Canonical(canonical); again != canonical || n != decimals {
			t.Fatalf("%q is not canonical: %q", canonical, again)
		}
		if decimals <= 8 {
			if back, _ := Canonical(Fixed8(canonical)); back != canonical {
				t.Fatalf("Fixed8 changed %q to %q", canonical, back)
			}
		}
	})
}
