DROP FUNCTION answer_is_kept(timestamptz, bigint, bigint);
DELETE FROM idempotency_keys WHERE encrypted;
ALTER TABLE idempotency_keys DROP COLUMN bot_id, DROP COLUMN credential_version;
