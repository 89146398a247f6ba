-- Since when oracles have settled predictions, and asked for their prices, without interruption: no
-- prediction is void before that has gone on for as long as its rules wait. Here, so that a restart of the
-- oracle does not begin it anew.
ALTER TABLE oracle_cycles
    ADD COLUMN settling_since timestamptz,
    -- The last cycle that settled. NULL while the arena is paused.
    ADD COLUMN settled_at     timestamptz;
