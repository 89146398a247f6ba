-- A migration of its own, so that entries are written while all of the ledger is read.
ALTER TABLE ledger VALIDATE CONSTRAINT ledger_amount_fits_type;
