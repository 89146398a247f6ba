//! A model that is a pure function: the same seed and prompt give the same answer, for ever and
//! on every machine. It lets the arena live without an account anywhere, and tests repeat.
//!
//! It recognises the requested decision by the form of the answer in the prompt's last lines, and derives a
//! temperament from the words of the persona. It has no facts: it answers a question rightly only if the answer
//! is in the prompt. Like a real model it sometimes writes more than requested (code fences, prose, a trailing
//! comma), so that the cleaning in [`crate::output`] is exercised. Its reasoning says that it is a mock, so that
//! it is not taken for a real one.

use std::sync::Arc;

use crate::{CallUsage, Completion, Finish, Prompt, Provider, ProviderFuture, Tokens};

const NAME: &str = "mock";
/// The usual rule of thumb, so that costs look like costs.
const CHARACTERS_PER_TOKEN: usize = 4;

#[derive(Clone, Debug)]
pub struct Mock {
    seed: u64,
    name: Arc<str>,
}

impl Mock {
    pub fn new(seed: u64) -> Self {
        Self { seed, name: Arc::from(NAME) }
    }

    /// The whole answer, at once: a pure function of the seed and the prompt's texts.
    pub fn answer(&self, request: &Prompt) -> Completion {
        let mut draws = Draws::new(self.seed, request);
        let temperament = Temperament::of(&request.system);
        let decision = match Asked::of(&request.user) {
            Asked::Decision => decide(temperament, &mut draws),
            Asked::Strategy { form } => strategise(form, temperament, &mut draws),
            Asked::Answer => answer(&request.user, &mut draws),
            Asked::Bets => bet(&request.user, &mut draws),
        };
        let whole = dress(&decision, &mut draws);
        let limit = usize::try_from(request.max_output_tokens)
            .unwrap_or(usize::MAX)
            .saturating_mul(CHARACTERS_PER_TOKEN);
        let text: String = whole.chars().take(limit).collect();
        let finish = if text.len() < whole.len() { Finish::CutOff } else { Finish::Complete };
        let input = tokens(&request.system) + tokens(&request.user);
        let tokens = Tokens { input, output: tokens(&text), ..Tokens::default() };
        let (provider, model) = (Arc::clone(&self.name), Arc::clone(&self.name));
        Completion { text, finish, usage: CallUsage { provider, model, tokens: Some(tokens) } }
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

/// The temperament from the words of a persona, in whole percent.
#[derive(Clone, Copy)]
struct Temperament {
    wager_percent: u64,
    up_percent: u64,
    stake_percent: (u64, u64),
}

impl Temperament {
    const CAUTIOUS: [&str; 6] =
        ["cautious", "careful", "patient", "conservative", "risk-averse", "prudent"];
    const BOLD: [&str; 6] = ["bold", "aggressive", "reckless", "gambler", "fearless", "daring"];
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
        Self { wager_percent, up_percent, stake_percent }
    }
}

fn decide(temperament: Temperament, draws: &mut Draws) -> serde_json::Value {
    let action = if draws.below(100) < temperament.wager_percent { "WAGER" } else { "WAIT" };
    let direction = if draws.below(100) < temperament.up_percent { "UP" } else { "DOWN" };
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

/// The requested answer of a prompt.
enum Asked<'a> {
    /// A wager or a wait.
    Decision,
    /// The choice of an action; the form lists the possible ones.
    Strategy { form: &'a str },
    /// The answer to a question.
    Answer,
    /// Sides of some markets.
    Bets,
}

impl Asked<'_> {
    fn of(user: &str) -> Asked<'_> {
        let last = user.lines().rev().find(|line| line.starts_with("Answer: {"));
        match last {
            Some(form) if form.contains("\"bets\"") => Asked::Bets,
            Some(form) if form.contains("\"answer\"") => Asked::Answer,
            Some(form) if form.contains("\"strategy\"") => Asked::Strategy { form },
            _ => Asked::Decision,
        }
    }
}

/// Turns go to research and to markets about a third each, where there are any.
fn strategise(form: &str, temperament: Temperament, draws: &mut Draws) -> serde_json::Value {
    let has = |word: &str| form.contains(&format!("\"{word}\""));
    let chosen = match draws.below(100) {
        0..35 if has("RESEARCH") => "RESEARCH",
        35..70 if has("PORTFOLIO") => "PORTFOLIO",
        _ if has("WAGER") => {
            let mut decision = decide(temperament, draws);
            if let Some(fields) = decision.as_object_mut()
                && let Some(action) = fields.remove("action")
            {
                fields.insert("strategy".to_owned(), action);
            }
            return decision;
        }
        _ => "WAIT",
    };
    serde_json::json!({
        "strategy": chosen,
        "reasoning": format!("Mock model: {chosen}, because a coin had to fall somewhere."),
    })
}

/// The lookup tool's result, or a guess with low confidence.
fn answer(user: &str, draws: &mut Draws) -> serde_json::Value {
    match number_after(user, "page id ") {
        Some(page_id) => serde_json::json!({
            "answer": page_id,
            "confidence": format!("0.{}", 85 + draws.below(11)),
            "reasoning": "Mock model: it was looked up.",
        }),
        None => serde_json::json!({
            "answer": (1_000 + draws.below(80_000_000)).to_string(),
            "confidence": format!("0.0{}", 1 + draws.below(9)),
            "lookup": "YES",
            "reasoning": "Mock model: a guess, nobody knows page ids by heart.",
        }),
    }
}

/// The digits that follow the marker somewhere in the text.
fn number_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.match_indices(marker).find_map(|(at, _)| {
        let rest = text.get(at + marker.len()..)?;
        let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).filter(|digits| !digits.is_empty())
    })
}

/// Up to three of the numbered markets, with confidences from 0.50 to 0.80.
fn bet(user: &str, draws: &mut Draws) -> serde_json::Value {
    const BETS_MAX: u64 = 3;
    let is_numbered = |line: &&str| {
        line.strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .is_some_and(|(number, _)| number.parse::<u64>().is_ok())
    };
    let count = u64::try_from(user.lines().filter(is_numbered).count()).unwrap_or(0);
    if count == 0 {
        return serde_json::json!({"bets": []});
    }
    let first = draws.below(count);
    let bets: Vec<serde_json::Value> = (0..count.min(BETS_MAX))
        .map(|step| {
            let side = if draws.below(2) == 0 { "YES" } else { "NO" };
            serde_json::json!({
                "market": (first + step) % count + 1,
                "side": side,
                "confidence": format!("0.{}", 50 + draws.below(31)),
                "reasoning": format!("Mock model: {side}, by the toss of a coin."),
            })
        })
        .collect();
    serde_json::json!({ "bets": bets })
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
        let bytes = request.system.bytes().chain([0xff]).chain(request.user.bytes());
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
