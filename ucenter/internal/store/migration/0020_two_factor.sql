-- Second factors (TOTP). secret is sealed with the master key secret_key_id. enabled is 0 until a code confirms the
-- enrolment. step is the time step of the code that was used last, purpose a keyed hash of what for.
CREATE TABLE member_two_factor (
    member_id     BIGINT         NOT NULL,
    secret_key_id VARCHAR(32)    NOT NULL,
    secret        VARBINARY(512) NOT NULL,
    enabled       BIGINT         NOT NULL,
    step          BIGINT         NOT NULL,
    purpose       VARCHAR(64)    NOT NULL,
    created_ms    BIGINT         NOT NULL,
    PRIMARY KEY (member_id)
);
