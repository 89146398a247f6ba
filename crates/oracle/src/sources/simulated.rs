//! A price that is a pure function of a seed and the time: for machines without a way out.
//!
//! It is a Brownian motion in integers, from 1970 on for 544 years. The price at the middle of a span is the mean
//! of its ends plus a normal step in proportion to the span (Lévy's construction), from the whole down to the
//! second. Far from its start such a motion goes anywhere, so it is folded into a band around 60,000: at its
//! edges the price turns back. The daily movement is that of a coin with 50 % a year.
//!
//! Every step is HMAC-SHA-256 of its level and place, keyed with the seed, and as fine as the price has decimals.
//! So the same seed always gives the same prices, and past prices do not help to predict the next one: each step
//! is the output of a pseudo-random function for a new input. With a seed of fewer than 128 bits one could try
//! all seeds against the past, so those are refused.
//!
//! At the edges of the band this ends: no price that stays within one is as likely to rise as to fall
//! everywhere. Within 92 dollars of an edge, as far as it moves in five minutes, it leads away from there
//! more often than not. It is so near for about a quarter of a percent of the time.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use db::prices::Span;
use hmac::{Hmac, KeyInit, Mac};
use ledger_core::money::Price;
use ledger_core::prediction::PriceSource;
use ledger_core::{Money, Timestamp};
use sha2::Sha256;

use super::{FeedError, History, PriceFeed, PriceTextError, Quote, by_the_minute, whole_second};

const DOLLAR: i64 = 100_000_000;
const CENT: i64 = DOLLAR / 100;
/// Where the price turns back, in units of 10⁻⁸ dollars.
const LOWEST: i64 = 26_000 * DOLLAR;
const HIGHEST: i64 = 94_000 * DOLLAR;
/// Where the motion starts.
const CENTRE: i64 = 60_000 * DOLLAR;
/// The motion lasts 2 to the power of this, in seconds since 1970; after that it starts again.
const LEVELS: u32 = 34;
/// Standard deviation of the step at the middle of it all: half of one second's 5.307 dollars times the
/// root of its length.
const FIRST_STEP: i64 = 347_800 * DOLLAR;
/// √2 as a fraction of 2¹⁶: each level's step is smaller by it than the one above.
const ROOT_TWO: i64 = 92_682;
/// A step is the sum of the eight 32-bit words of a hash, less its mean …
const WORDS_MEAN: i64 = 4 * 0xffff_ffff;
/// … in units of its standard deviation, √(8/12) of 2³².
const WORDS_DEVIATION: i128 = 3_506_826_112;
/// Hexadecimal digits of 128 bits.
const DIGITS_MIN: usize = 32;
/// A seed with fewer different digits was not drawn at random: one in thirty million is.
const DIFFERENT_DIGITS_MIN: usize = 8;

/// The seed of the price. Its `Debug` does not show it: it reveals future prices.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(String);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// A seed that could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be at least {DIGITS_MIN} hexadecimal digits drawn at random: make them with `openssl rand -hex 16`"
)]
pub struct WeakSeed;

impl FromStr for Seed {
    type Err = WeakSeed;

    fn from_str(text: &str) -> Result<Seed, WeakSeed> {
        let text = text.to_ascii_lowercase();
        let mut digits = text.as_bytes().to_vec();
        digits.sort_unstable();
        digits.dedup();
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        if is_hex && text.len() >= DIGITS_MIN && digits.len() >= DIFFERENT_DIGITS_MIN {
            Ok(Seed(text))
        } else {
            Err(WeakSeed)
        }
    }
}

/// The simulated feed.
pub struct Simulated {
    seed: Seed,
}

impl Simulated {
    pub const fn new(seed: Seed) -> Simulated {
        Simulated { seed }
    }

    /// The price at a time, in whole cents; fractions of a second do not matter.
    pub fn price_at(&self, at: Timestamp) -> Option<Price> {
        let units = self.units_at(at.micros().div_euclid(1_000_000));
        Price::new(Money::from_units(units - units.rem_euclid(CENT))?).ok()
    }

    fn units_at(&self, second: i64) -> i64 {
        let length = 1_i64 << LEVELS;
        let second = second.rem_euclid(length);
        let (mut low, mut high) = (CENTRE, CENTRE + self.step(u8::MAX, 0, 2 * FIRST_STEP));
        let mut start = 0;
        let mut half = length / 2;
        for level in 0..LEVELS {
            if second == start {
                break;
            }
            let middle = start + half;
            // Two levels down the step is half as large; at odd levels one √2 is left over.
            let mut size = FIRST_STEP >> (level / 2);
            if level % 2 == 1 {
                size = (size << 16) / ROOT_TWO;
            }
            let level = u8::try_from(level).unwrap_or(u8::MAX - 1);
            let price = i64::midpoint(low, high) + self.step(level, middle, size);
            if second < middle {
                high = price;
            } else {
                low = price;
                start = middle;
            }
            half /= 2;
        }
        folded(low)
    }

    /// A normal step of this size.
    fn step(&self, level: u8, place: i64, size: i64) -> i64 {
        let words: i64 = self
            .hash(level, place)
            .chunks_exact(4)
            .map(|word| {
                let mut bytes = [0; 4];
                bytes.copy_from_slice(word);
                i64::from(u32::from_be_bytes(bytes))
            })
            .sum();
        let step = i128::from(words - WORDS_MEAN) * i128::from(size) / WORDS_DEVIATION;
        i64::try_from(step).unwrap_or(0)
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn hash(&self, level: u8, place: i64) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.seed.0.as_bytes()).expect("a key of any length");
        mac.update(b"simulated-price/v2\n");
        mac.update(&[level]);
        mac.update(&place.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// The motion as it is seen in a corridor with mirrors at both ends.
fn folded(units: i64) -> i64 {
    let width = HIGHEST - LOWEST;
    let place = (units - LOWEST).rem_euclid(2 * width);
    LOWEST + if place < width { place } else { 2 * width - place }
}

#[async_trait]
impl PriceFeed for Simulated {
    fn source(&self) -> PriceSource {
        PriceSource::Simulated
    }

    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError> {
        let provider_at = whole_second(now);
        let price = self.price_at(provider_at);
        let price = price.ok_or(FeedError::Price(PriceTextError::TooLarge))?;
        Ok(Quote { price, provider_at })
    }

    async fn history(&self, span: Span, _now: Timestamp) -> Result<History, FeedError> {
        Ok(by_the_minute(span, |at| self.price_at(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-16T00:00:00Z.
    const START: i64 = 1_771_200_000;
    const SEED: &str = "000102030405060708090a0b0c0d0e0f";
    const OTHER: &str = "f00102030405060708090a0b0c0d0e0f";

    fn feed(seed: &str) -> Simulated {
        Simulated::new(seed.parse().unwrap())
    }

    fn units_of(feed: &Simulated, second: i64) -> i64 {
        let at = Timestamp::from_micros(second * 1_000_000).unwrap();
        feed.price_at(at).unwrap().money().units()
    }

    #[test]
    fn the_same_seed_and_time_give_the_same_price() {
        let (one, other) = (feed(SEED), feed(OTHER));
        // Fixed for ever: another build must not move the market.
        assert_eq!(units_of(&one, START), 38_517 * DOLLAR + 37 * CENT);
        assert_eq!(units_of(&one, START), units_of(&feed(&SEED.to_uppercase()), START));
        assert_ne!(units_of(&one, START), units_of(&other, START));
        assert_ne!(units_of(&one, START), units_of(&one, START + 60));
    }

    #[test]
    fn a_seed_that_could_be_tried_is_refused() {
        for seed in [
            "",
            "42",
            "000102030405060708090a0b0c0d0e0",
            "00000000000000000000000000000000",
            "0123456701234567012345670123456g",
            "a passphrase that somebody thought long enough",
            "01010101010101010101010101010101",
        ] {
            assert_eq!(seed.parse::<Seed>(), Err(WeakSeed), "{seed}");
        }
        let seed: Seed = SEED.parse().unwrap();
        assert_eq!(format!("{seed:?}"), "Seed");
        assert!(format!("{SEED}{SEED}").parse::<Seed>().is_ok());
    }

    #[test]
    fn fractions_of_a_second_do_not_matter() {
        let feed = feed(SEED);
        let at = |micros| feed.price_at(Timestamp::from_micros(micros).unwrap());
        assert_eq!(at(START * 1_000_000), at(START * 1_000_000 + 999_999));
        assert_eq!(at(-1_000_000), at(-1));
    }

    #[test]
    fn it_stays_a_plausible_price() {
        for seed in [SEED, OTHER] {
            let feed = feed(seed);
            for day in -400..400 {
                let price = units_of(&feed, START + day * 86_399);
                assert!((LOWEST..=HIGHEST).contains(&price), "{seed}: {price}");
                assert_eq!(price % CENT, 0);
            }
        }
    }

    #[test]
    fn it_moves_like_a_market() {
        // Root mean square of the change over 300 s: 5.307 × √300 ≈ 92 dollars.
        let feed = feed(SEED);
        let mut squares = 0_i128;
        let (mut ups, mut equals) = (0, 0);
        let count = 2_000;
        for step in 0..count {
            let from = units_of(&feed, START + step * 300);
            let change = units_of(&feed, START + (step + 1) * 300) - from;
            squares += i128::from(change) * i128::from(change);
            ups += i64::from(change > 0);
            equals += i64::from(change == 0);
        }
        let root = (squares / i128::from(count)).isqrt();
        let dollars = root / i128::from(DOLLAR);
        assert!((80..105).contains(&dollars), "{dollars}");
        assert!((900..1_100).contains(&ups), "{ups} of {count} went up");
        assert!(equals < 5, "{equals} of {count} did not move");
    }

    #[test]
    fn the_past_does_not_tell_the_future() {
        // How often a change has the sign of the one before: half of the time, give or take.
        let feed = feed(OTHER);
        let change = |step: i64| {
            units_of(&feed, START + (step + 1) * 300) - units_of(&feed, START + step * 300)
        };
        let same = (1..2_000).filter(|step| (change(*step) > 0) == (change(step - 1) > 0)).count();
        assert!((900..1_100).contains(&same), "{same} of 2000");
    }

    /// The end of a span is twice its middle, less its start, less twice the step between. With steps on a
    /// visible grid, two such middles would reveal a future end.
    #[test]
    fn steps_leave_no_grid_by_which_an_end_could_be_computed() {
        let feed = feed(SEED);
        let size = FIRST_STEP >> 14;
        let mut steps: Vec<i64> = (0..2_000).map(|place| feed.step(3, place, size)).collect();
        steps.sort_unstable();
        steps.dedup();
        assert_eq!(steps.len(), 2_000, "as many steps as draws");
        let grid = steps.windows(2).map(|two| two[1] - two[0]).min().unwrap();
        assert!(grid < CENT * 100, "{grid}");
    }

    #[test]
    fn it_turns_back_at_the_edges() {
        assert_eq!(folded(CENTRE), CENTRE);
        assert_eq!(folded(HIGHEST + DOLLAR), HIGHEST - DOLLAR);
        assert_eq!(folded(LOWEST - DOLLAR), LOWEST + DOLLAR);
        assert_eq!(folded(2 * HIGHEST - LOWEST), LOWEST);
    }

    #[tokio::test]
    async fn its_history_is_what_it_was() {
        let feed = feed(SEED);
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000).unwrap();
        let (begins, ends) = (at(START), at(START + 300));
        let span = Span { begins_at: begins, ends_at: ends };
        let told = feed.history(span, at(START + 900)).await.unwrap();
        assert_eq!(told.quotes.len(), 5);
        for quote in told.quotes {
            assert!(begins <= quote.provider_at && quote.provider_at < ends);
            let then = feed.quote(quote.provider_at).await.unwrap();
            assert_eq!(quote, then);
        }
    }
}
