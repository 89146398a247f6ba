//! What the pure code costs, one bot or entry at a time.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger_core::chain::{ChainVerifier, Head, seal_onto};
use ledger_core::economy::{self, BotStatus, EconomyRules, Enforcement, Wallet};
use ledger_core::{BotId, Hash, Money, TickNumber, Timestamp};

fn wallet() -> Wallet {
    Wallet {
        head: Head {
            bot_id: BotId(123_456),
            sequence: 1,
            balance: "998.50".parse().unwrap(),
            hash: Hash([0xab; 32]),
            recorded_at: None,
        },
        status: BotStatus::Alive,
        idle_streak: 3,
        productive: false,
        phantom_fees: Money::ZERO,
        shadow_died_in: None,
        open_predictions: 0,
        open_stake: Money::ZERO,
        open_bets: 0,
        bet_stake: Money::ZERO,
        last_tick: TickNumber(41),
        pause: None,
    }
}

fn rules(criterion: &mut Criterion) {
    let rules = EconomyRules { enforcement: Enforcement::Enforce, ..EconomyRules::default() };
    let now = Timestamp::from_micros(1_771_200_000_000_000).unwrap();
    let (tick, mut scratch) = (TickNumber(42), Vec::new());
    let reference = economy::tick_reference(tick);
    let mut group = criterion.benchmark_group("rules");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decide and seal one tick", |bencher| {
        bencher.iter(|| {
            let mut wallet = wallet();
            let mut outcome = economy::tick(black_box(&wallet), &rules, tick, &reference);
            seal_onto(&mut wallet, outcome.movements.remove(0), now, &mut scratch).unwrap()
        });
    });
    let mut sealed = wallet();
    let mut outcome = economy::tick(&sealed, &rules, tick, &reference);
    let before = sealed.head;
    let entry = seal_onto(&mut sealed, outcome.movements.remove(0), now, &mut scratch).unwrap();
    group.bench_function("verify one entry", |bencher| {
        let mut verifier = ChainVerifier::resume(before);
        bencher.iter(|| {
            verifier.skip_to(before);
            verifier.check(black_box(&entry)).unwrap();
        });
    });
    group.bench_function("hash 200 bytes, the floor of both", |bencher| {
        use sha2::{Digest, Sha256};
        let bytes = [7u8; 200];
        bencher.iter(|| Sha256::digest(black_box(bytes)));
    });
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);
