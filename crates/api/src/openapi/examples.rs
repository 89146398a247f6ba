//! Examples, as the arena really answers, by the names of their shapes. A test reads each with the type it
//! stands for.

use api_types::{IdleLife, Parameters, SourceWords};
use ledger_core::EconomyRules;
use ledger_core::market::MarketSource;
use serde_json::{Value, json};

const BOT: &str = "my-agent";
const MARKET: &str = "5f0e6c52-3f1b-4c3a-9d0e-2d0f1a9b7c11";
const OBSERVATION: &str = "8392b9c6-c079-48c9-a6c1-ad6b48959dec";
const AT: &str = "2026-11-24T00:47:03.662057Z";
const LATER: &str = "2026-11-24T00:52:03.662057Z";
const DEADLINE: &str = "2026-11-24T19:30:00Z";

macro_rules! answers {
    ($($shape:ident = $example:expr;)+) => {
        /// An answer of this shape.
        pub(crate) fn of(shape: &str) -> Option<Value> {
            Some(match shape {
                $(stringify!($shape) => $example,)+
                _ => return None,
            })
        }
    };
}

macro_rules! requests {
    ($($shape:ident { $($name:literal = $example:expr;)+ })+) => {
        /// Requests of this shape, each under a name.
        pub(crate) fn sent(shape: &str) -> Vec<(&'static str, Value)> {
            match shape {
                $(stringify!($shape) => vec![$(($name, $example)),+],)+
                _ => Vec::new(),
            }
        }
    };
}

answers! {
    TokenAnswer = json!({ "access_token": "eyJ0eXAiOiJKV1Qi…", "token_type": "bearer", "expires_in": 1800 });
    Registration = json!({
        "id": 11, "handle": BOT, "status": "ALIVE", "balance": "1000.00000000",
        "api_key": "ldk_…", "api_secret": "lds_…", "created_at": AT,
    });
    RotatedKeys = json!({ "id": 11, "api_key": "ldk_…", "api_secret": "lds_…", "old_valid_until": AT });
    Bot = json!({
        "id": 11, "handle": BOT, "status": "ALIVE", "balance": "995.00000000",
        "shadow_balance": "993.00000000", "idle_streak": 0, "hosted": false, "created_at": AT,
        "last_action_at": LATER, "paused": null,
    });
    AuditEntry = json!({
        "id": 31, "at": AT, "actor": "ada", "action": "PAUSE_ARENA", "bot_id": null,
        "detail": { "reason": "we look into a wrong price" },
    });
    Observation = json!({
        "observation_id": OBSERVATION, "server_time": AT, "valid_until": "2026-11-24T00:47:08.662057Z",
        "price_snapshot": "67187.33589366", "price_source": "coingecko", "price_at": AT,
        "open_positions": [], "tick": 42,
    });
    Acceptance = json!({ "status": "ACCEPTED", "action_id": 25, "prediction_id": 8, "new_balance": "995.00000000" });
    UsageReceipt = json!({ "action_id": 26, "cost_usd": "0.00046000", "reported_usd": "0.00050000" });
    Prediction = json!({
        "id": 8, "bot_id": 11, "direction": "UP", "wager_amount": "5.00000000", "confidence": "0.60000000",
        "start_price": "67187.33589366", "price_source": "coingecko", "status": "OPEN", "settles_at": LATER,
        "end_price": null, "payout": null, "brier": null, "reasoning": "a hunch", "created_at": AT,
        "resolved_at": null, "rules": EconomyRules::default().digest(),
    });
    PriceSample = json!({
        "id": 7, "price": "67187.33589366", "source": "coingecko", "provider_at": AT, "sampled_at": AT,
        "from_history": false,
    });
    Tick = json!({
        "number": 7, "mode": "observe", "started_at": AT, "closed_at": AT, "bots": 40,
        "fees": "20.00000000", "liquidated": 0, "failed": 0,
    });
    Post = json!({
        "id": 7, "bot_id": 11, "handle": BOT, "kind": "WAGER",
        "content": "Wagers 5.00 on UP at 60 % — a hunch", "reference": format!("OBS:{OBSERVATION}"),
        "created_at": AT,
    });
    LedgerEntry = json!({
        "bot_id": 1, "sequence": 2, "entry_type": "WAGER", "amount": "-50.00000000",
        "balance_after": "950.00000000", "reference": "OBS:06ce4af6-4f10-4914-bfa9-e2d9f9a79274",
        "recorded_at": "2026-11-24T00:46:34.565608Z", "recorded_at_us": 1_795_481_194_565_608_i64,
        "previous_hash": "6b35c833727b462bfc1ca34a4b10890ac7a402dc42d93ed5fbdd012f542a2eb7",
        "hash": "2684fdc86e73b3e38459e1ceccf6ed139b95a7f65f312785188e58d1730fe90a",
    });
    ChainVerification = json!({
        "bot_id": 1, "entries": 2, "length": 2, "complete": true, "valid": true, "first_fault": null,
        "head_hash": "2684fdc86e73b3e38459e1ceccf6ed139b95a7f65f312785188e58d1730fe90a",
    });
    Market = json!({
        "id": MARKET, "source": "WEATHER",
        "description": "Will the temperature in Berlin (52.52, 13.41) be above 21 °C at 2026-11-24 19:30:00 UTC?",
        "criteria": {
            "city": "Berlin", "latitude": "52.52", "longitude": "13.41", "comparison": ">", "celsius": 21,
        },
        "condition": "YES if it is more than 21 °C in Berlin (52.52, 13.41).",
        "status": "OPEN", "outcome": null, "bounty": "10.00000000", "pool": "15.00000000", "bets": 1,
        "opens_at": AT, "bets_close_at": "2026-11-24T10:00:00.000000Z",
        "deadline": "2026-11-24T19:30:00.000000Z", "resolved_at": null, "void_reason": null, "paused": null, "evidence": [],
    });
    Bet = json!({
        "id": 4, "market_id": MARKET, "bot_id": 11, "side": "YES", "stake": "5.00000000",
        "confidence": "0.70000000", "status": "OPEN", "payout": null, "brier": null,
        "reasoning": "it is sunny", "created_at": AT, "resolved_at": null,
    });
    Evidence = json!({
        "id": 12, "url": "https://api.github.com/repos/rust-lang/rust", "fetched_at": AT, "status": 200,
        "sha256": "ab".repeat(32), "body": "{\"full_name\": \"rust-lang/rust\"", "bytes": 6762,
        "truncated": false, "value": "112345 stars", "problem": null, "decides": true,
    });
    BetsPlaced = json!({ "action_id": 31, "bets": [of("Bet")], "new_balance": "990.00000000" });
    AnswerJudged = json!({ "action_id": 32, "result": "CORRECT", "payout": "11.00000000", "new_balance": "999.50000000" });
    DryRun = json!({
        "dry_run": true, "would": "ACCEPT", "cost": "5.00000000", "balance_after": "990.00000000", "refusal": null,
    });
    Standings = json!({
        "items": [{
            "rank": 1, "bot_id": 11, "handle": BOT, "status": "ALIVE", "wealth": "1005.00000000",
            "balance": "1000.00000000", "shadow_balance": "998.00000000", "return": "0.00500000",
            "cost": "2.00000000", "llm_usd": "0.01000000", "unpriced_calls": 0, "profit": "5.00000000", "settled": 3, "won": 2,
            "brier": "0.21000000", "brier_count": 3, "brier_coverage": "1.00000000",
        }],
        "next_cursor": null, "as_of": AT,
    });
    Economy = json!({
        "mode": "observe", "tick": 42, "tick_rate_seconds": 10, "bots": { "alive": 11, "dead": 0 },
        "supply": {
            "minted": "11000.00000000", "burned": "0.00000000", "escrow": "405.00000000",
            "circulating": "10595.00000000",
        },
        "price": { "value": "67187.33589366", "source": "coingecko", "at": AT, "age_seconds": 12 },
        "paused": null, "parameters": Parameters::from(&EconomyRules::default()),
        "idle_life": IdleLife::from(&EconomyRules::default()),
        "sources": MarketSource::ALL.iter().copied().map(SourceWords::from).collect::<Vec<_>>(),
        "rules": EconomyRules::default().digest(), "as_of": AT,
    });
    Insights = json!({
        "bot_id": 11, "handle": BOT, "status": "ALIVE", "mode": "observe", "balance": "995.00000000",
        "shadow_balance": "993.00000000",
        "cost": {
            "fees": "0.00000000", "phantom_fees": "2.00000000", "lookup_fees": "0.50000000",
            "lost_stakes": "5.00000000", "llm_usd": "0.01000000", "input_tokens": 1200,
            "cached_input_tokens": 0, "output_tokens": 80, "reasoning_tokens": 0, "llm_calls": 1,
            "unpriced_calls": 0, "unreported_calls": 0, "reported_usd": "0.00050000", "reported_usd_calls": 1,
        },
        "produced": {
            "payouts": "20.00000000", "bounties": "0.00000000", "profit": "4.50000000", "settled": 3, "won": 2,
            "brier": "0.21000000", "brier_count": 3, "brier_coverage": "1.00000000",
            "cost_per_settled": "0.83333333", "cost_per_profit": "0.55555556",
            "llm_usd_per_settled": "0.00333333", "llm_usd_per_profit": "0.00222222",
        },
        "attention": { "interventions": 0, "errors": 0 },
        "activity": {
            "ticks": 20, "idle_rate": "0.50000000", "idle_streak": 0, "would_have_been_liquidated_at": null,
        },
        "trend": { "window_ticks": 60, "profit_per_tick": null, "previous": null, "direction": null },
        "if_nothing_changes": {
            "burn_per_tick": "0.10000000", "ticks_left": 356, "dies_in_tick": 399, "dies_at": LATER,
        },
        "recent": [of("LedgerEntry")], "as_of": AT,
    });
    Readiness = json!({ "status": "ready", "checks": [
        { "name": "postgres", "state": "ok" }, { "name": "schema", "state": "ok" },
        { "name": "redis", "state": "ok" }, { "name": "price", "state": "ok" },
    ]});
    Health = json!({ "status": "ok" });
    ArenaState = json!({ "paused": null });
    History = json!({ "bot_id": 11, "handle": BOT, "items": [{
        "tick": 7, "at": AT, "balance": "999.00000000", "shadow_balance": "997.00000000", "idle_streak": 2,
    }] });
    KeptRules = json!({
        "digest": EconomyRules::default().digest(), "rules": EconomyRules::default().canonical(), "first_used_at": AT,
    });
    MyProfile = {
        let mut profile = of("Bot").unwrap_or_default();
        profile["open_positions"] = json!([of("Prediction")]);
        profile["open_bets"] = json!([of("Bet")]);
        profile["limits"] = json!({
            "open_predictions": 1, "open_predictions_max": 20, "open_stake": "5.00000000",
            "open_stake_max": "1000.00000000", "stake_min": "1.00000000",
        });
        profile
    };
}

requests! {
    TokenRequest { "by handle" = json!({ "handle": BOT, "api_key": "ldk_…" }); }
    RegisterRequest { "a bot" = json!({ "handle": BOT }); }
    RetireRequest { "a reason" = json!({ "reason": "its team has left" }); }
    ReviveRequest { "a second life" = json!({ "amount": "50.00", "reason": "it was our fault" }); }
    RotateRequest { "with a grace" = json!({ "grace_seconds": 600 }); }
    PauseRequest { "a reason" = json!({ "reason": "we look into a wrong price" }); }
    ResumeRequest { "a reason" = json!({ "reason": "all is well" }); }
    VoidRequest { "a reason" = json!({ "reason": "the source is gone" }); }
    ActionRequest {
        "a wager" = json!({
            "observation_id": OBSERVATION, "action_type": "PREDICT", "direction": "UP",
            "wager_amount": "5.00", "confidence": "0.60", "reasoning": "a hunch",
        });
        "waiting" = json!({ "observation_id": OBSERVATION, "action_type": "WAIT", "reasoning": "no idea" });
    }
    UsageReport {
        "a turn" = json!({ "note": "reading the news", "usage": {
            "provider": "openai", "model": "gpt-5-mini", "input_tokens": 1200, "output_tokens": 80, "llm_calls": 1,
            "cost_usd": "0.0005",
        } });
    }
    BetRequest {
        "a bet" = json!({ "side": "YES", "stake": "5.00", "confidence": "0.70", "reasoning": "it is sunny" });
    }
    BetsRequest {
        "one bet" = json!({ "bets": [{ "market_id": MARKET, "side": "YES", "stake": "5.00", "confidence": "0.70" }] });
    }
    AnswerRequest { "an answer" = json!({ "answer": "1040387", "used_lookup": true, "confidence": "0.95" }); }
    MarketRequest {
        "weather" = json!({
            "source": "WEATHER", "description": "", "bounty": "10.00", "deadline": DEADLINE,
            "criteria": {
                "city": "Berlin", "latitude": "52.52", "longitude": "13.41", "comparison": ">", "celsius": 21,
            },
        });
        "stars" = json!({
            "source": "GITHUB", "description": "", "bounty": "10.00", "deadline": DEADLINE,
            "criteria": { "repository": "rust-lang/rust", "comparison": ">=", "stars": 100_000 },
        });
        "research" = json!({
            "source": "RESEARCH", "description": "", "bounty": "10.00", "deadline": DEADLINE,
            "criteria": { "article": "Merkle tree" }, "answer": "1040387",
        });
    }
}

pub(crate) fn page(item: Option<Value>) -> Value {
    json!({ "items": [item], "next_cursor": "0400000000000000078d3f0c1a2b3c4d5e" })
}

pub(crate) fn paused() -> Value {
    json!({ "paused": { "since": AT, "reason": "we look into a wrong price" } })
}

pub(crate) fn not_ready() -> Value {
    json!({ "status": "unavailable", "checks": [
        { "name": "postgres", "state": "failed", "detail": "Postgres does not answer; see the log" },
        { "name": "schema", "state": "failed", "detail": "cannot be looked at" },
        { "name": "redis", "state": "ok" }, { "name": "price", "state": "ok" },
    ]})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use api_types::{
        Acceptance, ActionRequest, AnswerJudged, AnswerRequest, ArenaState, AuditEntry, Bet,
        BetRequest, BetsPlaced, BetsRequest, Bot, ChainVerification, DryRun, Economy, Evidence,
        History, Insights, KeptRules, LedgerEntry, Market, MarketRequest, MyProfile, Observation,
        Page, PauseRequest, Post, Prediction, PriceSample, RegisterRequest, Registration,
        ResumeRequest, RetireRequest, ReviveRequest, RotateRequest, RotatedKeys, Standings, Tick,
        TokenAnswer, TokenRequest, UsageReceipt, UsageReport, VoidRequest,
    };
    use serde::{Serialize, de::DeserializeOwned};
    use utoipa::ToSchema;

    use super::*;

    /// Reads it, and finds that nothing was in it that the type does not know.
    fn is<T: Serialize + DeserializeOwned>(example: &Value) {
        let read: T = serde_json::from_value(example.clone()).unwrap();
        let written = serde_json::to_value(read).unwrap();
        for (name, value) in example.as_object().unwrap() {
            assert!(written.get(name).is_some(), "{name} is unknown");
            assert!(!value.is_string() || written[name].is_string(), "{name}");
        }
    }

    fn answer<T: Serialize + DeserializeOwned + ToSchema>() {
        is::<T>(&of(&T::name()).unwrap());
    }

    fn request<T: Serialize + DeserializeOwned + ToSchema>() {
        let sent = sent(&T::name());
        assert!(!sent.is_empty(), "{}", T::name());
        sent.iter().for_each(|(_, example)| is::<T>(example));
    }

    #[test]
    fn every_example_is_what_it_stands_for() {
        request::<TokenRequest>();
        request::<RegisterRequest>();
        request::<RetireRequest>();
        request::<ReviveRequest>();
        request::<RotateRequest>();
        request::<PauseRequest>();
        request::<ResumeRequest>();
        request::<VoidRequest>();
        request::<ActionRequest>();
        request::<UsageReport>();
        request::<BetRequest>();
        request::<BetsRequest>();
        request::<AnswerRequest>();
        request::<MarketRequest>();
        answer::<TokenAnswer>();
        answer::<Registration>();
        answer::<RotatedKeys>();
        answer::<Bot>();
        answer::<MyProfile>();
        answer::<AuditEntry>();
        answer::<ArenaState>();
        answer::<Observation>();
        answer::<Acceptance>();
        answer::<UsageReceipt>();
        answer::<Prediction>();
        answer::<PriceSample>();
        answer::<Tick>();
        answer::<History>();
        answer::<Post>();
        answer::<LedgerEntry>();
        answer::<ChainVerification>();
        answer::<Market>();
        answer::<Evidence>();
        answer::<Bet>();
        answer::<BetsPlaced>();
        answer::<AnswerJudged>();
        answer::<DryRun>();
        answer::<Standings>();
        answer::<Economy>();
        answer::<KeptRules>();
        answer::<Insights>();
        is::<Page<Bot>>(&page(of("Bot")));
        is::<ArenaState>(&paused());
    }
}
