-- The next id that nobody has leased, for each kind of id.
CREATE TABLE id_block (
    name       VARCHAR(64) NOT NULL,
    next_id    BIGINT      NOT NULL,
    updated_ms BIGINT      NOT NULL,
    PRIMARY KEY (name),
    CONSTRAINT id_block_next_id CHECK (next_id >= 1)
);
