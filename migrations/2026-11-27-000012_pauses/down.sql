DROP INDEX audit_log_acts_on_bot;
DROP INDEX audit_log_acts_of_action;
DROP INDEX audit_log_acts;
DROP FUNCTION hold_arena_pause();
ALTER TABLE markets DROP COLUMN pause_reason, DROP COLUMN paused_at;
ALTER TABLE wallets DROP COLUMN pause_reason, DROP COLUMN paused_at;
DROP TABLE arena_pause;
