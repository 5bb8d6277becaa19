-- Seals of the journal's days (wallet/reconcile), insert-only. day counts from 1970-01-01
-- UTC. A seal is the hash of the one before it and of its segments.
CREATE TABLE wallet_seal (
    day        BIGINT        NOT NULL,
    sealed_ms  BIGINT        NOT NULL,
    next_tx    BIGINT        NOT NULL,
    line_count BIGINT        NOT NULL,
    segments   BIGINT        NOT NULL,
    prev_hash  VARBINARY(32) NOT NULL,
    hash       VARBINARY(32) NOT NULL,
    PRIMARY KEY (day)
);

-- Up to 1024 lines of a sealed day, ending at last_tx and last_line. part is the number of
-- the symbol whose settlements they are, 0 for what is no settlement. marks are two bytes of
-- each line's hash.
CREATE TABLE wallet_seal_segment (
    day        BIGINT          NOT NULL,
    part       BIGINT          NOT NULL,
    number     BIGINT          NOT NULL,
    last_tx    BIGINT          NOT NULL,
    last_line  BIGINT          NOT NULL,
    line_count BIGINT          NOT NULL,
    hash       VARBINARY(32)   NOT NULL,
    marks      VARBINARY(2048) NOT NULL,
    PRIMARY KEY (day, part, number)
);

-- One row (id 1): no line that is not a settlement's is written any more with a time before
-- until_ms. Who writes one locks the row shared, so that it cannot move meanwhile.
CREATE TABLE wallet_closed (
    id       BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO wallet_closed (id, until_ms) VALUES (1, 0);
