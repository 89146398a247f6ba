mod verdicts;

use db::audit::{Options, audit};
use db::{actions, markets, predictions};
use ledger_core::economy::Enforcement::Enforce;
use ledger_core::market::{MarketSource, Side};
use ledger_core::prediction::PriceSource;
use ledger_core::{BotId, EconomyRules};
use test_kit::Arena;
use test_kit::market::{RIGHT_ANSWER, new_answer};

/// An arena in which something of everything has happened; the bot that did most of it.
async fn lived_in() -> (Arena, BotId) {
    let rules = EconomyRules { prediction_horizon_seconds: 10, ..test_kit::rules() };
    let arena = Arena::new().await.with_rules(rules);
    let bot = arena.bot().create().await.id;
    arena.bot().balance("0.60").create().await;
    let mut conn = arena.conn().await;
    let mut ids = Vec::new();
    for stake in ["1.00", "2.00", "3.00"] {
        let wager = crate::wager(bot, stake);
        let accepted = actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
        ids.push(accepted.prediction_id.unwrap());
    }
    arena.tick(Enforce).await;
    arena.tick(Enforce).await;
    arena.price("100.00", PriceSource::Coingecko, 1).await;
    arena.price("101.00", PriceSource::Coingecko, 12).await;
    predictions::settle(&mut conn, &ids[..2], arena.rules(), db::predictions::MissingPrices::Void)
        .await
        .unwrap();
    arena.assert_sound().await;
    (arena, bot)
}

fn workers(workers: usize) -> Options {
    Options { workers, ..Options::default() }
}

/// Changes something behind the triggers' back and answers the audit's faults as text.
async fn tampered(arena: &Arena, sql: &str) -> Vec<String> {
    let owner = arena.owner_client().await;
    owner.batch_execute("SET session_replication_role = replica").await.unwrap();
    owner.batch_execute(sql).await.expect(sql);
    let report = audit(arena.database(), Options::default()).await.unwrap();
    assert!(!report.is_sound(), "unnoticed: {sql}");
    report
        .faults
        .iter()
        .map(|fault| {
            let bot = fault.bot_id.map(|bot| bot.0).unwrap_or_default();
            let sequence = fault.sequence.unwrap_or_default();
            format!("{bot}/{sequence} {}: {}", fault.field, fault.expected)
        })
        .collect()
}

#[tokio::test]
async fn one_changed_byte_in_any_column_is_named() {
    let (arena, bot) = lived_in().await;
    // An attacker can bypass constraints.
    let owner = arena.owner_client().await;
    for constraint in [
        "sequence_starts_at_one",
        "balance_in_range",
        "amount_fits_type",
        "reference_is_printable",
        "hashes_are_sha256",
    ] {
        let drop = format!("ALTER TABLE ledger DROP CONSTRAINT ledger_{constraint}");
        owner.batch_execute(&drop).await.unwrap();
    }
    let row = format!("bot_id = {bot} AND sequence = 3");
    for change in [
        "entry_type = 'MARKET_STAKE'",
        "amount = amount + 0.00000001",
        "amount = 'NaN'",
        "balance_after = balance_after + 0.00000001",
        "reference = overlay(reference placing 'X' from 1)",
        "reference = reference || E'\\n'",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "previous_hash = set_byte(previous_hash, 31, get_byte(previous_hash, 31) # 1)",
        "hash = set_byte(hash, 0, get_byte(hash, 0) # 128)",
        "hash = '\\x00'",
    ] {
        let keep = format!("CREATE TABLE kept AS SELECT * FROM ledger WHERE {row}");
        owner.batch_execute(&keep).await.unwrap();
        let faults = tampered(&arena, &format!("UPDATE ledger SET {change} WHERE {row}")).await;
        let named = faults.iter().any(|fault| fault.starts_with(&format!("{bot}/3 ")));
        assert!(named, "{change}: {faults:?}");
        let restore = format!(
            "SET session_replication_role = replica; DELETE FROM ledger WHERE {row}; \
             INSERT INTO ledger SELECT * FROM kept; DROP TABLE kept"
        );
        owner.batch_execute(&restore).await.unwrap();
        arena.assert_sound().await;
    }
    let moved = tampered(&arena, &format!("UPDATE ledger SET sequence = 99 WHERE {row}")).await;
    assert!(moved.iter().any(|fault| fault.starts_with(&format!("{bot}/4 sequence"))), "{moved:?}");
}

#[tokio::test]
async fn a_row_moved_to_another_bot_is_named_on_both_sides() {
    let (arena, bot) = lived_in().await;
    let sql = format!("UPDATE ledger SET bot_id = 77 WHERE bot_id = {bot} AND sequence = 3");
    let faults = tampered(&arena, &sql).await;
    assert!(
        faults.iter().any(|fault| fault.starts_with(&format!("{bot}/4 sequence"))),
        "{faults:?}"
    );
    assert!(faults.iter().any(|fault| fault.starts_with("77/3 ")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.starts_with("77/0 bot:")), "{faults:?}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    for (sql, expected) in [
        ("DELETE FROM ledger WHERE bot_id = {bot} AND sequence = 1", "{bot}/2 sequence"),
        ("DELETE FROM ledger WHERE bot_id = {bot} AND sequence = 8", "wallet.sequence"),
        ("DELETE FROM ledger WHERE bot_id = {bot}", "{bot}/0 chain"),
        ("DELETE FROM wallets WHERE bot_id = {bot}", "{bot}/0 wallet"),
        ("DELETE FROM predictions WHERE bot_id = {bot} AND status = 'WON'", "{bot}/0 positions"),
        ("DELETE FROM predictions WHERE bot_id = {bot} AND status = 'OPEN'", "wallet.open_stake"),
    ] {
        let (arena, bot) = lived_in().await;
        let fill = |text: &str| text.replace("{bot}", &bot.to_string());
        let faults = tampered(&arena, &fill(sql)).await;
        assert!(faults.iter().any(|fault| fault.contains(&fill(expected))), "{sql}: {faults:?}");
    }
}

#[tokio::test]
async fn what_stands_beside_the_chains_is_held_against_them() {
    for (change, expected) in [
        ("UPDATE wallets SET balance = balance + 1 WHERE bot_id = {bot}", "wallet.balance"),
        ("UPDATE wallets SET burned = burned + 1 WHERE bot_id = {bot}", "wallet.burned"),
        ("UPDATE wallets SET minted = minted - 1 WHERE bot_id = {bot}", "wallet.minted"),
        ("UPDATE wallets SET open_stake = 0 WHERE bot_id = {bot}", "wallet.open_stake"),
        ("UPDATE wallets SET fees = fees + 1 WHERE bot_id = {bot}", "running totals"),
        ("UPDATE wallets SET granted = granted + 1 WHERE bot_id = {bot}", "running totals"),
        ("UPDATE agent_totals SET settled = settled + 1 WHERE bot_id = {bot}", "running totals"),
        (
            "UPDATE agent_totals SET brier_sum = brier_sum + 0.1 WHERE bot_id = {bot}",
            "running totals",
        ),
        ("UPDATE wallets SET head_hash = sha256('x') WHERE bot_id = {bot}", "wallet.hash"),
        ("UPDATE wallets SET status = 'DEAD' WHERE bot_id = {bot}", "wallet.status"),
        ("UPDATE bots SET status = 'DEAD' WHERE id = {bot}", "balance of a dead bot"),
        ("UPDATE predictions SET payout = payout + 1 WHERE status = 'WON'", "positions"),
        (
            "UPDATE predictions SET direction = 'DOWN' WHERE status = 'WON'",
            "the verdict of its samples",
        ),
        (
            "UPDATE prices SET price = price + 1 WHERE id = (SELECT min(id) FROM prices)",
            "the prices of its samples",
        ),
        ("UPDATE predictions SET wager_amount = 9 WHERE status = 'OPEN'", "wallet.open_stake"),
        // An unused sample, although it existed before and came first.
        (
            "INSERT INTO prices (id, source, price, provider_at) \
             SELECT -1, source, price, provider_at - interval '1 microsecond' FROM prices ORDER BY id DESC LIMIT 1",
            "the first sample at or after the end",
        ),
        (
            "INSERT INTO prices (id, source, price, provider_at) SELECT -1, s.source, 90, \
                    p.created_at + (s.provider_at - p.created_at) / 2 \
               FROM predictions p JOIN prices s ON s.id = p.start_price_id LIMIT 1",
            "the first sample at or after the start",
        ),
        // One that came too early, or too late.
        (
            "UPDATE prices SET provider_at = provider_at - interval '5 seconds' WHERE price = 101",
            "an end sample at or after it was due",
        ),
        (
            "UPDATE prices SET provider_at = provider_at - interval '5 seconds' WHERE price = 100",
            "a start sample at or after it was due",
        ),
        (
            "UPDATE prices SET provider_at = provider_at + interval '1 hour' WHERE price = 101",
            "samples within the grace",
        ),
        (
            "UPDATE prices SET sampled_at = sampled_at + interval '1 hour' WHERE price = 101",
            "samples from before it was settled",
        ),
        // A lost stake is returned as if no prices had existed.
        (
            "UPDATE predictions SET status = 'VOID', payout = wager_amount, brier = NULL WHERE status = 'WON'",
            "a verdict: both of its samples are there",
        ),
        (
            "UPDATE predictions SET status = 'VOID', payout = wager_amount, brier = NULL, end_price_id = NULL, \
                    end_price = NULL WHERE status = 'WON'",
            "a wait for its samples",
        ),
        // Its start as its end too, or an end of before it was due: the prices are equal, and it is no refund.
        (
            "UPDATE predictions SET status = 'VOID', payout = wager_amount, brier = NULL, \
                    end_price_id = start_price_id, end_price = start_price WHERE status = 'WON'",
            "the prices of its samples",
        ),
        (
            "INSERT INTO prices (id, source, price, provider_at) \
             SELECT 900, source, price, provider_at + interval '5 seconds' FROM prices WHERE price = 100; \
             UPDATE predictions SET status = 'VOID', payout = wager_amount, brier = NULL, \
                    end_price_id = 900, end_price = start_price WHERE status = 'WON'",
            "an end sample at or after it was due",
        ),
        (
            "UPDATE predictions SET start_price = 1 WHERE status = 'OPEN'",
            "the prices of its samples",
        ),
        (
            "UPDATE economy_rules SET first_used_at = first_used_at - interval '3 days'; \
             UPDATE __diesel_schema_migrations SET run_on = run_on - interval '3 days'; \
             UPDATE predictions SET rules = NULL WHERE status = 'OPEN'",
            "the digest of the rules it began under",
        ),
        ("UPDATE predictions SET rules = sha256('x') WHERE status = 'WON'", "rules that are kept"),
        (
            "UPDATE predictions SET payout = payout * 2 WHERE status = 'WON'",
            "the payout of its rules",
        ),
    ] {
        let (arena, bot) = lived_in().await;
        let faults = tampered(&arena, &change.replace("{bot}", &bot.to_string())).await;
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{change}: {faults:?}");
    }
}

#[tokio::test]
async fn a_forged_chain_that_hangs_together_changes_the_digest() {
    let (arena, _) = lived_in().await;
    let before = audit(arena.database(), workers(1)).await.unwrap();
    let same = audit(arena.database(), workers(3)).await.unwrap();
    assert_eq!(before.heads_digest, same.heads_digest);
    arena.tick(Enforce).await;
    let after = audit(arena.database(), Options::default()).await.unwrap();
    assert!(after.is_sound());
    assert_ne!(before.heads_digest, after.heads_digest);
}

/// Something of everything at once: both of the arenas here in one.
pub(crate) async fn with_everything() -> Arena {
    let (arena, _) = lived_in().await;
    fill_with_markets(&arena).await;
    arena
}

/// An arena with a market of each end: paid, refunded, void, open, and research solved.
async fn with_markets() -> (Arena, BotId) {
    let arena = Arena::new().await;
    let bot = fill_with_markets(&arena).await;
    (arena, bot)
}

async fn fill_with_markets(arena: &Arena) -> BotId {
    let [bot, other] = [arena.bot().create().await.id, arena.bot().create().await.id];
    let paid = arena.market(MarketSource::News).await.id;
    let refunded = arena.market(MarketSource::Github).await.id;
    let void = arena.market(MarketSource::Weather).await.id;
    let open = arena.market(MarketSource::News).await.id;
    for market in [paid, refunded, void, open] {
        arena.bet(bot, market, Side::Yes, "3.00").await;
    }
    arena.bet(other, paid, Side::Yes, "1.00").await;
    arena.bet(other, open, Side::No, "1.00").await;
    let mut conn = arena.conn().await;
    for (market, side) in [(paid, Side::Yes), (refunded, Side::No)] {
        arena.lock_market(market).await;
        arena.decide(market, side).await;
        markets::settle(&mut conn, market).await.unwrap().unwrap();
    }
    let operator = "ops".parse().unwrap();
    let by = markets::VoidBy::Operator(&operator);
    markets::void(&mut conn, void, "a test", by, None).await.unwrap();
    let research = arena.market(MarketSource::Research).await.id;
    for (who, answer) in [(other, "1"), (bot, RIGHT_ANSWER)] {
        let new = new_answer(who, research, answer);
        markets::answer(&mut conn, &new, arena.rules(), None).await.unwrap();
    }
    arena.assert_sound().await;
    bot
}

#[tokio::test]
async fn markets_are_shared_out_again_and_commitments_recomputed() {
    for (change, expected) in [
        // One unit too much for one, one too little for the other: sums alone would not show it.
        (
            "UPDATE bets SET payout = payout + CASE WHEN bot_id = {bot} THEN 0.00000001 \
                ELSE -0.00000001 END WHERE state = 'WON' AND side IS NOT NULL",
            "state, payout",
        ),
        ("UPDATE bets SET minted = 0 WHERE state = 'WON' AND side IS NOT NULL", "state, payout"),
        ("UPDATE bets SET brier = 0 WHERE state = 'WON' AND side IS NOT NULL", "state, payout"),
        ("UPDATE bets SET side = 'NO' WHERE state = 'WON' AND side = 'YES'", "market.paid"),
        ("UPDATE bets SET stake = 4 WHERE state = 'OPEN'", "wallet.bet_stake"),
        ("DELETE FROM bets WHERE state = 'OPEN'", "wallet.open_bets"),
        ("DELETE FROM bets WHERE state = 'VOID'", "positions against"),
        ("UPDATE bets SET used_lookup = true WHERE state = 'LOST'", "positions against"),
        ("UPDATE bets SET answer = '736' WHERE answer = '1'", "right answers"),
        ("UPDATE markets SET answer = '737' WHERE answer IS NOT NULL", "market.commitment"),
        ("UPDATE markets SET nonce = sha256('x') WHERE nonce IS NOT NULL", "market.commitment"),
        ("UPDATE markets SET outcome = 'NO' WHERE outcome = 'YES'", "market.outcome"),
        ("UPDATE markets SET bounty = bounty + 1 WHERE paid", "state, payout"),
        ("UPDATE markets SET staked = staked + 1 WHERE status = 'OPEN'", "market.staked"),
        ("UPDATE markets SET bets = bets + 1 WHERE status = 'OPEN'", "market.bets"),
        ("DELETE FROM evidence", "evidence"),
        (
            "UPDATE bets SET created_at = created_at + interval '1 day' WHERE bot_id = {bot} AND state = 'WON' \
                AND side IS NOT NULL",
            "created_at",
        ),
        (
            "UPDATE bets b SET created_at = m.bets_close_at FROM markets m WHERE m.id = b.market_id \
                AND b.state = 'OPEN'",
            "created_at",
        ),
        ("DELETE FROM audit_log WHERE action = 'MARKET_VOID'", "market.void"),
        (
            "UPDATE evidence SET fetched_at = fetched_at - interval '2 days' WHERE side = 'YES'",
            "evidence.fetched_at",
        ),
        (
            "UPDATE markets SET resolved_at = resolved_at - interval '2 days' WHERE outcome = 'NO'",
            "market.resolved_at",
        ),
        (
            "UPDATE evidence SET sha256 = sha256('x') WHERE side IS NOT NULL",
            "bytes of the kept SHA-256",
        ),
        (
            "UPDATE evidence SET sha256 = sha256('x'), truncated = true WHERE side IS NOT NULL",
            "bytes of the kept SHA-256",
        ),
        // Called off, or solved, and then bet on though bets were not closed yet.
        (
            "UPDATE bets b SET created_at = m.resolved_at + interval '1 second' FROM markets m \
              WHERE m.id = b.market_id AND m.status = 'VOID'",
            "while bets were taken",
        ),
        (
            "UPDATE bets b SET created_at = m.resolved_at + interval '1 second' FROM markets m \
              WHERE m.id = b.market_id AND m.source = 'RESEARCH' AND b.state = 'LOST'",
            "while bets were taken",
        ),
        (
            "UPDATE economy_rules SET first_used_at = first_used_at - interval '3 days'; \
             UPDATE __diesel_schema_migrations SET run_on = run_on - interval '3 days'; \
             UPDATE markets SET rules = NULL WHERE status = 'OPEN'",
            "market.rules: the digest of the rules",
        ),
        (
            "UPDATE economy_rules SET first_used_at = first_used_at - interval '3 days'; \
             UPDATE __diesel_schema_migrations SET run_on = run_on - interval '3 days'; \
             UPDATE bets SET rules = NULL WHERE state = 'OPEN'",
            "rules: the digest of the rules",
        ),
        ("UPDATE bets SET minted = 1 WHERE state = 'LOST' AND answer IS NOT NULL", "state, payout"),
        (
            "UPDATE bets SET state = 'WON', payout = 9, minted = 6, burned = 0, resolved_at = now() \
              WHERE state = 'OPEN' AND side = 'YES'",
            "open bets of an unsettled market",
        ),
        ("UPDATE agent_totals SET brier_count = brier_count + 1", "running totals"),
        ("UPDATE agent_totals SET profit = profit + 1", "running totals"),
        ("UPDATE evidence SET side = 'NO' WHERE side = 'YES'", "market.outcome"),
        (
            "UPDATE markets SET status = 'RESOLVED', outcome = 'YES', resolved_at = now() \
              WHERE status = 'OPEN'",
            "open bets of a settled market",
        ),
    ] {
        let (arena, bot) = with_markets().await;
        let faults = tampered(&arena, &change.replace("{bot}", &bot.to_string())).await;
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{change}: {faults:?}");
    }
}

#[tokio::test]
async fn a_market_that_the_oracle_called_off_waited_and_had_nothing_to_decide_it() {
    for (change, expected) in [
        (
            "UPDATE markets SET resolved_at = deadline + interval '21599.999999 seconds' WHERE status = 'VOID'",
            "market.void: patience until",
        ),
        (
            "UPDATE evidence SET side = 'NO', value = 'x', problem = NULL \
              WHERE id = (SELECT max(id) FROM evidence)",
            "market.void: no evidence that decides it",
        ),
    ] {
        let arena = Arena::new().await;
        let bot = arena.bot().create().await.id;
        let market = arena.market(MarketSource::Github).await.id;
        arena.bet(bot, market, Side::No, "1.00").await;
        arena.lock_market(market).await;
        let mut conn = arena.conn().await;
        // Asked every half hour, and just now.
        for question in 0..=12 {
            if question > 0 {
                arena.age_market(market, 1_800).await;
            }
            let failed = test_kit::market::evidence(arena.now().await, None);
            markets::record(&mut conn, market, &failed, None).await.unwrap();
        }
        let by = markets::VoidBy::Patience(arena.rules());
        markets::void(&mut conn, market, "silence", by, None).await.unwrap();
        arena.assert_sound().await;
        // Patience may end in the very moment in which it may.
        let just = "UPDATE markets SET resolved_at = deadline + interval '21600 seconds' WHERE status = 'VOID'";
        let owner = arena.owner_client().await;
        owner
            .batch_execute(&format!("SET session_replication_role = replica; {just}"))
            .await
            .unwrap();
        arena.assert_sound().await;
        let faults = tampered(&arena, change).await;
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{change}: {faults:?}");
    }
}

#[tokio::test]
async fn what_is_kept_of_an_answer_that_was_cut_must_say_the_outcome() {
    let (arena, _) = with_markets().await;
    let owner = arena.owner_client().await;
    let change = async |sql: &str| {
        let sql = format!("SET session_replication_role = replica; {sql}");
        owner.batch_execute(&sql).await.unwrap();
    };
    let silent = async || {
        let options = Options {
            derive: Some(|_, _, _, _| Err("not there".to_owned())),
            ..Options::default()
        };
        let report = audit(arena.database(), options).await.unwrap();
        let by_evidence = "market.outcome by its evidence";
        let faults = report.faults.iter();
        faults.filter(|fault| fault.field == by_evidence).count()
    };
    change("UPDATE evidence SET truncated = true").await;
    assert_eq!(silent().await, 2, "two markets were decided by it");
    // Before rules were kept it may have been decided by what was cut off.
    change("UPDATE markets SET rules = NULL").await;
    assert_eq!(silent().await, 0);
}
