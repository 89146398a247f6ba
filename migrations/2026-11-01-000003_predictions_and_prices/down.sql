DROP TABLE predictions;
DROP TABLE prices;
DROP TYPE prediction_status;
DROP TYPE direction;
DROP TYPE price_source;
