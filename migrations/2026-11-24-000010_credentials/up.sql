-- Which of a bot's credentials are in force, counted from 1. Tokens carry the number of those they
-- were bought with, so that a rotation ends them without a look at any clock.
ALTER TABLE bots ADD COLUMN credential_version bigint NOT NULL DEFAULT 1 CHECK (credential_version >= 1);

-- The credentials before a bot's latest rotation: at most one predecessor, good until `valid_until`.
CREATE TABLE superseded_credentials (
    bot_id            bigint PRIMARY KEY REFERENCES bots (id),
    version           bigint NOT NULL CHECK (version >= 1),
    -- As in `bots`.
    api_key_hash      text NOT NULL CHECK (api_key_hash LIKE '$argon2id$%'),
    api_secret_sha256 bytea NOT NULL CHECK (octet_length(api_secret_sha256) = 32),
    rotated_at        timestamptz NOT NULL,
    valid_until       timestamptz NOT NULL CHECK (valid_until >= rotated_at)
);
CREATE UNIQUE INDEX superseded_credentials_api_secret_sha256_key
    ON superseded_credentials (api_secret_sha256);
-- The latest rotations are read every few seconds.
CREATE INDEX superseded_credentials_rotated_at ON superseded_credentials (rotated_at);

GRANT SELECT, INSERT, UPDATE ON superseded_credentials TO arena_app;
GRANT UPDATE (api_secret_sha256, credential_version) ON bots TO arena_app;
