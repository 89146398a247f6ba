DROP TABLE idempotency_keys;
DROP TABLE events;
DROP TYPE event_kind;
DROP TABLE audit_log;
DROP TABLE posts;
DROP TYPE post_kind;
