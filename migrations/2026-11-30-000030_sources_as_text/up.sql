-- A source of markets is a row, so that a new one needs no migration: `arenactl migrate` writes those that
-- its build knows. The services read them and add none.
CREATE TABLE market_sources (label text PRIMARY KEY CHECK (label ~ '^[A-Z_]{1,40}$'));
INSERT INTO market_sources SELECT unnest(enum_range(NULL::market_source))::text;
SELECT to_services('GRANT SELECT ON market_sources TO %I');

DROP TRIGGER markets_research_stood_still ON markets;
ALTER TABLE markets DROP CONSTRAINT markets_research_is_committed,
    ALTER COLUMN source TYPE text;
ALTER TABLE markets
    ADD CONSTRAINT markets_research_is_committed CHECK (
        (source = 'RESEARCH') = (commitment IS NOT NULL)
        AND (source = 'RESEARCH') = (nonce IS NOT NULL)
        AND (source = 'RESEARCH') = (answer IS NOT NULL)),
    ADD CONSTRAINT markets_source_is_known FOREIGN KEY (source) REFERENCES market_sources;
CREATE TRIGGER markets_research_stood_still BEFORE UPDATE OF paused_at ON markets FOR EACH ROW
    WHEN (OLD.paused_at IS NOT NULL AND NEW.paused_at IS NULL
          AND OLD.source = 'RESEARCH' AND OLD.status = 'OPEN')
    EXECUTE FUNCTION research_market_stood_still();
DROP TYPE market_source;
-- Of a column of a new type nothing is known.
ANALYZE markets;
