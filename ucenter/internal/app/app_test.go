package app_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/idgen"
	"mscoin/mscoin-common/testkit"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/internal/password"
	"mscoin/ucenter/internal/secret"
	"mscoin/ucenter/internal/store"
	"mscoin/ucenter/internal/token"
	"mscoin/ucenter/member"
)

const (
	goodPassword = "correct horse battery"
	ip           = "192.0.2.1"
)

var policy = app.Policy{
	CodeTTL: 10 * time.Minute, CodeAttempts: 5,
	CodesPerContact:         app.Limit{Count: 1, Window: time.Minute},
	CodesPerContactDay:      app.Limit{Count: 4, Window: 24 * time.Hour},
	CodesPerAddress:         app.Limit{Count: 6, Window: time.Hour},
	RegistersPerAddress:     app.Limit{Count: 30, Window: time.Hour},
	LoginsPerContactAddress: app.Limit{Count: 3, Window: 15 * time.Minute},
	LoginsPerContact:        app.Limit{Count: 5, Window: 15 * time.Minute},
	LoginsPerAddress:        app.Limit{Count: 20, Window: 15 * time.Minute},
	AccessTTL:               15 * time.Minute, RefreshTTL: 7 * 24 * time.Hour, SessionTTL: 30 * 24 * time.Hour,
	TwoFactorPerMember: app.Limit{Count: 4, Window: 15 * time.Minute}, TwoFactorIssuer: "Exchange",
	MaxSessions: 3, MaxAPIKeys: 2, CacheTTL: 5 * time.Second, CacheSize: 100,
}

// outbox is a Sender that keeps what it is given.
type outbox struct {
	mu       sync.Mutex
	messages []app.Message
	broken   error
}

func (o *outbox) Offers(t member.ContactType) bool { return t == member.Email || t == member.Phone }

func (o *outbox) Send(_ context.Context, m app.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken
	}
	o.messages = append(o.messages, m)
	return nil
}

func (o *outbox) last(t *testing.T) app.Message {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.messages) == 0 {
		t.Fatal("no message was sent")
	}
	return o.messages[len(o.messages)-1]
}

// countingPasswords counts hashes, so that a test sees what an answer cost.
type countingPasswords struct {
	app.Passwords
	hashes atomic.Int64
}

func (c *countingPasswords) Hash(ctx context.Context, p string) (string, error) {
	c.hashes.Add(1)
	return c.Passwords.Hash(ctx, p)
}

func (c *countingPasswords) Verify(ctx context.Context, p, encoded string) (bool, bool, error) {
	c.hashes.Add(1)
	return c.Passwords.Verify(ctx, p, encoded)
}

func (c *countingPasswords) VerifyNobody(ctx context.Context, p string) error {
	c.hashes.Add(1)
	return c.Passwords.VerifyNobody(ctx, p)
}

// world is the use cases with everything around them.
type world struct {
	*app.App
	clk       *clock.Fake
	out       *outbox
	db        *database.DB
	passwords *countingPasswords
	deps      app.Deps
}

func newWorld(t *testing.T, db *database.DB) *world {
	t.Helper()
	clk := clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	w := &world{clk: clk, out: &outbox{}, db: db}
	s := store.New(db)
	must(t, idgen.Migrate(t.Context(), db))
	must(t, s.Migrate(t.Context()))
	w.passwords = &countingPasswords{Passwords: hasher(t, 64)}
	tokens, err := token.New(clk, bytes.Repeat([]byte("s"), 32), nil)
	must(t, err)
	box, err := secret.NewBox([]secret.MasterKey{{ID: "1", Key: make([]byte, 32)}})
	must(t, err)
	w.deps = app.Deps{
		Store: s, IDs: idgen.New(db, clk, "member", 10), Passwords: w.passwords, Sender: w.out,
		Tokens: tokens, Box: box, Clock: clk, HashKey: bytes.Repeat([]byte("h"), 32),
	}
	w.App = app.New(w.deps, policy)
	return w
}

func hasher(t *testing.T, memoryKiB uint32) *password.Hasher {
	t.Helper()
	h, err := password.New(password.Params{MemoryKiB: memoryKiB, Time: 1, Threads: 1}, 4, 100)
	must(t, err)
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want fails unless err is, or wraps, the expected one.
func want(t *testing.T, err, expected error) {
	t.Helper()
	if !errors.Is(err, expected) {
		t.Fatalf("got %v, want %v", err, expected)
	}
}

func (w *world) newMember(t *testing.T, email string) app.Member {
	t.Helper()
	m, err := w.CreateMember(t.Context(), email, goodPassword, "")
	must(t, err)
	return m
}

func (w *world) sendCode(t *testing.T, contact string) string {
	t.Helper()
	must(t, w.SendVerificationCode(t.Context(), member.Email, contact, ""))
	return w.out.last(t).Code
}

func registration(contact, code string) app.Registration {
	return app.Registration{Type: member.Email, Contact: contact, Code: code, Password: goodPassword, ClientIP: ip}
}

func TestApp_Register(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		ctx := t.Context()

		t.Run("a code makes a member, once", func(t *testing.T) {
			code := w.sendCode(t, "New@Example.com")
			if !member.ValidCode(code) {
				t.Fatalf("code %q", code)
			}
			m, err := w.Register(ctx, registration("new@example.com", code))
			must(t, err)
			got, err := w.GetMember(ctx, m.ID)
			must(t, err)
			if got != m || m.Email != "new@example.com" || m.Phone != "" || m.Username != member.DefaultUsername(m.ID) {
				t.Fatalf("%+v stored as %+v", m, got)
			}
			_, err = w.Register(ctx, registration("new@example.com", code))
			want(t, err, app.ErrBadCode)
		})
		t.Run("a phone works as well", func(t *testing.T) {
			must(t, w.SendVerificationCode(ctx, member.Phone, "+49 30 123456", ""))
			m, err := w.Register(ctx, app.Registration{
				Type: member.Phone, Contact: "+4930123456", Code: w.out.last(t).Code, Password: goodPassword, Username: "trader",
			})
			must(t, err)
			if m.Phone != "+4930123456" || m.Email != "" || m.Username != "trader" {
				t.Fatalf("%+v", m)
			}
			_, _, err = w.Login(ctx, "+49 (30) 123456", goodPassword, ip)
			must(t, err)
		})
		t.Run("a code is tried five times at most, and costs no hash", func(t *testing.T) {
			code := w.sendCode(t, "guess@example.com")
			before := w.passwords.hashes.Load()
			for range policy.CodeAttempts {
				_, err := w.Register(ctx, registration("guess@example.com", otherCode(code)))
				want(t, err, app.ErrBadCode)
			}
			_, err := w.Register(ctx, registration("guess@example.com", code))
			want(t, err, app.ErrBadCode)
			if n := w.passwords.hashes.Load() - before; n != 0 {
				t.Fatalf("guessing cost %d hashes", n)
			}
		})
		t.Run("a code ends on time", func(t *testing.T) {
			code := w.sendCode(t, "late@example.com")
			w.clk.Advance(policy.CodeTTL)
			_, err := w.Register(ctx, registration("late@example.com", code))
			want(t, err, app.ErrBadCode)
		})
		t.Run("a code of one contact is no code of another", func(t *testing.T) {
			code := w.sendCode(t, "one@example.com")
			w.sendCode(t, "two@example.com")
			_, err := w.Register(ctx, registration("two@example.com", code))
			want(t, err, app.ErrBadCode)
		})
		t.Run("of two that use one code at once one becomes a member", func(t *testing.T) {
			code := w.sendCode(t, "race@example.com")
			var wg sync.WaitGroup
			var made atomic.Int64
			for range 4 {
				wg.Go(func() {
					_, err := w.Register(context.WithoutCancel(ctx), registration("race@example.com", code))
					switch {
					case err == nil:
						made.Add(1)
					case !errors.Is(err, app.ErrBadCode):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if made.Load() != 1 {
				t.Fatalf("%d members were made", made.Load())
			}
		})
		t.Run("a weak password is refused before the code is tried", func(t *testing.T) {
			code := w.sendCode(t, "weak@example.com")
			r := registration("weak@example.com", code)
			r.Password = "short"
			_, err := w.Register(ctx, r)
			want(t, err, member.ErrPassword)
			_, err = w.Register(ctx, registration("weak@example.com", code))
			must(t, err)
		})
		t.Run("no code and no contact is kept as it is", func(t *testing.T) {
			code := w.sendCode(t, "hidden@example.com")
			var rows []struct{ ContactHash, CodeHash string }
			must(t, db.Read(ctx).Table("verification_code").Find(&rows).Error)
			for _, row := range rows {
				if strings.Contains(row.ContactHash+row.CodeHash, "hidden") || row.CodeHash == code {
					t.Fatal("found in the database")
				}
			}
		})
	})
}

// otherCode returns a code that is not the given one.
func otherCode(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

func TestApp_SendVerificationCode(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	ctx := t.Context()
	w.newMember(t, "known@example.com")

	t.Run("a registered contact gets the same answer and a message without a code", func(t *testing.T) {
		for _, contact := range []string{"known@example.com", "unknown@example.com"} {
			before := len(w.out.messages)
			must(t, w.SendVerificationCode(ctx, member.Email, contact, ""))
			err := w.SendVerificationCode(ctx, member.Email, contact, "")
			want(t, err, app.ErrRateLimited)
			if len(w.out.messages) != before+1 {
				t.Fatalf("%s: %d messages", contact, len(w.out.messages)-before)
			}
			if got, known := w.out.last(t).Code == "", contact == "known@example.com"; got != known {
				t.Fatalf("%s: message without a code: %v", contact, got)
			}
			var stored int64
			must(t, w.db.Read(ctx).Table("verification_code").Count(&stored).Error)
			if stored != int64(before+1) {
				t.Fatalf("%s: %d codes stored, want %d", contact, stored, before+1)
			}
		}
	})
	t.Run("a contact gets few codes a day", func(t *testing.T) {
		for range policy.CodesPerContactDay.Count {
			must(t, w.SendVerificationCode(ctx, member.Email, "day@example.com", ""))
			w.clk.Advance(policy.CodesPerContact.Window)
		}
		want(t, w.SendVerificationCode(ctx, member.Email, "day@example.com", ""), app.ErrRateLimited)
		w.clk.Advance(24 * time.Hour)
		must(t, w.SendVerificationCode(ctx, member.Email, "day@example.com", ""))
	})
	t.Run("an address causes few messages, another is free", func(t *testing.T) {
		for i := range policy.CodesPerAddress.Count {
			must(t, w.SendVerificationCode(ctx, member.Email, fmt.Sprintf("n%d@example.com", i), "2001:db8::1"))
		}
		want(t, w.SendVerificationCode(ctx, member.Email, "n@example.com", "2001:db8::2"), app.ErrRateLimited)
		must(t, w.SendVerificationCode(ctx, member.Email, "n@example.com", "2001:db8:0:1::1"))
	})
	t.Run("what could not be sent is not counted", func(t *testing.T) {
		w.out.broken = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "full")
		if err := w.SendVerificationCode(ctx, member.Email, "again@example.com", ""); errs.KindOf(err) != errs.KindUnavailable {
			t.Fatal(err)
		}
		w.out.broken = nil
		must(t, w.SendVerificationCode(ctx, member.Email, "again@example.com", ""))
	})
	t.Run("what is no contact is refused", func(t *testing.T) {
		want(t, w.SendVerificationCode(ctx, member.Email, "x", ""), member.ErrContact)
	})
}

func TestApp_CreateMember(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		w.newMember(t, "a@example.com")
		_, err := w.CreateMember(t.Context(), "A@EXAMPLE.COM", "another password", "")
		want(t, err, app.ErrMemberExists)
		_, err = w.GetMember(t.Context(), 1<<40)
		want(t, err, app.ErrUnknownMember)

		var wg sync.WaitGroup
		var made atomic.Int64
		for range 4 {
			wg.Go(func() {
				_, err := w.CreateMember(context.WithoutCancel(t.Context()), "b@example.com", goodPassword, "")
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, app.ErrMemberExists) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Fatalf("one address made %d members", made.Load())
		}
	})
}

func TestApp_Login(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		m := w.newMember(t, "a@example.com")

		t.Run("the right password opens a session", func(t *testing.T) {
			got, tokens, err := w.Login(ctx, "A@example.com", goodPassword, ip)
			must(t, err)
			id, err := w.VerifySession(ctx, tokens.Access)
			must(t, err)
			if got.ID != m.ID || id != m.ID {
				t.Fatalf("member %d, token of %d, want %d", got.ID, id, m.ID)
			}
		})
		t.Run("an unknown name and a wrong password look alike and cost alike", func(t *testing.T) {
			for _, name := range []string{"a@example.com", "nobody@example.com"} {
				before := w.passwords.hashes.Load()
				_, _, err := w.Login(ctx, name, "wrong password", ip)
				want(t, err, app.ErrBadCredentials)
				if errs.From(err).PublicMessage() != app.ErrBadCredentials.PublicMessage() {
					t.Fatalf("%s: %v", name, err)
				}
				if n := w.passwords.hashes.Load() - before; n != 1 {
					t.Fatalf("%s cost %d hashes", name, n)
				}
			}
		})
		t.Run("failures are counted for known and unknown names, whatever the password", func(t *testing.T) {
			w.clk.Advance(time.Hour)
			for _, name := range []string{"a@example.com", "nobody@example.com"} {
				for range policy.LoginsPerContactAddress.Count {
					_, _, err := w.Login(ctx, name, "wrong password", ip)
					want(t, err, app.ErrBadCredentials)
				}
				before := w.passwords.hashes.Load()
				_, _, err := w.Login(ctx, name, goodPassword, ip)
				want(t, err, app.ErrRateLimited)
				if w.passwords.hashes.Load() != before {
					t.Fatal("a refused attempt must not cost a hash")
				}
			}
			_, _, err := w.Login(ctx, "a@example.com", goodPassword, "198.51.100.7")
			must(t, err) // its owner is elsewhere and gets in
			w.clk.Advance(policy.LoginsPerContactAddress.Window)
			_, _, err = w.Login(ctx, "a@example.com", goodPassword, ip)
			must(t, err)
		})
		t.Run("successes do not use up the limit", func(t *testing.T) {
			for range policy.LoginsPerContactAddress.Count + 1 {
				_, _, err := w.Login(ctx, "a@example.com", goodPassword, "203.0.113.9")
				must(t, err)
			}
		})
		t.Run("attempts at once cannot pass the limit", func(t *testing.T) {
			w.clk.Advance(time.Hour)
			var wg sync.WaitGroup
			var tried atomic.Int64
			for range 8 {
				wg.Go(func() {
					_, _, err := w.Login(context.WithoutCancel(ctx), "a@example.com", "wrong password", "203.0.113.10")
					if errors.Is(err, app.ErrBadCredentials) {
						tried.Add(1)
					} else if !errors.Is(err, app.ErrRateLimited) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := int(tried.Load()); n != policy.LoginsPerContactAddress.Count {
				t.Fatalf("%d passwords were tried, want %d", n, policy.LoginsPerContactAddress.Count)
			}
		})
		t.Run("a megabyte is refused without a hash", func(t *testing.T) {
			before := w.passwords.hashes.Load()
			_, _, err := w.Login(ctx, "a@example.com", strings.Repeat("a", 1<<20), ip)
			want(t, err, app.ErrBadCredentials)
			if w.passwords.hashes.Load() != before {
				t.Fatal("hashed")
			}
		})
		t.Run("a hash made with other parameters is renewed", func(t *testing.T) {
			w.clk.Advance(time.Hour)
			hashOf := func() (hash string) {
				must(t, db.Read(ctx).Table("member").Where("member_id = ?", m.ID).Pluck("password_hash", &hash).Error)
				return hash
			}
			old := hashOf()
			w.passwords.Passwords = hasher(t, 128)
			_, _, err := w.Login(ctx, "a@example.com", goodPassword, ip)
			must(t, err)
			if renewed := hashOf(); renewed == old || !strings.Contains(renewed, "m=128") {
				t.Fatal("the hash was not renewed")
			}
			_, _, err = w.Login(ctx, "a@example.com", goodPassword, ip)
			must(t, err)
		})
	})
}

func TestApp_RefreshSession(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		m := w.newMember(t, "a@example.com")
		login := func(t *testing.T) app.Tokens {
			t.Helper()
			_, tokens, err := w.Login(ctx, "a@example.com", goodPassword, ip)
			must(t, err)
			return tokens
		}
		t.Run("a refresh token gets the next pair", func(t *testing.T) {
			first := login(t)
			w.clk.Advance(policy.AccessTTL)
			_, err := w.VerifySession(ctx, first.Access)
			want(t, err, app.ErrTokenExpired)
			second, err := w.RefreshSession(ctx, first.Refresh)
			must(t, err)
			if second.Refresh == first.Refresh {
				t.Fatal("the token was not changed")
			}
			id, err := w.VerifySession(ctx, second.Access)
			must(t, err)
			if id != m.ID {
				t.Fatalf("member %d", id)
			}
		})
		t.Run("using a token twice ends the session, also for the one who has the newest", func(t *testing.T) {
			first := login(t)
			second, err := w.RefreshSession(ctx, first.Refresh)
			must(t, err)
			_, err = w.VerifySession(ctx, second.Access)
			must(t, err)
			_, err = w.RefreshSession(ctx, first.Refresh)
			want(t, err, app.ErrTokenExpired)
			_, err = w.VerifySession(ctx, second.Access)
			want(t, err, app.ErrTokenExpired)
			_, err = w.RefreshSession(ctx, second.Refresh)
			want(t, err, app.ErrTokenExpired)
		})
		t.Run("of two that use a token at once one gets the next pair at most", func(t *testing.T) {
			first := login(t)
			var wg sync.WaitGroup
			var got atomic.Int64
			for range 4 {
				wg.Go(func() {
					_, err := w.RefreshSession(context.WithoutCancel(ctx), first.Refresh)
					if err == nil {
						got.Add(1)
					} else if !errors.Is(err, app.ErrTokenExpired) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got.Load() != 1 {
				t.Fatalf("%d pairs", got.Load())
			}
			_, err := w.VerifySession(ctx, first.Access)
			want(t, err, app.ErrTokenExpired)
		})
		t.Run("a token that is not used ends on time", func(t *testing.T) {
			first := login(t)
			w.clk.Advance(policy.RefreshTTL)
			_, err := w.RefreshSession(ctx, first.Refresh)
			want(t, err, app.ErrTokenExpired)
		})
		t.Run("a session ends however often it is refreshed", func(t *testing.T) {
			tokens := login(t)
			end := w.clk.Now().Add(policy.SessionTTL)
			for w.clk.Now().Before(end.Add(-6 * 24 * time.Hour)) {
				w.clk.Advance(6 * 24 * time.Hour)
				next, err := w.RefreshSession(ctx, tokens.Refresh)
				must(t, err)
				if next.RefreshExpiresMs > end.UnixMilli() || next.AccessExpiresMs > end.UnixMilli() {
					t.Fatal("a token outlives its session")
				}
				tokens = next
			}
			w.clk.Set(end)
			_, err := w.RefreshSession(ctx, tokens.Refresh)
			want(t, err, app.ErrTokenExpired)
		})
		t.Run("what was never a token is refused", func(t *testing.T) {
			for _, text := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 1<<20)} {
				_, err := w.RefreshSession(ctx, text)
				want(t, err, app.ErrTokenExpired)
			}
		})
		t.Run("refresh tokens are not kept as they are", func(t *testing.T) {
			tokens := login(t)
			var rows []struct{ TokenHash string }
			must(t, db.Read(ctx).Table("refresh_token").Where("token_hash = ?", tokens.Refresh).Find(&rows).Error)
			if len(rows) != 0 {
				t.Fatal("found in the database")
			}
		})
	})
}

func TestApp_Logout(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.newMember(t, "a@example.com")
		var all []app.Tokens
		for range policy.MaxSessions {
			_, tokens, err := w.Login(ctx, "a@example.com", goodPassword, ip)
			must(t, err)
			_, err = w.VerifySession(ctx, tokens.Access)
			must(t, err)
			all = append(all, tokens)
			w.clk.Advance(time.Second)
		}
		t.Run("a session too many ends the oldest", func(t *testing.T) {
			_, tokens, err := w.Login(ctx, "a@example.com", goodPassword, ip)
			must(t, err)
			_, err = w.VerifySession(ctx, all[0].Access)
			want(t, err, app.ErrTokenExpired)
			for _, still := range []app.Tokens{all[1], all[2], tokens} {
				_, err = w.VerifySession(ctx, still.Access)
				must(t, err)
			}
		})
		t.Run("logging out ends this session only, and at once", func(t *testing.T) {
			must(t, w.Logout(ctx, all[1].Access))
			_, err := w.VerifySession(ctx, all[1].Access)
			want(t, err, app.ErrTokenExpired)
			_, err = w.RefreshSession(ctx, all[1].Refresh)
			want(t, err, app.ErrTokenExpired)
			_, err = w.VerifySession(ctx, all[2].Access)
			must(t, err)
		})
		t.Run("logging out twice is fine", func(t *testing.T) {
			must(t, w.Logout(ctx, all[1].Access))
			want(t, w.Logout(ctx, "x"), app.ErrTokenExpired)
		})
	})
}

func sign(plain, payload string) string {
	mac := hmac.New(sha256.New, []byte(plain))
	mac.Write([]byte(payload))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestApp_VerifySignature(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		m := w.newMember(t, "a@example.com")
		const payload = "symbol=BTCUSDT&side=BUY&timestamp=1"
		k, plain, err := w.CreateAPIKey(ctx, m.ID, "bot", []member.Permission{member.Trade}, []string{"192.0.2.0/24"})
		must(t, err)
		good := app.SignedRequest{
			Key: k.Key, Payload: []byte(payload), Signature: sign(plain, payload), ClientIP: ip, Permission: member.Trade,
		}
		cases := []struct {
			name   string
			change func(*app.SignedRequest)
			want   error
		}{
			{"a right signature passes", func(*app.SignedRequest) {}, nil},
			{"upper case passes", func(r *app.SignedRequest) { r.Signature = strings.ToUpper(r.Signature) }, nil},
			{"a key that cannot be one is malformed", func(r *app.SignedRequest) { r.Key = r.Key[1:] }, member.ErrKeyFormat},
			{"a key nobody has is unknown", func(r *app.SignedRequest) { r.Key = strings.Repeat("a", 64) }, app.ErrBadAPIKey},
			{"a key in another case is unknown", func(r *app.SignedRequest) { r.Key = swapCase(r.Key) }, app.ErrBadAPIKey},
			{"another payload fails", func(r *app.SignedRequest) { r.Payload = append([]byte(payload), '&') }, app.ErrBadSignature},
			{"an empty signature fails", func(r *app.SignedRequest) { r.Signature = "" }, app.ErrBadSignature},
			{"a cut signature fails", func(r *app.SignedRequest) { r.Signature = r.Signature[:62] }, app.ErrBadSignature},
			{"no hex fails", func(r *app.SignedRequest) { r.Signature = strings.Repeat("g", 64) }, app.ErrBadSignature},
			{"a signature made with another secret fails", func(r *app.SignedRequest) { r.Signature = sign("x", payload) }, app.ErrBadSignature},
			{"another address is not permitted", func(r *app.SignedRequest) { r.ClientIP = "198.51.100.1" }, app.ErrKeyNotPermitted},
			{"no address is not permitted", func(r *app.SignedRequest) { r.ClientIP = "" }, app.ErrKeyNotPermitted},
			{"another permission is not permitted", func(r *app.SignedRequest) { r.Permission = member.Withdraw }, app.ErrKeyNotPermitted},
			{"no permission is not permitted", func(r *app.SignedRequest) { r.Permission = 0 }, app.ErrKeyNotPermitted},
		}
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				r := good
				c.change(&r)
				id, err := w.VerifySignature(ctx, r)
				if c.want == nil {
					must(t, err)
					if id != m.ID {
						t.Fatalf("member %d, want %d", id, m.ID)
					}
					return
				}
				want(t, err, c.want)
				if id != 0 {
					t.Fatal("a refusal names the member")
				}
			})
		}
		t.Run("a secret moved to another key does not open", func(t *testing.T) {
			other, otherPlain, err := w.CreateAPIKey(ctx, m.ID, "second", []member.Permission{member.Trade}, nil)
			must(t, err)
			must(t, db.Tx(ctx, func(tx *database.Tx) error {
				return tx.DB().Exec("UPDATE member_api_key SET secret = ? WHERE api_key = ?", k.Secret, other.Key).Error
			}))
			for _, with := range []string{plain, otherPlain} {
				if _, err := w.VerifySignature(ctx, app.SignedRequest{
					Key: other.Key, Payload: []byte(payload), Signature: sign(with, payload), Permission: member.Trade,
				}); err == nil {
					t.Fatal("accepted")
				}
			}
			must(t, w.DeleteAPIKey(ctx, m.ID, other.Key))
		})
		t.Run("a deleted key is refused at once here, and elsewhere when the cache is old", func(t *testing.T) {
			elsewhere := app.New(w.deps, policy)
			_, err := elsewhere.VerifySignature(ctx, good)
			must(t, err)
			must(t, w.DeleteAPIKey(ctx, m.ID, k.Key))
			_, err = w.VerifySignature(ctx, good)
			want(t, err, app.ErrBadAPIKey)
			w.clk.Advance(policy.CacheTTL)
			_, err = elsewhere.VerifySignature(ctx, good)
			want(t, err, app.ErrBadAPIKey)
			var secrets [][]byte
			must(t, db.Read(ctx).Table("member_api_key").Where("api_key = ?", k.Key).Pluck("secret", &secrets).Error)
			if len(secrets) != 1 || len(secrets[0]) != 0 {
				t.Fatal("the secret of a deleted key is still there")
			}
		})
	})
}

func swapCase(s string) string {
	if up := strings.ToUpper(s); up != s {
		return up
	}
	return strings.ToLower(s)
}

func TestApp_APIKeys(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		m, other := w.newMember(t, "a@example.com"), w.newMember(t, "b@example.com")
		read := []member.Permission{member.Read}
		first, plain, err := w.CreateAPIKey(ctx, m.ID, "first", read, []string{"2001:db8::/32", "10.0.0.1"})
		must(t, err)

		t.Run("keys are listed oldest first without secrets", func(t *testing.T) {
			w.clk.Advance(time.Second)
			_, _, err := w.CreateAPIKey(ctx, m.ID, "second", read, nil)
			must(t, err)
			list, err := w.APIKeys(ctx, m.ID)
			must(t, err)
			if len(list) != 2 || list[0].Key != first.Key || list[1].Label != "second" || len(list[0].Secret) != 0 ||
				fmt.Sprint(list[0].IPs.Strings()) != "[10.0.0.1 2001:db8::/32]" {
				t.Fatalf("%+v", list)
			}
		})
		t.Run("a member has a bounded number of keys", func(t *testing.T) {
			_, _, err := w.CreateAPIKey(ctx, m.ID, "third", read, nil)
			want(t, err, app.ErrTooManyAPIKeys)
		})
		t.Run("creating at once cannot pass the bound", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					_, _, err := w.CreateAPIKey(context.WithoutCancel(ctx), other.ID, "x", read, nil)
					if err != nil && !errors.Is(err, app.ErrTooManyAPIKeys) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			list, err := w.APIKeys(ctx, other.ID)
			must(t, err)
			if len(list) != policy.MaxAPIKeys {
				t.Fatalf("%d keys", len(list))
			}
		})
		t.Run("only the owner deletes a key, and twice is fine", func(t *testing.T) {
			want(t, w.DeleteAPIKey(ctx, other.ID, first.Key), app.ErrUnknownAPIKey)
			want(t, w.DeleteAPIKey(ctx, m.ID, strings.Repeat("a", 64)), app.ErrUnknownAPIKey)
			must(t, w.DeleteAPIKey(ctx, m.ID, first.Key))
			must(t, w.DeleteAPIKey(ctx, m.ID, first.Key))
			_, _, err := w.CreateAPIKey(ctx, m.ID, "third", read, nil)
			must(t, err)
		})
		t.Run("a key needs a member", func(t *testing.T) {
			_, _, err := w.CreateAPIKey(ctx, 1<<40, "x", read, nil)
			want(t, err, app.ErrUnknownMember)
		})
		t.Run("no secret is in the database as it is", func(t *testing.T) {
			var secrets [][]byte
			must(t, db.Read(ctx).Table("member_api_key").Pluck("secret", &secrets).Error)
			for _, s := range secrets {
				if bytes.Contains(s, []byte(plain)) {
					t.Fatal("found")
				}
			}
		})
	})
}

func TestStore_Purge(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		w.newMember(t, "a@example.com")
		_, tokens, err := w.Login(ctx, "a@example.com", goodPassword, ip)
		must(t, err)
		w.sendCode(t, "new@example.com")

		n, err := w.deps.Store.Purge(ctx, w.clk.NowMs(), 100)
		must(t, err)
		if n != 0 {
			t.Fatalf("%d rows were deleted that are of use", n)
		}
		w.clk.Advance(policy.SessionTTL)
		if n, err = w.deps.Store.Purge(ctx, w.clk.NowMs(), 100); err != nil || n == 0 {
			t.Fatalf("%d rows, %v", n, err)
		}
		for _, table := range []string{"verification_code", "refresh_token", "member_session", "attempt_bucket"} {
			var left int64
			must(t, db.Read(ctx).Table(table).Count(&left).Error)
			if left != 0 {
				t.Errorf("%d rows left in %s", left, table)
			}
		}
		_, err = w.RefreshSession(ctx, tokens.Refresh)
		want(t, err, app.ErrTokenExpired)
		_, _, err = w.Login(ctx, "a@example.com", goodPassword, ip)
		must(t, err)
	})
}

func BenchmarkApp_VerifySignature(b *testing.B) {
	db := testkit.SQLite(b)
	s := store.New(db)
	clk := clock.Real()
	if err := errors.Join(idgen.Migrate(b.Context(), db), s.Migrate(b.Context())); err != nil {
		b.Fatal(err)
	}
	h, err1 := password.New(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, 1, 1)
	tokens, err2 := token.New(clk, make([]byte, 32), nil)
	box, err3 := secret.NewBox([]secret.MasterKey{{ID: "1", Key: make([]byte, 32)}})
	if err := errors.Join(err1, err2, err3); err != nil {
		b.Fatal(err)
	}
	a := app.New(app.Deps{
		Store: s, IDs: idgen.New(db, clk, "member", 10), Passwords: h, Sender: &outbox{}, Tokens: tokens, Box: box, Clock: clk, HashKey: []byte("h"),
	}, policy)
	m, err := a.CreateMember(b.Context(), "a@example.com", goodPassword, "")
	if err != nil {
		b.Fatal(err)
	}
	k, plain, err := a.CreateAPIKey(b.Context(), m.ID, "bot", []member.Permission{member.Trade}, nil)
	if err != nil {
		b.Fatal(err)
	}
	payload := strings.Repeat("x", 200)
	r := app.SignedRequest{Key: k.Key, Payload: []byte(payload), Signature: sign(plain, payload), Permission: member.Trade}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.VerifySignature(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
