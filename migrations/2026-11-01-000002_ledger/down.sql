DROP TABLE ledger;
DROP FUNCTION refuse_broken_chain();
DROP FUNCTION refuse_change();
DROP TYPE entry_type;
