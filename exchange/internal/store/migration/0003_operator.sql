-- Snapshots whose image a replay by the naive matcher gave as well.
CREATE TABLE exchange_snapshot_verified (
    partition_id BIGINT NOT NULL,
    next_offset  BIGINT NOT NULL,
    verified_ms  BIGINT NOT NULL,
    PRIMARY KEY (partition_id, next_offset)
);

-- Symbols that are on their way from one partition to another. phase is what the symbol had
-- before it was halted for that, and gets back.
CREATE TABLE exchange_move (
    symbol         VARCHAR(32) NOT NULL,
    from_partition BIGINT      NOT NULL,
    to_partition   BIGINT      NOT NULL,
    phase          BIGINT      NOT NULL,
    request_id     VARCHAR(64) NOT NULL,
    begun_ms       BIGINT      NOT NULL,
    PRIMARY KEY (symbol)
);
