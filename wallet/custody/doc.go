// Package custody is the seam between the wallet's books and the chains on which the
// coins are: whoever keeps the keys implements [Custody], and nothing else of the wallet
// knows a chain. wallet/custody/simchain implements it with a simulated chain for local
// use; an implementation for a real chain is a client of a node and a signer.
//
// What the wallet relies on, and an implementation must keep:
//
//   - Issuing is idempotent: the same owner gets the same address, for ever.
//   - Sending is idempotent: the key names one payment. Send with a key that was sent
//     before answers with that payment and sends nothing; with other contents it returns
//     [ErrMismatch]. This must survive a crash of the custody between taking a request
//     and broadcasting it: the key is stored first.
//   - An error that is none of this package's means that the outcome is unknown. The
//     wallet asks again, with the same key, and never takes it for a failure.
//   - [ErrRefused], [ErrBadAddress] and [ErrAbandoned] of Send are final: nothing was
//     sent with the key and nothing will be. [ErrFunds] is not: it may be tried again.
//   - Blocks of the best chain are found by height, and each names its parent. A block
//     that was replaced is not returned any more. A block lists every payment to and from
//     the custody's addresses in that coin, and each with a place (transaction, index)
//     that is unique on the chain and stays the same when the transaction moves to
//     another block.
//   - A payment that was sent stays known by its key. It is [Failed] only when it can
//     never be in a block any more (its inputs were spent otherwise): then its money is
//     still in custody.
//
// Amounts are plain decimals with a point, at most [MaxDecimals] after it and
// [MaxAmountBytes] long; they may be finer than the coin's scale in the books.
//
// The network's fee of a payment is paid in its coin, by the custody. The wallet books
// it against the fee income. A chain whose fees are paid in another coin reports 0, and
// the operator books those fees as corrections.
package custody
