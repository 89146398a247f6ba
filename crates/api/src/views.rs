//! What `db` answers, as it goes over the wire.

use api_types::{Acceptance, ActionStatus, Bot, Limits, Post, Prediction, PriceSample};
use db::actions::Accepted;
use db::bots::BotProfile;
use db::metrics::Usage;
use ledger_core::EconomyRules;

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
