//! Every source, played: it proposes questions that the arena accepts, and its answers decide them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger_core::criteria::{Times, bets_close_at};
use ledger_core::economy::MarketRules;
use ledger_core::market::{MarketSource, Side, Taking};
use sources::played::{Asked, World};
use sources::{Feed, Http, NoProposal, Proposal};

use crate::now;

fn feed(source: MarketSource, seed: u64) -> Arc<dyn Feed> {
    let world = World::new(seed);
    let http = Http::played(Arc::new(move |url, now| {
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let (asked_of, answer) = world.answer(&Asked { path, query, now });
        assert_eq!(asked_of, Some(source), "{url}");
        answer
    }));
    let feed = sources::of(source).feed(&mut (), &http, &MarketRules::default());
    let feed = feed.unwrap();
    assert_eq!(feed.source(), source);
    feed
}

pub(crate) async fn proposals(source: MarketSource, seed: u64) -> Vec<Proposal> {
    let feed = feed(source, seed);
    let mut found = Vec::new();
    for draw in 0..40 {
        let draw = u64::wrapping_mul(draw, 0x9e37_79b9_7f4a_7c15);
        found.push(feed.propose(&[], draw, now()).await.unwrap());
    }
    found
}

#[tokio::test]
async fn questions_are_sound_and_never_about_what_is_taken() {
    for source in MarketSource::ALL.iter().copied() {
        let proposed = proposals(source, 1).await;
        for Proposal { criteria, answer, evidence, .. } in &proposed {
            assert_eq!(criteria.source(), source);
            assert_eq!(criteria.check(), Ok(()), "{criteria:?}");
            assert_eq!(evidence.status, Some(200), "{source}");
            assert_eq!(answer.is_some(), source.about().takes == Taking::Answer);
        }
        let subjects: BTreeSet<String> = proposed.iter().map(|it| it.criteria.subject()).collect();
        assert!(subjects.len() > 5, "{source}: {subjects:?}");
        let taken: Vec<String> = subjects.into_iter().collect();
        match feed(source, 1).propose(&taken, 7, now()).await {
            Ok(other) => assert!(!taken.contains(&other.criteria.subject()), "{source}"),
            Err(no) => assert_eq!(no, NoProposal::NothingFree, "{source}"),
        }
    }
}

#[tokio::test]
async fn answers_decide_both_ways_and_one_seed_is_one_world() {
    for source in MarketSource::ALL.iter().copied() {
        if source.about().takes == Taking::Answer {
            continue;
        }
        let mut ends = BTreeSet::new();
        let [feed, same] = [feed(source, 3), feed(source, 3)];
        for proposal in proposals(source, 3).await {
            let criteria = proposal.criteria;
            let deadline = now().plus_seconds(MarketRules::default().of(source).seconds);
            let times = Times {
                opens_at: now(),
                bets_close_at: bets_close_at(source, now(), deadline),
                deadline,
            };
            let read = sources::read(feed.as_ref(), &criteria, &times, deadline).await;
            let again = sources::read(same.as_ref(), &criteria, &times, deadline).await;
            assert_eq!(read, again, "{source}");
            let reading = read.value.unwrap();
            ends.insert(criteria.decide(&reading).unwrap());
        }
        assert_eq!(ends, BTreeSet::from([Side::Yes, Side::No]), "{source}");
    }
}

#[tokio::test]
async fn an_example_is_sound_and_of_its_source_alone() {
    for source in MarketSource::ALL.iter().copied() {
        let example = sources::of(source).example("thing");
        for other in MarketSource::ALL.iter().copied() {
            let read = ledger_core::criteria::Criteria::deserialize(other, example.clone());
            assert_eq!(read.is_ok(), other == source, "{other} of {source}");
            assert!(read.is_ok_and(|it| it.check().is_ok()) || other != source);
        }
    }
}

#[tokio::test]
async fn nobody_reads_a_market_of_another_source() {
    for source in MarketSource::ALL.iter().copied() {
        let feed = feed(source, 1);
        let times = Times { opens_at: now(), bets_close_at: now(), deadline: now() };
        for other in MarketSource::ALL.iter().copied() {
            let example = sources::of(other).example("thing");
            let criteria = ledger_core::criteria::Criteria::deserialize(other, example).unwrap();
            if other != source {
                let fetched = feed.fetch(&criteria, &times, now()).await;
                let derived = sources::of(source).derive(&criteria, &times, now(), b"{}");
                assert!(derived.is_err(), "{source} reads {other}");
                assert!(fetched.value.is_err() || feed.has_one_answer_for_all());
            }
        }
    }
}
