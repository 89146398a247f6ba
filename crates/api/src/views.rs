//! Converts `db`'s results to the types of answers.

use api_types::{
    Acceptance, ActionStatus, Activity, Attention, Bet, Bot, Cost, Evidence, History, HistoryPoint,
    IfNothingChanges, Insights, Limits, Market, Post, Prediction, PriceSample, Produced, Standing,
    Tick, Trend, told,
};
use db::actions::Accepted;
use db::bots::BotProfile;
use db::markets::Finding;
use db::totals::Totals;
use ledger_core::insights::{self, Results, TickTimes, ratio, return_on_grants, shadow_balance};
use ledger_core::market::{MarketStatus, Taking};
use ledger_core::supply::units_text;
use ledger_core::{EconomyRules, Money};

pub(crate) fn bot(profile: BotProfile) -> Bot {
    told!(Bot of profile {
        id, handle, status, balance, shadow_balance, idle_streak, hosted, created_at,
        last_action_at;
        paused: profile.pause,
    })
}

pub(crate) fn acceptance(accepted: &Accepted) -> Acceptance {
    told!(Acceptance of accepted {
        action_id, prediction_id, new_balance;
        status: ActionStatus::Accepted,
    })
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
    told!(Prediction of kept {
        id, bot_id, direction, wager_amount, confidence, start_price, price_source, status,
        settles_at, end_price, payout, brier, reasoning, created_at, resolved_at;
        rules: kept.rules.map(|digest| digest.to_string()),
    })
}

/// Whether a market's secrets may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    Open,
    /// The market is settled, or the secret is the viewer's own.
    Closed,
}

impl Secrecy {
    pub(crate) const fn of(status: MarketStatus) -> Secrecy {
        if status.is_settled() { Secrecy::Closed } else { Secrecy::Open }
    }
}

/// Whether a market's evidence may be shown. The page of a research question contains its id.
pub(crate) const fn evidence_secrecy(kept: &db::markets::Market) -> Secrecy {
    match kept.source.about().takes {
        Taking::Answer => Secrecy::of(kept.status),
        Taking::Bet => Secrecy::Closed,
    }
}

/// A market, with nonce, answer and the evidence that holds it only once it has closed.
pub(crate) fn market(
    kept: db::markets::Market,
    evidence: Vec<db::markets::EvidenceHead>,
) -> Market {
    let pool = kept.pool();
    let secrecy = evidence_secrecy(&kept);
    let secret = kept.research.as_ref().filter(|_| secrecy == Secrecy::Closed);
    told!(Market of kept {
        id, source, description, status, outcome, bounty, bets, opens_at, bets_close_at, deadline,
        resolved_at, void_reason;
        criteria: serde_json::to_value(&kept.criteria).unwrap_or_default(),
        condition: kept.criteria.condition(),
        pool,
        paused: kept.pause,
        commitment: kept.research.as_ref().map(|r| r.commitment.to_string()),
        nonce: secret.map(|research| research.nonce.reveal()),
        answer: secret.map(|research| research.answer.to_string()),
        evidence: match secrecy {
            Secrecy::Closed => evidence.into_iter().map(self::evidence).collect(),
            Secrecy::Open => Vec::new(),
        },
    })
}

pub(crate) fn evidence(kept: db::markets::EvidenceHead) -> Evidence {
    let bytes = kept.bytes;
    let db::markets::Evidence { id, fetch } = kept.evidence;
    let (value, problem, decides) = match fetch.finding {
        Finding::Read { value, decides } => (Some(value), None, decides.is_some()),
        Finding::Nothing { problem } => (None, Some(problem), false),
    };
    told!(Evidence of fetch {
        url, fetched_at, status, truncated;
        id,
        sha256: fetch.sha256.map(|hash| hash.to_string()),
        body: String::from_utf8_lossy(&fetch.body).into_owned(),
        bytes,
        value,
        problem,
        decides,
    })
}

pub(crate) fn bet(kept: db::markets::Bet, secrecy: Secrecy) -> Bet {
    told!(Bet of kept {
        id, market_id, bot_id, side, stake, confidence, payout, brier, used_lookup, reasoning,
        created_at, resolved_at;
        status: kept.state,
        answer: kept.answer.filter(|_| secrecy == Secrecy::Closed),
    })
}

pub(crate) fn price(row: db::prices::PriceRow) -> PriceSample {
    PriceSample {
        id: row.id,
        price: row.price.money(),
        source: row.source,
        provider_at: row.provider_at,
        sampled_at: row.sampled_at,
        from_history: row.from_history,
    }
}

pub(crate) fn post(post: db::posts::Post) -> Post {
    told!(Post of post {
        id, bot_id, handle, kind, content, reference, created_at
    })
}

fn results(fees: i128, phantom_fees: Money, totals: &Totals) -> Results {
    Results {
        cost: fees + i128::from(phantom_fees.units()) + totals.lookup_fees,
        profit: totals.profit,
        llm_usd: totals.llm_usd,
        settled: totals.settled,
        brier_sum: totals.brier_sum,
        brier_count: totals.brier_count,
    }
}

/// A standing, without its rank: that depends on whom it is ranked with.
pub(crate) fn standing(kept: db::standings::Standing) -> Standing {
    let totals = &kept.totals;
    let results = results(kept.fees, kept.phantom_fees, totals);
    told!(Standing of totals {
        unpriced_calls, settled, won, brier_count;
        rank: 0,
        bot_id: kept.bot_id,
        status: kept.status,
        wealth: units_text(kept.wealth),
        balance: kept.balance,
        shadow_balance: shadow_balance(kept.balance, kept.phantom_fees),
        return_on_grants: return_on_grants(kept.wealth, kept.granted).map(units_text),
        cost: units_text(results.cost),
        llm_usd: units_text(totals.llm_usd),
        profit: units_text(totals.profit),
        brier: results.mean_brier().map(units_text),
        brier_coverage: results.brier_coverage().map(units_text),
        handle: kept.handle,
    })
}

/// A bot's data, and the rules' results for it.
pub(crate) fn insights(kept: db::insights::Insights, rules: &EconomyRules) -> Insights {
    let (reserve, totals) = (&kept.reserve, &kept.totals);
    let results = results(kept.fees, reserve.phantom_fees, totals);
    let window_ticks = db::totals::WINDOW_TICKS;
    let trend = insights::trend(kept.last_window, kept.previous_window, window_ticks);
    Insights {
        bot_id: kept.bot_id,
        status: reserve.status,
        mode: rules.enforcement,
        balance: reserve.balance,
        shadow_balance: shadow_balance(reserve.balance, reserve.phantom_fees),
        cost: told!(Cost of totals {
            input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, llm_calls,
            unpriced_calls, unreported_calls, reported_usd_calls;
            fees: units_text(kept.fees),
            phantom_fees: reserve.phantom_fees.to_string(),
            lookup_fees: units_text(totals.lookup_fees),
            lost_stakes: units_text(totals.lost_stakes),
            llm_usd: units_text(totals.llm_usd),
            reported_usd: units_text(totals.reported_usd),
        }),
        produced: produced(totals, &results),
        attention: Attention { interventions: totals.interventions, errors: totals.errors },
        activity: Activity {
            ticks: kept.ticks,
            idle_rate: ratio(kept.idle_ticks.into(), kept.ticks.into()).map(units_text),
            idle_streak: reserve.idle_streak,
            would_have_been_liquidated_at: kept.shadow_died_at,
        },
        trend: Trend {
            window_ticks,
            profit_per_tick: trend.profit_per_tick.map(units_text),
            previous: trend.previous.map(units_text),
            direction: trend.direction,
        },
        if_nothing_changes: if_nothing_changes(&kept, rules),
        as_of: kept.as_of,
        handle: kept.handle,
        recent: kept.recent.into_iter().map(Into::into).collect(),
    }
}

fn produced(totals: &Totals, results: &Results) -> Produced {
    told!(Produced of totals {
        settled, won, brier_count;
        payouts: units_text(totals.payouts),
        bounties: units_text(totals.bounties),
        profit: units_text(totals.profit),
        brier: results.mean_brier().map(units_text),
        brier_coverage: results.brier_coverage().map(units_text),
        cost_per_settled: results.cost_per_settled().map(units_text),
        cost_per_profit: results.cost_per_profit().map(units_text),
        llm_usd_per_settled: results.llm_usd_per_settled().map(units_text),
        llm_usd_per_profit: results.llm_usd_per_profit().map(units_text),
    })
}

fn if_nothing_changes(kept: &db::insights::Insights, rules: &EconomyRules) -> IfNothingChanges {
    let told = insights::forecast(&kept.reserve, rules, kept.next_tick);
    let times = TickTimes {
        next: kept.next_tick,
        next_began_at: kept.next_tick_began_at,
        latest_began_at: kept.latest_began_at,
        shadow_died_at: kept.shadow_died_at,
        now: kept.as_of,
        rate_seconds: rules.tick_rate_seconds.unsigned_abs(),
    };
    IfNothingChanges {
        burn_per_tick: told.map(|told| told.burn_per_tick),
        ticks_left: told.map(|told| told.ticks_left),
        dies_in_tick: told.map(|told| told.dies_in),
        dies_at: told.and_then(|told| told.dies_at(&times)),
    }
}

pub(crate) fn tick(kept: db::history::TickSummary) -> Tick {
    told!(Tick of kept {
        number, started_at, closed_at, bots, fees, liquidated, failed;
        mode: kept.enforcement,
    })
}

pub(crate) fn history(history: db::history::History) -> History {
    let point = |point: db::history::Point| {
        told!(HistoryPoint of point {
            tick, at, balance, shadow_balance, idle_streak
        })
    };
    History {
        bot_id: history.bot_id,
        handle: history.handle,
        items: history.points.into_iter().map(point).collect(),
    }
}
