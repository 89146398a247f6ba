REVOKE UPDATE (api_secret_sha256, credential_version) ON bots FROM arena_app;
DROP TABLE superseded_credentials;
ALTER TABLE bots DROP COLUMN credential_version;
