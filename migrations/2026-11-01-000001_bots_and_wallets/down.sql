DROP TABLE wallets;
DROP TABLE bots;
DROP FUNCTION refuse_return_of_the_retired();
DROP TYPE bot_status;
DROP TABLE arena_identity;
