-- Entries are never deleted, and the earlier schema has only these types. Added labels stay in the enum unused.
DO $$ BEGIN
    IF EXISTS (SELECT FROM ledger WHERE entry_type NOT IN (
        'GRANT', 'HEARTBEAT', 'WAGER', 'PAYOUT', 'SLASH', 'FORFEIT', 'REFUND', 'MARKET_STAKE', 'MARKET_PAYOUT',
        'RESEARCH_PAYOUT', 'RESEARCH_LOOKUP_FEE', 'LIQUIDATION', 'REVIVE', 'RETIRED')) THEN
        RAISE EXCEPTION 'there are entries of a type that the schema before this migration does not know';
    END IF;
END $$;
ALTER TABLE ledger
    DROP CONSTRAINT ledger_amount_fits_type,
    ADD CONSTRAINT ledger_amount_fits_type CHECK (
        CASE
            WHEN entry_type IN ('HEARTBEAT', 'WAGER', 'MARKET_STAKE', 'RESEARCH_LOOKUP_FEE')
                THEN amount < 0
            WHEN entry_type IN ('GRANT', 'PAYOUT', 'REFUND', 'MARKET_PAYOUT', 'RESEARCH_PAYOUT', 'REVIVE')
                THEN amount > 0 AND amount <= 9999999999.99999999
            WHEN entry_type IN ('SLASH', 'FORFEIT') THEN amount = 0
            -- LIQUIDATION and RETIRED take what is there.
            ELSE amount <= 0 AND balance_after = 0
        END
    );
