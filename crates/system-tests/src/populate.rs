//! Many bots at once: the same rows a registration writes, sent by COPY.

use db::ticks::{Due, Selection, Tick, TickEngine};
use ledger_core::chain::{Head, seal};
use ledger_core::economy::{self, BotStatus, EconomyRules};
use ledger_core::{BotId, Timestamp};
use test_kit::Arena;

/// Creates `count` bots with wallet and `GRANT` entry, ids from `first` on.
pub async fn bots(arena: &Arena, first: i64, count: i64) {
    let owner = arena.owner_client().await;
    owner
        .execute(
            "INSERT INTO bots (id, handle, api_key_hash, api_secret_sha256) \
             SELECT id, 'bulk-' || id, '$argon2id$none', sha256(('secret' || id)::bytea) \
               FROM generate_series($1::bigint, $1 + $2 - 1) id",
            &[&first, &count],
        )
        .await
        .unwrap();
    let now = Timestamp::from_micros(arena.now().await.micros()).unwrap();
    let mut scratch = Vec::new();
    let grant = |rules: &EconomyRules| economy::genesis(rules).posting;
    let (mut ids, mut hashes) = (Vec::new(), Vec::new());
    for id in first..first + count {
        let head = Head::empty(BotId(id));
        let posting = grant(arena.rules());
        let (entry, _) = seal(&head, BotStatus::Alive, posting, now, &mut scratch).unwrap();
        ids.push(id);
        hashes.push(entry.hash.0.to_vec());
    }
    let amount = arena.rules().genesis_grant.to_string();
    let at = format!("to_timestamp({}::numeric / 1000000)", now.micros());
    let ledger = format!(
        "INSERT INTO ledger SELECT id, 1, 'GRANT', {amount}, {amount}, 'GENESIS_GRANT', {at}, \
                decode(repeat('00', 32), 'hex'), hash \
           FROM UNNEST($1::bigint[], $2::bytea[]) AS n (id, hash)"
    );
    owner.execute(&ledger, &[&ids, &hashes]).await.unwrap();
    let wallets = format!(
        "INSERT INTO wallets (bot_id, balance, sequence, head_hash, head_at, minted, granted) \
         SELECT id, {amount}, 1, hash, {at}, {amount}, {amount} \
           FROM UNNEST($1::bigint[], $2::bytea[]) AS n (id, hash)"
    );
    owner.execute(&wallets, &[&ids, &hashes]).await.unwrap();
    owner.batch_execute("VACUUM ANALYZE").await.unwrap();
}

/// Begins a tick, at any time since the last one.
pub async fn begin_tick(arena: &Arena) -> Tick {
    match db::ticks::due(&mut *arena.conn().await, arena.rules(), 0).await.unwrap() {
        Due::Begun(tick) | Due::Open(tick) => tick,
        due => unreachable!("a rate of zero is always due, not {due:?}"),
    }
}

/// Closes a tick that reached all bots.
pub async fn close_tick(arena: &Arena, tick: &Tick) {
    let totals = db::ticks::close(&mut *arena.conn().await, tick).await.unwrap();
    assert!(totals.is_some(), "tick {} left out a bot", tick.number);
}

/// Ticks all bots once, like the ticker's first sweep.
pub async fn sweep(engine: &mut TickEngine, tick: &Tick, rules: &EconomyRules, chunk: i64) {
    let mut after = BotId(i64::MIN);
    loop {
        let selection = Selection::Free { after, limit: chunk };
        let report = engine.apply(tick, rules, &selection).await.unwrap();
        let Some(last) = report.last else { return };
        after = last;
    }
}
