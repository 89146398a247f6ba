DROP TRIGGER arena_pause_research_stood_still ON arena_pause;
DROP FUNCTION research_stood_still();
DROP TRIGGER markets_research_stood_still ON markets;
DROP FUNCTION research_market_stood_still();
