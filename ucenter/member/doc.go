// Package member holds the rules about members that need no database: what an
// e-mail address, a phone number, a password, a display name and an API key may look
// like, and what an API key may be used for.
//
// Every parser checks the length of its input first, so that a request of a megabyte
// costs as little as a short one, and returns one normal form, so that two spellings
// of the same thing compare equal. Parsers return an *errs.Error that says which rule
// was broken and never repeats a password, a code or a secret.
//
// The package does no I/O, reads no clock and starts no goroutine.
package member
