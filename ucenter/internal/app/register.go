package app

import (
	"context"
	"errors"
	"fmt"

	"mscoin/mscoin-common/errs"
	"mscoin/ucenter/internal/secret"
	"mscoin/ucenter/member"
)

// SendVerificationCode sends a code to a contact. Whether the contact is registered
// makes no difference to the answer: its owner then gets a message that says so, and
// the code stored is one that nobody knows. It returns member.ErrContact, ErrNotOffered
// and ErrRateLimited.
func (a *App) SendVerificationCode(ctx context.Context, typ member.ContactType, text, clientIP string) error {
	contact, err := member.ParseContact(typ, text)
	if err != nil {
		return err
	}
	if !a.Sender.Offers(contact.Type) {
		return ErrNotOffered
	}
	hash := a.contactHash(contact)
	buckets := append(addressBucket("code-ip", clientIP, a.policy.CodesPerAddress),
		bucket("code", hash, a.policy.CodesPerContact), bucket("code-day", hash, a.policy.CodesPerContactDay))
	if err := a.take(ctx, buckets); err != nil {
		return err
	}
	code, err := secret.Text(member.CodeDigits, "0123456789")
	if err != nil {
		return err
	}
	registered, err := a.isRegistered(ctx, contact)
	if err != nil {
		return err
	}
	if err := a.Store.SaveCode(ctx, Code{
		ContactHash: hash,
		CodeHash:    a.codeHash(hash, code),
		ExpiresMs:   a.Clock.NowMs() + a.policy.CodeTTL.Milliseconds(),
	}); err != nil {
		return fmt.Errorf("save verification code: %w", err)
	}
	message := Message{To: contact, ValidFor: a.policy.CodeTTL}
	if !registered {
		message.Code = code
	}
	if err := a.Sender.Send(ctx, message); err != nil {
		// Nothing was sent, so nothing is counted: the client may try again at once.
		return errors.Join(fmt.Errorf("send verification code: %w", err), a.Store.PutBack(ctx, buckets, a.Clock.NowMs()))
	}
	return nil
}

// Registration is what a new member sends.
type Registration struct {
	// Type and Contact are how the member is reached.
	Type    member.ContactType
	Contact string
	// Code is the verification code sent there.
	Code string
	// Password is the new password.
	Password string
	// Username is the display name; empty makes one up.
	Username string
	// ClientIP is the client's address, empty when not known.
	ClientIP string
}

// Register makes a member of somebody who has received a code. It returns the errors of
// package member, ErrBadCode and ErrRateLimited.
func (a *App) Register(ctx context.Context, r Registration) (Member, error) {
	contact, err := checkNewMember(r.Type, r.Contact, r.Password, r.Username)
	if err != nil {
		return Member{}, err
	}
	if !member.ValidCode(r.Code) {
		return Member{}, ErrBadCode
	}
	if err := a.take(ctx, addressBucket("register-ip", r.ClientIP, a.policy.RegistersPerAddress)); err != nil {
		return Member{}, err
	}
	hash := a.contactHash(contact)
	use := Code{ContactHash: hash, CodeHash: a.codeHash(hash, r.Code)}
	// The code comes first: hashing a password is too dear to do for everybody.
	good, err := a.Store.TryCode(ctx, use.ContactHash, use.CodeHash, a.policy.CodeAttempts, a.Clock.NowMs())
	if err != nil {
		return Member{}, fmt.Errorf("check verification code: %w", err)
	}
	if !good {
		return Member{}, ErrBadCode
	}
	return a.addMember(ctx, contact, r.Password, r.Username, &use)
}

// CreateMember makes a member without a code; for operators. It returns the errors of
// package member, and ErrMemberExists when the address is registered, whatever the
// password.
func (a *App) CreateMember(ctx context.Context, email, password, username string) (Member, error) {
	contact, err := checkNewMember(member.Email, email, password, username)
	if err != nil {
		return Member{}, err
	}
	registered, err := a.isRegistered(ctx, contact)
	if err != nil {
		return Member{}, err
	}
	if registered {
		return Member{}, ErrMemberExists
	}
	return a.addMember(ctx, contact, password, username, nil)
}

func checkNewMember(typ member.ContactType, text, password, username string) (member.Contact, error) {
	contact, err := member.ParseContact(typ, text)
	if err != nil {
		return contact, err
	}
	if username != "" {
		if err := member.CheckUsername(username); err != nil {
			return contact, err
		}
	}
	return contact, member.CheckPassword(password, contact, username)
}

func (a *App) addMember(ctx context.Context, contact member.Contact, password, username string, use *Code) (Member, error) {
	hash, err := a.Passwords.Hash(ctx, password)
	if err != nil {
		return Member{}, fmt.Errorf("hash password: %w", err)
	}
	id, err := a.IDs.Next(ctx)
	if err != nil {
		return Member{}, fmt.Errorf("member id: %w", err)
	}
	m := Member{ID: id, Username: username, CreatedMs: a.Clock.NowMs()}
	if username == "" {
		m.Username = member.DefaultUsername(id)
	}
	switch contact.Type {
	case member.Email:
		m.Email = contact.Value
	case member.Phone:
		m.Phone = contact.Value
	}
	if err := a.Store.AddMember(ctx, m, hash, use); err != nil {
		return Member{}, fmt.Errorf("add member: %w", err)
	}
	return m, nil
}

func (a *App) isRegistered(ctx context.Context, c member.Contact) (bool, error) {
	_, _, err := a.Store.MemberByContact(ctx, c)
	if errs.CodeOf(err) == errs.CodeUnknownMember {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find member: %w", err)
	}
	return true, nil
}

// codeHash binds a code to its contact. Six digits are quickly tried out, so the hash
// needs the key that is not in the database.
func (a *App) codeHash(contactHash, code string) string {
	return a.mac("verification code", contactHash, code)
}
