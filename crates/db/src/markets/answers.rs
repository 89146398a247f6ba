//! Research answers: judged, paid and closed in the transaction that takes them.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::economy::{self, AnswerResult, Attempt, EconomyRules, Lookup, Movement, Wallet};
use ledger_core::market::{BetState, MarketStatus, Taking};
use ledger_core::money::{Confidence, Outcome};
use ledger_core::post::Draft;
use ledger_core::research::{Answer, commitment};
use ledger_core::{
    BotId, Decimal8, EntryType, Hash, MarketId, Money, Refusal, TickNumber, Timestamp,
};
use serde_json::json;

use super::bets::markets_with_a_bet;
use super::settle::conclude;
use super::{Market, lock_markets, no_earlier_than_its_rows};
use crate::audit_log;
use crate::error::{DbError, DbResult};
use crate::events;
use crate::idempotency::Remember;
use crate::ledger::{self, Cause};
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::rules::keep;
use crate::schema::{bets, markets};
use crate::sql::{Sql, reached};
use crate::totals::{self, Ended};
use crate::tx;
use crate::usage::{self, Usage};

/// An answer to a research question, as an agent gives it.
#[derive(Debug, Clone)]
pub struct NewAnswer {
    pub bot_id: BotId,
    pub market_id: MarketId,
    pub answer: Answer,
    pub lookup: Lookup,
    pub confidence: Confidence,
    /// One clean line, at most 280 characters.
    pub reasoning: String,
    pub usage: Option<Usage>,
}

/// An answer that was judged.
#[derive(Debug, Clone)]
pub struct Judged {
    pub action_id: i64,
    pub result: AnswerResult,
    pub payout: Money,
    pub new_balance: Money,
}

/// Takes an answer: stake, fee, verdict, payout or loss, and where it is right the market's end, in
/// one transaction. The market's row is locked throughout, so of two right answers the first to get
/// it is paid and the second finds the market resolved.
///
/// # Errors
/// [`DbError::Refused`] by a rule: the market, the bot or the arena takes no answer, or the bot cannot pay for
/// it. [`DbError::NotFound`] for an unknown bot. Then nothing was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn answer(
    conn: &mut Connection,
    new: &NewAnswer,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Judged>>,
) -> DbResult<Judged> {
    tx::run(conn, hook, async |conn| answer_in(conn, new, rules, Comparison::Made).await).await
}

/// Whether an answer is compared with the commitment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Made,
    /// A dry run: its result must not depend on the secret, so every answer counts as wrong.
    LeftOut,
}

/// [`answer`] in the caller's transaction.
pub(crate) async fn answer_in(
    conn: &mut Connection,
    new: &NewAnswer,
    rules: &EconomyRules,
    comparison: Comparison,
) -> DbResult<Judged> {
    let id = new.market_id;
    let market = lock_markets(conn, &[id]).await?.pop();
    let mut market = market.ok_or(Refusal::NoSuchMarket { market: id })?;
    let locked = ledger::lock(conn, WhilePaused::Refuse, new.bot_id).await?;
    admit(conn, new, &market, &locked.wallet, locked.now).await?;
    let research = market.research.as_ref();
    let research = research.ok_or_else(|| DbError::corrupt(format!("market {id} is open")))?;
    // Recomputed, not compared with the stored answer: the published commitment decides.
    let is_right = comparison == Comparison::Made
        && commitment(id, &research.nonce, &new.answer) == research.commitment;
    let result = if is_right { AnswerResult::Correct } else { AnswerResult::Wrong };
    let attempt = economy::answer(&locked.wallet, result, new.lookup, market.bounty, rules, id)?;
    let movements = attempt.movements.clone();
    let tick = locked.wallet.last_tick;
    let sealed = ledger::append_all(conn, vec![(locked, movements)], Cause::Action).await?;
    let (Some(wallet), Some(last), Some(end)) =
        (sealed.wallets().next(), sealed.entries.last(), attempt.movements.last())
    else {
        return Err(DbError::corrupt("an answer without entries"));
    };
    let brier = brier(new, result);
    let at = last.recorded_at;
    let detail = json!({ "market_id": id, "result": result });
    let action_id = audit_log::write_by_bot(conn, new.bot_id, "ANSWER", detail).await?;
    let digest = keep(conn, rules).await?;
    insert(conn, new, (&attempt, end, brier), (tick, digest), at).await?;
    resolve(conn, &mut market, new, result, at).await?;
    let ended = Ended::of(wallet, attempt.stake, end, Some(brier));
    let ended = ended.map(|ended| Ended { lookup_fee: attempt.fee, ..ended });
    totals::add_ended(conn, ended.as_slice()).await?;
    let (usage, mode) = (new.usage.as_ref(), rules.enforcement);
    usage::record_action(conn, action_id, usage, wallet, mode, at).await?;
    tell(conn, new, &market, &attempt, result, sealed.events(), at).await?;
    Ok(Judged { action_id, result, payout: attempt.payout, new_balance: wallet.balance() })
}

/// Whether this bot may answer this question now.
async fn admit(
    conn: &mut Connection,
    new: &NewAnswer,
    market: &Market,
    wallet: &Wallet,
    now: Timestamp,
) -> DbResult<()> {
    economy::alive(wallet)?;
    // An answer has its entry's time, which is the wallet's last where a clock was set back.
    let now = wallet.head.next_at(now);
    market.view().admit(Taking::Answer, now)?;
    must_be_first(conn, new, wallet).await
}

/// One attempt per bot and market, and one per bot and tick.
async fn must_be_first(conn: &mut Connection, new: &NewAnswer, wallet: &Wallet) -> DbResult<()> {
    let market = new.market_id;
    if !markets_with_a_bet(conn, new.bot_id, &[market]).await?.is_empty() {
        return Err(Refusal::AlreadyIn { market }.into());
    }
    let this_tick: i64 = bets::table
        .filter(bets::bot_id.eq(new.bot_id.0))
        .filter(bets::tick.eq(wallet.last_tick.0))
        .count()
        .get_result(conn)
        .await?;
    if this_tick > 0 {
        return Err(Refusal::AnsweredThisTick.into());
    }
    Ok(())
}

async fn insert(
    conn: &mut Connection,
    new: &NewAnswer,
    (attempt, end, brier): (&Attempt, &Movement, Decimal8),
    (tick, rules): (TickNumber, Hash),
    at: Timestamp,
) -> DbResult<()> {
    let is_paid = end.posting.entry_type == EntryType::ResearchPayout;
    let state = if is_paid { BetState::Won } else { BetState::Lost };
    diesel::insert_into(bets::table)
        .values((
            bets::market_id.eq(new.market_id.0),
            bets::bot_id.eq(new.bot_id.0),
            bets::answer.eq(new.answer.as_str()),
            bets::used_lookup.eq(new.lookup == Lookup::Used),
            bets::tick.eq(tick.0),
            bets::rules.eq(Some(rules)),
            bets::stake.eq(Sql(attempt.stake)),
            bets::confidence.eq(Sql(new.confidence.decimal())),
            bets::reasoning.eq(&new.reasoning),
            bets::state.eq(Sql(state)),
            bets::created_at.eq(Sql(at)),
            bets::resolved_at.eq(Some(at)),
            bets::payout.eq(Some(attempt.payout)),
            bets::minted.eq(Some(end.minted())),
            bets::burned.eq(Some(end.burned())),
            bets::brier.eq(Some(brier)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

fn brier(new: &NewAnswer, result: AnswerResult) -> Decimal8 {
    new.confidence.brier(match result {
        AnswerResult::Correct => Outcome::Happened,
        AnswerResult::Wrong => Outcome::DidNotHappen,
    })
}

/// Counts the answer, and ends the market with a right one.
async fn resolve(
    conn: &mut Connection,
    market: &mut Market,
    new: &NewAnswer,
    result: AnswerResult,
    at: Timestamp,
) -> DbResult<()> {
    market.bets += 1;
    if result == AnswerResult::Correct {
        let at = no_earlier_than_its_rows(conn, market.id, at).await?;
        market.status = MarketStatus::Resolved;
        market.outcome = Some(new.answer.to_string());
        return conclude(conn, market, true, at).await;
    }
    let row = markets::table.find(market.id.0);
    let counted = diesel::update(row).set(markets::bets.eq(market.bets)).execute(conn).await?;
    reached(counted, 1, format_args!("market {} is gone", market.id))
}

async fn tell(
    conn: &Connection,
    new: &NewAnswer,
    market: &Market,
    attempt: &Attempt,
    result: AnswerResult,
    mut drafts: Vec<NewEvent>,
    at: Timestamp,
) -> DbResult<()> {
    // The reasoning of a right answer may contain the answer, but then the market is closed; that
    // of a wrong one is public.
    let draft = Draft::research(attempt, result, &market.description, &new.reasoning);
    let post = NewPost {
        bot_id: new.bot_id,
        draft,
        reference: economy::market_reference(market.id).to_string(),
        created_at: at,
    };
    drafts.push(post.event());
    drafts.push(market.event());
    posts::write(conn, &[post]).await?;
    events::write(conn, &drafts).await
}
