package custody

import (
	"context"
	"errors"
)

// Errors of a custody; see the package's text for which of them are final.
var (
	// ErrUnknownCoin: the custody does not keep the coin.
	ErrUnknownCoin = errors.New("custody: coin is not kept")
	// ErrNoBlock: the best chain has no block of that height yet, or any more.
	ErrNoBlock = errors.New("custody: no such block")
	// ErrBadAddress: not an address of the coin's chain.
	ErrBadAddress = errors.New("custody: address is not valid")
	// ErrMismatch: the key names a payment with other contents.
	ErrMismatch = errors.New("custody: key was used for another payment")
	// ErrAbandoned: the key was given up before anything was sent with it.
	ErrAbandoned = errors.New("custody: payment was abandoned")
	// ErrFunds: there is not enough in custody right now.
	ErrFunds = errors.New("custody: not enough funds")
	// ErrRefused: the custody will not make this payment.
	ErrRefused = errors.New("custody: payment refused")
	// ErrUnknownPayment: nothing was ever sent with the key.
	ErrUnknownPayment = errors.New("custody: unknown payment")
)

const (
	// MaxDecimals bounds the decimals of an amount on a chain.
	MaxDecimals = 18
	// MaxAmountBytes bounds the text of an amount.
	MaxAmountBytes = 40
	// MaxAddressBytes bounds the text of an address.
	MaxAddressBytes = 128
	// MaxTxIDBytes bounds the text of a transaction's id.
	MaxTxIDBytes = 128
	// MaxHashBytes bounds the text of a block's hash.
	MaxHashBytes = 128
)

// Custody keeps coins on chains. It is safe for concurrent use.
type Custody interface {
	// Address returns the address at which the owner receives the coin.
	Address(ctx context.Context, coin, owner string) (string, error)
	// CheckAddress returns ErrBadAddress for a text that is no address of the coin's
	// chain: wrong form or checksum.
	CheckAddress(ctx context.Context, coin, address string) error
	// Head returns the newest block of the best chain.
	Head(ctx context.Context, coin string) (BlockID, error)
	// Block returns the block of the best chain at a height from 0. ErrNoBlock.
	Block(ctx context.Context, coin string, height int64) (Block, error)
	// Send makes a payment, once for its key.
	Send(ctx context.Context, coin string, p Payment) (Sent, error)
	// Sent returns what became of the payment with the key. ErrUnknownPayment,
	// ErrAbandoned.
	Sent(ctx context.Context, coin, key string) (Sent, error)
	// Abandon makes sure that nothing will be sent with the key. When something was, it
	// returns that payment and changes nothing; otherwise ErrAbandoned.
	Abandon(ctx context.Context, coin, key string) (Sent, error)
	// Balance returns what the custody has of the coin, and at which block.
	Balance(ctx context.Context, coin string) (Balance, error)
}

// BlockID names a block.
type BlockID struct {
	Height int64  `json:"height"`
	Hash   string `json:"hash"`
}

// Block is what a block has of the custody's concern.
type Block struct {
	BlockID

	Parent   string    `json:"parent"`
	TimeMs   int64     `json:"timeMs"`
	Receipts []Receipt `json:"receipts"`
	Spends   []Spend   `json:"spends"`
}

// Receipt is an amount that a transaction pays to an address of the custody.
type Receipt struct {
	TxID    string `json:"txId"`
	Index   int64  `json:"index"`
	Address string `json:"address"`
	Amount  string `json:"amount"`
}

// Spend is a payment of the custody. Key is empty for one that it did not make for the
// wallet.
type Spend struct {
	TxID   string `json:"txId"`
	Key    string `json:"key"`
	To     string `json:"to"`
	Amount string `json:"amount"`
	Fee    string `json:"fee"`
}

// Payment is a payment to be made. Key is the idempotency key, 1 to 64 of a-z, 0-9 and -.
type Payment struct {
	Key    string `json:"key"`
	To     string `json:"to"`
	Amount string `json:"amount"`
}

// SentState is where a payment is.
type SentState string

// States of a payment.
const (
	// Waiting: it was broadcast and is in no block.
	Waiting SentState = "WAITING"
	// Mined: it is in a block of the best chain.
	Mined SentState = "MINED"
	// Failed: it will never be in a block.
	Failed SentState = "FAILED"
)

// Sent is a payment that was made. Block and Confirmations are zero until it is in a
// block; the block itself is the first confirmation.
type Sent struct {
	Spend

	State         SentState `json:"state"`
	Block         BlockID   `json:"block"`
	Confirmations int64     `json:"confirmations"`
}

// Balance is what the custody has: everything received less everything spent, fees
// included, in the blocks up to At.
type Balance struct {
	At     BlockID `json:"at"`
	Amount string  `json:"amount"`
}
