-- Symbols with what is needed to show their numbers.
CREATE TABLE market_symbol (
    symbol      VARCHAR(32) NOT NULL,
    base_coin   VARCHAR(16) NOT NULL,
    quote_coin  VARCHAR(16) NOT NULL,
    base_scale  BIGINT      NOT NULL,
    quote_scale BIGINT      NOT NULL,
    PRIMARY KEY (symbol)
);

-- Public trades. price: quote units for one whole base coin; quantity: base units; turnover: quote units;
-- taker_side: 0 buy, 1 sell; time: ms.
CREATE TABLE market_trade (
    symbol     VARCHAR(32) NOT NULL,
    trade_id   BIGINT      NOT NULL,
    price      BIGINT      NOT NULL,
    quantity   BIGINT      NOT NULL,
    turnover   BIGINT      NOT NULL,
    taker_side BIGINT      NOT NULL,
    time       BIGINT      NOT NULL,
    PRIMARY KEY (symbol, trade_id)
);
CREATE INDEX market_trade_time ON market_trade (symbol, time, trade_id);

-- The price levels of each book after the symbol's last record (symbol_position). side: 0 buy, 1 sell.
CREATE TABLE depth_level (
    symbol   VARCHAR(32) NOT NULL,
    side     BIGINT      NOT NULL,
    price    BIGINT      NOT NULL,
    quantity BIGINT      NOT NULL,
    PRIMARY KEY (symbol, side, price),
    CONSTRAINT depth_level_quantity CHECK (quantity > 0)
);
