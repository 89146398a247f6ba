//! The outside world of a simulation: a price, and the answers of the sources of markets ([`sources::played`]),
//! all functions of the seed and the time.
//!
//! The same request always gets the same answer, so that the feeds that decide a market and the agents that bet
//! on it see one world.

use std::sync::Arc;

use futures_util::FutureExt;
use ledger_core::criteria::{Criteria, Times};
use ledger_core::market::{MarketSource, Side, Taking};
use ledger_core::{EconomyRules, Money, Price, Timestamp};
use sources::{Feed, played, wikipedia};

use crate::dice::{roll, roll_signed, word};
use crate::feeds;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// How a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Answers,
    /// It fails on its side, for minutes, or for longer than markets wait.
    Fails,
    /// It wants to be left alone for so many seconds.
    SlowDown(i64),
}

/// The facts of the world that depend only on the seed.
pub struct World {
    seed: u64,
    start: Timestamp,
    /// In cents, a minute each.
    prices: Vec<i64>,
    played: Arc<played::World>,
    /// Sources that never fail, for those who know how things will end.
    feeds: Vec<Arc<dyn Feed>>,
}

/// The sources that are read to decide a market.
fn deciding() -> impl Iterator<Item = MarketSource> {
    let all = MarketSource::ALL.iter().copied();
    all.filter(|source| source.about().takes == Taking::Bet)
}

impl World {
    /// The world from `start` on; its price is known for `seconds` and some hours more.
    pub fn new(seed: u64, start: Timestamp, seconds: i64) -> World {
        let played = Arc::new(played::World::new(seed));
        let answers = Arc::clone(&played);
        World {
            seed,
            start,
            prices: walk(seed, (seconds / HOUR + 12) * 60),
            feeds: feeds::of(move |asked| answers.answer(asked).1, &EconomyRules::default()),
            played,
        }
    }

    /// The answers of the sources, if they answer.
    pub fn played(&self) -> &played::World {
        &self.played
    }

    fn seconds(&self, at: Timestamp) -> i64 {
        at.seconds_since(self.start)
    }

    /// The price of the coin, in cents.
    pub fn cents(&self, at: Timestamp) -> i64 {
        between(&self.prices, self.seconds(at), MINUTE)
    }

    /// The price of the coin. Cents never leave the range of money.
    pub fn price(&self, at: Timestamp) -> Option<Price> {
        Price::new(Money::from_units(self.cents(at).checked_mul(1_000_000)?)?).ok()
    }

    /// The page id of an article: the answer of research.
    pub fn page_id(&self, title: &str) -> i64 {
        wikipedia::played_page_id(&self.played, title)
    }

    /// Whether a source answers. Each fails for some minutes now and then, and once a day one of
    /// those that decide markets is silent for longer than these are waited for.
    pub fn doing(&self, source: MarketSource, now: Timestamp) -> Condition {
        let seconds = self.seconds(now);
        let (day, hour) = (seconds.div_euclid(DAY), seconds.div_euclid(HOUR));
        let today = |what: &str| [self.seed, word(what), day.cast_unsigned()];
        let count = u64::try_from(deciding().count()).unwrap_or(0);
        let silent_one = roll(count, &today("silent"));
        let silent = deciding().nth(usize::try_from(silent_one).unwrap_or(0));
        let from = (4 + roll_signed(10, &today("from"))) * HOUR;
        if silent == Some(source) && (from..from + 8 * HOUR).contains(&seconds.rem_euclid(DAY)) {
            return Condition::Fails;
        }
        let name = word(source.as_str());
        let words = |what: &str| [self.seed, word(what), name, hour.cast_unsigned()];
        let begins = roll_signed(3_000, &words("begins"));
        let lasts = 60 + roll_signed(900, &words("lasts"));
        if !(begins..begins + lasts).contains(&seconds.rem_euclid(HOUR)) {
            return Condition::Answers;
        }
        match roll(8, &words("fails")) {
            0 => Condition::Fails,
            1 => Condition::SlowDown(lasts),
            _ => Condition::Answers,
        }
    }

    /// How a market of yes and no will end if its source answers: what agents with foresight know.
    pub fn truth(&self, criteria: &Criteria, times: &Times) -> Option<Side> {
        let of_source = |feed: &&Arc<dyn Feed>| feed.source() == criteria.source();
        let feed = self.feeds.iter().find(of_source)?;
        // Nothing goes over a network, so that the answer is there at once.
        let read = sources::read(feed.as_ref(), criteria, times, times.deadline).now_or_never()?;
        criteria.decide(&read.value.ok()?)
    }
}

/// The value of a series at a time, in a straight line between its points; its ends go on for ever.
fn between(points: &[i64], seconds: i64, step: i64) -> i64 {
    let seconds = seconds.max(0);
    let place = usize::try_from(seconds.div_euclid(step)).unwrap_or(usize::MAX);
    let last = points.last().copied().unwrap_or(0);
    let here = points.get(place).copied().unwrap_or(last);
    let next = points.get(place.saturating_add(1)).copied().unwrap_or(last);
    here + (next - here) * seconds.rem_euclid(step) / step
}

/// A walk that leans one way for a while and then another, so that following it is worth something
/// and not much.
fn walk(seed: u64, minutes: i64) -> Vec<i64> {
    let (mut cents, mut lean, mut until) = (6_000_000_i64, 0, 0);
    let mut prices = Vec::new();
    for minute in 0..minutes {
        prices.push(cents);
        let words = |what: &str| [seed, word(what), minute.cast_unsigned()];
        if minute >= until {
            until = minute + 15 + roll_signed(75, &words("until"));
            lean = roll_signed(1_201, &words("lean")) - 600;
        }
        // Four dice are nearly a bell: a deviation of some 23 dollars a minute.
        let bell: i64 =
            ["a", "b", "c", "d"].iter().map(|die| roll_signed(4_001, &words(die)) - 2_000).sum();
        cents = (cents + lean + bell).clamp(1_000_000, 20_000_000);
    }
    prices
}

#[cfg(test)]
mod tests {
    use sources::played::Asked;

    use super::*;

    fn world(seed: u64) -> World {
        let start = Timestamp::from_micros(crate::clock::START_MICROS).unwrap();
        World::new(seed, start, 100_000)
    }

    fn at(world: &World, seconds: i64) -> Timestamp {
        world.start.plus_seconds(seconds)
    }

    #[test]
    fn one_seed_is_one_world_and_another_another() {
        let (one, same, other) = (world(1), world(1), world(2));
        for seconds in [0, 59, 3_601, 90_000] {
            let now = at(&one, seconds);
            assert_eq!(one.price(now), same.price(now));
            let headlines = Asked { path: "/rss.xml", query: "", now };
            let [heard, same] = [&one, &same].map(|world| world.played.answer(&headlines));
            assert_eq!(heard, same);
        }
        assert_ne!(one.cents(at(&one, 9_000)), other.cents(at(&other, 9_000)));
    }

    #[test]
    fn a_source_is_silent_for_longer_than_markets_are_waited_for() {
        let world = world(1);
        let longest = |source| {
            let (mut run, mut longest) = (0, 0);
            for minute in 0..1_440 {
                let fails = world.doing(source, at(&world, minute * 60)) == Condition::Fails;
                run = if fails { run + 1 } else { 0 };
                longest = longest.max(run);
            }
            longest
        };
        let silent = deciding().filter(|source| longest(*source) > 7 * 60);
        assert_eq!(silent.count(), 1);
    }
}
