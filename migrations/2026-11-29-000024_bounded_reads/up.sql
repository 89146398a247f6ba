-- Indexes for lists that would otherwise read what they do not show, however long the history.

-- One bot's predictions of one kind: a bot may have a million of them and none that is void.
CREATE INDEX predictions_bot_status ON predictions (bot_id, status, id) WHERE status <> 'OPEN';
-- Everybody's open ones, newest first.
CREATE INDEX predictions_open_id ON predictions (id) WHERE status = 'OPEN';

-- The audit log by action, of agents' own acts too; and by bot and action.
CREATE INDEX audit_log_action ON audit_log (action, id);
DROP INDEX audit_log_acts_of_action;
CREATE INDEX audit_log_acts_of_action_on_bot ON audit_log (bot_id, action, id)
    WHERE action NOT IN ('PREDICT', 'WAIT', 'BET', 'ANSWER', 'USAGE');

-- In the order of time, so that a look for what is old enough ends at the first that is not.
CREATE INDEX evidence_by_age ON evidence (fetched_at, id) WHERE side IS NULL;
DROP INDEX evidence_that_may_go;

-- As before, but by age and by the rows' keys: joined to the table, they would be looked for in all of
-- it. What belongs to markets that are not settled yet is passed over; there are few of them.
CREATE OR REPLACE FUNCTION forget_evidence(days integer, rows_max integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    forgotten bigint;
    before timestamptz := clock_timestamp() - make_interval(days => days);
BEGIN
    IF days IS NULL OR rows_max IS NULL OR days NOT BETWEEN 1 AND 36500 OR rows_max NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'days must be from 1 to 36500 and rows_max from 1 to 100000, not % and %', days, rows_max;
    END IF;
    DELETE FROM public.evidence WHERE id = ANY (ARRAY(
        SELECT e.id FROM public.evidence e
         WHERE e.side IS NULL AND e.fetched_at < before
           AND (SELECT m.resolved_at < before FROM public.markets m WHERE m.id = e.market_id)
         ORDER BY e.fetched_at, e.id LIMIT rows_max));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;
