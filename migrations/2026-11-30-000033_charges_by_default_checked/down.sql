-- The constraint as the migration before this one left it.
ALTER TABLE ledger
    DROP CONSTRAINT ledger_amount_fits_type,
    ADD CONSTRAINT ledger_amount_fits_type CHECK (
        CASE
            WHEN entry_type IN ('GRANT', 'PAYOUT', 'REFUND', 'MARKET_PAYOUT', 'RESEARCH_PAYOUT', 'REVIVE')
                THEN amount > 0 AND amount <= 9999999999.99999999
            WHEN entry_type IN ('SLASH', 'FORFEIT') THEN amount = 0
            -- They take the whole balance.
            WHEN entry_type IN ('LIQUIDATION', 'RETIRED') THEN amount <= 0 AND balance_after = 0
            ELSE amount < 0
        END
    ) NOT VALID;
