DROP FUNCTION ensure_metrics_partitions(integer);
DROP TABLE agent_metrics;
DROP TYPE metric_kind;
DROP TABLE tick_failures;
DROP TABLE cycles;
DROP TYPE enforcement;
