// Package transfer moves coins between the books and their chains: it reads the chains
// block by block and credits deposits, and broadcasts withdrawals and books those that
// have left. It decides nothing that the store does not decide again under its locks, so
// that two workers at once do no harm.
//
// Each step is written down before the next begins, and each may be repeated:
//
//	block     position, deposits and payments of one block in one transaction
//	credit    deposit PENDING → CREDITED with its journal entry
//	claim     withdrawal APPROVED → BROADCASTING
//	send      the custody, by the withdrawal's key; nothing is written here
//	sent      BROADCASTING → SENT with the chain's transaction
//	confirm   SENT → CONFIRMED with its journal entry
//
// A crash after the claim is a second Send with the same key, which the custody answers
// with the first.
package transfer
