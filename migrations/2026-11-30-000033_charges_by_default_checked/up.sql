-- A separate transaction, so that services can write entries while Postgres reads the whole ledger.
ALTER TABLE ledger VALIDATE CONSTRAINT ledger_amount_fits_type;
