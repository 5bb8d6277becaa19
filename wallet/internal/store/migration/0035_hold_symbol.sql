-- The open holds of a symbol, to be compared with the matcher's totals.
CREATE INDEX wallet_hold_symbol ON wallet_hold (symbol, state);
