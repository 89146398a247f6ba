CREATE INDEX evidence_that_may_go ON evidence (id) WHERE side IS NULL;
DROP INDEX evidence_by_age;
CREATE OR REPLACE FUNCTION forget_evidence(days integer, rows_max integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    IF days IS NULL OR rows_max IS NULL OR days NOT BETWEEN 1 AND 36500 OR rows_max NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'days must be from 1 to 36500 and rows_max from 1 to 100000, not % and %', days, rows_max;
    END IF;
    DELETE FROM public.evidence WHERE id IN (
        SELECT e.id FROM public.evidence e JOIN public.markets m ON m.id = e.market_id
         WHERE e.side IS NULL AND e.fetched_at < clock_timestamp() - make_interval(days => days)
           AND m.resolved_at < clock_timestamp() - make_interval(days => days)
         ORDER BY e.id LIMIT rows_max);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;
DROP INDEX audit_log_acts_of_action_on_bot;
CREATE INDEX audit_log_acts_of_action ON audit_log (action, id)
    WHERE action NOT IN ('PREDICT', 'WAIT', 'BET', 'ANSWER', 'USAGE');
DROP INDEX audit_log_action;
DROP INDEX predictions_open_id;
DROP INDEX predictions_bot_status;
