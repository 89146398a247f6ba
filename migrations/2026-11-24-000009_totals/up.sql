-- What each agent cost and was worth, as running totals: kept as things happen, in the transaction
-- in which they happen, so that a bot with ten million ticks is told of as fast as a new one.
-- Those that change with each tick are in `wallets`.
CREATE TABLE agent_totals (
    bot_id              bigint PRIMARY KEY,
    -- Positions that were won, lost or forfeit; void ones are none.
    settled             bigint NOT NULL DEFAULT 0,
    won                 bigint NOT NULL DEFAULT 0,
    payouts             numeric(28,8) NOT NULL DEFAULT 0,
    -- The part of the payouts that was bounty.
    bounties            numeric(28,8) NOT NULL DEFAULT 0,
    lost_stakes         numeric(28,8) NOT NULL DEFAULT 0,
    lookup_fees         numeric(28,8) NOT NULL DEFAULT 0,
    -- Payouts less the stakes they were paid for, lost stakes and lookup fees.
    profit              numeric(28,8) NOT NULL DEFAULT 0,
    brier_sum           numeric(28,8) NOT NULL DEFAULT 0,
    brier_count         bigint NOT NULL DEFAULT 0,
    llm_calls           bigint NOT NULL DEFAULT 0,
    -- Those of llm_calls whose model has no price.
    unpriced_calls      bigint NOT NULL DEFAULT 0,
    input_tokens        bigint NOT NULL DEFAULT 0,
    output_tokens       bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    reasoning_tokens    bigint NOT NULL DEFAULT 0,
    llm_usd             numeric(28,8) NOT NULL DEFAULT 0,
    -- Operators' acts on this bot, and errors that were recorded of it.
    interventions       bigint NOT NULL DEFAULT 0,
    errors              bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 45);

-- Profit by windows of ticks, for trends.
CREATE TABLE agent_windows (
    bot_id   bigint NOT NULL,
    -- The tick number divided by the length of a window.
    number   bigint NOT NULL,
    profit   numeric(28,8) NOT NULL DEFAULT 0,
    settled  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (bot_id, number)
) WITH (fillfactor = 45);

GRANT SELECT, INSERT, UPDATE ON agent_totals, agent_windows TO arena_app;
