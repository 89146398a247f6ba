CREATE TYPE enforcement AS ENUM ('observe', 'enforce');

-- Numbered ticker cycles. The highest is the current one; it is open until closed_at is set.
CREATE TABLE cycles (
    number      bigint PRIMARY KEY CHECK (number >= 1),
    enforcement enforcement NOT NULL,
    started_at  timestamptz NOT NULL,
    closed_at   timestamptz,
    bots        bigint NOT NULL DEFAULT 0,
    fees        numeric(28,8) NOT NULL DEFAULT 0,
    liquidated  bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0
);
-- At most one open cycle, whoever begins it.
CREATE UNIQUE INDEX cycles_one_open ON cycles ((closed_at IS NULL)) WHERE closed_at IS NULL;

-- Bots that could not be ticked in a cycle, and why. They were not charged.
CREATE TABLE tick_failures (
    cycle       bigint NOT NULL,
    bot_id      bigint NOT NULL,
    error       text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (cycle, bot_id)
);

CREATE TYPE metric_kind AS ENUM ('TICK', 'ACTION');

-- One row for each bot and tick, and one for each action that reported token usage.
CREATE TABLE agent_metrics (
    recorded_at      timestamptz NOT NULL,
    cycle            bigint NOT NULL,
    bot_id           bigint NOT NULL,
    kind             metric_kind NOT NULL,
    enforcement      enforcement NOT NULL,
    fee              numeric(18,8) NOT NULL DEFAULT 0,
    balance          numeric(18,8) NOT NULL,
    shadow_balance   numeric(18,8) NOT NULL,
    idle_streak      integer NOT NULL,
    liquidated       boolean NOT NULL DEFAULT false,
    would_have_been_liquidated boolean NOT NULL DEFAULT false,
    -- Below: ACTION rows only.
    action_id        bigint,
    provider         text,
    model            text,
    llm_calls        integer,
    input_tokens     bigint,
    output_tokens    bigint,
    cached_input_tokens bigint,
    reasoning_tokens bigint,
    -- As reported by the agent, kept but not believed.
    cost_usd         numeric(18,8),
    -- By the price book in force at the time; NULL for a model that it does not know.
    priced_usd       numeric(18,8)
) PARTITION BY RANGE (recorded_at);
-- Ascending in insertion order, so an insert touches one leaf.
CREATE INDEX agent_metrics_cycle ON agent_metrics (cycle, bot_id);

-- Makes the daily partitions from yesterday to `days_ahead` days from now. Runs with the owner's
-- rights, so that the services can call it without being able to create anything else.
CREATE FUNCTION ensure_metrics_partitions(days_ahead integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    day date;
    name text;
BEGIN
    IF days_ahead NOT BETWEEN 0 AND 366 THEN
        RAISE EXCEPTION 'days_ahead must be from 0 to 366, not %', days_ahead;
    END IF;
    FOR day IN
        SELECT generate_series((clock_timestamp() AT TIME ZONE 'UTC')::date - 1,
                               (clock_timestamp() AT TIME ZONE 'UTC')::date + days_ahead, '1 day')::date
    LOOP
        name := 'agent_metrics_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        -- One maker at a time; whoever waited finds the partition made.
        PERFORM pg_advisory_xact_lock(hashtext('agent_metrics partitions'));
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        -- Made apart and attached: PARTITION OF would lock the parent against every reader, and
        -- wait behind a dump while every writer waits behind it.
        EXECUTE format('CREATE TABLE public.%I (LIKE public.agent_metrics INCLUDING ALL)', name);
        EXECUTE format(
            'ALTER TABLE public.agent_metrics ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            name, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
    END LOOP;
END $$;
SELECT ensure_metrics_partitions(7);
