//! What `db` answers, as it goes over the wire.

use api_types::{
    Acceptance, ActionStatus, Bet, Bot, Evidence, Limits, Market, Post, Prediction, PriceSample,
};
use db::actions::Accepted;
use db::bots::BotProfile;
use db::markets::Finding;
use db::metrics::Usage;
use ledger_core::EconomyRules;
use ledger_core::market::{MarketSource, MarketStatus};

pub(crate) fn bot(profile: BotProfile) -> Bot {
    Bot {
        id: profile.id,
        handle: profile.handle,
        status: profile.status,
        balance: profile.balance,
        shadow_balance: profile.shadow_balance,
        idle_streak: profile.idle_streak,
        hosted: profile.hosted,
        created_at: profile.created_at,
        last_action_at: profile.last_action_at,
    }
}

pub(crate) fn acceptance(accepted: &Accepted) -> Acceptance {
    Acceptance {
        status: ActionStatus::Accepted,
        action_id: accepted.action_id,
        prediction_id: accepted.prediction_id,
        new_balance: accepted.new_balance,
    }
}

pub(crate) fn limits(profile: &BotProfile, rules: &EconomyRules) -> Limits {
    Limits {
        open_predictions: profile.open_predictions,
        open_predictions_max: rules.open_predictions_max,
        open_stake: profile.open_stake,
        open_stake_max: rules.open_stake_max,
        stake_min: rules.stake_min,
    }
}

pub(crate) fn prediction(kept: db::predictions::Prediction) -> Prediction {
    Prediction {
        id: kept.id,
        bot_id: kept.bot_id,
        direction: kept.direction,
        wager_amount: kept.wager_amount,
        confidence: kept.confidence,
        start_price: kept.start_price,
        price_source: kept.price_source,
        status: kept.status,
        settles_at: kept.settles_at,
        end_price: kept.end_price,
        payout: kept.payout,
        brier: kept.brier,
        reasoning: kept.reasoning,
        created_at: kept.created_at,
        resolved_at: kept.resolved_at,
    }
}

/// Whether what a market keeps secret may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    Open,
    /// The market is settled, or the secret is the viewer's own.
    Closed,
}

impl Secrecy {
    pub(crate) const fn of(status: MarketStatus) -> Secrecy {
        if status.is_settled() {
            Secrecy::Closed
        } else {
            Secrecy::Open
        }
    }
}

/// A market, with nonce, answer and the evidence that holds it only once it has closed.
pub(crate) fn market(kept: db::markets::Market, evidence: Vec<db::markets::Evidence>) -> Market {
    let pool = kept.pool();
    let secrecy = match kept.source {
        MarketSource::Research => Secrecy::of(kept.status),
        MarketSource::Github | MarketSource::News | MarketSource::Weather => Secrecy::Closed,
    };
    let secret = kept
        .research
        .as_ref()
        .filter(|_| secrecy == Secrecy::Closed);
    Market {
        id: kept.id,
        source: kept.source,
        description: kept.description,
        criteria: serde_json::to_value(&kept.criteria).unwrap_or_default(),
        status: kept.status,
        outcome: kept.outcome,
        bounty: kept.bounty,
        pool,
        bets: kept.bets,
        opens_at: kept.opens_at,
        bets_close_at: kept.bets_close_at,
        deadline: kept.deadline,
        resolved_at: kept.resolved_at,
        void_reason: kept.void_reason,
        commitment: kept.research.as_ref().map(|r| r.commitment.to_string()),
        nonce: secret.map(|research| research.nonce.reveal()),
        answer: secret.map(|research| research.answer.to_string()),
        evidence: match secrecy {
            Secrecy::Closed => evidence.into_iter().map(fetch).collect(),
            // The page that the question was made from says its id.
            Secrecy::Open => Vec::new(),
        },
    }
}

fn fetch(kept: db::markets::Evidence) -> Evidence {
    let fetch = kept.fetch;
    let (value, problem, decides) = match fetch.finding {
        Finding::Read { value, decides } => (Some(value), None, decides.is_some()),
        Finding::Nothing { problem } => (None, Some(problem), false),
    };
    Evidence {
        id: kept.id,
        url: fetch.url,
        fetched_at: fetch.fetched_at,
        status: fetch.status,
        sha256: fetch.sha256.map(|hash| hash.to_string()),
        body: String::from_utf8_lossy(&fetch.body).into_owned(),
        truncated: fetch.truncated,
        value,
        problem,
        decides,
    }
}

pub(crate) fn bet(kept: db::markets::Bet, secrecy: Secrecy) -> Bet {
    Bet {
        id: kept.id,
        market_id: kept.market_id,
        bot_id: kept.bot_id,
        side: kept.side,
        stake: kept.stake,
        confidence: kept.confidence,
        status: kept.state,
        payout: kept.payout,
        brier: kept.brier,
        answer: kept.answer.filter(|_| secrecy == Secrecy::Closed),
        used_lookup: kept.used_lookup,
        reasoning: kept.reasoning,
        created_at: kept.created_at,
        resolved_at: kept.resolved_at,
    }
}

pub(crate) fn price(row: db::prices::PriceRow) -> PriceSample {
    PriceSample {
        id: row.sample.id,
        price: row.sample.price.money(),
        source: row.sample.source,
        provider_at: row.sample.provider_at,
        sampled_at: row.sampled_at,
    }
}

pub(crate) fn post(post: db::posts::Post) -> Post {
    Post {
        id: post.id,
        bot_id: post.bot_id,
        handle: post.handle,
        kind: post.kind,
        content: post.content,
        reference: post.reference,
        created_at: post.created_at,
    }
}

/// The other way: usage that was checked, as it is kept.
pub(crate) fn usage(reported: api_types::Usage) -> Usage {
    Usage {
        provider: reported.provider,
        model: reported.model,
        llm_calls: reported.llm_calls,
        input_tokens: reported.input_tokens,
        output_tokens: reported.output_tokens,
        cached_input_tokens: reported.cached_input_tokens,
        reasoning_tokens: reported.reasoning_tokens,
        cost_usd: reported.cost_usd,
    }
}
