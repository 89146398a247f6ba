//! The statements of a tick, prepared once for each connection.

use tokio_postgres::{Client, Statement};

use crate::error::DbResult;
use crate::ledger::wallet_columns;

/// Declares the statements of a tick, by name.
macro_rules! statements {
    ($($name:ident = $text:expr;)+) => {
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)+
        }

        impl Statements {
            pub(super) async fn prepare(client: &Client) -> DbResult<Statements> {
                Ok(Statements { $($name: client.prepare($text).await?,)+ })
            }
        }
    };
}

const PENDING: &str = "status = 'ALIVE' AND paused_at IS NULL AND last_tick < $1 AND NOT EXISTS \
    (SELECT FROM tick_failures f WHERE f.tick = $1 AND f.bot_id = wallets.bot_id)";

/// The COPY that carries a chunk's entries.
const COPY_LEDGER: &str = "COPY ledger (bot_id, sequence, entry_type, amount, balance_after, \
    reference, recorded_at, previous_hash, hash) FROM STDIN (FORMAT binary)";
/// The COPY that carries a chunk's metrics.
const COPY_METRICS: &str = "COPY agent_metrics (recorded_at, tick, bot_id, kind, enforcement, \
    fee, balance, shadow_balance, idle_streak, liquidated, would_have_been_liquidated) \
    FROM STDIN (FORMAT binary)";
/// The bulk update of a chunk's wallets in enforce mode.
const UPDATE_ENFORCED: &str = "UPDATE wallets w \
    SET balance = n.balance, sequence = n.sequence, head_hash = n.head_hash, head_at = n.head_at, \
        idle_streak = n.idle_streak, productive = false, burned = w.burned + n.burned, \
        fees = w.fees + n.fee, ticks = w.ticks + 1, \
        idle_ticks = w.idle_ticks + (n.idle_streak > 0)::int, last_tick = $1 \
    FROM UNNEST($2::bigint[], $3::numeric[], $4::bigint[], $5::bytea[], $6::timestamptz[], \
                $7::integer[], $8::numeric[], $9::numeric[]) \
      AS n (bot_id, balance, sequence, head_hash, head_at, idle_streak, burned, fee) \
    WHERE w.bot_id = n.bot_id";
const UPDATE_OBSERVED: &str = "UPDATE wallets w \
    SET idle_streak = n.idle_streak, productive = false, phantom_fees = n.phantom_fees, \
        shadow_died_in = n.shadow_died_in, ticks = w.ticks + 1, \
        idle_ticks = w.idle_ticks + (n.idle_streak > 0)::int, last_tick = $1 \
    FROM UNNEST($2::bigint[], $3::integer[], $4::numeric[], $5::bigint[]) \
      AS n (bot_id, idle_streak, phantom_fees, shadow_died_in) \
    WHERE w.bot_id = n.bot_id";

/// Locks pending wallets and reads them.
fn locked(rest: &str) -> String {
    let columns = wallet_columns!();
    format!("SELECT {columns} FROM (SELECT * FROM wallets WHERE {PENDING} {rest}) w")
}

statements! {
    hold_arena_pause = "SELECT paused_at, reason FROM hold_arena_pause()";
    lock_free = &locked("AND bot_id > $2 ORDER BY bot_id LIMIT $3 FOR UPDATE SKIP LOCKED");
    lock_waiting = &locked("AND bot_id > $2 ORDER BY bot_id LIMIT $3 FOR UPDATE");
    lock_exactly = &locked("AND bot_id = ANY($2) ORDER BY bot_id FOR UPDATE");
    copy_ledger = COPY_LEDGER;
    copy_metrics = COPY_METRICS;
    update_enforced = UPDATE_ENFORCED;
    update_observed = UPDATE_OBSERVED;
    update_tick = "UPDATE ticks SET bots = bots + $2, fees = fees + $3, liquidated = liquidated + $4 \
                     WHERE number = $1 AND closed_at IS NULL";
    kill = "UPDATE bots SET status = 'DEAD' WHERE id = ANY($1) AND status = 'ALIVE'";
    insert_posts = "INSERT INTO posts (bot_id, kind, content, reference, created_at) \
                    SELECT b, k::post_kind, c, r, t \
                      FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::text[], \
                                  $5::timestamptz[]) AS p (b, k, c, r, t)";
    insert_events = "INSERT INTO events (kind, data) \
                     SELECT k::event_kind, d::jsonb FROM UNNEST($1::text[], $2::text[]) AS e (k, d)";
}
