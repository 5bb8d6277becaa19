package member

import (
	"strconv"

	"mscoin/mscoin-common/errs"
)

// Bounds of display names, in bytes.
const (
	// MinUsernameBytes is the shortest display name.
	MinUsernameBytes = 3
	// MaxUsernameBytes is the longest display name.
	MaxUsernameBytes = 32
)

// ErrUsername is returned for a display name that breaks the rules.
var ErrUsername = errs.New(errs.KindInvalidArgument, errs.CodeBadUsername,
	"a display name has 3 to 32 letters, digits, dots, hyphens or underscores, and starts and ends with a letter or digit")

// CheckUsername applies the rules of display names. They are ASCII, so that two names
// that look the same are the same. They are not unique. It returns ErrUsername.
func CheckUsername(name string) error {
	if len(name) < MinUsernameBytes || len(name) > MaxUsernameBytes {
		return ErrUsername
	}
	for i := range len(name) {
		edge := i == 0 || i == len(name)-1
		switch c := name[i]; {
		case isAlnum(c):
		case !edge && (c == '.' || c == '-' || c == '_'):
		default:
			return ErrUsername
		}
	}
	return nil
}

// DefaultUsername makes up a display name from the member id, so that it says nothing
// of the member's address.
func DefaultUsername(memberID int64) string {
	return "member-" + strconv.FormatInt(memberID, 10)
}
