DROP TABLE oracle_cycles;
DROP TABLE source_cooldowns;
DROP TABLE bot_schedules;
DROP TABLE leases;
