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
    RETURN rows + part;
END $$;
