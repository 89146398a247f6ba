-- When a verification began with a chain's first entry, and when it last got further: how long its progress
-- is believed. A verification that never reached the end was believed for ever. Of those kept until now
-- nobody knows when they began: they begin anew.
DELETE FROM verified_heads;
ALTER TABLE verified_heads
    ADD COLUMN begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN touched_at timestamptz NOT NULL DEFAULT clock_timestamp();
