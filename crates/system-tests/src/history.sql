-- Rows of a quarter, as the services would have left them, where their cost is concerned: the numbers
-- from FIRST to LAST of TOTAL in the ledger and the event log, and a tenth of them elsewhere. What is not
-- looked at may be nonsense: hashes are those of nothing. For a superuser.
SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO bots (id, handle, api_key_hash, api_secret_sha256, created_at)
SELECT id, 'old-' || id, '$argon2id$none', sha256(('old' || id)::bytea), now() - interval '91 days'
  FROM generate_series(1, 100) id
    ON CONFLICT DO NOTHING;

-- Up to two days ago: since then nothing happened.
INSERT INTO ledger
SELECT bot, sequence, CASE sequence WHEN 1 THEN 'GRANT' ELSE 'HEARTBEAT' END::entry_type,
       CASE sequence WHEN 1 THEN 1000000 ELSE -0.00000001 END,
       1000000 - (sequence - 1) * 0.00000001, 'TICK:' || sequence,
       now() - (TOTAL - i) * (interval '90 days' / TOTAL) - interval '2 days',
       CASE sequence WHEN 1 THEN decode(repeat('00', 32), 'hex') ELSE sha256((bot || ' ' || sequence - 1)::bytea) END,
       sha256((bot || ' ' || sequence)::bytea)
  FROM (SELECT i, 1 + i % 100 AS bot, 1 + i / 100 AS sequence FROM generate_series(FIRST::bigint, LAST - 1) i) n;

INSERT INTO wallets AS w (bot_id, balance, sequence, head_hash, head_at, minted, burned, granted, last_tick, ticks)
SELECT bot_id, balance_after, sequence, hash, recorded_at, 1000000, 1000000 - balance_after, 1000000,
       sequence, sequence - 1
  FROM (SELECT DISTINCT ON (bot_id) * FROM ledger ORDER BY bot_id, sequence DESC) head
    ON CONFLICT (bot_id) DO UPDATE
   SET balance = EXCLUDED.balance, sequence = EXCLUDED.sequence, head_hash = EXCLUDED.head_hash,
       head_at = EXCLUDED.head_at, burned = EXCLUDED.burned, last_tick = EXCLUDED.last_tick, ticks = EXCLUDED.ticks;

INSERT INTO ticks (number, enforcement, started_at, closed_at, bots)
SELECT 1 + i / 100, 'enforce', at, at, 100
  FROM (SELECT i, now() - (TOTAL - i) * (interval '90 days' / TOTAL) - interval '1 hour' AS at
          FROM generate_series(FIRST::bigint, LAST - 1, 100) i) n;

-- In transactions before any of this cluster's own.
INSERT INTO events (xid, at, kind, data)
SELECT (3 + i * 600 / TOTAL)::text::xid8, now() - (TOTAL - i) * (interval '6 days' / TOTAL), 'entry',
       jsonb_build_object('bot_id', 1 + i % 100, 'sequence', 1 + i / 100)
  FROM generate_series(FIRST::bigint, LAST - 1) i;

INSERT INTO prices (source, price, provider_at, sampled_at)
SELECT 'simulated', 100000 + i % 1000, at, at
  FROM (SELECT i, now() - (TOTAL - i) * (interval '90 days' / TOTAL) - interval '1 hour' AS at
          FROM generate_series(FIRST::bigint, LAST - 1, 10) i) n;

-- Of bots 2 to 100, won and lost; of one bot a tenth.
INSERT INTO predictions (bot_id, observation_id, direction, wager_amount, confidence, status, created_at, settles_at,
                         start_price, price_source, end_price, payout, brier, resolved_at)
SELECT CASE i % 100 WHEN 0 THEN 2 ELSE 2 + i / 10 % 99 END, gen_random_uuid(), 'UP', 1, 0.7,
       CASE i % 20 WHEN 0 THEN 'WON' ELSE 'LOST' END::prediction_status,
       at, at + interval '60 seconds', 100000, 'simulated', 100001, 0, 0.1, at + interval '60 seconds'
  FROM (SELECT i, now() - (TOTAL - i) * (interval '90 days' / TOTAL) - interval '1 hour' AS at
          FROM generate_series(FIRST::bigint, LAST - 1, 10) i) n;

INSERT INTO posts (bot_id, kind, content, reference, created_at)
SELECT 2 + i / 10 % 99, 'WAGER', 'a post', 'OBS:' || i, now() - (TOTAL - i) * (interval '90 days' / TOTAL)
  FROM generate_series(FIRST::bigint, LAST - 1, 10) i;

-- Of agents wagers alone, and of everything else logins alone.
INSERT INTO audit_log (at, actor, action, bot_id)
SELECT now() - (TOTAL - i) * (interval '90 days' / TOTAL), 'bot', CASE i % 100 WHEN 0 THEN 'LOGIN' ELSE 'PREDICT' END,
       2 + i / 10 % 99
  FROM generate_series(FIRST::bigint, LAST - 1, 10) i;

INSERT INTO agent_metrics (recorded_at, tick, bot_id, kind, enforcement, balance, shadow_balance, idle_streak)
SELECT now() - (TOTAL - i) * (interval '1 hour' / TOTAL), 1 + i / 100, 1 + i / 10 % 100, 'TICK', 'enforce', 1, 1, 0
  FROM generate_series(FIRST::bigint, LAST - 1, 10) i;

INSERT INTO agent_windows (bot_id, number, profit, settled)
SELECT bot, number, 0, 0
  FROM generate_series(1, 100) bot, generate_series(FIRST / 10000, (LAST - 1) / 10000) number
    ON CONFLICT DO NOTHING;

INSERT INTO idempotency_keys (key_sha256, body_sha256, status, answer, encrypted, expires_at)
SELECT sha256(('key' || i)::bytea), sha256('body'), 200, '{}', false, now() + interval '1 day'
  FROM generate_series(FIRST::bigint, LAST - 1, 100) i;

-- Resolved markets on a thousand subjects, ten bets and two fetches each; none of research.
INSERT INTO markets (id, source, subject, description, criteria, status, bounty, bets, staked, opens_at,
                     bets_close_at, deadline, resolved_at, outcome, paid, next_try_at)
SELECT md5('market' || i)::uuid, 'NEWS', 'word' || i / 100 % 1000, 'a question', '{"keyword": "word"}', 'RESOLVED', 0, 10, 10,
       at - interval '1 hour', at - interval '1 minute', at, at, 'YES', true, at
  FROM (SELECT i, now() - (TOTAL - i) * (interval '90 days' / TOTAL) - interval '2 hours' AS at
          FROM generate_series(FIRST::bigint, LAST - 1, 100) i) n;
INSERT INTO bets (market_id, bot_id, side, stake, confidence, state, created_at, resolved_at, payout, minted, burned)
SELECT md5('market' || i)::uuid, 1 + (i / 100 + bot) % 100, 'YES', 1, 0.7, 'WON', now() - interval '1 day', now(), 1, 0, 0
  FROM generate_series(FIRST::bigint, LAST - 1, 100) i, generate_series(1, 10) bot;
INSERT INTO evidence (market_id, url, fetched_at, status, body, truncated, value, side)
SELECT md5('market' || i)::uuid, 'http://127.0.0.1/', now() - (TOTAL - i) * (interval '90 days' / TOTAL), 200, '', false,
       'a reading', CASE n WHEN 2 THEN 'YES' END::bet_side
  FROM generate_series(FIRST::bigint, LAST - 1, 100) i, generate_series(1, 2) n;

SELECT setval('bots_id_seq', 1000);
-- As autovacuum does when an insert has filled a range of pages.
SELECT brin_summarize_new_values('ledger_recorded_at_brin');
