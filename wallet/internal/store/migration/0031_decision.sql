-- What operators decide about the books: corrections (CORRECTION), which a second operator
-- approves, and stops that are lifted (LIFT_STOP). state is PENDING, DONE or REJECTED; a
-- PENDING one can be approved until expires_ms. tx_id is a correction's transaction in the
-- journal. stop_reason is why the withdrawals were stopped: no stop comes back for it.
CREATE TABLE wallet_decision (
    request_id   VARCHAR(64)  NOT NULL,
    kind         VARCHAR(16)  NOT NULL,
    state        VARCHAR(8)   NOT NULL,
    reason       VARCHAR(255) NOT NULL,
    requested_by VARCHAR(32)  NOT NULL,
    requested_ms BIGINT       NOT NULL,
    expires_ms   BIGINT       NOT NULL,
    decided_by   VARCHAR(32)  NOT NULL,
    decided_ms   BIGINT       NOT NULL,
    from_account VARCHAR(10)  NOT NULL,
    from_member  BIGINT       NOT NULL,
    to_account   VARCHAR(10)  NOT NULL,
    to_member    BIGINT       NOT NULL,
    coin         VARCHAR(10)  NOT NULL,
    amount       BIGINT       NOT NULL,
    tx_id        BIGINT       NOT NULL,
    scope        VARCHAR(8)   NOT NULL,
    name         VARCHAR(32)  NOT NULL,
    stop_reason  VARCHAR(500) NOT NULL,
    PRIMARY KEY (request_id),
    CONSTRAINT wallet_decision_two CHECK (state <> 'DONE' OR kind <> 'CORRECTION' OR decided_by <> requested_by),
    CONSTRAINT wallet_decision_amount CHECK (amount >= 0)
);
CREATE INDEX wallet_decision_time ON wallet_decision (requested_ms);
CREATE INDEX wallet_decision_stop ON wallet_decision (scope, name);
