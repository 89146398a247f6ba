ALTER TABLE verified_heads DROP COLUMN begun_at, DROP COLUMN touched_at;
