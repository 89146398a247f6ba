DO $$ BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM arena_app', current_database());
END $$;
REVOKE ALL ON FUNCTION ensure_metrics_partitions(integer) FROM arena_app;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM arena_app;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM arena_app;
REVOKE USAGE ON SCHEMA public FROM arena_app;
