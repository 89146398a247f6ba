-- The services' role: reads all, appends, and changes only what is meant to change.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'arena_app') THEN
        RAISE EXCEPTION 'role arena_app does not exist'
            USING HINT = 'Create it first, as a superuser: CREATE ROLE arena_app LOGIN PASSWORD ''…''';
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO arena_app', current_database());
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO arena_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO arena_app;
GRANT INSERT ON bots, wallets, ledger, prices, predictions, posts, audit_log, events,
    idempotency_keys, cycles, tick_failures, agent_metrics, leases, bot_schedules, source_cooldowns
    TO arena_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO arena_app;
GRANT UPDATE ON wallets, idempotency_keys, cycles, leases, bot_schedules, source_cooldowns,
    oracle_cycles TO arena_app;
-- Who a bot is and what was wagered never change; only where they stand does.
GRANT UPDATE (status, api_key_hash) ON bots TO arena_app;
GRANT UPDATE (status, settles_at, start_price_id, start_price, price_source, end_price_id, end_price,
    payout, brier, resolved_at) ON predictions TO arena_app;
GRANT DELETE ON idempotency_keys, source_cooldowns TO arena_app;
REVOKE ALL ON FUNCTION ensure_metrics_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_metrics_partitions(integer) TO arena_app;
