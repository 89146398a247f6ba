-- How far the event log was forgotten: a reader who stopped before this place cannot go on from it.
-- One row.
CREATE TABLE events_horizon (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    xid    xid8 NOT NULL,
    id     bigint NOT NULL
);
INSERT INTO events_horizon (xid, id) VALUES ('0', 0);

GRANT SELECT, UPDATE ON events_horizon TO arena_app;
GRANT DELETE ON events TO arena_app;
