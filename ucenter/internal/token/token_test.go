package token_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mscoin/mscoin-common/clock"
	"mscoin/ucenter/internal/token"
)

var (
	start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	secret = bytes.Repeat([]byte("s"), 32)
	other  = bytes.Repeat([]byte("o"), 32)
)

func newSigner(t testing.TB, clk clock.Clock, secret, previous []byte) *token.Signer {
	t.Helper()
	s, err := token.New(clk, secret, previous)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSigner_Verify(t *testing.T) {
	clk := clock.NewFake(start)
	s := newSigner(t, clk, secret, nil)
	want := token.Claims{MemberID: 7, SessionID: 1<<53 - 1}
	text, err := s.Sign(want, start.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("a fresh token says whose it is", func(t *testing.T) {
		if got, err := s.Verify(text); err != nil || got != want {
			t.Fatal(got, err)
		}
	})
	t.Run("another secret does not verify it", func(t *testing.T) {
		if _, err := newSigner(t, clk, other, nil).Verify(text); !errors.Is(err, token.ErrInvalid) {
			t.Fatal(err)
		}
	})
	t.Run("the previous secret still verifies it", func(t *testing.T) {
		if got, err := newSigner(t, clk, other, secret).Verify(text); err != nil || got != want {
			t.Fatal(got, err)
		}
	})
	t.Run("a changed token is refused", func(t *testing.T) {
		for i := range text {
			bad := []byte(text)
			bad[i] ^= 1
			if got, err := s.Verify(string(bad)); !errors.Is(err, token.ErrInvalid) {
				t.Fatalf("byte %d changed: %+v, %v", i, got, err)
			}
		}
	})
	t.Run("it ends on time", func(t *testing.T) {
		clk.Advance(time.Minute - time.Millisecond)
		if _, err := s.Verify(text); err != nil {
			t.Fatalf("a millisecond before its end: %v", err)
		}
		clk.Advance(time.Millisecond)
		if _, err := s.Verify(text); !errors.Is(err, token.ErrInvalid) {
			t.Fatalf("at its end: %v", err)
		}
	})
}

func TestSigner_Verify_refusesForeignTokens(t *testing.T) {
	s := newSigner(t, clock.NewFake(start), secret, nil)
	end := jwt.NewNumericDate(start.Add(time.Hour))
	sign := func(method jwt.SigningMethod, key any, c jwt.MapClaims) string {
		text, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	full := jwt.MapClaims{"iss": "mscoin", "sub": "7", "sid": "8", "exp": end}
	if _, err := s.Verify(sign(jwt.SigningMethodHS256, secret, full)); err != nil {
		t.Fatalf("the control must pass: %v", err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for name, text := range map[string]string{
		"no signature":         sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, full),
		"another algorithm":    sign(jwt.SigningMethodHS512, secret, full),
		"a header saying none": none + "." + strings.Split(sign(jwt.SigningMethodHS256, secret, full), ".")[1] + ".",
		"no end":               sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"iss": "mscoin", "sub": "7", "sid": "8"}),
		"another issuer":       sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"iss": "x", "sub": "7", "sid": "8", "exp": end}),
		"no session":           sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"iss": "mscoin", "sub": "7", "exp": end}),
		"member zero":          sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"iss": "mscoin", "sub": "0", "sid": "8", "exp": end}),
		"a megabyte":           strings.Repeat("a", 1<<20),
		"nothing":              "",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := s.Verify(text); !errors.Is(err, token.ErrInvalid) {
				t.Fatalf("accepted: %+v, %v", got, err)
			}
		})
	}
}

func TestNew_refusesShortSecrets(t *testing.T) {
	clk := clock.NewFake(start)
	if _, err := token.New(clk, secret[1:], nil); err == nil {
		t.Error("31 bytes accepted")
	}
	if _, err := token.New(clk, secret, secret[1:]); err == nil {
		t.Error("31 bytes accepted as previous")
	}
}

func FuzzSigner_Verify(f *testing.F) {
	s := newSigner(f, clock.NewFake(start), secret, nil)
	text, err := s.Sign(token.Claims{MemberID: 7, SessionID: 8}, start.Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, in string) {
		if c, err := s.Verify(in); err == nil && in != text {
			t.Fatalf("%q was never signed and says %+v", in, c)
		}
	})
}
