-- Postgres cannot take a value out of an enum: the type is made again. Prices are never deleted.
DO $$ BEGIN
    IF EXISTS (SELECT FROM prices WHERE source::text = 'kraken')
        OR EXISTS (SELECT FROM price_history_reads WHERE source::text = 'kraken') THEN
        RAISE EXCEPTION 'there are prices of kraken, which the schema before this migration has no word for';
    END IF;
END $$;
ALTER TYPE price_source RENAME TO price_source_with_kraken;
CREATE TYPE price_source AS ENUM ('coingecko', 'replay', 'simulated');
ALTER TABLE prices ALTER COLUMN source TYPE price_source USING source::text::price_source;
ALTER TABLE predictions ALTER COLUMN price_source TYPE price_source USING price_source::text::price_source;
ALTER TABLE price_history_reads ALTER COLUMN source TYPE price_source USING source::text::price_source;
DROP TYPE price_source_with_kraken;
