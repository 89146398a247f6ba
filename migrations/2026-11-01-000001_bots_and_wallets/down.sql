DROP TABLE wallets;
DROP TABLE bots;
DROP TYPE bot_status;
