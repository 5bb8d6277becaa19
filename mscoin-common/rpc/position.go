package rpc

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// positionKey is the trailer that names the record behind a refusal.
const positionKey = "mscoin-position"

// SendPosition lets a refusal name the record (symbol and number) that carries it: a refusal has no other
// answer to put it in, and what the record gives back must be seen by the caller's next reads. It is called
// by a handler, before it returns the error.
func SendPosition(ctx context.Context, symbol string, seq int64) error {
	if err := grpc.SetTrailer(ctx, metadata.Pairs(positionKey, symbol+" "+strconv.FormatInt(seq, 10))); err != nil {
		return fmt.Errorf("send position: %w", err)
	}
	return nil
}

// Position reads what SendPosition has sent from the trailer of a call (grpc.Trailer); ok is false when
// there is none.
func Position(trailer metadata.MD) (symbol string, seq int64, ok bool) {
	values := trailer.Get(positionKey)
	if len(values) != 1 {
		return "", 0, false
	}
	symbol, number, _ := strings.Cut(values[0], " ")
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil || symbol == "" || seq <= 0 {
		return "", 0, false
	}
	return symbol, seq, true
}
