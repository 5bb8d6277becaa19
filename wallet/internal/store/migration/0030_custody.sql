-- Addresses at which members receive coins, issued by the custody.
CREATE TABLE wallet_address (
    coin       VARCHAR(10)  NOT NULL,
    address    VARCHAR(128) NOT NULL,
    member_id  BIGINT       NOT NULL,
    created_ms BIGINT       NOT NULL,
    PRIMARY KEY (coin, address)
);
CREATE UNIQUE INDEX wallet_address_member ON wallet_address (member_id, coin);

-- The members' address books: where withdrawals may go, from usable_ms on.
CREATE TABLE member_address (
    member_id  BIGINT       NOT NULL,
    coin       VARCHAR(10)  NOT NULL,
    address    VARCHAR(128) NOT NULL,
    remark     VARCHAR(64)  NOT NULL,
    created_ms BIGINT       NOT NULL,
    usable_ms  BIGINT       NOT NULL,
    PRIMARY KEY (member_id, coin, address)
);

-- How far each coin's chain was read, and the last blocks, to find where another branch
-- begins.
CREATE TABLE wallet_chain (
    coin       VARCHAR(10)  NOT NULL,
    height     BIGINT       NOT NULL,
    hash       VARCHAR(128) NOT NULL,
    updated_ms BIGINT       NOT NULL,
    PRIMARY KEY (coin)
);
CREATE TABLE wallet_chain_block (
    coin   VARCHAR(10)  NOT NULL,
    height BIGINT       NOT NULL,
    hash   VARCHAR(128) NOT NULL,
    PRIMARY KEY (coin, height)
);

-- What chains paid to the custody's addresses; one that is credited is also in
-- wallet_deposit, as chain:<id>. chain_amount is the chain's, amount what of it is whole
-- units. height is 0 while it is in no block.
CREATE TABLE deposit_record (
    id           BIGINT       NOT NULL,
    coin         VARCHAR(10)  NOT NULL,
    chain_tx     VARCHAR(128) NOT NULL,
    output_index BIGINT       NOT NULL,
    address      VARCHAR(128) NOT NULL,
    member_id    BIGINT       NOT NULL,
    chain_amount VARCHAR(40)  NOT NULL,
    amount       BIGINT       NOT NULL,
    state        VARCHAR(16)  NOT NULL,
    height       BIGINT       NOT NULL,
    created_ms   BIGINT       NOT NULL,
    updated_ms   BIGINT       NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT deposit_record_amount CHECK (amount >= 0)
);
CREATE UNIQUE INDEX deposit_record_output ON deposit_record (coin, chain_tx, output_index);
CREATE INDEX deposit_record_member ON deposit_record (member_id, id);
CREATE INDEX deposit_record_state ON deposit_record (coin, state, height);

-- What the custody paid, as its chains tell. height is 0 while it is in no block.
CREATE TABLE chain_spend (
    coin         VARCHAR(10)  NOT NULL,
    chain_tx     VARCHAR(128) NOT NULL,
    payment_key  VARCHAR(64)  NOT NULL,
    address      VARCHAR(128) NOT NULL,
    chain_amount VARCHAR(40)  NOT NULL,
    chain_fee    VARCHAR(40)  NOT NULL,
    height       BIGINT       NOT NULL,
    updated_ms   BIGINT       NOT NULL,
    PRIMARY KEY (coin, chain_tx)
);
CREATE INDEX chain_spend_key ON chain_spend (coin, payment_key);

-- Withdrawals. amount leaves, fee is the house's; both are held from hold_tx to end_tx
-- (0 until then). day is the UTC day whose limit it counts against. next_ms is when the
-- worker looks again; attention says why a person has to. chain_tx is empty until sent.
CREATE TABLE withdraw_record (
    id             BIGINT        NOT NULL,
    member_id      BIGINT        NOT NULL,
    request_key    VARCHAR(64)   NOT NULL,
    request_hash   VARBINARY(32) NOT NULL,
    coin           VARCHAR(10)   NOT NULL,
    address        VARCHAR(128)  NOT NULL,
    amount         BIGINT        NOT NULL,
    fee            BIGINT        NOT NULL,
    network_fee    BIGINT        NOT NULL,
    state          VARCHAR(16)   NOT NULL,
    reviews_needed BIGINT        NOT NULL,
    day            BIGINT        NOT NULL,
    chain_tx       VARCHAR(128)  NOT NULL,
    reason         VARCHAR(255)  NOT NULL,
    attention      VARCHAR(255)  NOT NULL,
    attempts       BIGINT        NOT NULL,
    next_ms        BIGINT        NOT NULL,
    hold_tx        BIGINT        NOT NULL,
    end_tx         BIGINT        NOT NULL,
    created_ms     BIGINT        NOT NULL,
    sent_ms        BIGINT        NOT NULL,
    updated_ms     BIGINT        NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT withdraw_record_amount CHECK (amount > 0 AND fee >= 0 AND network_fee >= 0)
);
CREATE UNIQUE INDEX withdraw_record_request ON withdraw_record (member_id, request_key);
CREATE INDEX withdraw_record_member ON withdraw_record (member_id, id);
CREATE INDEX withdraw_record_day ON withdraw_record (member_id, coin, day);
CREATE INDEX withdraw_record_due ON withdraw_record (state, next_ms);

-- What operators decided about withdrawals; insert-only.
CREATE TABLE withdraw_review (
    withdraw_id BIGINT       NOT NULL,
    operator    VARCHAR(32)  NOT NULL,
    decision    VARCHAR(16)  NOT NULL,
    reason      VARCHAR(255) NOT NULL,
    time        BIGINT       NOT NULL,
    PRIMARY KEY (withdraw_id, operator)
);
