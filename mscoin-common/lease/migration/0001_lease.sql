-- Who works on a partition. Times are the database's, in ms since 1970.
CREATE TABLE lease (
    service       VARCHAR(64)  NOT NULL,
    partition_id  BIGINT       NOT NULL,
    -- The instance that took it last (empty when it gave it back), and where it answers.
    owner         VARCHAR(64)  NOT NULL,
    endpoint      VARCHAR(255) NOT NULL,
    -- Grows each time it is taken.
    epoch         BIGINT       NOT NULL,
    -- From then on, anybody may take it.
    expires_at_ms BIGINT       NOT NULL,
    PRIMARY KEY (service, partition_id),
    CONSTRAINT lease_epoch CHECK (epoch >= 0)
);

-- The instances that share the partitions.
CREATE TABLE lease_instance (
    service       VARCHAR(64)  NOT NULL,
    instance      VARCHAR(64)  NOT NULL,
    endpoint      VARCHAR(255) NOT NULL,
    started_at_ms BIGINT       NOT NULL,
    -- Without a sign of life by then it counts no more.
    expires_at_ms BIGINT       NOT NULL,
    PRIMARY KEY (service, instance)
);
