-- How far each consumer has applied each partition: the fence row of its transactions.
CREATE TABLE consumer_position (
    consumer     VARCHAR(64)   NOT NULL,
    topic        VARCHAR(128)  NOT NULL,
    partition_id BIGINT        NOT NULL,
    next_offset  BIGINT        NOT NULL,
    fingerprint  VARBINARY(64) NOT NULL,
    updated_ms   BIGINT        NOT NULL,
    PRIMARY KEY (consumer, topic, partition_id),
    CONSTRAINT consumer_position_next_offset CHECK (next_offset >= 0)
);

-- How far each consumer has applied the records of each symbol, with the head of the hash chain.
CREATE TABLE symbol_position (
    consumer   VARCHAR(64)   NOT NULL,
    symbol     VARCHAR(32)   NOT NULL,
    seq        BIGINT        NOT NULL,
    hash       VARBINARY(64) NOT NULL,
    updated_ms BIGINT        NOT NULL,
    PRIMARY KEY (consumer, symbol),
    CONSTRAINT symbol_position_seq CHECK (seq >= 1)
);
