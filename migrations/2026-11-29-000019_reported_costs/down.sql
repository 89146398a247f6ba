ALTER TABLE agent_totals
    DROP COLUMN reported_usd_calls,
    DROP COLUMN reported_usd,
    DROP COLUMN unreported_calls;
ALTER TABLE agent_metrics DROP COLUMN unreported_calls;
