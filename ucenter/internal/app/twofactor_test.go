package app_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
	"mscoin/ucenter/internal/app"
)

// enrolled returns a member with a second factor and its secret.
func (w *world) enrolled(t *testing.T, email string) (int64, string) {
	t.Helper()
	m := w.newMember(t, email)
	text, _, err := w.EnrollTwoFactor(t.Context(), m.ID)
	must(t, err)
	must(t, w.ConfirmTwoFactor(t.Context(), m.ID, w.code(t, text)))
	w.clk.Advance(30 * time.Second)
	return m.ID, text
}

// code is what an authenticator shows now.
func (w *world) code(t *testing.T, secretText string) string {
	t.Helper()
	code, err := totp.GenerateCode(secretText, w.clk.Now())
	must(t, err)
	return code
}

// wrong is no code of now.
func wrong(code string) string {
	return strings.Map(func(r rune) rune { return '0' + (r-'0'+5)%10 }, code)
}

func TestApp_TwoFactor(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		m := w.newMember(t, "two@example.com")
		var secretText string
		t.Run("it counts only once a code has confirmed it", func(t *testing.T) {
			first, _, err := w.EnrollTwoFactor(t.Context(), m.ID)
			must(t, err)
			text, uri, err := w.EnrollTwoFactor(t.Context(), m.ID)
			if must(t, err); text == first || !strings.HasPrefix(uri, "otpauth://totp/Exchange:") || !strings.Contains(uri, "secret="+text) {
				t.Fatal(text, uri)
			}
			want(t, w.VerifyTwoFactor(t.Context(), m.ID, w.code(t, text), "x"), app.ErrTwoFactorRequired)
			want(t, w.ConfirmTwoFactor(t.Context(), m.ID, w.code(t, first)), app.ErrBadTwoFactorCode)
			code := w.code(t, text)
			must(t, w.ConfirmTwoFactor(t.Context(), m.ID, code))
			must(t, w.ConfirmTwoFactor(t.Context(), m.ID, code))
			if has, err := w.HasTwoFactor(t.Context(), m.ID); err != nil || !has {
				t.Fatal(has, err)
			}
			secretText = text
		})
		t.Run("another one cannot be enrolled over it", func(t *testing.T) {
			_, _, err := w.EnrollTwoFactor(t.Context(), m.ID)
			want(t, err, app.ErrTwoFactorEnabled)
		})
		t.Run("a code is good for one purpose, and for that again", func(t *testing.T) {
			w.clk.Advance(30 * time.Second)
			code := w.code(t, secretText)
			must(t, w.VerifyTwoFactor(t.Context(), m.ID, code, "withdraw 1"))
			must(t, w.VerifyTwoFactor(t.Context(), m.ID, code, "withdraw 1"))
			want(t, w.VerifyTwoFactor(t.Context(), m.ID, code, "withdraw 2"), app.ErrBadTwoFactorCode)
		})
		t.Run("a code of before the last one that was used is refused, also in its window", func(t *testing.T) {
			early := w.code(t, secretText)
			w.clk.Advance(30 * time.Second)
			must(t, w.VerifyTwoFactor(t.Context(), m.ID, w.code(t, secretText), "a"))
			want(t, w.VerifyTwoFactor(t.Context(), m.ID, early, "b"), app.ErrBadTwoFactorCode)
		})
		t.Run("the clocks may differ by one step and not by two", func(t *testing.T) {
			w.clk.Advance(20 * time.Minute)
			early := w.code(t, secretText)
			w.clk.Advance(60 * time.Second)
			want(t, w.VerifyTwoFactor(t.Context(), m.ID, early, "c"), app.ErrBadTwoFactorCode)
			early = w.code(t, secretText)
			w.clk.Advance(30 * time.Second)
			must(t, w.VerifyTwoFactor(t.Context(), m.ID, early, "d"))
		})
		t.Run("what is no code is refused", func(t *testing.T) {
			w.clk.Advance(20 * time.Minute)
			for _, bad := range []string{"", "12345", "1234567", "abcdef"} {
				want(t, w.VerifyTwoFactor(t.Context(), m.ID, bad, "e"), app.ErrBadTwoFactorCode)
			}
		})
		t.Run("wrong codes are limited, right ones do not count", func(t *testing.T) {
			id, text := w.enrolled(t, "limit@example.com")
			for i := range 10 {
				must(t, w.VerifyTwoFactor(t.Context(), id, w.code(t, text), fmt.Sprint(i)))
				w.clk.Advance(30 * time.Second)
			}
			bad := wrong(w.code(t, text))
			for range policy.TwoFactorPerMember.Count {
				want(t, w.VerifyTwoFactor(t.Context(), id, bad, "f"), app.ErrBadTwoFactorCode)
			}
			if err := w.VerifyTwoFactor(t.Context(), id, w.code(t, text), "f"); errs.CodeOf(err) != errs.CodeRateLimited {
				t.Fatal(err)
			}
			w.clk.Advance(policy.TwoFactorPerMember.Window)
			must(t, w.VerifyTwoFactor(t.Context(), id, w.code(t, text), "f"))
		})
		t.Run("many at once use a code for one purpose", func(t *testing.T) {
			id, text := w.enrolled(t, "many@example.com")
			code := w.code(t, text)
			var good atomic.Int64
			var wg sync.WaitGroup
			for i := range policy.TwoFactorPerMember.Count {
				wg.Go(func() {
					if w.VerifyTwoFactor(t.Context(), id, code, fmt.Sprint(i)) == nil {
						good.Add(1)
					}
				})
			}
			wg.Wait()
			if good.Load() != 1 {
				t.Errorf("%d purposes", good.Load())
			}
		})
		t.Run("it is turned off with a code, and can be enrolled again", func(t *testing.T) {
			id, text := w.enrolled(t, "off@example.com")
			want(t, w.DisableTwoFactor(t.Context(), id, wrong(w.code(t, text))), app.ErrBadTwoFactorCode)
			must(t, w.DisableTwoFactor(t.Context(), id, w.code(t, text)))
			want(t, w.VerifyTwoFactor(t.Context(), id, w.code(t, text), "g"), app.ErrTwoFactorRequired)
			want(t, w.DisableTwoFactor(t.Context(), id, w.code(t, text)), app.ErrTwoFactorRequired)
			_, _, err := w.EnrollTwoFactor(t.Context(), id)
			must(t, err)
		})
		t.Run("the secret is not in the database in clear", func(t *testing.T) {
			f, ok, err := w.deps.Store.TwoFactor(t.Context(), m.ID)
			if err != nil || !ok || bytes.Contains(f.Secret, []byte(secretText)) {
				t.Fatal(f, ok, err)
			}
		})
		t.Run("a member that does not exist has none", func(t *testing.T) {
			_, _, err := w.EnrollTwoFactor(t.Context(), 999_999)
			want(t, err, app.ErrUnknownMember)
			want(t, w.VerifyTwoFactor(t.Context(), 999_999, "123456", "x"), app.ErrTwoFactorRequired)
		})
	})
}
