//! A simulated outside world: each source answers in its own shape about a small world, a function of a seed and
//! the time.
//!
//! For tests, simulations, and trying the arena on a machine without the internet. The same request at the same
//! moment gets the same answer; only a random article differs each time. Numbers are integers and made of a seed,
//! so that they are the same on every machine.

use std::sync::atomic::{AtomicU64, Ordering};

use ledger_core::Timestamp;
use ledger_core::market::MarketSource;
use serde_json::Value;
use url::form_urlencoded;

/// A request to a source.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub path: &'a str,
    pub query: &'a str,
    pub now: Timestamp,
}

impl Asked<'_> {
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        let (_, value) = pairs.find(|(key, _)| key == name)?;
        Some(value.into_owned())
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.now.micros().div_euclid(1_000_000)
    }
}

/// A source's answer where it is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Played {
    pub fn status(status: u16) -> Played {
        Played { status, headers: Vec::new(), body: b"{\"message\":\"no\"}".to_vec() }
    }

    pub fn body(body: impl Into<Vec<u8>>) -> Played {
        Played { status: 200, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn json(value: &Value) -> Played {
        Played::body(value.to_string())
    }
}

/// The world that sources speak of.
#[derive(Debug, Default)]
pub struct World {
    seed: u64,
    drawn: AtomicU64,
}

impl World {
    pub fn new(seed: u64) -> World {
        World { seed, drawn: AtomicU64::new(0) }
    }

    /// The source of this request, and its answer; 404 if no source has it.
    pub fn answer(&self, asked: &Asked<'_>) -> (Option<MarketSource>, Played) {
        let mut answers = MarketSource::ALL.iter().filter_map(|source| {
            let answer = crate::of(*source).answer(self, asked)?;
            Some((Some(*source), answer))
        });
        answers.next().unwrap_or_else(|| (None, Played::status(404)))
    }

    /// A number from 0 to below `below` that belongs to a name and a moment.
    pub(crate) fn roll(&self, below: u32, name: &str, at: i64) -> i64 {
        roll_signed(below, &[self.seed, word(name), at.cast_unsigned()])
    }

    /// How often something was drawn before.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood 2014).
const fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that the words decide, and that looks like chance.
pub fn mix(words: &[u64]) -> u64 {
    words.iter().fold(GOLDEN, |state, word| {
        finalise(state.wrapping_add(GOLDEN) ^ finalise(word.wrapping_add(GOLDEN)))
    })
}

/// [`mix`], cut to `0..below`; 0 where `below` is 0.
pub fn roll(below: u64, words: &[u64]) -> u64 {
    mix(words).checked_rem(below).unwrap_or(0)
}

/// [`roll`] for what is counted with a sign.
pub fn roll_signed(below: u32, words: &[u64]) -> i64 {
    i64::try_from(roll(u64::from(below), words)).unwrap_or(0)
}

/// A text as a word for [`mix`] (FNV-1a).
pub fn word(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
