-- Open holds of a member, for the reconciliation of what wallets hold.
CREATE INDEX wallet_hold_member ON wallet_hold (member_id, state);

-- Where the reconciliation of every minute has found a wallet to be right. What came
-- after it is read again.
CREATE TABLE wallet_reconciled (
    member_id      BIGINT      NOT NULL,
    coin_name      VARCHAR(10) NOT NULL,
    balance        BIGINT      NOT NULL,
    frozen_balance BIGINT      NOT NULL,
    balance_seq    BIGINT      NOT NULL,
    frozen_seq     BIGINT      NOT NULL,
    updated_time   BIGINT      NOT NULL,
    PRIMARY KEY (member_id, coin_name)
);

-- The sums of the house's accounts over all lines that were read.
CREATE TABLE wallet_reconciled_coin (
    coin     VARCHAR(10) NOT NULL,
    fee      BIGINT      NOT NULL,
    suspense BIGINT      NOT NULL,
    world    BIGINT      NOT NULL,
    PRIMARY KEY (coin)
);

-- The last record of each symbol whose lines were read.
CREATE TABLE wallet_reconciled_symbol (
    symbol VARCHAR(32) NOT NULL,
    seq    BIGINT      NOT NULL,
    PRIMARY KEY (symbol)
);

-- The last reconciliation, one row (id 1). number is the fence between instances: a pass
-- is written by whoever moves it.
CREATE TABLE wallet_reconcile_pass (
    id           BIGINT NOT NULL,
    number       BIGINT NOT NULL,
    at_ms        BIGINT NOT NULL,
    took_ms      BIGINT NOT NULL,
    wallets_read BIGINT NOT NULL,
    lines_read   BIGINT NOT NULL,
    found        BIGINT NOT NULL,
    alarms       BIGINT NOT NULL,
    report       TEXT   NOT NULL,
    PRIMARY KEY (id)
);

-- Withdrawals that are stopped because something does not fit: of a member (scope
-- MEMBER, name is its id), of a coin (COIN), or all (ALL, name is empty). Nothing lifts a
-- stop but an operator.
CREATE TABLE wallet_stop (
    scope    VARCHAR(8)   NOT NULL,
    name     VARCHAR(32)  NOT NULL,
    since_ms BIGINT       NOT NULL,
    reason   VARCHAR(500) NOT NULL,
    PRIMARY KEY (scope, name)
);
