package service

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/telemetry"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/internal/notify"
	"mscoin/ucenter/internal/password"
	"mscoin/ucenter/internal/secret"
	"mscoin/ucenter/internal/token"
)

// Profiles of an installation.
const (
	// ProfileNormal is a real installation: known secrets and codes in the log are refused.
	ProfileNormal = "normal"
	// ProfileDemo and ProfileDev are for trying it out and for development.
	ProfileDemo = "demo"
	ProfileDev  = "dev"
)

// Secrets of the demo and dev profiles. They are public, so a normal installation that
// uses one of them is refused.
const (
	// DevInternalToken is the token between the services.
	DevInternalToken = "mscoin-development-internal-token"
	// DevAccessSecret signs access tokens.
	DevAccessSecret = "mscoin-development-access-token-secret"
	// DevMasterKey encrypts secrets at rest: 32 bytes in base64.
	DevMasterKey = "bXNjb2luLWRldmVsb3BtZW50LW1hc3Rlci1rZXktMzI="
)

// minTokenBytes is the shortest internal token of a normal installation.
const minTokenBytes = 24

// Config is everything the service can be told.
type Config struct {
	// Name is the service's name in logs and metrics.
	Name string `json:",default=ucenter"`
	// ListenOn is host:port of the gRPC server; port 0 takes a free one.
	ListenOn string `json:",default=127.0.0.1:8101"`
	// Profile is normal, demo or dev.
	Profile string `json:",default=normal,options=normal|demo|dev"`
	// InternalToken must come with every request; the services share it.
	InternalToken string
	// Database is where everything is kept.
	Database database.Config
	// AccessSecret signs access tokens: 32 bytes or more.
	AccessSecret string
	// PreviousAccessSecret still verifies them while the secret is being changed.
	PreviousAccessSecret string `json:",optional"`
	// MasterKeys encrypt the secrets of API keys; the first one seals, all open.
	MasterKeys []MasterKey
	// HashKey keys the hashes of contacts, codes and refresh tokens: 32 bytes in base64.
	// Empty derives it from the first master key given here, so set it before changing
	// that one, or sessions end.
	HashKey string `json:",optional"`
	// Session has the lives of sessions.
	Session SessionConfig
	// Password has the cost of password hashes.
	Password PasswordConfig
	// Limit has the limits against guessing.
	Limit LimitConfig
	// APIKey has the limits of API keys.
	APIKey APIKeyConfig
	// TwoFactorIssuer is how authenticators call the exchange.
	TwoFactorIssuer string `json:",default=mscoin"`
	// Sender says how verification codes reach people.
	Sender SenderConfig
	// Telemetry says how the process is watched, when the service runs as one of its own.
	Telemetry telemetry.Config `json:",optional"`
}

// MasterKey is a key that encrypts secrets at rest.
type MasterKey struct {
	// ID is stored with each secret and never changes.
	ID string
	// Key is 32 random bytes in base64.
	Key string
}

// SessionConfig has the lives of sessions.
type SessionConfig struct {
	// AccessSeconds is the life of an access token.
	AccessSeconds int64 `json:",default=900,range=[10:86400]"`
	// RefreshSeconds is the life of a refresh token that is not used.
	RefreshSeconds int64 `json:",default=604800,range=[60:31536000]"`
	// SessionSeconds is the life of a session, however often it is refreshed.
	SessionSeconds int64 `json:",default=2592000,range=[60:31536000]"`
	// MaxPerMember bounds a member's sessions; a new one ends the oldest.
	MaxPerMember int `json:",default=20,range=[1:1000]"`
}

// PasswordConfig is the cost of a password hash (argon2id).
type PasswordConfig struct {
	// MemoryKiB is the memory of one hash.
	MemoryKiB uint32 `json:",default=65536,range=[8:1048576]"`
	// Time is the number of passes over it.
	Time uint32 `json:",default=2,range=[1:64]"`
	// Threads is the number of lanes.
	Threads uint8 `json:",default=2,range=[1:64]"`
	// Parallel bounds the hashes computed at a time.
	Parallel int `json:",default=2,range=[1:256]"`
	// Waiting bounds the requests that wait for their turn.
	Waiting int `json:",default=32,range=[0:10000]"`
}

// LimitConfig has the limits against guessing and against sending too much.
type LimitConfig struct {
	// CodeSeconds is the life of a verification code.
	CodeSeconds int64 `json:",default=600,range=[30:86400]"`
	// CodeAttempts is how often a code may be tried.
	CodeAttempts int `json:",default=5,range=[1:20]"`
	// CodesPerContactSeconds is the time between two codes to one contact.
	CodesPerContactSeconds int64 `json:",default=60,range=[1:86400]"`
	// CodesPerContactDay bounds the codes to one contact in a day.
	CodesPerContactDay int `json:",default=10,range=[1:1000]"`
	// CodesPerAddressHour bounds the codes one client address asks for in an hour.
	CodesPerAddressHour int `json:",default=20,range=[1:1000000]"`
	// RegistersPerAddressHour bounds the registrations tried from one address in an hour.
	RegistersPerAddressHour int `json:",default=60,range=[1:1000000]"`
	// LoginsPerContactAddress bounds failed logins of a contact from one address in 15 minutes.
	LoginsPerContactAddress int `json:",default=10,range=[1:1000000]"`
	// LoginsPerContact bounds failed logins of a contact from everywhere in 15 minutes.
	LoginsPerContact int `json:",default=100,range=[1:1000000]"`
	// LoginsPerAddress bounds failed logins from one address in 15 minutes.
	LoginsPerAddress int `json:",default=100,range=[1:1000000]"`
	// TwoFactorPerMember bounds a member's wrong codes of the second factor in 15 minutes.
	TwoFactorPerMember int `json:",default=5,range=[1:1000]"`
}

// APIKeyConfig has the limits of API keys.
type APIKeyConfig struct {
	// MaxPerMember bounds a member's keys.
	MaxPerMember int `json:",default=30,range=[1:1000]"`
	// CacheSeconds is how long keys and sessions are remembered, so how long another
	// instance may accept one that was deleted here.
	CacheSeconds int64 `json:",default=5,range=[1:300]"`
	// CacheSize bounds the keys, and the sessions, that are remembered.
	CacheSize int `json:",default=10000,range=[1:1000000]"`
}

// SenderConfig says how verification codes reach people.
type SenderConfig struct {
	// Email is none, log (demo and dev only) or smtp.
	Email string `json:",default=none,options=none|log|smtp"`
	// Phone is none or log (demo and dev only).
	Phone string `json:",default=none,options=none|log"`
	// SMTP is the mail server.
	SMTP SMTPConfig
}

// SMTPConfig is a mail server.
type SMTPConfig struct {
	// Addr is host:port.
	Addr string `json:",optional"`
	// Security is starttls, tls (from the first byte) or plain (no login then).
	Security string `json:",default=starttls,options=starttls|tls|plain"`
	// User and Password log in.
	User     string `json:",optional"`
	Password string `json:",optional"`
	// From is the sender's address.
	From string `json:",optional"`
	// Product is the name that messages begin with.
	Product string `json:",default=mscoin"`
}

// SetDefaults fills in what is zero, for a Config made in code; one read from a file has
// its defaults already.
func (c *Config) SetDefaults() {
	set(&c.Name, "ucenter")
	set(&c.ListenOn, "127.0.0.1:8101")
	set(&c.Profile, ProfileNormal)
	set(&c.Session.AccessSeconds, 900)
	set(&c.Session.RefreshSeconds, 604800)
	set(&c.Session.SessionSeconds, 2592000)
	set(&c.Session.MaxPerMember, 20)
	set(&c.Password.MemoryKiB, 65536)
	set(&c.Password.Time, 2)
	set(&c.Password.Threads, 2)
	set(&c.Password.Parallel, 2)
	set(&c.Password.Waiting, 32)
	set(&c.Limit.CodeSeconds, 600)
	set(&c.Limit.CodeAttempts, 5)
	set(&c.Limit.CodesPerContactSeconds, 60)
	set(&c.Limit.CodesPerContactDay, 10)
	set(&c.Limit.CodesPerAddressHour, 20)
	set(&c.Limit.RegistersPerAddressHour, 60)
	set(&c.Limit.LoginsPerContactAddress, 10)
	set(&c.Limit.LoginsPerContact, 100)
	set(&c.Limit.LoginsPerAddress, 100)
	set(&c.Limit.TwoFactorPerMember, 5)
	set(&c.TwoFactorIssuer, "mscoin")
	set(&c.APIKey.MaxPerMember, 30)
	set(&c.APIKey.CacheSeconds, 5)
	set(&c.APIKey.CacheSize, 10000)
	set(&c.Sender.Email, "none")
	set(&c.Sender.Phone, "none")
	set(&c.Sender.SMTP.Security, string(notify.STARTTLS))
	set(&c.Sender.SMTP.Product, "mscoin")
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Least cost of a password hash of a normal installation.
const (
	minMemoryKiB = 19 * 1024
	minTime      = 2
)

// Watched says how the process is watched.
func (c *Config) Watched() telemetry.Config { return c.Telemetry }

// Validate reports what is wrong with the configuration, without showing a secret.
func (c *Config) Validate() error {
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	check(c.Profile == ProfileNormal || c.Profile == ProfileDemo || c.Profile == ProfileDev, "Profile is neither normal, demo nor dev")
	check(c.InternalToken != "", "InternalToken is missing")
	check(len(c.AccessSecret) >= token.MinSecretBytes, "AccessSecret needs 32 bytes")
	check(c.PreviousAccessSecret == "" || len(c.PreviousAccessSecret) >= token.MinSecretBytes, "PreviousAccessSecret needs 32 bytes")
	check(c.Session.AccessSeconds <= c.Session.RefreshSeconds && c.Session.RefreshSeconds <= c.Session.SessionSeconds,
		"Session: an access token must not outlive a refresh token, nor that its session")
	check(c.Limit.TwoFactorPerMember >= 1 && c.TwoFactorIssuer != "" && !strings.Contains(c.TwoFactorIssuer, ":"),
		"Limit.TwoFactorPerMember must be positive, TwoFactorIssuer a name without a colon")
	check(c.Session.MaxPerMember >= 1 && c.APIKey.MaxPerMember >= 1 && c.APIKey.CacheSize >= 1 && c.APIKey.CacheSeconds >= 1,
		"Session.MaxPerMember and the limits of APIKey must be positive")
	if _, err := c.masterKeys(); err != nil {
		problems = append(problems, err)
	}
	if _, err := c.hashKey(); err != nil {
		problems = append(problems, err)
	}
	if c.Profile == ProfileNormal {
		check(len(c.InternalToken) >= minTokenBytes, "InternalToken needs 24 bytes")
		check(!c.usesKnownSecret(), "a secret of the development profile is in use: make your own, for example with openssl rand -base64 32")
		check(c.Sender.Email != "log" && c.Sender.Phone != "log", "Sender: codes may not be written to the log")
		check(c.Password.MemoryKiB >= minMemoryKiB && c.Password.Time >= minTime,
			"Password: a hash needs 19456 KiB and 2 passes at least")
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("configuration of ucenter: %w", err)
	}
	return nil
}

// usesKnownSecret reports whether a secret is one of those in this file.
func (c *Config) usesKnownSecret() bool {
	if c.InternalToken == DevInternalToken || c.AccessSecret == DevAccessSecret || c.PreviousAccessSecret == DevAccessSecret ||
		c.HashKey == DevMasterKey {
		return true
	}
	for _, k := range c.MasterKeys {
		if k.Key == DevMasterKey {
			return true
		}
	}
	return false
}

// masterKeys decodes the master keys.
func (c *Config) masterKeys() ([]secret.MasterKey, error) {
	keys := make([]secret.MasterKey, len(c.MasterKeys))
	for i, k := range c.MasterKeys {
		raw, err := base64.StdEncoding.DecodeString(k.Key)
		if err != nil {
			return nil, fmt.Errorf("MasterKeys: key %q is not base64", k.ID)
		}
		keys[i] = secret.MasterKey{ID: k.ID, Key: raw}
	}
	if _, err := secret.NewBox(keys); err != nil {
		return nil, fmt.Errorf("MasterKeys: %w", err)
	}
	return keys, nil
}

// hashKey returns the key of the hashes in the database.
func (c *Config) hashKey() ([]byte, error) {
	source := c.HashKey
	if source == "" && len(c.MasterKeys) > 0 {
		source = c.MasterKeys[0].Key
	}
	raw, err := base64.StdEncoding.DecodeString(source)
	if err != nil || len(raw) != secret.MasterKeyBytes {
		return nil, errors.New("HashKey is not 32 bytes in base64")
	}
	return secret.Derive(raw, "hashes in the database")
}

const (
	hour        = time.Hour
	day         = 24 * time.Hour
	loginWindow = 15 * time.Minute
)

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// policy turns the configuration into the numbers of the use cases.
func (c *Config) policy() app.Policy {
	return app.Policy{
		CodeTTL:                 seconds(c.Limit.CodeSeconds),
		CodeAttempts:            c.Limit.CodeAttempts,
		CodesPerContact:         app.Limit{Count: 1, Window: seconds(c.Limit.CodesPerContactSeconds)},
		CodesPerContactDay:      app.Limit{Count: c.Limit.CodesPerContactDay, Window: day},
		CodesPerAddress:         app.Limit{Count: c.Limit.CodesPerAddressHour, Window: hour},
		RegistersPerAddress:     app.Limit{Count: c.Limit.RegistersPerAddressHour, Window: hour},
		LoginsPerContactAddress: app.Limit{Count: c.Limit.LoginsPerContactAddress, Window: loginWindow},
		LoginsPerContact:        app.Limit{Count: c.Limit.LoginsPerContact, Window: loginWindow},
		LoginsPerAddress:        app.Limit{Count: c.Limit.LoginsPerAddress, Window: loginWindow},
		AccessTTL:               seconds(c.Session.AccessSeconds),
		RefreshTTL:              seconds(c.Session.RefreshSeconds),
		SessionTTL:              seconds(c.Session.SessionSeconds),
		TwoFactorPerMember:      app.Limit{Count: c.Limit.TwoFactorPerMember, Window: loginWindow},
		TwoFactorIssuer:         c.TwoFactorIssuer,
		MaxSessions:             c.Session.MaxPerMember,
		MaxAPIKeys:              c.APIKey.MaxPerMember,
		CacheTTL:                seconds(c.APIKey.CacheSeconds),
		CacheSize:               c.APIKey.CacheSize,
	}
}

func (c *Config) passwordParams() password.Params {
	return password.Params{MemoryKiB: c.Password.MemoryKiB, Time: c.Password.Time, Threads: c.Password.Threads}
}
