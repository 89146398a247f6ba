//! The market maker: keeps the places of the board taken, by weight, within the house's budget.
//!
//! A source that fails is left alone for a while and the others fill in. If all of them fail, no new market
//! opens, the log says why, and requests are not repeated in a hurry.

use std::sync::Arc;

use db::markets::{Board, Deadline, Finding, NewMarket, Opener};
use db::{DbError, DbResult};
use ledger_core::market::MarketSource;
use ledger_core::research::Nonce;
use ledger_core::{MarketId, Money, Refusal};
use sources::{Feed, NoProposal, Proposal};
use tracing::{debug, info, warn};
use uuid::Builder;

use super::{About, MarketDesk, kept};
use crate::state::MayContinue;

/// The most markets opened in one round.
const OPEN_MAX: usize = 10;

/// The maker's results of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stocked {
    pub opened: Vec<(MarketSource, MarketId)>,
    /// Places that stayed free.
    pub free: i64,
    /// Sources whose requests failed.
    pub failed: Vec<&'static str>,
}

/// Fills the free places of the board.
pub(super) async fn stock(desk: &MarketDesk, may_continue: MayContinue<'_>) -> DbResult<Stocked> {
    let mut stocked = Stocked::default();
    // Each feed fails at most once in a round.
    let mut candidates: Vec<Arc<dyn Feed>> = desk.feeds.clone();
    let pause = db::pauses::arena(&mut *desk.database.get().await?).await?;
    if pause.is_some() {
        return Ok(stocked);
    }
    while stocked.opened.len() < OPEN_MAX && may_continue() && !desk.shutdown.is_requested() {
        let (board, now) = {
            let mut conn = desk.database.get().await?;
            (db::markets::board(&mut conn).await?, db::now(&mut conn).await?)
        };
        stocked.free = desk.rules.markets.places - board.taken;
        if stocked.free <= 0 {
            stocked.free = 0;
            break;
        }
        let mut willing = Vec::with_capacity(candidates.len());
        for feed in candidates {
            if affordable(desk, &board, feed.source())
                && !desk.cooling().subjects_left_alone(feed.name(), now).contains(&String::new())
                && desk.may_ask(feed.as_ref(), now).await?
            {
                willing.push(feed);
            }
        }
        candidates = willing;
        let weights: Vec<u32> =
            candidates.iter().map(|feed| desk.rules.markets.of(feed.source()).weight).collect();
        let Some(place) = pick(&weights, desk.draw()) else {
            break;
        };
        let feed = candidates.remove(place);
        if let Some(opened) = attempt(desk, feed.as_ref(), &board, now).await? {
            stocked.opened.push(opened);
            candidates.push(feed);
        } else {
            stocked.failed.push(feed.name());
        }
    }
    if stocked.free > 0 && stocked.opened.is_empty() && !stocked.failed.is_empty() {
        warn!(
            free = stocked.free,
            failed = ?stocked.failed,
            "places on the board stay free: no source proposes a question"
        );
    }
    Ok(stocked)
}

/// Whether the budget of this hour has room for a bounty of this source.
fn affordable(desk: &MarketDesk, board: &Board, source: MarketSource) -> bool {
    let rules = &desk.rules.markets;
    let spent = board.bounties.checked_add(rules.of(source).bounty);
    spent.is_some_and(|spent| spent <= rules.bounty_budget_per_hour)
}

/// Chooses a place in proportion to the weights; `None` if nothing has any.
fn pick(weights: &[u32], draw: u64) -> Option<usize> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut left = draw.checked_rem(sum)?;
    weights.iter().position(|weight| {
        let weight = u64::from(*weight);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}

/// Asks one feed for a question and opens it.
async fn attempt(
    desk: &MarketDesk,
    feed: &dyn Feed,
    board: &Board,
    now: ledger_core::Timestamp,
) -> DbResult<Option<(MarketSource, MarketId)>> {
    let source = feed.source();
    let on_the_board =
        board.subjects.iter().filter(|(of, _)| *of == source).map(|(_, subject)| subject.clone());
    let mut taken = desk.cooling().subjects_left_alone(feed.name(), now);
    taken.extend(on_the_board);
    let proposed = tokio::select! {
        proposed = feed.propose(&taken, desk.draw(), now) => proposed,
        () = desk.shutdown.wait() => return Ok(None),
    };
    match proposed {
        Ok(proposal) => {
            desk.answered(feed, &proposal.criteria.subject(), now).await?;
            open(desk, source, proposal).await
        }
        Err(NoProposal::Source { subject, error }) => {
            let about = About { subject: subject.as_deref(), market: None };
            desk.failed(feed, about, &error, now).await?;
            Ok(None)
        }
        Err(reason @ (NoProposal::NothingFree | NoProposal::Unusable(_))) => {
            debug!(source = feed.name(), %reason, "no question");
            Ok(None)
        }
    }
}

async fn open(
    desk: &MarketDesk,
    source: MarketSource,
    proposal: Proposal,
) -> DbResult<Option<(MarketSource, MarketId)>> {
    let rules = desk.rules.markets.of(source);
    let nonce = Nonce(bytes(desk));
    let read = Finding::Read { value: proposal.value, decides: None };
    let new = NewMarket {
        id: MarketId(Builder::from_random_bytes(bytes(desk)).into_uuid()),
        criteria: proposal.criteria,
        words: None,
        bounty: rules.bounty,
        deadline: Deadline::In(rules.seconds),
        secret: proposal.answer.map(|answer| (nonce, answer)),
        evidence: &[kept(proposal.evidence, read)],
        opener: Opener::Maker,
    };
    let mut conn = desk.database.get().await?;
    match db::markets::open(&mut conn, &new, &desk.rules, None).await {
        Ok(market) => {
            desk.cache.wake_soon();
            info!(market.id = %market.id, %source, bounty = %Money::to_string(&market.bounty), question = market.description, "opened a market");
            Ok(Some((source, market.id)))
        }
        // Somebody else opened one meanwhile: an operator, or an oracle that lost its lease.
        Err(DbError::Refused(
            refusal @ (Refusal::ArenaPaused { .. }
            | Refusal::SubjectTaken { .. }
            | Refusal::BountyBudget { .. }
            | Refusal::BoardFull { .. }),
        )) => {
            debug!(%source, %refusal, "a market was not opened");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Random bytes: eight from each draw.
fn bytes<const N: usize>(desk: &MarketDesk) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        let drawn = desk.draw().to_le_bytes();
        for (byte, drawn) in chunk.iter_mut().zip(drawn) {
            *byte = drawn;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_picked_by_weight() {
        let weights = [40, 25, 20, 15];
        let mut picked = [0; 4];
        for draw in 0..1_000 {
            picked[pick(&weights, draw).unwrap()] += 1;
        }
        assert_eq!(picked, [400, 250, 200, 150]);
        assert_eq!(pick(&[0, 7, 0], u64::MAX), Some(1));
        assert_eq!(pick(&[0, 0], 5), None);
        assert_eq!(pick(&[], 5), None);
    }
}
