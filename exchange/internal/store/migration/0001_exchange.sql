-- Trading rules of the symbols. coin_symbol is the base asset and base_symbol the quote asset
-- (the names of the reference design); amounts are counts of the smallest kept unit, prices quote
-- units for one whole base coin.
CREATE TABLE exchange_coin (
    symbol             VARCHAR(32) NOT NULL,
    coin_symbol        VARCHAR(16) NOT NULL,
    base_symbol        VARCHAR(16) NOT NULL,
    coin_scale         BIGINT      NOT NULL,
    base_coin_scale    BIGINT      NOT NULL,
    tick_units         BIGINT      NOT NULL,
    lot_units          BIGINT      NOT NULL,
    min_price          BIGINT      NOT NULL,
    max_price          BIGINT      NOT NULL,
    min_volume         BIGINT      NOT NULL,
    max_volume         BIGINT      NOT NULL,
    min_turnover       BIGINT      NOT NULL,
    max_turnover       BIGINT      NOT NULL,
    maker_fee_ppm      BIGINT      NOT NULL,
    taker_fee_ppm      BIGINT      NOT NULL,
    enable_market_buy  BIGINT      NOT NULL,
    enable_market_sell BIGINT      NOT NULL,
    max_trading_order  BIGINT      NOT NULL,
    band_up_ppm        BIGINT      NOT NULL,
    band_down_ppm      BIGINT      NOT NULL,
    partition_id       BIGINT      NOT NULL,
    phase              BIGINT      NOT NULL,
    sort               BIGINT      NOT NULL,
    time               BIGINT      NOT NULL,
    PRIMARY KEY (symbol),
    CONSTRAINT exchange_coin_steps CHECK (tick_units > 0 AND lot_units > 0 AND partition_id >= 0)
);

-- Orders: the intent when they are placed, and then the matcher's cumulative facts.
-- direction: 0 buy, 1 sell. type: 0 market, 1 limit, 2 stop loss, 3 stop loss limit, 4 take profit,
-- 5 take profit limit. status: 0 trading, 1 completed, 2 cancelled, 3 expired, 4 intent (the matcher
-- has not spoken), 5 rejected, 6 expired by self-trade prevention, 7 waiting for its stop price.
-- active_client_order_id is the client order id while no other order may bear it.
CREATE TABLE exchange_order (
    order_id               BIGINT      NOT NULL,
    member_id              BIGINT      NOT NULL,
    client_order_id        VARCHAR(36) NOT NULL,
    active_client_order_id VARCHAR(36),
    symbol                 VARCHAR(32) NOT NULL,
    coin_symbol            VARCHAR(16) NOT NULL,
    base_symbol            VARCHAR(16) NOT NULL,
    direction              BIGINT      NOT NULL,
    type                   BIGINT      NOT NULL,
    time_in_force          BIGINT      NOT NULL,
    self_trade_prevention  BIGINT      NOT NULL,
    price                  BIGINT      NOT NULL,
    stop_price             BIGINT      NOT NULL,
    amount                 BIGINT      NOT NULL,
    quote_amount           BIGINT      NOT NULL,
    hold_coin              VARCHAR(16) NOT NULL,
    hold_amount            BIGINT      NOT NULL,
    held_remaining         BIGINT      NOT NULL,
    traded_amount          BIGINT      NOT NULL,
    turnover               BIGINT      NOT NULL,
    fee                    BIGINT      NOT NULL,
    status                 BIGINT      NOT NULL,
    reason                 BIGINT      NOT NULL,
    maker_fee_ppm          BIGINT      NOT NULL,
    taker_fee_ppm          BIGINT      NOT NULL,
    deadline_ms            BIGINT      NOT NULL,
    time                   BIGINT      NOT NULL,
    updated_time           BIGINT      NOT NULL,
    completed_time         BIGINT      NOT NULL,
    canceled_time          BIGINT      NOT NULL,
    seq                    BIGINT      NOT NULL,
    use_discount           BIGINT      NOT NULL,
    PRIMARY KEY (order_id),
    CONSTRAINT exchange_order_facts CHECK (traded_amount >= 0 AND turnover >= 0 AND fee >= 0 AND held_remaining >= 0)
);

CREATE UNIQUE INDEX exchange_order_active_client ON exchange_order (member_id, active_client_order_id);

CREATE INDEX exchange_order_client ON exchange_order (member_id, client_order_id, order_id);

CREATE INDEX exchange_order_member_symbol ON exchange_order (member_id, symbol, order_id);

-- Open orders of a member, and intents that are in doubt.
CREATE INDEX exchange_order_status ON exchange_order (status, member_id, order_id);

-- Trades. taker_side: 0 buy, 1 sell. Fees are in what each side receives.
CREATE TABLE exchange_trade (
    symbol          VARCHAR(32) NOT NULL,
    trade_id        BIGINT      NOT NULL,
    seq             BIGINT      NOT NULL,
    price           BIGINT      NOT NULL,
    quantity        BIGINT      NOT NULL,
    turnover        BIGINT      NOT NULL,
    taker_side      BIGINT      NOT NULL,
    maker_order_id  BIGINT      NOT NULL,
    taker_order_id  BIGINT      NOT NULL,
    maker_member_id BIGINT      NOT NULL,
    taker_member_id BIGINT      NOT NULL,
    maker_fee       BIGINT      NOT NULL,
    taker_fee       BIGINT      NOT NULL,
    time            BIGINT      NOT NULL,
    PRIMARY KEY (symbol, trade_id),
    CONSTRAINT exchange_trade_amounts CHECK (price > 0 AND quantity > 0 AND turnover > 0)
);

CREATE INDEX exchange_trade_maker_member ON exchange_trade (maker_member_id, symbol, trade_id);

CREATE INDEX exchange_trade_taker_member ON exchange_trade (taker_member_id, symbol, trade_id);

CREATE INDEX exchange_trade_maker_order ON exchange_trade (maker_order_id, trade_id);

CREATE INDEX exchange_trade_taker_order ON exchange_trade (taker_order_id, trade_id);
