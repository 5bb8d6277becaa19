// Package solvency proves to each member that its balance is among what an exchange says
// it owes. It does no I/O: balances go in; a root to publish and a proof for each member
// come out, and anyone can verify a proof with [Verify] and nothing else.
//
// The construction is a Merkle sum tree, known as Maxwell's proof of liabilities. A leaf is a member's balance in a coin and a hash of it, the member,
// the time and a nonce that only the member is told. A node's sum is that of its children,
// and its hash is over both children's sums and hashes:
//
//	leaf = (balance,           SHA-256(0 | coin | time | member | nonce | balance))
//	node = (left sum + right sum, SHA-256(1 | left sum | left hash | right sum | right hash))
//
// That both sums are hashed, and not just their total, is what keeps the exchange from
// showing different members different halves of the same total, the flaw of the original
// (K. Hu, Z. Zhang, K. Guo, "Breaking the Binding: Attacks on the Merkle Approach to Prove
// Liabilities and its Applications", https://eprint.iacr.org/2018/1139; what else exchanges
// got wrong is in K. Chalkias, P. Chatzigiannis, Y. Ji, "Broken Proofs of Solvency in
// Blockchain Custodial Wallets and Exchanges", Financial Cryptography 2022 Workshops). Sums are never negative and never overflow on the way to
// the root: a negative balance that would make the debt smaller cannot be hidden in any
// branch whose proof is verified. Leaves are ordered by their hashes, so that a place says
// nothing about the member.
//
// What it does not do: an exchange can leave out members who never verify; the more do, the
// less it dares. A proof shows the sums of the branches beside it, the first of which is
// another member's balance, though not whose. And it says what is owed, not what is owned:
// that is for the custody to show.
package solvency
