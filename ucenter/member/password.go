package member

import (
	"slices"
	"strings"

	"mscoin/mscoin-common/errs"
)

// Bounds of passwords. A long password is good, but hashing reads all of it.
const (
	// MinPasswordRunes is the shortest password, in characters.
	MinPasswordRunes = 8
	// MaxPasswordBytes is the longest password, in bytes.
	MaxPasswordBytes = 128

	minDistinctRunes = 4
)

// ErrPassword is returned for a password that breaks a rule; the detail says which.
var ErrPassword = errs.New(errs.KindInvalidArgument, errs.CodeWeakPassword, "password is not acceptable")

// guessedFirst are the passwords of eight characters or more that attackers try first.
var guessedFirst = []string{
	"11111111", "12345678", "123456789", "1234567890", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "abcd1234", "admin123", "asdfghjkl",
	"baseball", "changeme", "computer", "football", "iloveyou", "letmein1", "michelle", "p@ssw0rd", "passw0rd", "password",
	"password1", "password12", "password123", "princess", "q1w2e3r4", "qazwsxedc", "qwer1234", "qwerty12", "qwerty123", "qwertyui",
	"qwertyuiop", "starwars", "sunshine", "superman", "trustno1", "welcome1", "zaq12wsx",
}

// CheckPassword applies the password rules to a new password: length, no control
// characters, not one of the first guesses, not the member's own name or address.
// There is no rule about kinds of characters: such rules make passwords worse.
// It returns ErrPassword, never with the password in it.
func CheckPassword(password string, contact Contact, username string) error {
	if len(password) > MaxPasswordBytes {
		return ErrPassword.With("at most 128 bytes")
	}
	runes := []rune(password)
	if len(runes) < MinPasswordRunes {
		return ErrPassword.With("at least 8 characters")
	}
	if !printable(password) {
		return ErrPassword.With("no control characters, and valid UTF-8")
	}
	slices.Sort(runes)
	if len(slices.Compact(runes)) < minDistinctRunes {
		return ErrPassword.With("too few different characters")
	}
	lower := strings.ToLower(password)
	if slices.Contains(guessedFirst, lower) {
		return ErrPassword.With("one of the most common passwords")
	}
	local, _, _ := strings.Cut(contact.Value, "@")
	if lower == contact.Value || lower == local || username != "" && lower == strings.ToLower(username) {
		return ErrPassword.With("the same as the name or address")
	}
	return nil
}

// PlausiblePassword reports whether a password given at login is worth hashing: the
// rules for new passwords may have changed since it was set, the bounds have not.
func PlausiblePassword(password string) bool {
	return password != "" && len(password) <= MaxPasswordBytes
}

// printable reports whether s is valid UTF-8 without control characters.
func printable(s string) bool {
	for i, r := range s {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return false
		}
		if r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD") { // an invalid byte, not the character itself
			return false
		}
	}
	return true
}
