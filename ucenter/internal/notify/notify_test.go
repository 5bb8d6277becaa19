package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/testkit"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/member"
)

// mailServer is a mail server of one connection at a time that follows a script.
type mailServer struct {
	listener net.Listener
	cert     tls.Certificate
	roots    *x509.CertPool

	implicitTLS bool
	noStartTLS  bool
	silent      bool   // accepts and never speaks
	refuseRcpt  string // answer to RCPT
	loseGoodbye bool   // closes instead of answering QUIT

	mu       sync.Mutex
	messages []string
	logins   []string
	plain    []string // commands seen without encryption
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots: x509.NewCertPool()}
	s.roots.AddCert(leaf)
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *mailServer) start(t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = s.listener.Close()
		wg.Wait()
	})
}

// serve speaks just enough SMTP.
func (s *mailServer) serve(conn net.Conn) {
	encrypted := s.implicitTLS
	if encrypted {
		conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12})
	}
	r := bufio.NewReader(conn)
	if s.silent {
		_, _ = r.ReadString('\n')
		return
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 test ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		if !encrypted {
			s.mu.Lock()
			s.plain = append(s.plain, line)
			s.mu.Unlock()
		}
		switch verb := strings.ToUpper(strings.Fields(line + " ?")[0]); verb {
		case "EHLO":
			if !encrypted && !s.noStartTLS {
				say("250-test\r\n250 STARTTLS")
			} else {
				say("250-test\r\n250 AUTH PLAIN")
			}
		case "STARTTLS":
			if s.noStartTLS {
				say("502 not here")
				continue
			}
			say("220 go ahead")
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12})
			r, encrypted = bufio.NewReader(conn), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.Fields(line)[2])
			s.mu.Lock()
			s.logins = append(s.logins, string(raw))
			s.mu.Unlock()
			say("235 welcome")
		case "MAIL":
			say("250 ok")
		case "RCPT":
			if s.refuseRcpt != "" {
				say("%s", s.refuseRcpt)
			} else {
				say("250 ok")
			}
		case "DATA":
			say("354 go on")
			s.receive(r)
			say("250 accepted")
		case "QUIT":
			if !s.loseGoodbye {
				say("221 bye")
			}
			return
		default:
			say("502 what?")
		}
	}
}

func (s *mailServer) receive(r *bufio.Reader) {
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(line)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, text.String())
}

func (s *mailServer) client(t *testing.T, security Security, user string) *SMTP {
	t.Helper()
	c, err := NewSMTP(SMTPConfig{
		Addr: s.listener.Addr().String(), Security: security, User: user, Password: "mail-secret",
		From: "noreply@example.com", Product: "Exchange", TLS: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
	}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var message = app.Message{
	To: member.Contact{Type: member.Email, Value: "trader@example.org"}, Code: "123456", ValidFor: 10 * time.Minute,
}

func TestSMTP_Deliver(t *testing.T) {
	for _, security := range []Security{STARTTLS, TLS} {
		t.Run(string(security)+": the message arrives and nothing of it is sent in the clear", func(t *testing.T) {
			s := newMailServer(t)
			s.implicitTLS = security == TLS
			s.loseGoodbye = true // must not matter
			s.start(t)
			if err := s.client(t, security, "user").Deliver(t.Context(), message); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.messages) != 1 || len(s.logins) != 1 || s.logins[0] != "\x00user\x00mail-secret" {
				t.Fatalf("%d messages, logins %q", len(s.messages), s.logins)
			}
			got, err := mail.ReadMessage(strings.NewReader(s.messages[0]))
			if err != nil {
				t.Fatal(err)
			}
			if got.Header.Get("To") != "<trader@example.org>" || got.Header.Get("From") != "<noreply@example.com>" ||
				got.Header.Get("Message-Id") == "" || !strings.Contains(s.messages[0], "123456") {
				t.Fatalf("message %q", s.messages[0])
			}
			if _, err := got.Header.Date(); err != nil {
				t.Fatal(err)
			}
			for _, line := range s.plain {
				if !strings.HasPrefix(line, "EHLO") && line != "STARTTLS" {
					t.Fatalf("in the clear: %q", line)
				}
			}
		})
	}
	t.Run("a server without STARTTLS is refused before anything is said", func(t *testing.T) {
		s := newMailServer(t)
		s.noStartTLS = true
		s.start(t)
		if err := s.client(t, STARTTLS, "user").Deliver(t.Context(), message); err == nil {
			t.Fatal("delivered")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, line := range s.plain {
			if strings.HasPrefix(line, "AUTH") || strings.HasPrefix(line, "RCPT") {
				t.Fatalf("in the clear: %q", line)
			}
		}
	})
	t.Run("a certificate that is not trusted is refused", func(t *testing.T) {
		s := newMailServer(t)
		s.start(t)
		c := s.client(t, STARTTLS, "")
		c.cfg.TLS.RootCAs = x509.NewCertPool()
		if err := c.Deliver(t.Context(), message); err == nil {
			t.Fatal("delivered")
		}
	})
	t.Run("a server that never speaks is given up when the time is over", func(t *testing.T) {
		s := newMailServer(t)
		s.silent = true
		s.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.client(t, STARTTLS, "").Deliver(ctx, message); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
	t.Run("a refusal shows neither address nor code nor password", func(t *testing.T) {
		s := newMailServer(t)
		s.refuseRcpt = "550 no such user trader@example.org"
		s.start(t)
		err := s.client(t, STARTTLS, "user").Deliver(t.Context(), message)
		if err == nil {
			t.Fatal("delivered")
		}
		for _, hidden := range []string{"trader@", "123456", "mail-secret"} {
			if strings.Contains(err.Error(), hidden) {
				t.Fatalf("%q shows %q", err, hidden)
			}
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		s := newMailServer(t)
		_ = s.listener.Close()
		if err := s.client(t, STARTTLS, "").Deliver(t.Context(), message); err == nil {
			t.Fatal("delivered")
		}
	})
}

func TestNewSMTP_refusesBadConfigurations(t *testing.T) {
	good := SMTPConfig{Addr: "mail.example.com:587", Security: STARTTLS, From: "noreply@example.com", Product: "x"}
	if _, err := NewSMTP(good, clock.Real()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*SMTPConfig){
		"no address":             func(c *SMTPConfig) { c.Addr = "" },
		"no host":                func(c *SMTPConfig) { c.Addr = ":587" },
		"no port":                func(c *SMTPConfig) { c.Addr = "mail.example.com:smtp" },
		"unknown security":       func(c *SMTPConfig) { c.Security = "" },
		"password in the clear":  func(c *SMTPConfig) { c.Security, c.User = Plain, "user" },
		"no sender":              func(c *SMTPConfig) { c.From = "" },
		"a header in the sender": func(c *SMTPConfig) { c.From = "a@example.com\r\nBcc: b@example.com" },
		"a header in the name":   func(c *SMTPConfig) { c.Product = "x\r\nBcc: b@example.com" },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewSMTP(cfg, clock.Real()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// flaky fails a few times.
type flaky struct {
	failures  int64
	calls     atomic.Int64
	delivered atomic.Int64
	block     chan struct{}
}

func (f *flaky) Deliver(ctx context.Context, _ app.Message) error {
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.calls.Add(1) <= f.failures {
		return errors.New("not now")
	}
	f.delivered.Add(1)
	return nil
}

func runQueue(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestQueue(t *testing.T) {
	t.Run("a message that fails is tried again after a pause, a bounded number of times", func(t *testing.T) {
		for failures, delivered := range map[int64]int64{2: 1, 3: 0} {
			clk := clock.NewFake(time.UnixMilli(0))
			f := &flaky{failures: failures}
			q := NewQueue(clk, map[member.ContactType]Deliverer{member.Email: f})
			runQueue(t, q)
			if err := q.Send(t.Context(), message); err != nil {
				t.Fatal(err)
			}
			for range attempts - 1 {
				if err := clk.WaitForSleepers(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				clk.Advance(time.Minute)
			}
			testkit.Eventually(t, 5*time.Second, func() bool { return f.calls.Load() == attempts }, "three attempts")
			testkit.Eventually(t, 5*time.Second, func() bool { return f.delivered.Load() == delivered }, "%d deliveries", delivered)
		}
	})
	t.Run("a full queue refuses instead of waiting, and a stop does not wait for the rest", func(t *testing.T) {
		f := &flaky{block: make(chan struct{})}
		q := NewQueue(clock.NewFake(time.UnixMilli(0)), map[member.ContactType]Deliverer{member.Email: f})
		runQueue(t, q)
		accepted := 0
		for range queueSize + workers + 10 {
			if q.Send(t.Context(), message) == nil {
				accepted++
			}
		}
		if accepted > queueSize+workers || accepted < queueSize {
			t.Fatalf("%d messages were accepted", accepted)
		}
		if err := q.Send(t.Context(), message); err == nil && len(q.messages) == queueSize {
			t.Fatal("a full queue accepted a message")
		}
	})
	t.Run("what has no deliverer is not offered", func(t *testing.T) {
		q := NewQueue(clock.Real(), map[member.ContactType]Deliverer{member.Email: Log{}})
		if !q.Offers(member.Email) || q.Offers(member.Phone) {
			t.Fatal("offers are wrong")
		}
	})
}
