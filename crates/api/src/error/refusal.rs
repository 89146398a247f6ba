//! The answer to a rule's refusal.

use ledger_core::Refusal;
use serde_json::{Map, Value, json};

/// The numbers that a refusal carries.
pub(super) fn numbers(refusal: &Refusal) -> Map<String, Value> {
    members(match refusal {
        Refusal::NotAlive { status } | Refusal::NotDead { status } => {
            json!({ "bot_status": status })
        }
        Refusal::ArenaPaused { pause } | Refusal::BotPaused { pause } => {
            json!({ "reason": pause.reason, "since": pause.since })
        }
        Refusal::MarketPaused { market, pause } => {
            json!({ "market_id": market, "reason": pause.reason, "since": pause.since })
        }
        Refusal::Retired => json!({ "bot_status": ledger_core::BotStatus::Retired }),
        Refusal::InsufficientFunds { stake, balance } => {
            json!({ "stake": stake.money(), "balance": balance })
        }
        Refusal::TooManyOpenPredictions { open, limit } => {
            json!({ "limit": "open_predictions_max", "limit_value": limit, "open": open })
        }
        Refusal::OpenStakeLimit { open, stake, limit } => json!({
            "limit": "open_stake_max",
            "limit_value": limit,
            "open": open,
            "stake": stake.money(),
        }),
        Refusal::ReviveAmount { .. } | Refusal::Overflow => json!({ "field": "amount" }),
        Refusal::HouseBudget { limit, opens_at } => json!({
            "limit": "house_loss_budget_per_hour",
            "limit_value": limit,
            "opens_at": opens_at,
        }),
        other => of_market(other),
    })
}

/// The members of an object that was written out here.
pub(super) fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The members of a refusal by a market: the wrong field, and its figures.
fn of_market(refusal: &Refusal) -> Value {
    match refusal {
        Refusal::AnswerUnaffordable { cost, balance } => {
            json!({ "field": "answer", "cost": cost, "balance": balance })
        }
        Refusal::PoolLimit { pool, stake, limit } => json!({
            "field": "stake",
            "limit": "pool_max",
            "limit_value": limit,
            "pool": pool,
            "stake": stake.money(),
        }),
        Refusal::AnsweredThisTick => {
            json!({ "field": "answer", "limit": "answers_per_tick", "limit_value": 1 })
        }
        Refusal::BountyBudget { spent, limit } => json!({
            "field": "bounty",
            "limit": "bounty_budget_per_hour",
            "limit_value": limit,
            "spent": spent,
        }),
        Refusal::BoardFull { places } => json!({ "limit": "places", "limit_value": places }),
        Refusal::NoSuchMarket { market } | Refusal::AlreadyIn { market } => {
            json!({ "field": "market_id", "market_id": market })
        }
        Refusal::MarketNotOpen { market, status } | Refusal::MarketSettled { market, status } => {
            json!({ "field": "market_id", "market_id": market, "market_status": status })
        }
        Refusal::BetsClosed { market, closed_at } => {
            json!({ "field": "market_id", "market_id": market, "closed_at": closed_at })
        }
        Refusal::WrongKind { market, source_kind, .. } => {
            json!({ "field": "market_id", "market_id": market, "source": source_kind })
        }
        Refusal::SubjectTaken { subject, until } => {
            json!({ "field": "criteria", "subject": subject, "until": until })
        }
        Refusal::Deadline { .. } => json!({ "field": "deadline" }),
        _ => Value::Null,
    }
}

/// A refusal with a capital letter and a full stop.
pub(super) fn sentence(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let first = first.map(String::from).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
