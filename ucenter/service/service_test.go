package service_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/testkit"
	ucentersvc "mscoin/ucenter/service"
)

const goodPassword = "correct horse battery"

func config(t *testing.T) ucentersvc.Config {
	t.Helper()
	return ucentersvc.Config{
		ListenOn:      "127.0.0.1:0",
		Profile:       ucentersvc.ProfileDev,
		InternalToken: ucentersvc.DevInternalToken,
		AccessSecret:  ucentersvc.DevAccessSecret,
		MasterKeys:    []ucentersvc.MasterKey{{ID: "dev", Key: ucentersvc.DevMasterKey}},
		Database:      database.Config{Dialect: database.SQLite, DSN: filepath.Join(t.TempDir(), "ucenter.db")},
		Password:      ucentersvc.PasswordConfig{MemoryKiB: 64, Time: 1, Threads: 1},
	}
}

// start runs a service until the test ends or stop is called.
func start(t *testing.T, cfg ucentersvc.Config) (client ucenterpb.UcenterServiceClient, stop func()) {
	t.Helper()
	s, err := ucentersvc.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("stop: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the service did not stop within 10 s")
		}
	}
	t.Cleanup(stop)
	testkit.Eventually(t, 10*time.Second, func() bool { return s.Ready(t.Context()) == nil }, "service is ready")
	conn, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{s.Addr()}, Token: cfg.InternalToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closer.Close() })
	return ucenterpb.NewUcenterServiceClient(conn), stop
}

func TestService(t *testing.T) {
	cfg := config(t)
	client, stop := start(t, cfg)
	ctx := t.Context()

	created, err := client.CreateMember(ctx, &ucenterpb.CreateMemberRequest{Email: "Demo@Example.com", Password: goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	id := created.GetMember().GetMemberId()
	if id <= 0 || created.GetMember().GetEmail() != "demo@example.com" {
		t.Fatalf("member %v", created.GetMember())
	}
	t.Run("creating a member again says that it exists", func(t *testing.T) {
		_, err := client.CreateMember(ctx, &ucenterpb.CreateMemberRequest{Email: "demo@example.com", Password: "another password"})
		if errs.KindOf(err) != errs.KindAlreadyExists || errs.CodeOf(err) != errs.CodeMemberExists {
			t.Fatal(err)
		}
	})
	login, err := client.Login(ctx, &ucenterpb.LoginRequest{Contact: "demo@example.com", Password: goodPassword, ClientIp: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	session := login.GetSession()
	verify := func(access string) error {
		res, err := client.VerifySession(ctx, &ucenterpb.VerifySessionRequest{AccessToken: access})
		if err == nil && res.GetMemberId() != id {
			t.Fatalf("token of member %d belongs to %d", id, res.GetMemberId())
		}
		return err
	}
	if err := verify(session.GetAccessToken()); err != nil {
		t.Fatal(err)
	}
	key, err := client.CreateApiKey(ctx, &ucenterpb.CreateApiKeyRequest{
		MemberId: id, Label: "bot", Permissions: []ucenterpb.Permission{ucenterpb.Permission_PERMISSION_READ, ucenterpb.Permission_PERMISSION_TRADE},
	})
	if err != nil {
		t.Fatal(err)
	}
	sign := func() error {
		payload := []byte("symbol=BTCUSDT&timestamp=1")
		res, err := client.VerifySignature(ctx, &ucenterpb.VerifySignatureRequest{
			Key: key.GetApiKey().GetKey(), Payload: payload, Signature: strings.ToUpper(signature(key.GetSecret(), payload)),
			ClientIp: "192.0.2.1", Permission: ucenterpb.Permission_PERMISSION_TRADE,
		})
		if err == nil && res.GetMemberId() != id {
			t.Fatalf("key of member %d belongs to %d", id, res.GetMemberId())
		}
		return err
	}
	if err := sign(); err != nil {
		t.Fatal(err)
	}

	t.Run("everything is still there after a restart", func(t *testing.T) {
		stop()
		client, _ = start(t, cfg)
		if err := verify(session.GetAccessToken()); err != nil {
			t.Error(err)
		}
		if err := sign(); err != nil {
			t.Error(err)
		}
		list, err := client.ListApiKeys(ctx, &ucenterpb.ListApiKeysRequest{MemberId: id})
		if err != nil || len(list.GetApiKeys()) != 1 || len(list.GetApiKeys()[0].GetPermissions()) != 2 {
			t.Errorf("%v, %v", list, err)
		}
		if _, err := client.Logout(ctx, &ucenterpb.LogoutRequest{AccessToken: session.GetAccessToken()}); err != nil {
			t.Error(err)
		}
		if err := verify(session.GetAccessToken()); errs.CodeOf(err) != errs.CodeTokenExpired {
			t.Errorf("after logging out: %v", err)
		}
		if _, err := client.DeleteApiKey(ctx, &ucenterpb.DeleteApiKeyRequest{MemberId: id, Key: key.GetApiKey().GetKey()}); err != nil {
			t.Error(err)
		}
		if err := sign(); errs.CodeOf(err) != errs.CodeBadAPIKey {
			t.Errorf("after deleting the key: %v", err)
		}
	})
	t.Run("without the internal token nothing is answered", func(t *testing.T) {
		s, err := ucentersvc.New(ctx, config(t))
		if err != nil {
			t.Fatal(err)
		}
		runCtx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- s.Run(runCtx) }()
		testkit.Eventually(t, 10*time.Second, func() bool { return s.Ready(ctx) == nil }, "service is ready")
		var conn grpc.ClientConnInterface
		conn, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{s.Addr()}, Token: "wrong"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = ucenterpb.NewUcenterServiceClient(conn).GetMember(ctx, &ucenterpb.GetMemberRequest{MemberId: 1})
		if errs.KindOf(err) != errs.KindUnauthenticated {
			t.Error(err)
		}
		_ = closer.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func signature(secret string, payload []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(payload)
	return hex.EncodeToString(mac.Sum(nil))
}

func TestConfig_Validate(t *testing.T) {
	normal := func() ucentersvc.Config {
		c := ucentersvc.Config{
			InternalToken: strings.Repeat("t", 32), AccessSecret: strings.Repeat("a", 32),
			MasterKeys: []ucentersvc.MasterKey{{ID: "1", Key: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
		}
		c.SetDefaults()
		return c
	}
	cases := []struct {
		name   string
		change func(*ucentersvc.Config)
		ok     bool
	}{
		{"own secrets are accepted", func(*ucentersvc.Config) {}, true},
		{"the development token is refused", func(c *ucentersvc.Config) { c.InternalToken = ucentersvc.DevInternalToken }, false},
		{"the development access secret is refused", func(c *ucentersvc.Config) { c.AccessSecret = ucentersvc.DevAccessSecret }, false},
		{"the development secret is refused as previous too", func(c *ucentersvc.Config) { c.PreviousAccessSecret = ucentersvc.DevAccessSecret }, false},
		{"the development master key is refused", func(c *ucentersvc.Config) { c.MasterKeys[0].Key = ucentersvc.DevMasterKey }, false},
		{"the development master key is refused as hash key", func(c *ucentersvc.Config) { c.HashKey = ucentersvc.DevMasterKey }, false},
		{"codes in the log are refused", func(c *ucentersvc.Config) { c.Sender.Email = "log" }, false},
		{"a cheap hash is refused", func(c *ucentersvc.Config) { c.Password.MemoryKiB = 64 }, false},
		{"a short access secret is refused", func(c *ucentersvc.Config) { c.AccessSecret = strings.Repeat("a", 31) }, false},
		{"a short token is refused", func(c *ucentersvc.Config) { c.InternalToken = "short" }, false},
		{"a short master key is refused", func(c *ucentersvc.Config) { c.MasterKeys[0].Key = "AAAA" }, false},
		{"no master key is refused", func(c *ucentersvc.Config) { c.MasterKeys = nil }, false},
		{"an unknown profile is refused", func(c *ucentersvc.Config) { c.Profile = "x" }, false},
		{"an access token that outlives its session is refused", func(c *ucentersvc.Config) { c.Session.AccessSeconds = 1 << 40 }, false},
		{"the demo profile accepts known secrets", func(c *ucentersvc.Config) {
			c.Profile, c.AccessSecret, c.InternalToken = ucentersvc.ProfileDemo, ucentersvc.DevAccessSecret, ucentersvc.DevInternalToken
			c.MasterKeys[0].Key, c.Sender.Email = ucentersvc.DevMasterKey, "log"
		}, true},
		{"no profile accepts an empty secret", func(c *ucentersvc.Config) { c.Profile, c.AccessSecret = ucentersvc.ProfileDev, "" }, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := normal()
			c.change(&cfg)
			err := cfg.Validate()
			if (err == nil) != c.ok {
				t.Fatalf("got %v, want ok=%v", err, c.ok)
			}
			if err != nil && cfg.AccessSecret != "" && strings.Contains(err.Error(), cfg.AccessSecret) {
				t.Fatalf("the error shows a secret: %v", err)
			}
		})
	}
}
