package spot

import (
	"context"
	"strconv"
	"strings"
	"time"

	"mscoin/gateway/internal/param"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
)

const (
	// KeyHeader carries the public part of the API key.
	KeyHeader = "X-MBX-APIKEY"

	defaultRecvWindow = 5000 * time.Millisecond
	maxRecvWindow     = 60_000 * time.Millisecond
	maxAhead          = 1000 * time.Millisecond
	maxSignatureBytes = 1024
)

// authenticate tells whose a signed request is. The order of its checks is what
// clients see: key format, presence of timestamp and signature, time, signature.
// Nothing has been done when it fails.
func (a *API) authenticate(ctx context.Context, c *call, permission ucenterpb.Permission) error {
	key := c.header.Get(KeyHeader)
	if !isAPIKey(key) {
		return errKeyFormat
	}
	d := &decoder{values: c.values}
	d.mandatory("timestamp")
	signature := d.mandatory(signatureName)
	window := d.recvWindow()
	sentAt := d.timestamp()
	if err := d.err(); err != nil {
		return err
	}
	if failure := a.checkTime(sentAt, window); failure != nil {
		return failure
	}
	if len(signature) > maxSignatureBytes {
		return errSignature
	}
	resp, err := a.backends.Ucenter.VerifySignature(ctx, &ucenterpb.VerifySignatureRequest{
		Key: key, Payload: c.raw.SignedPayload(), Signature: signature, ClientIp: c.address, Permission: permission,
	})
	if err != nil {
		return failureOfAuth(err)
	}
	// The check took time of the window: an order that is stale by now must not go on.
	if failure := a.checkTime(sentAt, window); failure != nil {
		return failure
	}
	c.member = resp.GetMemberId()
	return nil
}

const signatureName = "signature"

// isAPIKey checks what any key looks like; whether it exists is ucenter's to say.
func isAPIKey(key string) bool {
	return len(key) >= 16 && matches(key, 128, func(c byte) bool {
		return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	})
}

// checkTime accepts ts < now + 1 s and now − ts ≤ window.
func (a *API) checkTime(sentAt time.Time, window time.Duration) *Failure {
	now := a.clk.Now()
	if !sentAt.Before(now.Add(maxAhead)) {
		return errAhead
	}
	if now.Sub(sentAt) > window {
		return errOutsideWindow
	}
	return nil
}

// timestamp returns the time that was sent, in ms or µs.
func (d *decoder) timestamp() time.Time {
	n := d.long("timestamp")
	if n >= microsecondsFrom {
		return time.UnixMicro(n)
	}
	return time.UnixMilli(n)
}

// recvWindow returns how long the request is good for.
func (d *decoder) recvWindow() time.Duration {
	text := d.text("recvWindow")
	if text == "" {
		return defaultRecvWindow
	}
	whole, fraction, pointed := strings.Cut(text, ".")
	if !param.IsLong(whole) || pointed && (!param.IsLong(fraction) || len(fraction) > 3) {
		d.fail(errIllegal("recvWindow", recvWindowPattern))
		return 0
	}
	micros, err := strconv.ParseInt(whole+(fraction + "000")[:3], 10, 64)
	if err != nil || micros > maxRecvWindow.Microseconds() {
		d.fail(errRecvWindow)
		return 0
	}
	return time.Duration(micros) * time.Microsecond
}
