CREATE TYPE entry_type AS ENUM (
    'GRANT', 'HEARTBEAT', 'WAGER', 'PAYOUT', 'SLASH', 'FORFEIT', 'REFUND',
    'MARKET_STAKE', 'MARKET_PAYOUT', 'RESEARCH_PAYOUT', 'RESEARCH_LOOKUP_FEE',
    'LIQUIDATION', 'REVIVE', 'RETIRED'
);

-- One row a link of a bot's chain; see crates/ledger-core/src/entry.rs for what the hash covers.
-- The key is the only index a writer pays for: no surrogate key and no foreign key, the writer's
-- lock on the wallet proves that the bot exists.
CREATE TABLE ledger (
    bot_id        bigint NOT NULL,
    sequence      bigint NOT NULL,
    entry_type    entry_type NOT NULL,
    amount        numeric(18,8) NOT NULL,
    balance_after numeric(18,8) NOT NULL,
    reference     text COLLATE "C" NOT NULL,
    recorded_at   timestamptz NOT NULL,
    previous_hash bytea NOT NULL,
    hash          bytea NOT NULL,
    PRIMARY KEY (bot_id, sequence),
    CONSTRAINT ledger_sequence_starts_at_one CHECK (sequence >= 1),
    -- The upper bound is there for NaN, which Postgres sorts above every number.
    CONSTRAINT ledger_balance_in_range CHECK (balance_after BETWEEN 0 AND 9999999999.99999999),
    CONSTRAINT ledger_amount_fits_type CHECK (
        CASE
            WHEN entry_type IN ('HEARTBEAT', 'WAGER', 'MARKET_STAKE', 'RESEARCH_LOOKUP_FEE')
                THEN amount < 0
            WHEN entry_type IN ('GRANT', 'PAYOUT', 'REFUND', 'MARKET_PAYOUT', 'RESEARCH_PAYOUT', 'REVIVE')
                THEN amount > 0 AND amount <= 9999999999.99999999
            WHEN entry_type IN ('SLASH', 'FORFEIT') THEN amount = 0
            -- LIQUIDATION and RETIRED take what is there.
            ELSE amount <= 0 AND balance_after = 0
        END
    ),
    -- A counted repeat in the pattern would cost sixty times as much.
    CONSTRAINT ledger_reference_is_printable CHECK (
        octet_length(reference) BETWEEN 1 AND 200 AND reference ~ '^[ -~]*$'
    ),
    CONSTRAINT ledger_hashes_are_sha256 CHECK (
        octet_length(hash) = 32 AND octet_length(previous_hash) = 32
    )
);
-- Summarised as it grows: what is not summarised is read whole, and that is the newest.
CREATE INDEX ledger_recorded_at_brin ON ledger USING brin (recorded_at)
    WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE ledger SET (
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 500000
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Each new row must continue its chain. Nested loops over the key are forced: the plan is kept for
-- the session, and one made while the ledger was young would read all of it for each row later on.
CREATE FUNCTION refuse_broken_chain() RETURNS trigger LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
    SET enable_bitmapscan = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT i.bot_id, i.sequence INTO broken
      FROM inserted i
      LEFT JOIN ledger p ON p.bot_id = i.bot_id AND p.sequence = i.sequence - 1
     WHERE CASE WHEN i.sequence = 1
                THEN i.entry_type <> 'GRANT' OR i.balance_after <> i.amount
                     OR i.previous_hash <> decode(repeat('00', 32), 'hex')
                ELSE i.entry_type = 'GRANT' OR p.hash IS NULL OR p.hash <> i.previous_hash
                     OR p.balance_after + i.amount <> i.balance_after
                     OR p.recorded_at > i.recorded_at
           END
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of bot % does not continue its chain', broken.sequence, broken.bot_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_chain_unbroken';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_chain_unbroken AFTER INSERT ON ledger
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_broken_chain();
