package ledger

import "fmt"

const (
	// FirstSettlementTx is the smallest transaction id of a settlement; the ids that
	// other transactions lease stay below.
	FirstSettlementTx = int64(1) << 52
	// seqBits is how many bits of a settlement's id are its record's seq.
	seqBits = 40
	// maxSymbols and maxSeq are what fits between FirstSettlementTx and 2^53.
	maxSymbols = int64(1) << (52 - seqBits)
	maxSeq     = int64(1) << seqBits
)

// SettlementTx is the transaction id of a record, made of its symbol's number and its
// seq, so that the journal's primary key refuses a record that is settled twice. It
// fails when one of them does not fit.
func SettlementTx(symbolNumber, seq int64) (int64, error) {
	if symbolNumber < 0 || symbolNumber >= maxSymbols || seq <= 0 || seq >= maxSeq {
		return 0, fmt.Errorf("record %d of symbol number %d is beyond the transaction ids", seq, symbolNumber)
	}
	return FirstSettlementTx | symbolNumber<<seqBits | seq, nil
}

// SymbolOfTx returns the symbol's number in the id of a settlement.
func SymbolOfTx(txID int64) int64 { return (txID - FirstSettlementTx) >> seqBits }
