-- Symbols at which a consumer stands still, and why. version is the fence of every
-- transaction that concerns the symbol while it is halted. state 0: waits for a
-- decision; 1: the parked records are being applied.
CREATE TABLE symbol_halt (
    consumer      VARCHAR(64)   NOT NULL,
    symbol        VARCHAR(32)   NOT NULL,
    version       BIGINT        NOT NULL,
    state         BIGINT        NOT NULL,
    topic         VARCHAR(128)  NOT NULL,
    partition_id  BIGINT        NOT NULL,
    record_offset BIGINT        NOT NULL,
    want_seq      BIGINT        NOT NULL,
    got_seq       BIGINT        NOT NULL,
    reason        VARCHAR(64)   NOT NULL,
    cause         VARCHAR(1024) NOT NULL,
    parked        BIGINT        NOT NULL,
    parked_bytes  BIGINT        NOT NULL,
    next_place    BIGINT        NOT NULL,
    since_ms      BIGINT        NOT NULL,
    PRIMARY KEY (consumer, symbol),
    CONSTRAINT symbol_halt_parked CHECK (parked >= 0 AND parked_bytes >= 0)
);

-- The records that a halted symbol's halt keeps from being applied: the one that
-- halted it and all that came later, in the order of place.
CREATE TABLE parked_record (
    consumer      VARCHAR(64)    NOT NULL,
    symbol        VARCHAR(32)    NOT NULL,
    place         BIGINT         NOT NULL,
    topic         VARCHAR(128)   NOT NULL,
    partition_id  BIGINT         NOT NULL,
    record_offset BIGINT         NOT NULL,
    time_ms       BIGINT         NOT NULL,
    seq           BIGINT         NOT NULL,
    fingerprint   VARBINARY(64)  NOT NULL,
    message_key   VARBINARY(1024) NOT NULL,
    message       LONGBLOB       NOT NULL,
    PRIMARY KEY (consumer, symbol, place)
);
CREATE INDEX parked_record_seq ON parked_record (consumer, symbol, seq);

-- What operators have decided about halted symbols, who and why; insert-only.
CREATE TABLE halt_decision (
    request_id  VARCHAR(64)   NOT NULL,
    consumer    VARCHAR(64)   NOT NULL,
    symbol      VARCHAR(32)   NOT NULL,
    action      VARCHAR(16)   NOT NULL,
    fingerprint VARBINARY(64) NOT NULL,
    decided_by  VARCHAR(64)   NOT NULL,
    reason      VARCHAR(512)  NOT NULL,
    outcome     VARCHAR(512)  NOT NULL,
    decided_ms  BIGINT        NOT NULL,
    PRIMARY KEY (request_id)
);
CREATE INDEX halt_decision_symbol ON halt_decision (consumer, symbol, decided_ms);
