-- Coins that are listed. A coin never changes: its scale says what an amount is.
CREATE TABLE coin (
    name      VARCHAR(10) NOT NULL,
    full_name VARCHAR(64) NOT NULL,
    scale     BIGINT      NOT NULL,
    time      BIGINT      NOT NULL,
    PRIMARY KEY (name),
    CONSTRAINT coin_scale CHECK (scale >= 0 AND scale <= 8)
);

-- Balances: the last balance_after of the two member accounts in the journal.
-- Amounts are counts of the coin's smallest kept unit.
CREATE TABLE member_wallet (
    member_id      BIGINT      NOT NULL,
    coin_name      VARCHAR(10) NOT NULL,
    balance        BIGINT      NOT NULL,
    frozen_balance BIGINT      NOT NULL,
    balance_seq    BIGINT      NOT NULL,
    frozen_seq     BIGINT      NOT NULL,
    is_lock        BIGINT      NOT NULL,
    version        BIGINT      NOT NULL,
    updated_time   BIGINT      NOT NULL,
    PRIMARY KEY (member_id, coin_name),
    CONSTRAINT member_wallet_balance CHECK (balance >= 0),
    CONSTRAINT member_wallet_frozen_balance CHECK (frozen_balance >= 0)
);

-- Money set aside for orders. pending_since is place_time while no output record
-- has spoken of an open hold, else 0: what the sweeper looks for.
CREATE TABLE wallet_hold (
    order_id      BIGINT        NOT NULL,
    member_id     BIGINT        NOT NULL,
    coin          VARCHAR(10)   NOT NULL,
    symbol        VARCHAR(32)   NOT NULL,
    request_hash  VARBINARY(32) NOT NULL,
    held          BIGINT        NOT NULL,
    consumed      BIGINT        NOT NULL,
    released      BIGINT        NOT NULL,
    traded_amount BIGINT        NOT NULL,
    turnover      BIGINT        NOT NULL,
    fee           BIGINT        NOT NULL,
    state         BIGINT        NOT NULL,
    seq           BIGINT        NOT NULL,
    place_time    BIGINT        NOT NULL,
    updated_time  BIGINT        NOT NULL,
    pending_since BIGINT        NOT NULL,
    PRIMARY KEY (order_id),
    CONSTRAINT wallet_hold_held CHECK (held >= 0 AND consumed >= 0 AND released >= 0),
    CONSTRAINT wallet_hold_spent CHECK (consumed + released <= held),
    CONSTRAINT wallet_hold_closed CHECK (state = 0 OR consumed + released = held),
    CONSTRAINT wallet_hold_state CHECK (state >= 0 AND state <= 3)
);
CREATE INDEX wallet_hold_pending ON wallet_hold (pending_since);

-- The double-entry journal, insert-only. The lines of a tx_id sum to zero for each
-- coin. A settlement's tx_id is made of its symbol's number and its record's seq, so
-- the primary key is what makes (symbol, seq, line) unique; holds and deposits are
-- unique through wallet_hold and wallet_deposit. An index for each would only cost.
CREATE TABLE wallet_journal (
    tx_id         BIGINT      NOT NULL,
    line          BIGINT      NOT NULL,
    account       VARCHAR(10) NOT NULL,
    member_id     BIGINT      NOT NULL,
    coin          VARCHAR(10) NOT NULL,
    amount        BIGINT      NOT NULL,
    account_seq   BIGINT      NOT NULL,
    balance_after BIGINT      NOT NULL,
    symbol        VARCHAR(32) NOT NULL,
    seq           BIGINT      NOT NULL,
    order_id      BIGINT      NOT NULL,
    kind          VARCHAR(16) NOT NULL,
    ref           VARCHAR(64) NOT NULL,
    time          BIGINT      NOT NULL,
    PRIMARY KEY (tx_id, line),
    CONSTRAINT wallet_journal_amount CHECK (amount <> 0),
    CONSTRAINT wallet_journal_balance_after CHECK (balance_after >= 0)
);
CREATE INDEX wallet_journal_member ON wallet_journal (member_id, time, tx_id, line);

-- Deposits by reference: what makes a repeated deposit harmless.
CREATE TABLE wallet_deposit (
    reference VARCHAR(64) NOT NULL,
    member_id BIGINT      NOT NULL,
    coin      VARCHAR(10) NOT NULL,
    amount    BIGINT      NOT NULL,
    tx_id     BIGINT      NOT NULL,
    time      BIGINT      NOT NULL,
    PRIMARY KEY (reference),
    CONSTRAINT wallet_deposit_amount CHECK (amount > 0)
);

-- Small numbers for symbols, for the tx_id of settlements.
CREATE TABLE wallet_symbol (
    symbol VARCHAR(32) NOT NULL,
    number BIGINT      NOT NULL,
    PRIMARY KEY (symbol)
);
CREATE UNIQUE INDEX wallet_symbol_number ON wallet_symbol (number);
