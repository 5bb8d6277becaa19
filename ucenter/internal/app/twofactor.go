package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"mscoin/mscoin-common/errs"
)

// Refusals of the second factor.
var (
	// ErrTwoFactorRequired is returned when a member has no second factor.
	ErrTwoFactorRequired = errs.New(errs.KindFailedPrecondition, errs.CodeTwoFactorRequired, "this needs a second factor: enrol one first")
	// ErrBadTwoFactorCode is returned for a code that is wrong, too old or used before.
	ErrBadTwoFactorCode = errs.New(errs.KindFailedPrecondition, errs.CodeBadTwoFactorCode, "code of the second factor is wrong, too old or used before")
	// ErrTwoFactorEnabled is returned when a member enrols who has a second factor.
	ErrTwoFactorEnabled = errs.New(errs.KindFailedPrecondition, errs.CodeTwoFactorEnabled, "a second factor is enrolled already")
)

const (
	// totpSeconds is how long a code lasts, totpSkew how many codes before and after the
	// present one are accepted (RFC 6238 5.2).
	totpSeconds = 30
	totpSkew    = 1
	totpDigits  = 6
	// totpSecretBytes is the key's length that RFC 4226 recommends.
	totpSecretBytes = 20
	maxPurpose      = 1024
)

// TwoFactor is a member's second factor as stored. It counts once it is enabled.
type TwoFactor struct {
	MemberID    int64
	SecretKeyID string
	Secret      []byte
	Enabled     bool
	// Step is the time step of the code that was used last, Purpose the hash of what for.
	Step    int64
	Purpose string
	// CreatedMs tells one enrolment from the next.
	CreatedMs int64
}

// sealContext binds a sealed secret to its owner and enrolment.
func (f *TwoFactor) sealContext() []byte {
	return []byte("totp v1\x00" + strconv.FormatInt(f.MemberID, 10) + "\x00" + strconv.FormatInt(f.CreatedMs, 10))
}

// HasTwoFactor reports whether a member has a second factor.
func (a *App) HasTwoFactor(ctx context.Context, memberID int64) (bool, error) {
	f, ok, err := a.Store.TwoFactor(ctx, memberID)
	if err != nil {
		return false, fmt.Errorf("second factor: %w", err)
	}
	return ok && f.Enabled, nil
}

// EnrollTwoFactor makes a secret for a member, in place of one that was not confirmed, and
// returns it with its otpauth:// URI. It returns ErrUnknownMember and ErrTwoFactorEnabled.
func (a *App) EnrollTwoFactor(ctx context.Context, memberID int64) (secretText, uri string, err error) {
	m, err := a.GetMember(ctx, memberID)
	if err != nil {
		return "", "", err
	}
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: a.policy.TwoFactorIssuer, AccountName: m.Username, Period: totpSeconds, SecretSize: totpSecretBytes,
		Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1, // what every authenticator knows
	})
	if err != nil {
		return "", "", fmt.Errorf("make second factor: %w", err)
	}
	f := TwoFactor{MemberID: memberID, CreatedMs: a.Clock.NowMs()}
	f.SecretKeyID, f.Secret = a.Box.Seal([]byte(key.Secret()), f.sealContext())
	if err := a.Store.EnrollTwoFactor(ctx, f); err != nil {
		return "", "", fmt.Errorf("enrol second factor: %w", err)
	}
	return key.Secret(), key.URL(), nil
}

// ConfirmTwoFactor turns the enrolled second factor on. Repeating it with the same code is
// fine. It returns ErrTwoFactorRequired when none is enrolled, ErrBadTwoFactorCode and
// ErrRateLimited.
func (a *App) ConfirmTwoFactor(ctx context.Context, memberID int64, code string) error {
	return a.useTwoFactor(ctx, memberID, code, "confirm", false)
}

// DisableTwoFactor turns the second factor off. It returns ErrTwoFactorRequired when it is
// off, ErrBadTwoFactorCode and ErrRateLimited.
func (a *App) DisableTwoFactor(ctx context.Context, memberID int64, code string) error {
	if err := a.useTwoFactor(ctx, memberID, code, "disable", true); err != nil {
		return err
	}
	if err := a.Store.DeleteTwoFactor(ctx, memberID); err != nil {
		return fmt.Errorf("disable second factor: %w", err)
	}
	return nil
}

// VerifyTwoFactor checks a code that comes with a request. Purpose is everything that the
// request does: the same code is good for the same purpose again, so that a request may be
// repeated, and for no other. It returns ErrTwoFactorRequired, ErrBadTwoFactorCode and
// ErrRateLimited.
func (a *App) VerifyTwoFactor(ctx context.Context, memberID int64, code, purpose string) error {
	if purpose == "" || len(purpose) > maxPurpose {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "purpose has 1 to 1024 bytes")
	}
	return a.useTwoFactor(ctx, memberID, code, "for "+purpose, true)
}

// useTwoFactor checks a code and uses it up. Every attempt counts against the member's
// limit until one succeeds.
func (a *App) useTwoFactor(ctx context.Context, memberID int64, code, purpose string, enabled bool) error {
	f, ok, err := a.Store.TwoFactor(ctx, memberID)
	if err != nil {
		return fmt.Errorf("second factor: %w", err)
	}
	if !ok || enabled && !f.Enabled {
		return ErrTwoFactorRequired
	}
	buckets := []Bucket{bucket("two-factor", strconv.FormatInt(memberID, 10), a.policy.TwoFactorPerMember)}
	if err := a.take(ctx, buckets); err != nil {
		return err
	}
	step, err := a.matchCode(&f, code)
	if err == nil && step == 0 {
		return ErrBadTwoFactorCode
	}
	if err == nil {
		f.Step, f.Purpose = step, a.mac("two factor purpose", strconv.FormatInt(memberID, 10), purpose)
		err = a.Store.UseTwoFactor(ctx, f)
	}
	if errors.Is(err, ErrBadTwoFactorCode) {
		return err
	}
	// Right, or not the member's fault: neither must use up the limit.
	return errors.Join(err, a.Store.PutBack(context.WithoutCancel(ctx), buckets, a.Clock.NowMs()))
}

// matchCode returns the time step whose code it is, 0 for none.
func (a *App) matchCode(f *TwoFactor, code string) (int64, error) {
	plain, err := a.Box.Open(f.SecretKeyID, f.Secret, f.sealContext())
	if err != nil {
		return 0, fmt.Errorf("second factor of member %d: %w", f.MemberID, err)
	}
	if len(code) != totpDigits {
		return 0, nil
	}
	now := a.Clock.Now().Unix() / totpSeconds
	opts := hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}
	for step := now - totpSkew; step <= now+totpSkew; step++ {
		good, err := hotp.ValidateCustom(code, uint64(step), string(plain), opts)
		if err != nil {
			return 0, fmt.Errorf("second factor of member %d: %w", f.MemberID, err)
		}
		if good {
			return step, nil
		}
	}
	return 0, nil
}
