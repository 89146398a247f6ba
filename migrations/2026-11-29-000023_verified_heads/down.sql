DROP TABLE verified_heads;
