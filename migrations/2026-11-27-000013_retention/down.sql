DROP INDEX evidence_that_may_go;
DROP FUNCTION forget_evidence(integer, integer);
DROP TRIGGER evidence_that_decided_stays ON evidence;
DROP TRIGGER evidence_append_only ON evidence;
CREATE TRIGGER evidence_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DROP FUNCTION drop_oldest_metrics(integer);
DROP FUNCTION to_services(text);
