-- Orders of which the matcher and the books say different things: what they pay and
-- receive is in the suspense account. The member's withdrawals are stopped (wallet_stop).
CREATE TABLE wallet_suspense (
    order_id  BIGINT       NOT NULL,
    member_id BIGINT       NOT NULL,
    symbol    VARCHAR(32)  NOT NULL,
    seq       BIGINT       NOT NULL,
    cause     VARCHAR(512) NOT NULL,
    since_ms  BIGINT       NOT NULL,
    PRIMARY KEY (order_id)
);
CREATE INDEX wallet_suspense_member ON wallet_suspense (member_id);
CREATE INDEX wallet_suspense_symbol ON wallet_suspense (symbol);
