package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"strconv"
	"strings"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/internal/secret"
	"mscoin/ucenter/member"
)

// Security says how a connection to a mail server is protected.
type Security string

// Ways to protect a connection.
const (
	// STARTTLS upgrades the connection before anything else is said; a server that
	// cannot is refused.
	STARTTLS Security = "starttls"
	// TLS is encrypted from the first byte (usually port 465).
	TLS Security = "tls"
	// Plain is not encrypted; for a relay on the same machine. No password is sent.
	Plain Security = "plain"
)

// SMTPConfig says how to reach a mail server.
type SMTPConfig struct {
	// Addr is host:port. The certificate must be for that host.
	Addr string
	// Security protects the connection.
	Security Security
	// User and Password log in; without a user there is no login.
	User, Password string
	// From is the sender's address.
	From string
	// Product is the name that messages begin with.
	Product string
	// TLS is the base of the TLS configuration; nil means the roots of the system.
	TLS *tls.Config
}

// SMTP delivers by e-mail, one connection for each message.
type SMTP struct {
	cfg  SMTPConfig
	host string
	from member.Contact
	clk  clock.Clock
}

// NewSMTP checks the configuration.
func NewSMTP(cfg SMTPConfig, clk clock.Clock) (*SMTP, error) {
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" {
		return nil, errors.New("mail server: address is not host:port")
	}
	switch cfg.Security {
	case STARTTLS, TLS, Plain:
	default:
		return nil, fmt.Errorf("mail server: security %q is neither starttls, tls nor plain", cfg.Security)
	}
	if cfg.Security == Plain && cfg.User != "" {
		return nil, errors.New("mail server: a password is not sent over an unencrypted connection")
	}
	from, err := member.ParseContact(member.Email, cfg.From)
	if err != nil {
		return nil, errors.New("mail server: the sender is not an e-mail address")
	}
	if strings.ContainsAny(cfg.Product, "\r\n") {
		return nil, errors.New("mail server: the product's name has a line break")
	}
	return &SMTP{cfg: cfg, host: host, from: from, clk: clk}, nil
}

// Deliver sends one e-mail. It returns when the server has accepted it, and gives up
// when ctx ends.
func (s *SMTP) Deliver(ctx context.Context, m app.Message) (err error) {
	if m.To.Type != member.Email {
		return errors.New("send e-mail: the contact is not an e-mail address")
	}
	id, err := secret.Text(24, member.Alphabet)
	if err != nil {
		return fmt.Errorf("send e-mail: %w", err)
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("send e-mail: %w", err)
	}
	// The protocol's reads and writes know no context: closing ends them.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := s.converse(conn, m, id); err != nil {
		_ = conn.Close()
		return errors.Join(fmt.Errorf("send e-mail: %w", err), ctx.Err())
	}
	return nil
}

func (s *SMTP) dial(ctx context.Context) (net.Conn, error) {
	if s.cfg.Security == TLS {
		return (&tls.Dialer{Config: s.tlsConfig()}).DialContext(ctx, "tcp", s.cfg.Addr)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", s.cfg.Addr)
}

func (s *SMTP) tlsConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.cfg.TLS != nil {
		cfg = s.cfg.TLS.Clone()
	}
	cfg.ServerName = s.host
	return cfg
}

// converse is the dialogue with the server. Each step's name goes into its error.
func (s *SMTP) converse(conn net.Conn, m app.Message, id string) error {
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	_, domain, _ := strings.Cut(s.from.Value, "@")
	if err := c.Hello(domain); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	if s.cfg.Security == STARTTLS {
		if err := c.StartTLS(s.tlsConfig()); err != nil {
			return fmt.Errorf("starttls: %w", err)
		}
	}
	if s.cfg.User != "" {
		if err := c.Auth(smtp.PlainAuth("", s.cfg.User, s.cfg.Password, s.host)); err != nil {
			return fmt.Errorf("log in: %w", err)
		}
	}
	if err := c.Mail(s.from.Value); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if err := c.Rcpt(m.To.Value); err != nil {
		// The server's words may repeat the address, which does not belong in a log.
		return errors.New("receiver was refused")
	}
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if _, err := w.Write(s.compose(m, id, domain)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end of data: %w", err)
	}
	_ = c.Quit() // the message is accepted; a lost good-bye must not send it twice
	return nil
}

// compose writes the e-mail. Nothing in it comes from outside but the receiver, whose
// normal form has no line breaks, and the code.
func (s *SMTP) compose(m app.Message, id, domain string) []byte {
	headers := []string{
		"From: <" + s.from.Value + ">",
		"To: <" + m.To.Value + ">",
		"Subject: " + subject(s.cfg.Product),
		"Date: " + s.clk.Now().UTC().Format(time.RFC1123Z),
		"Message-ID: <" + id + "@" + domain + ">",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii",
		"Auto-Submitted: auto-generated",
	}
	return []byte(strings.Join(headers, "\r\n") + "\r\n\r\n" + text(m))
}
