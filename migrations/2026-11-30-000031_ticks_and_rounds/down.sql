ALTER TABLE ticks RENAME TO cycles;
ALTER TABLE cycles RENAME CONSTRAINT ticks_pkey TO cycles_pkey;
ALTER TABLE cycles RENAME CONSTRAINT ticks_number_check TO cycles_number_check;
ALTER TABLE cycles RENAME CONSTRAINT ticks_rules_check TO cycles_rules_check;
ALTER INDEX ticks_one_open RENAME TO cycles_one_open;

ALTER TABLE oracle_rounds RENAME TO oracle_cycles;
ALTER TABLE oracle_cycles RENAME CONSTRAINT oracle_rounds_pkey TO oracle_cycles_pkey;
ALTER TABLE oracle_cycles RENAME CONSTRAINT oracle_rounds_singleton_check TO oracle_cycles_singleton_check;

ALTER TABLE wallets RENAME COLUMN last_tick TO last_cycle;
ALTER TABLE tick_failures RENAME COLUMN tick TO cycle;
ALTER TABLE bets RENAME COLUMN tick TO cycle;
ALTER TABLE agent_metrics RENAME COLUMN tick TO cycle;
ALTER INDEX agent_metrics_tick RENAME TO agent_metrics_cycle;
ALTER TABLE agent_metrics_cycle RENAME COLUMN tick TO cycle;
DO $$
DECLARE
    index text;
BEGIN
    FOR index IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent = 'public.agent_metrics_cycle'::regclass AND c.relname ~ '_tick_bot_id_idx[0-9]*$'
    LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', index, replace(index, '_tick_', '_cycle_'));
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION adopt_rules(adopted bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    part bigint;
    rows bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM public.economy_rules WHERE digest = adopted) THEN
        RAISE EXCEPTION 'no rules with the digest %', encode(adopted, 'hex');
    END IF;
    UPDATE public.predictions SET rules = adopted WHERE id IN (
        SELECT id FROM public.predictions WHERE status = 'OPEN' AND rules IS NULL
         ORDER BY id FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS part = ROW_COUNT;
    rows := rows + part;
    UPDATE public.bets SET rules = adopted WHERE id IN (
        SELECT b.id FROM public.bets b JOIN public.markets m ON m.id = b.market_id
         WHERE m.status IN ('OPEN', 'LOCKED') AND b.state = 'OPEN' AND b.rules IS NULL
         ORDER BY b.id FOR UPDATE OF b SKIP LOCKED);
    GET DIAGNOSTICS part = ROW_COUNT;
    rows := rows + part;
    UPDATE public.markets SET rules = adopted WHERE id IN (
        SELECT id FROM public.markets WHERE status IN ('OPEN', 'LOCKED') AND rules IS NULL
         ORDER BY id FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS part = ROW_COUNT;
    rows := rows + part;
    UPDATE public.cycles SET rules = adopted WHERE closed_at IS NULL AND rules IS NULL;
    GET DIAGNOSTICS part = ROW_COUNT;
    rows := rows + part;
    -- Those that an earlier build adopted as well. No amount in the column is larger.
    UPDATE public.predictions p
       SET reserved = least(p.wager_amount * (f.factor - 1), 9999999999.99999999)
      FROM (SELECT digest, substring(economy_rules.rules FROM '\nPAYOUT_FACTOR=([0-9]{1,9})\n')::bigint AS factor
              FROM public.economy_rules) f
     WHERE f.digest = p.rules AND f.factor > 1 AND p.id IN (
        SELECT o.id FROM public.predictions o
         WHERE o.status = 'OPEN' AND o.reserved = 0 AND o.rules IS NOT NULL
         ORDER BY o.id FOR UPDATE SKIP LOCKED);
    RETURN rows;
END $$;
