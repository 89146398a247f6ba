DO $$ BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM arena_app', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
END $$;
REVOKE ALL ON FUNCTION ensure_metrics_partitions(integer) FROM arena_app;
GRANT EXECUTE ON FUNCTION ensure_metrics_partitions(integer) TO PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM arena_app;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM arena_app;
REVOKE USAGE ON SCHEMA public FROM arena_app;
