//! A model that is a pure function: the same seed and prompt give the same answer, for ever and
//! on every machine. It lets the arena live without an account anywhere, and tests repeat.
//!
//! It answers with the decision that a persona is asked for, and reads a temperament from the
//! words of the persona. Like a real model it sometimes writes more than it was asked for (code
//! fences, prose, a trailing comma), so that the cleaning in [`crate::output`] is used for real.
//! Its reasoning says that it is a mock: nobody must take it for thought.

use std::sync::Arc;

use crate::{CallUsage, Completion, Finish, Prompt, Provider, ProviderFuture, UsageReport};

const NAME: &str = "mock";
/// The usual rule of thumb, so that costs look like costs.
const CHARACTERS_PER_TOKEN: usize = 4;

#[derive(Clone, Debug)]
pub struct Mock {
    seed: u64,
    name: Arc<str>,
}

impl Mock {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            name: Arc::from(NAME),
        }
    }

    /// The whole answer, at once: a pure function of the seed and the prompt's texts.
    #[must_use]
    pub fn answer(&self, request: &Prompt) -> Completion {
        let mut draws = Draws::new(self.seed, request);
        let decision = decide(Temperament::of(&request.system), &mut draws);
        let whole = dress(&decision, &mut draws);
        let limit = usize::try_from(request.max_output_tokens)
            .unwrap_or(usize::MAX)
            .saturating_mul(CHARACTERS_PER_TOKEN);
        let text: String = whole.chars().take(limit).collect();
        let finish = if text.len() < whole.len() {
            Finish::CutOff
        } else {
            Finish::Complete
        };
        let usage = CallUsage {
            provider: Arc::clone(&self.name),
            model: Arc::clone(&self.name),
            input_tokens: tokens(&request.system) + tokens(&request.user),
            output_tokens: tokens(&text),
            cached_input_tokens: 0,
            reasoning_tokens: 0,
            report: UsageReport::Reported,
        };
        Completion {
            text,
            finish,
            usage,
        }
    }
}

impl Provider for Mock {
    fn name(&self) -> &str {
        NAME
    }

    fn model(&self) -> &str {
        NAME
    }

    fn complete<'a>(&'a self, request: &'a Prompt) -> ProviderFuture<'a> {
        Box::pin(std::future::ready(Ok(self.answer(request))))
    }
}

fn tokens(text: &str) -> u64 {
    let count = text.chars().count().div_ceil(CHARACTERS_PER_TOKEN);
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What the words of a persona make of it, in whole percent.
#[derive(Clone, Copy)]
struct Temperament {
    wager_percent: u64,
    up_percent: u64,
    stake_percent: (u64, u64),
}

impl Temperament {
    const CAUTIOUS: [&str; 6] = [
        "cautious",
        "careful",
        "patient",
        "conservative",
        "risk-averse",
        "prudent",
    ];
    const BOLD: [&str; 6] = [
        "bold",
        "aggressive",
        "reckless",
        "gambler",
        "fearless",
        "daring",
    ];
    const BULLISH: [&str; 4] = ["bullish", "optimist", "believer", "moon"];
    const BEARISH: [&str; 4] = ["bearish", "pessimist", "doom", "skeptic"];

    fn of(persona: &str) -> Self {
        let persona = persona.to_lowercase();
        let is_any = |words: &[&str]| words.iter().any(|word| persona.contains(word));
        let (wager_percent, stake_percent) = match (is_any(&Self::CAUTIOUS), is_any(&Self::BOLD)) {
            (true, false) => (35, (1, 3)),
            (false, true) => (85, (5, 15)),
            _ => (60, (2, 8)),
        };
        let up_percent = match (is_any(&Self::BULLISH), is_any(&Self::BEARISH)) {
            (true, false) => 80,
            (false, true) => 20,
            _ => 50,
        };
        Self {
            wager_percent,
            up_percent,
            stake_percent,
        }
    }
}

fn decide(temperament: Temperament, draws: &mut Draws) -> serde_json::Value {
    let action = if draws.below(100) < temperament.wager_percent {
        "WAGER"
    } else {
        "WAIT"
    };
    let direction = if draws.below(100) < temperament.up_percent {
        "UP"
    } else {
        "DOWN"
    };
    let (low, high) = temperament.stake_percent;
    let stake = low + draws.below(high - low + 1);
    let confidence = 51 + draws.below(40);
    let why = match draws.below(4) {
        0 => "the last move looks unfinished",
        1 => "the range is about to break",
        2 => "the crowd is on the other side",
        _ => "a coin had to fall somewhere",
    };
    let reasoning = match action {
        "WAGER" => format!("Mock model: {direction}, because {why}."),
        _ => format!("Mock model: waiting, although {why}."),
    };
    serde_json::json!({
        "action": action,
        "direction": direction,
        "stake_fraction": format!("0.{stake:02}"),
        "confidence": format!("0.{confidence:02}"),
        "reasoning": reasoning,
    })
}

/// Most answers are plain; some are as untidy as those of real models.
fn dress(decision: &serde_json::Value, draws: &mut Draws) -> String {
    let plain = decision.to_string();
    match draws.below(8) {
        0 => format!("```json\n{decision:#}\n```"),
        1 => format!("Here is my decision:\n\n```\n{plain}\n```\nGood luck to all of us!"),
        2 => match plain.strip_suffix('}') {
            Some(open) => format!("{open},}}"),
            None => plain,
        },
        3 => format!("<think>What would {{a trader}} do?</think>\n{plain}"),
        _ => plain,
    }
}

/// A stream of numbers that depends on every byte of its origin.
struct Draws(u64);

impl Draws {
    fn new(seed: u64, request: &Prompt) -> Self {
        // FNV-1a; 0xff is in no UTF-8 text, so ("ab", "c") and ("a", "bc") differ.
        let bytes = request
            .system
            .bytes()
            .chain([0xff])
            .chain(request.user.bytes());
        let hash = seed
            .to_le_bytes()
            .into_iter()
            .chain(bytes)
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self(hash)
    }

    /// A number from 0 to `bound - 1`.
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
