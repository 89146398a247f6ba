//! A price that is a pure function of a seed and the time: for machines without a way out.
//!
//! It is a Brownian motion in integers. Time is cut into blocks of 2²⁰ seconds (12 days), each of
//! which begins at an anchor near 60,000; within a block the price at each midpoint is the mean of
//! its ends plus a normal step whose size fits the distance (Lévy's construction), down to the
//! second. Every step comes from SHA-256 over seed, level and place, so that the same seed gives
//! the same price to everybody at any time, and without the seed the next step cannot be guessed
//! from those before. The daily movement is that of a coin with 50 % a year.

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use ledger_core::money::Price;
use ledger_core::prediction::PriceSource;
use ledger_core::{Money, Timestamp};
use sha2::{Digest, Sha256};

use super::{FeedError, PriceFeed, Quote, whole_second};

const DOLLAR: i64 = 100_000_000;
const CENT: i64 = DOLLAR / 100;
/// What anchors lie around, in units of 10⁻⁸ dollars.
const CENTRE: i64 = 60_000 * DOLLAR;
/// How far an anchor may lie from the centre.
const ANCHOR_REACH: i64 = 6_000 * DOLLAR;
/// A block lasts 2 to the power of this, in seconds.
const BLOCK_LEVELS: u32 = 20;
/// Standard deviation of the step at a block's midpoint: half of one second's 5.307 dollars times
/// the root of the block's length.
const FIRST_STEP: i64 = 2_717 * DOLLAR;
/// √2 as a fraction of 2¹⁶: each level's step is smaller by it than the one above.
const ROOT_TWO: i64 = 92_682;
/// Set bits of a hash less their mean have a standard deviation of 8 …
const BITS_DEVIATION: i64 = 8;
/// … and are cut off at three of them, so that the sum of all steps stays below the centre.
const BITS_MAX: i64 = 3 * BITS_DEVIATION;

/// The simulated feed.
pub struct Simulated {
    seed: String,
}

impl Simulated {
    #[must_use]
    pub const fn new(seed: String) -> Simulated {
        Simulated { seed }
    }

    /// The price at a time, in whole cents; fractions of a second do not matter.
    #[must_use]
    pub fn price_at(&self, at: Timestamp) -> Option<Price> {
        let units = self.units_at(at.micros().div_euclid(1_000_000));
        Price::new(Money::from_units(units - units.rem_euclid(CENT))?).ok()
    }

    fn units_at(&self, second: i64) -> i64 {
        let block = second >> BLOCK_LEVELS;
        let (mut low, mut high) = (self.anchor(block), self.anchor(block + 1));
        let mut start = block << BLOCK_LEVELS;
        for level in 0..BLOCK_LEVELS {
            if second == start {
                return low;
            }
            let half = 1_i64 << (BLOCK_LEVELS - level - 1);
            let middle = start + half;
            let price = (low + high) / 2 + self.step(level, middle);
            if second < middle {
                high = price;
            } else {
                low = price;
                start = middle;
            }
        }
        low
    }

    fn anchor(&self, block: i64) -> i64 {
        let hash = self.hash(u8::MAX, block);
        let mut word = [0; 8];
        word.copy_from_slice(&hash[..8]);
        let reach = ANCHOR_REACH.unsigned_abs();
        let above = u64::from_be_bytes(word) % (2 * reach + 1);
        CENTRE - ANCHOR_REACH + i64::try_from(above).unwrap_or(ANCHOR_REACH)
    }

    fn step(&self, level: u32, middle: i64) -> i64 {
        let hash = self.hash(u8::try_from(level).unwrap_or(u8::MAX - 1), middle);
        let set: u32 = hash.iter().map(|byte| byte.count_ones()).sum();
        let deviation = (i64::from(set) - 128).clamp(-BITS_MAX, BITS_MAX);
        // Two levels down the step is half as large; at odd levels one √2 is left over.
        let mut size = FIRST_STEP >> (level / 2);
        if level % 2 == 1 {
            size = (size << 16) / ROOT_TWO;
        }
        size / BITS_DEVIATION * deviation
    }

    fn hash(&self, level: u8, place: i64) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"simulated-price/v1\n")
            .chain_update([level])
            .chain_update(place.to_be_bytes())
            .chain_update(self.seed.as_bytes())
            .finalize()
            .into()
    }
}

impl PriceFeed for Simulated {
    fn source(&self) -> PriceSource {
        PriceSource::Simulated
    }

    fn quote(&self, now: Timestamp) -> BoxFuture<'_, Result<Quote, FeedError>> {
        let provider_at = whole_second(now);
        // The construction keeps the price within 26,000 and 94,000.
        let quote = self
            .price_at(provider_at)
            .map(|price| Quote { price, provider_at });
        future::ready(quote.ok_or(FeedError::Price(super::PriceTextError::TooLarge))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-16T00:00:00Z.
    const START: i64 = 1_771_200_000;

    fn units(seed: &str, second: i64) -> i64 {
        let feed = Simulated::new(seed.to_owned());
        let at = Timestamp::from_micros(second * 1_000_000).unwrap();
        feed.price_at(at).unwrap().money().units()
    }

    #[test]
    fn the_same_seed_and_time_give_the_same_price() {
        // Computed by another program too. Fixed for ever: another build must not move the market.
        assert_eq!(units("42", START), 52_229 * DOLLAR + 74 * CENT);
        assert_ne!(units("42", START), units("43", START));
        assert_ne!(units("42", START), units("42", START + 60));
    }

    #[test]
    fn fractions_of_a_second_do_not_matter() {
        let feed = Simulated::new("42".to_owned());
        let at = |micros| feed.price_at(Timestamp::from_micros(micros).unwrap());
        assert_eq!(at(START * 1_000_000), at(START * 1_000_000 + 999_999));
        assert_eq!(at(-1_000_000), at(-1));
    }

    #[test]
    fn it_stays_a_plausible_price() {
        for seed in ["1", "another", "3141592653"] {
            for day in -400..400 {
                let price = units(seed, START + day * 86_399);
                assert!(
                    (26_000 * DOLLAR..94_000 * DOLLAR).contains(&price),
                    "{seed}: {price}"
                );
                assert_eq!(price % CENT, 0);
            }
        }
    }

    #[test]
    fn it_moves_like_a_market() {
        // Root mean square of the change over 300 s: 5.307 × √300 ≈ 92 dollars.
        let mut squares = 0_i128;
        let (mut ups, mut equals) = (0, 0);
        let count = 2_000;
        for step in 0..count {
            let change = units("7", START + (step + 1) * 300) - units("7", START + step * 300);
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
        let change =
            |step: i64| units("9", START + (step + 1) * 300) - units("9", START + step * 300);
        let same = (1..2_000)
            .filter(|step| (change(*step) > 0) == (change(step - 1) > 0))
            .count();
        assert!((900..1_100).contains(&same), "{same} of 2000");
    }

    #[test]
    fn blocks_join_without_a_jump() {
        let edge = ((START >> BLOCK_LEVELS) + 1) << BLOCK_LEVELS;
        let jump = (units("5", edge) - units("5", edge - 1)).abs();
        assert!(jump < 50 * DOLLAR, "{jump}");
    }
}
