REVOKE DELETE ON events FROM arena_app;
DROP TABLE events_horizon;
