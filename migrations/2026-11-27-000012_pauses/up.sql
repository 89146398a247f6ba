-- The operator's brake: on the arena, on a bot, on a market. Who is not paused has NULL.
CREATE TABLE arena_pause (
    single    boolean PRIMARY KEY DEFAULT true CHECK (single),
    paused_at timestamptz NOT NULL,
    reason    text NOT NULL CHECK (reason <> '')
);

-- On the wallet, because that is what everybody locks who moves a bot's money.
ALTER TABLE wallets ADD COLUMN paused_at timestamptz, ADD COLUMN pause_reason text,
    ADD CHECK ((paused_at IS NULL) = (pause_reason IS NULL));
ALTER TABLE markets ADD COLUMN paused_at timestamptz, ADD COLUMN pause_reason text,
    ADD CHECK ((paused_at IS NULL) = (pause_reason IS NULL));

-- What stands in arena_pause once no pause can begin any more before the transaction ends: whoever
-- pauses takes the same lock alone. The two statements see two moments; one would look before it
-- has the lock.
CREATE FUNCTION hold_arena_pause() RETURNS SETOF arena_pause
    LANGUAGE plpgsql ROWS 1 AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(x'5041555345'::bigint);
    RETURN QUERY SELECT * FROM arena_pause;
END $$;

GRANT SELECT, INSERT, DELETE ON arena_pause TO arena_app;
GRANT UPDATE (paused_at, pause_reason) ON markets TO arena_app;

-- The audit log is read newest first. What agents do themselves is most of it, and is told by their
-- ledgers and predictions; it costs no index.
CREATE INDEX audit_log_acts ON audit_log (id)
    WHERE action NOT IN ('PREDICT', 'WAIT', 'BET', 'ANSWER', 'USAGE');
CREATE INDEX audit_log_acts_of_action ON audit_log (action, id)
    WHERE action NOT IN ('PREDICT', 'WAIT', 'BET', 'ANSWER', 'USAGE');
CREATE INDEX audit_log_acts_on_bot ON audit_log (bot_id, id)
    WHERE action NOT IN ('PREDICT', 'WAIT', 'BET', 'ANSWER', 'USAGE');
