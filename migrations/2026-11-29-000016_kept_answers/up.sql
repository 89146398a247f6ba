-- A kept answer with secrets names the credentials that it speaks of, so that it is repeated only while they
-- are in force. Those that were kept before name none: they go, and a retry of theirs runs again.
DELETE FROM idempotency_keys WHERE encrypted;
ALTER TABLE idempotency_keys
    ADD COLUMN bot_id bigint,
    ADD COLUMN credential_version bigint,
    ADD CONSTRAINT idempotency_keys_secrets_have_an_owner
        CHECK (encrypted = (bot_id IS NOT NULL) AND encrypted = (credential_version IS NOT NULL));

-- Whether a kept answer may still be repeated: its time is not over, and if it holds secrets, the bot is not
-- retired and these credentials are the bot's present ones, or the ones before within their grace.
CREATE FUNCTION answer_is_kept(until timestamptz, owner_id bigint, owner_version bigint) RETURNS boolean
    LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT until > clock_timestamp() AND (owner_id IS NULL OR EXISTS (
        SELECT FROM public.bots b
         WHERE b.id = owner_id AND b.status <> 'RETIRED' AND (b.credential_version = owner_version OR EXISTS (
            SELECT FROM public.superseded_credentials s
             WHERE s.bot_id = b.id AND s.version = owner_version AND s.valid_until > clock_timestamp()))));
$$;
REVOKE ALL ON FUNCTION answer_is_kept(timestamptz, bigint, bigint) FROM PUBLIC;
SELECT to_services('GRANT EXECUTE ON FUNCTION answer_is_kept(timestamptz, bigint, bigint) TO %I');
