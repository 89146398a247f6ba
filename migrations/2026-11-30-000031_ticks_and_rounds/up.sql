-- One word for a thing: a tick is one numbered charge of every living bot, a round is one pass of the
-- oracle's loop. Only names change; no row is rewritten.
ALTER TABLE cycles RENAME TO ticks;
ALTER TABLE ticks RENAME CONSTRAINT cycles_pkey TO ticks_pkey;
ALTER TABLE ticks RENAME CONSTRAINT cycles_number_check TO ticks_number_check;
ALTER TABLE ticks RENAME CONSTRAINT cycles_rules_check TO ticks_rules_check;
ALTER INDEX cycles_one_open RENAME TO ticks_one_open;

ALTER TABLE oracle_cycles RENAME TO oracle_rounds;
ALTER TABLE oracle_rounds RENAME CONSTRAINT oracle_cycles_pkey TO oracle_rounds_pkey;
ALTER TABLE oracle_rounds RENAME CONSTRAINT oracle_cycles_singleton_check TO oracle_rounds_singleton_check;

ALTER TABLE wallets RENAME COLUMN last_cycle TO last_tick;
ALTER TABLE tick_failures RENAME COLUMN cycle TO tick;
ALTER TABLE bets RENAME COLUMN cycle TO tick;
-- Its partitions' columns too.
ALTER TABLE agent_metrics RENAME COLUMN cycle TO tick;
ALTER INDEX agent_metrics_cycle RENAME TO agent_metrics_tick;
-- An index keeps its own names of its columns, and the index of a new day gets its name from them.
ALTER TABLE agent_metrics_tick RENAME COLUMN cycle TO tick;
DO $$
DECLARE
    index text;
BEGIN
    FOR index IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent = 'public.agent_metrics_tick'::regclass AND c.relname ~ '_cycle_bot_id_idx[0-9]*$'
    LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', index, replace(index, '_cycle_', '_tick_'));
    END LOOP;
END $$;

-- The body of a function is text, which no renaming follows. Who may call it stays.
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
    UPDATE public.ticks SET rules = adopted WHERE closed_at IS NULL AND rules IS NULL;
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
