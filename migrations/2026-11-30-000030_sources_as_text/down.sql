-- Fails, and changes nothing, where there are markets of a source that the schema below does not know.
CREATE TYPE market_source AS ENUM ('GITHUB', 'NEWS', 'WEATHER', 'RESEARCH');
DROP TRIGGER markets_research_stood_still ON markets;
ALTER TABLE markets DROP CONSTRAINT markets_research_is_committed,
    DROP CONSTRAINT markets_source_is_known,
    ALTER COLUMN source TYPE market_source USING source::market_source;
ALTER TABLE markets ADD CONSTRAINT markets_research_is_committed CHECK (
    (source = 'RESEARCH') = (commitment IS NOT NULL)
    AND (source = 'RESEARCH') = (nonce IS NOT NULL)
    AND (source = 'RESEARCH') = (answer IS NOT NULL));
CREATE TRIGGER markets_research_stood_still BEFORE UPDATE OF paused_at ON markets FOR EACH ROW
    WHEN (OLD.paused_at IS NOT NULL AND NEW.paused_at IS NULL
          AND OLD.source = 'RESEARCH' AND OLD.status = 'OPEN')
    EXECUTE FUNCTION research_market_stood_still();
DROP TABLE market_sources;
-- Of a column of a new type nothing is known.
ANALYZE markets;
