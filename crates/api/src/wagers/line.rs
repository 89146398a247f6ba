//! The line that wagers wait in, and which of them share the next transaction.

use std::collections::{HashMap, HashSet, VecDeque};

use ledger_core::BotId;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use super::{Order, Outcome, PATIENCE, Unplaced};

/// Transactions at once: while one commits, others are worked on. More would only divide the same
/// wagers into smaller ones.
const LANES: usize = 3;
/// The most wagers of one transaction: it holds their wallets, which a tick may want.
const TOGETHER_MAX: usize = 64;
/// The wagers for which another lane opens; fewer wait for one that is open.
const NEXT_LANE_MIN: usize = 10;
/// The most wagers that wait, of everybody and of one bot.
const WAITING_MAX: usize = 4096;
const WAITING_OF_ONE_MAX: usize = 64;

/// A wager in line.
pub(super) struct Waiting {
    pub(super) order: Order,
    pub(super) since: Instant,
    /// The request's, which the transaction belongs to.
    pub(super) span: Span,
    pub(super) asker: oneshot::Sender<Outcome>,
}

impl Waiting {
    pub(super) const fn bot(&self) -> BotId {
        self.order.wager.bot_id
    }

    pub(super) fn answer(self, outcome: Outcome) {
        // Whoever asked may have gone; what was done stays done.
        let _ = self.asker.send(outcome);
    }
}

/// Who waits, and who is being served.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
    /// How many of each bot wait.
    of_bot: HashMap<BotId, usize>,
    pub(super) lanes: usize,
    /// Bots with a wager under way: their next one is decided on the balance it leaves.
    pub(super) busy: HashSet<BotId>,
}

impl Line {
    pub(super) fn join(&mut self, next: Waiting) -> Result<(), Unplaced> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Unplaced::Busy);
        }
        let of_bot = self.of_bot.entry(next.bot()).or_default();
        if *of_bot >= WAITING_OF_ONE_MAX {
            return Err(Unplaced::BotBusy);
        }
        *of_bot += 1;
        self.waiting.push_back(next);
        Ok(())
    }

    /// The wagers of the lane that should open now, if one should.
    pub(super) fn open_lane(&mut self, now: Instant) -> Option<Vec<Waiting>> {
        let enough = match self.lanes {
            0 => true,
            1..LANES => self.is_pressed(now),
            _ => false,
        };
        if !enough {
            return None;
        }
        let first = self.take();
        if first.is_empty() {
            return None;
        }
        self.lanes += 1;
        Some(first)
    }

    /// Whether many wait that could be served, or one of them for long.
    fn is_pressed(&self, now: Instant) -> bool {
        let mut servable = self.waiting.iter().filter(|next| !self.busy.contains(&next.bot()));
        let Some(oldest) = servable.next() else {
            return false;
        };
        now.duration_since(oldest.since) >= PATIENCE || servable.nth(NEXT_LANE_MIN - 2).is_some()
    }

    /// The next transaction's wagers, oldest first, one of each bot.
    fn take(&mut self) -> Vec<Waiting> {
        let mut together = Vec::new();
        let mut passed_over = VecDeque::new();
        while together.len() < TOGETHER_MAX
            && let Some(next) = self.waiting.pop_front()
        {
            if self.busy.insert(next.bot()) {
                self.forget(next.bot());
                together.push(next);
            } else {
                passed_over.push_back(next);
            }
        }
        passed_over.append(&mut self.waiting);
        self.waiting = passed_over;
        together
    }

    fn forget(&mut self, bot: BotId) {
        if let Some(count) = self.of_bot.get_mut(&bot) {
            *count -= 1;
            if *count == 0 {
                self.of_bot.remove(&bot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ledger_core::{Money, prediction::Direction};

    use ledger_core::{EconomyRules, ObservationId};

    use super::super::WAIT_MAX;
    use super::*;
    use db::actions::Wager;

    fn of_bot(bot: i64, since: Instant) -> (Waiting, oneshot::Receiver<Outcome>) {
        let wager = Wager {
            bot_id: BotId(bot),
            observation_id: ObservationId(uuid::Uuid::from_u128(1)),
            direction: Direction::Up,
            stake: EconomyRules::default().stake(Money::cents(100)).unwrap(),
            confidence: "0.60".parse().unwrap(),
            reasoning: String::new(),
            usage: None,
        };
        let (asker, answered) = oneshot::channel();
        let order = Order { wager, retry: None };
        (Waiting { order, since, span: Span::none(), asker }, answered)
    }

    fn line_of(bots: impl IntoIterator<Item = i64>, now: Instant) -> Line {
        let mut line = Line::default();
        for bot in bots {
            line.join(of_bot(bot, now).0).unwrap();
        }
        line
    }

    fn bots(lane: Option<Vec<Waiting>>) -> Vec<i64> {
        let lane = lane.unwrap_or_default();
        lane.iter().map(|next| next.bot().0).collect()
    }

    #[test]
    fn a_lane_takes_one_of_each_bot_and_leaves_the_order_of_the_rest() {
        let now = Instant::now();
        let mut line = line_of([1, 2, 1, 3, 2], now);
        assert_eq!(bots(line.open_lane(now)), [1, 2, 3]);
        let left: Vec<_> = line.waiting.iter().map(|next| next.bot().0).collect();
        assert_eq!(left, [1, 2]);
        // Their bots are under way: nobody can be served, however many wait and however long.
        assert_eq!(bots(line.open_lane(now + WAIT_MAX)), [0; 0]);
        line.busy.remove(&BotId(2));
        assert_eq!(bots(line.open_lane(now + WAIT_MAX)), [2]);
        assert_eq!((line.lanes, line.of_bot.len()), (2, 1));
    }

    #[test]
    fn another_lane_opens_for_many_or_for_somebody_who_waited() {
        let now = Instant::now();
        let few = i64::try_from(NEXT_LANE_MIN).unwrap() - 1;
        let mut line = line_of([100], now);
        assert_eq!(bots(line.open_lane(now)), [100]);
        for bot in 1..=few {
            line.join(of_bot(bot, now).0).unwrap();
        }
        assert!(line.open_lane(now).is_none());
        line.join(of_bot(few + 1, now).0).unwrap();
        assert_eq!(line.open_lane(now).unwrap().len(), NEXT_LANE_MIN);
        line.join(of_bot(50, now).0).unwrap();
        assert!(line.open_lane(now).is_none());
        assert_eq!(bots(line.open_lane(now + PATIENCE)), [50]);
        // There are only so many lanes.
        line.join(of_bot(51, now).0).unwrap();
        assert!(line.open_lane(now + WAIT_MAX).is_none());
    }

    #[test]
    fn the_line_has_an_end_for_one_bot_and_for_all() {
        let now = Instant::now();
        let mut line = line_of(std::iter::repeat_n(1, WAITING_OF_ONE_MAX), now);
        let refused = line.join(of_bot(1, now).0);
        assert!(matches!(refused, Err(Unplaced::BotBusy)), "{refused:?}");
        for bot in 2..=i64::try_from(WAITING_MAX - WAITING_OF_ONE_MAX + 1).unwrap() {
            line.join(of_bot(bot, now).0).unwrap();
        }
        let refused = line.join(of_bot(0, now).0);
        assert!(matches!(refused, Err(Unplaced::Busy)), "{refused:?}");
        assert_eq!(line.open_lane(now).unwrap().len(), TOGETHER_MAX);
    }
}
