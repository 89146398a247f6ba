-- What may be forgotten, and by whom. The services' role can delete none of it by itself: these
-- functions have the owner's rights and know what must stay.

-- Runs a statement once for each role that the services have, with %I for its name: the role's name
-- changes with each rotation, and for a while there are two. Migrations grant by this.
CREATE FUNCTION to_services(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT r.rolname FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
         WHERE c.oid = 'public.ledger'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format(statement, role);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION to_services(text) FROM PUBLIC;

-- Drops the oldest day of metrics if it ended more than `days` days ago; its name, or NULL if there is
-- none. Totals are kept elsewhere. It needs the whole table for an instant, and gives up after half a
-- second rather than hold up a tick.
CREATE FUNCTION drop_oldest_metrics(days integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    oldest text;
BEGIN
    IF days IS NULL OR days NOT BETWEEN 1 AND 36500 THEN
        RAISE EXCEPTION 'days must be from 1 to 36500, not %', days;
    END IF;
    SELECT c.relname INTO oldest
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'public.agent_metrics'::regclass
       AND c.relname ~ '^agent_metrics_[0-9]{8}$'
       AND to_date(right(c.relname, 8), 'YYYYMMDD')
           < (clock_timestamp() AT TIME ZONE 'UTC')::date - days
     ORDER BY c.relname LIMIT 1;
    IF oldest IS NOT NULL THEN
        EXECUTE format('DROP TABLE public.%I', oldest);
    END IF;
    RETURN oldest;
END $$;
REVOKE ALL ON FUNCTION drop_oldest_metrics(integer) FROM PUBLIC;

-- What decided a market stays for good, so that the outcome can be derived again. What led to nothing,
-- or only to the question, may go.
DROP TRIGGER evidence_append_only ON evidence;
CREATE TRIGGER evidence_append_only BEFORE UPDATE OR TRUNCATE ON evidence
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER evidence_that_decided_stays BEFORE DELETE ON evidence
    FOR EACH ROW WHEN (OLD.side IS NOT NULL) EXECUTE FUNCTION refuse_change();

-- Forgets so many rows at most of evidence that decided nothing, of markets that were settled more than
-- `days` days ago; how many it was.
CREATE FUNCTION forget_evidence(days integer, rows_max integer) RETURNS bigint
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
REVOKE ALL ON FUNCTION forget_evidence(integer, integer) FROM PUBLIC;
CREATE INDEX evidence_that_may_go ON evidence (id) WHERE side IS NULL;

SELECT to_services('GRANT EXECUTE ON FUNCTION drop_oldest_metrics(integer) TO %I');
SELECT to_services('GRANT EXECUTE ON FUNCTION forget_evidence(integer, integer) TO %I');
