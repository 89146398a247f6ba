-- How far the API verified each chain, so that the next request goes on from there. Believed only while
-- the ledger still has this entry, and only for a day: nobody's word replaces an audit.
CREATE TABLE verified_heads (
    bot_id   bigint PRIMARY KEY,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    balance  numeric(18,8) NOT NULL,
    hash     bytea NOT NULL CHECK (octet_length(hash) = 32),
    -- When the end of the chain was reached for the first time since it was last begun with.
    whole_at timestamptz
) WITH (fillfactor = 45);

SELECT to_services('GRANT SELECT, INSERT, UPDATE ON verified_heads TO %I');
