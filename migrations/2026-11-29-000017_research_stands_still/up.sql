-- While the arena or a market is paused, research takes no answers, so its time stands still: the
-- deadline moves by the length of the pause. Done where the pause ends, by whoever ends it and in the
-- same transaction, so that it happens exactly once. Of two pauses at the same time the later start
-- counts with the pause that goes on, so that no instant counts twice.

CREATE FUNCTION research_market_stood_still() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := greatest(OLD.paused_at, OLD.opens_at);
    until timestamptz := least(clock_timestamp(),
                               coalesce((SELECT p.paused_at FROM arena_pause p), 'infinity'));
BEGIN
    -- One that had ended before the pause began has no time left.
    IF OLD.deadline > since AND until > since THEN
        NEW.deadline := OLD.deadline + (until - since);
        NEW.bets_close_at := NEW.deadline;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER markets_research_stood_still BEFORE UPDATE OF paused_at ON markets FOR EACH ROW
    WHEN (OLD.paused_at IS NOT NULL AND NEW.paused_at IS NULL
          AND OLD.source = 'RESEARCH' AND OLD.status = 'OPEN')
    EXECUTE FUNCTION research_market_stood_still();

-- With the owner's rights: the services may not move a deadline by themselves.
CREATE FUNCTION research_stood_still() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    at timestamptz := clock_timestamp();
BEGIN
    -- In the order in which everybody locks markets.
    PERFORM FROM public.markets WHERE status = 'OPEN' AND source = 'RESEARCH' ORDER BY id FOR UPDATE;
    UPDATE public.markets
       SET deadline = deadline + (least(at, coalesce(paused_at, 'infinity')) - greatest(OLD.paused_at, opens_at)),
           bets_close_at = deadline + (least(at, coalesce(paused_at, 'infinity')) - greatest(OLD.paused_at, opens_at))
     WHERE status = 'OPEN' AND source = 'RESEARCH' AND deadline > greatest(OLD.paused_at, opens_at)
       AND least(at, coalesce(paused_at, 'infinity')) > greatest(OLD.paused_at, opens_at);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION research_stood_still() FROM PUBLIC;
CREATE TRIGGER arena_pause_research_stood_still AFTER DELETE ON arena_pause FOR EACH ROW
    EXECUTE FUNCTION research_stood_still();
