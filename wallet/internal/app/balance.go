package app

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"mscoin/mscoin-common/money"
)

// Deposit credits amount to the member from the world and returns its balance.
// Repeating a reference with the same content credits nothing and says so.
//
// Errors: IDEMPOTENCY_MISMATCH; UNKNOWN_COIN; BAD_REQUEST and the codes of malformed
// numbers; NUMBER_OUT_OF_RANGE when the balance would not fit.
func (a *App) Deposit(ctx context.Context, reference string, memberID int64, coin, text string) (w Wallet, repeated bool, err error) {
	if !validID(memberID) || reference == "" || utf8.RuneCountInString(reference) > maxReference || !printable(reference) {
		return Wallet{}, false, badRequest("member and a reference of 1 to 64 printable characters")
	}
	if strings.HasPrefix(reference, chainReference) {
		return Wallet{}, false, badRequest("references that begin with chain: are of deposits by a chain")
	}
	c, err := a.coin(ctx, coin)
	if err != nil {
		return Wallet{}, false, err
	}
	units, err := amount(text, c, "amount")
	if err != nil {
		return Wallet{}, false, err
	}
	w, repeated, err = a.store.Deposit(ctx, Deposit{Reference: reference, MemberID: memberID, Coin: c.Name, Amount: units})
	if err != nil {
		return Wallet{}, false, fmt.Errorf("deposit: %w", err)
	}
	w.Scale = c.Scale
	return w, repeated, nil
}

// printable refuses control characters and broken UTF-8, which a reference would
// carry into reports.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Wallets returns the member's balances once the settlement has reached every
// position of after. Errors: UNAVAILABLE when it has not within a second; UNKNOWN_COIN.
func (a *App) Wallets(ctx context.Context, memberID int64, coin string, after []Position) ([]Wallet, error) {
	if !validID(memberID) {
		return nil, badRequest("member")
	}
	if coin != "" {
		if _, err := a.coin(ctx, coin); err != nil {
			return nil, err
		}
	}
	if err := a.wait(ctx, after); err != nil {
		return nil, err
	}
	wallets, err := a.store.Wallets(ctx, memberID, coin)
	if err != nil {
		return nil, fmt.Errorf("wallets of member %d: %w", memberID, err)
	}
	return wallets, nil
}

// wait returns once every position has been applied, or ErrBehind.
func (a *App) wait(ctx context.Context, after []Position) error {
	if len(after) == 0 {
		return nil
	}
	if len(after) > maxReadAfter {
		return badRequest("too many positions to read after")
	}
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		for _, p := range after {
			if err := a.settled.WaitApplied(wait, p.Symbol, p.Seq); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("wait for settlement: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ErrBehind.Wrap(ctx.Err())
	case <-a.clk.After(readAfterWait):
		return ErrBehind
	}
}

// Transactions returns a page of the member's journal, newest first, and the token
// of the next page, empty at the end. Errors: BAD_REQUEST for a page size outside
// 0 to 500 or a token that is not one of ours; UNKNOWN_COIN.
func (a *App) Transactions(ctx context.Context, q TransactionQuery, pageSize int, token string) (lines []Transaction, next string, err error) {
	if pageSize == 0 {
		pageSize = defaultPage
	}
	if !validID(q.MemberID) || pageSize < 1 || pageSize > maxPage {
		return nil, "", badRequest("member, and a page size of 1 to 500")
	}
	if q.Coin != "" {
		if _, err := a.coin(ctx, q.Coin); err != nil {
			return nil, "", err
		}
	}
	if q.After, err = parseToken(token); err != nil {
		return nil, "", err
	}
	lines, err = a.store.Transactions(ctx, q, pageSize+1)
	if err != nil {
		return nil, "", fmt.Errorf("transactions of member %d: %w", q.MemberID, err)
	}
	if len(lines) <= pageSize {
		return lines, "", nil
	}
	lines = lines[:pageSize]
	last := lines[pageSize-1]
	return lines, formatToken(Cursor{TimeMs: last.TimeMs, TxID: last.TxID, Line: last.Line}), nil
}

func formatToken(c Cursor) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%d", c.TimeMs, c.TxID, c.Line))
}

func parseToken(token string) (Cursor, error) {
	if token == "" {
		return Cursor{}, nil
	}
	var c Cursor
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d.%d.%d", &c.TimeMs, &c.TxID, &c.Line)
	}
	if err != nil || c.TxID <= 0 || formatToken(c) != token {
		return Cursor{}, badRequest("page token")
	}
	return c, nil
}

// Coins returns the listed coins by name.
func (a *App) Coins(ctx context.Context) ([]Coin, error) {
	coins, err := a.store.Coins(ctx)
	if err != nil {
		return nil, fmt.Errorf("list coins: %w", err)
	}
	return coins, nil
}

// CreateCoin lists a coin. Repeating it with the same content is no error.
// Errors: COIN_EXISTS when the name is taken by another; BAD_REQUEST.
func (a *App) CreateCoin(ctx context.Context, c Coin) (Coin, error) {
	switch {
	case !coinName.MatchString(c.Name):
		return Coin{}, badRequest("coin name must be 2 to 10 of A-Z and 0-9")
	case c.Scale < 0 || c.Scale > money.MaxScale:
		return Coin{}, badRequest("coin scale must be 0 to 8")
	case utf8.RuneCountInString(c.FullName) > maxFullName || !printable(c.FullName):
		return Coin{}, badRequest("coin full name must be at most 64 printable characters")
	}
	listed, err := a.store.CreateCoin(ctx, c)
	if err != nil {
		return Coin{}, fmt.Errorf("create coin %s: %w", c.Name, err)
	}
	if listed != c {
		return Coin{}, ErrCoinExists.With(c.Name)
	}
	return listed, nil
}
