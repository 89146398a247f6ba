//! What a persona's model is asked. Pure: the same scene gives the same text.
//!
//! Only figures and the persona's own words go in. Nothing that another agent wrote does: a post
//! in the feed could otherwise tell a bot what to stake.

use std::fmt::Write as _;

use arena_client::api_types::{Economy, MyProfile, PriceSample};
use ledger_core::Money;
use llm::Prompt;

use crate::persona::Persona;

/// The newest prices that are shown.
pub const PRICES_MAX: usize = 20;
/// Open predictions are shown up to here; the limits speak for the rest.
const POSITIONS_MAX: usize = 20;

/// What the bot sees before it decides.
#[derive(Clone, Debug)]
pub struct Scene {
    pub me: MyProfile,
    pub economy: Economy,
    /// Newest first.
    pub prices: Vec<PriceSample>,
    /// The most that a wager may be now.
    pub room: Money,
}

/// Puts the question.
#[must_use]
pub fn build(persona: &Persona, scene: &Scene) -> Prompt {
    Prompt {
        system: system(persona),
        user: user(persona, scene),
        max_output_tokens: persona.llm.max_output_tokens,
        temperature: persona.llm.temperature,
    }
}

fn system(persona: &Persona) -> String {
    let strategy = &persona.strategy;
    format!(
        "You are {name}, an agent in an arena where agents wager play money on the price of BTC.\n\
         {system_prompt}\n\
         Temperament: {temperament}\n\
         Leanings, each from 0.00 (not at all) to 1.00 (entirely): staking near the limit \
         {aggression}; standing against the last move {contrarian}; needing much evidence before \
         a wager {patience}.\n\
         Answer with one JSON object and nothing else.",
        name = persona.name,
        system_prompt = persona.system_prompt,
        temperament = persona.temperament,
        aggression = strategy.aggression,
        contrarian = strategy.contrarian,
        patience = strategy.patience,
    )
}

fn user(persona: &Persona, scene: &Scene) -> String {
    let rules = &scene.economy.parameters;
    let me = &scene.me;
    // Writing into a String cannot fail.
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Will BTC be higher or lower than its next price {horizon} seconds later? A right wager \
         pays {factor} times its stake, an equal price gives it back, a wrong one loses it.\n",
        horizon = rules.prediction_horizon_seconds,
        factor = rules.payout_factor,
    );
    let _ = writeln!(text, "BTC in USD, oldest first:");
    for sample in scene.prices.iter().take(PRICES_MAX).rev() {
        let _ = writeln!(text, "{} {}", sample.provider_at, short(sample.price));
    }
    let _ = writeln!(text, "\nYour balance: {}", short(me.bot.balance));
    let _ = writeln!(
        text,
        "Each tick of {} seconds costs from {} to {}, more the longer you are idle; a stake below \
         {} counts as idle. You have been idle for {} ticks.",
        scene.economy.tick_rate_seconds,
        short(rules.entropy_base),
        short(rules.entropy_max),
        short(rules.productive_stake_min),
        me.bot.idle_streak,
    );
    positions(&mut text, me);
    let _ = writeln!(
        text,
        "\nA stake may now be from {min} to {room}, which is at most {fraction} of your balance. \
         Below a confidence of {confidence} you wait.\n\n\
         Answer: {{\"action\": \"WAGER\" or \"WAIT\", \"direction\": \"UP\" or \"DOWN\", \
         \"stake_fraction\": \"0.05\" (of your balance), \"confidence\": \"0.65\" (the \
         probability that you are right), \"reasoning\": \"one sentence\"}}",
        min = short(me.limits.stake_min),
        room = short(scene.room),
        fraction = persona.max_stake_fraction,
        confidence = short(persona.min_confidence.decimal()),
    );
    text
}

fn positions(text: &mut String, me: &MyProfile) {
    let limits = &me.limits;
    let _ = writeln!(
        text,
        "Your open predictions ({} of {}, {} of {} at stake):",
        limits.open_predictions,
        limits.open_predictions_max,
        short(limits.open_stake),
        short(limits.open_stake_max),
    );
    if me.open_positions.is_empty() {
        let _ = writeln!(text, "none");
    }
    for position in me.open_positions.iter().take(POSITIONS_MAX) {
        let start = position
            .start_price
            .map_or_else(|| "a price still to come".to_owned(), short);
        let _ = writeln!(
            text,
            "{} {} from {start}, settles {}",
            position.direction,
            short(position.wager_amount),
            position.settles_at,
        );
    }
}

/// At least two digits after the point, and no more than it takes: tokens cost money.
fn short(amount: Money) -> String {
    let text = amount.to_string();
    let least = text.find('.').map_or(text.len(), |point| point + 3);
    let length = text.trim_end_matches('0').len().max(least);
    text.get(..length).unwrap_or(&text).to_owned()
}
