ALTER TABLE oracle_cycles
    DROP COLUMN settled_at,
    DROP COLUMN settling_since;
