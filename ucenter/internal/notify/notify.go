// Package notify delivers messages to members: by e-mail, or to the log of a
// development installation. Deliveries run in the background, so that the time of an
// answer says nothing about the receiver.
package notify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/member"
)

// Deliverer delivers one message and returns when it is done.
type Deliverer interface {
	Deliver(ctx context.Context, m app.Message) error
}

// Log delivers to the log: for development only, because the log then holds codes.
type Log struct{}

// Deliver writes the message to the log.
func (Log) Deliver(ctx context.Context, m app.Message) error {
	logx.WithContext(ctx).Infof("message to %s: %s", m.To.Value, strings.ReplaceAll(text(m), "\r\n", " "))
	return nil
}

// subject is the same for all messages to a contact, as their number is.
func subject(product string) string { return product + ": your registration" }

// text is the body of a message, in ASCII with lines ended by CR LF.
func text(m app.Message) string {
	if m.Code == "" {
		return "Somebody, perhaps you, asked for a verification code for this address.\r\n" +
			"It is registered already: log in instead. If it was not you, nothing needs to be done.\r\n"
	}
	return fmt.Sprintf("Your verification code is %s. It is valid for %d minutes.\r\n"+
		"Never give it to anybody, whoever asks. If you did not ask for it, nothing needs to be done.\r\n",
		m.Code, int(m.ValidFor/time.Minute))
}

// kind names a contact's type in logs; the contact itself is personal.
func kind(c member.Contact) string {
	switch c.Type {
	case member.Email:
		return "an e-mail address"
	case member.Phone:
		return "a phone"
	default:
		return "a contact"
	}
}
