ALTER TYPE price_source ADD VALUE IF NOT EXISTS 'kraken' AFTER 'coingecko';
