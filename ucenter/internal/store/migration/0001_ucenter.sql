-- Members. How they are reached is in member_contact.
CREATE TABLE member (
    member_id     BIGINT       NOT NULL,
    username      VARCHAR(32)  NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    created_ms    BIGINT       NOT NULL,
    updated_ms    BIGINT       NOT NULL,
    PRIMARY KEY (member_id),
    CONSTRAINT member_id_range CHECK (member_id > 0)
);

-- Contacts of members in their normal form; each belongs to one member. contact_type: 1 e-mail, 2 phone.
CREATE TABLE member_contact (
    contact_type BIGINT       NOT NULL,
    contact      VARCHAR(254) NOT NULL,
    member_id    BIGINT       NOT NULL,
    created_ms   BIGINT       NOT NULL,
    PRIMARY KEY (contact_type, contact)
);
CREATE INDEX member_contact_member ON member_contact (member_id);

-- The verification code sent last to each contact; both as keyed hashes.
CREATE TABLE verification_code (
    contact_hash VARCHAR(64) NOT NULL,
    code_hash    VARCHAR(64) NOT NULL,
    attempts     BIGINT      NOT NULL,
    expires_ms   BIGINT      NOT NULL,
    PRIMARY KEY (contact_hash)
);
CREATE INDEX verification_code_expires ON verification_code (expires_ms);

-- Logins. ended_ms is 0 while a session may be used.
CREATE TABLE member_session (
    session_id BIGINT NOT NULL,
    member_id  BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    ended_ms   BIGINT NOT NULL,
    PRIMARY KEY (session_id)
);
CREATE INDEX member_session_member ON member_session (member_id, ended_ms, created_ms);
CREATE INDEX member_session_expires ON member_session (expires_ms);

-- Refresh tokens as keyed hashes. used_ms is 0 until a token is exchanged; a used one is kept until it
-- expires, so that a second use is noticed.
CREATE TABLE refresh_token (
    token_hash VARCHAR(64) NOT NULL,
    session_id BIGINT      NOT NULL,
    expires_ms BIGINT      NOT NULL,
    used_ms    BIGINT      NOT NULL,
    PRIMARY KEY (token_hash)
);
CREATE INDEX refresh_token_expires ON refresh_token (expires_ms);

-- API keys. secret is sealed with the master key secret_key_id and emptied when the key is deleted
-- (deleted_ms > 0); the row stays, because orders and logs may name the key. permissions: bit 1 read, 2 trade,
-- 3 withdraw. ip_list: addresses and ranges separated by commas, empty is any.
CREATE TABLE member_api_key (
    api_key       VARCHAR(64)    NOT NULL,
    member_id     BIGINT         NOT NULL,
    key_type      VARCHAR(16)    NOT NULL,
    label         VARCHAR(64)    NOT NULL,
    permissions   BIGINT         NOT NULL,
    ip_list       VARCHAR(2048)  NOT NULL,
    secret_key_id VARCHAR(32)    NOT NULL,
    secret        VARBINARY(512) NOT NULL,
    created_ms    BIGINT         NOT NULL,
    deleted_ms    BIGINT         NOT NULL,
    PRIMARY KEY (api_key)
);
CREATE INDEX member_api_key_member ON member_api_key (member_id, deleted_ms, created_ms);

-- Attempts that count against a limit, until end_ms.
CREATE TABLE attempt_bucket (
    bucket   VARCHAR(160) NOT NULL,
    attempts BIGINT       NOT NULL,
    end_ms   BIGINT       NOT NULL,
    PRIMARY KEY (bucket),
    CONSTRAINT attempt_bucket_attempts CHECK (attempts >= 0)
);
CREATE INDEX attempt_bucket_end ON attempt_bucket (end_ms);
