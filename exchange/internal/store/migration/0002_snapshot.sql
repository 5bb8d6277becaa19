-- Snapshots of the matcher's state, one for a place in a partition's command log. Rows never
-- change. The parts of the image are stored first: a snapshot whose row is there is complete.
CREATE TABLE exchange_snapshot (
    partition_id BIGINT        NOT NULL,
    next_offset  BIGINT        NOT NULL,
    format       BIGINT        NOT NULL,
    size         BIGINT        NOT NULL,
    state_hash   VARBINARY(64) NOT NULL,
    checksum     VARBINARY(64) NOT NULL,
    fingerprint  VARBINARY(64) NOT NULL,
    taken_ms     BIGINT        NOT NULL,
    PRIMARY KEY (partition_id, next_offset)
);

-- The last record of each symbol in a snapshot.
CREATE TABLE exchange_snapshot_symbol (
    partition_id BIGINT        NOT NULL,
    next_offset  BIGINT        NOT NULL,
    symbol       VARCHAR(32)   NOT NULL,
    seq          BIGINT        NOT NULL,
    hash         VARBINARY(64) NOT NULL,
    PRIMARY KEY (partition_id, next_offset, symbol)
);

-- The image of a snapshot, in parts that fit into a packet.
CREATE TABLE exchange_snapshot_part (
    partition_id BIGINT     NOT NULL,
    next_offset  BIGINT     NOT NULL,
    part         BIGINT     NOT NULL,
    data         MEDIUMBLOB NOT NULL,
    PRIMARY KEY (partition_id, next_offset, part)
);

-- Operators' decisions that a command which the matcher cannot execute is skipped. Every replay
-- obeys them: rows are never changed and never deleted.
CREATE TABLE exchange_skip (
    partition_id   BIGINT        NOT NULL,
    command_offset BIGINT        NOT NULL,
    fingerprint    VARBINARY(64) NOT NULL,
    reason         VARCHAR(255)  NOT NULL,
    decided_ms     BIGINT        NOT NULL,
    PRIMARY KEY (partition_id, command_offset)
);
