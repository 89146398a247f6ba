//! The queue for password hashes, and which login it drops.
//!
//! Hashing has few places, and a flood of logins must not take them all from others. So the queue
//! is shared by address: if it is full, a new login replaces the last one of the address with the
//! most waiting logins, and is refused only if no other address has more waiting than its own. An
//! owner of one IPv6 address may have a whole /64, /56 or /48: a login is dropped from the most
//! crowded /48, in it from the most crowded /56, and in that from the most crowded /64.
//!
//! This does not help against an attacker with as many addresses as there are places. Some places
//! are therefore for bots that proved themselves lately ([`super::proven`]). These are served
//! first, but every third turn is for the others: a first login must also be possible.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::BotId;
use tokio::sync::oneshot;

use crate::address::neighbourhoods;

/// Hashes computed at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;
/// The most waiting logins. At some twenty hashes a second and core a longer queue would outlast
/// its requests' time.
const WAITING_MAX: usize = 64;
/// Further places, for bots that logged in lately.
const PROVEN_MAX: usize = 16;
/// Turns that they get in a row while others wait.
const PROVEN_IN_A_ROW: u32 = 2;
/// How many of these places one bot takes.
const PROVEN_OF_ONE_MAX: usize = 2;

/// The caller of a hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) address: Option<IpAddr>,
    /// The bot that this is for certain, as far as it proved itself before.
    pub(crate) proven: Option<BotId>,
}

/// The places there are.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Mutex<State>>);

struct State {
    /// Hashes that may begin at once.
    free: usize,
    proven: Lane,
    others: Lane,
    /// Turns of `proven` since the last one of `others`.
    proven_in_a_row: u32,
}

struct Lane {
    max: usize,
    of_one_max: usize,
    waiting: VecDeque<Waiting>,
    served: u64,
}

struct Waiting {
    /// From the widest neighbourhood to the narrowest.
    from: [IpAddr; 3],
    bot: Option<BotId>,
    turn: oneshot::Sender<Turn>,
}

/// The right to compute hashes, one after the other. When it is dropped, the next one gets it.
pub(crate) struct Turn(Option<Queue>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.pass_on();
        }
    }
}

impl Queue {
    pub(crate) fn new() -> Queue {
        let lane = |max, of_one_max| Lane { max, of_one_max, waiting: VecDeque::new(), served: 0 };
        Queue(Arc::new(Mutex::new(State {
            free: AT_ONCE,
            proven: lane(PROVEN_MAX, PROVEN_OF_ONE_MAX),
            others: lane(WAITING_MAX, usize::MAX),
            proven_in_a_row: 0,
        })))
    }

    /// Waits for a turn; `None` if refused, at once or later in favour of a less crowded address.
    pub(crate) async fn turn(&self, asker: Asker) -> Option<Turn> {
        let turn = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Some(Turn(Some(self.clone())));
            }
            state.join(asker)?
        };
        turn.await.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(self) {
        let next = self.state().next();
        let Some(mut next) = next else { return };
        let mut turn = Turn(Some(self.clone()));
        // If the caller has gone, the next one gets it.
        while let Err(mut unused) = next.turn.send(turn) {
            unused.0 = None;
            let Some(another) = self.state().next() else {
                return;
            };
            next = another;
            turn = Turn(Some(self.clone()));
        }
    }
}

impl State {
    fn join(&mut self, asker: Asker) -> Option<oneshot::Receiver<Turn>> {
        let (turn, receiver) = oneshot::channel();
        let newcomer = Waiting {
            from: neighbourhoods(asker.address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
            bot: asker.proven,
            turn,
        };
        let left = match asker.proven {
            Some(_) => self.proven.join(newcomer),
            None => Err(newcomer),
        };
        let seated = left.or_else(|newcomer| self.others.join(newcomer));
        seated.is_ok().then_some(receiver)
    }

    /// The next caller. If none waits, the turn is free.
    fn next(&mut self) -> Option<Waiting> {
        if self.proven_in_a_row < PROVEN_IN_A_ROW
            && let Some(proven) = self.proven.pop()
        {
            self.proven_in_a_row += 1;
            return Some(proven);
        }
        if let Some(other) = self.others.pop() {
            self.proven_in_a_row = 0;
            return Some(other);
        }
        let next = self.proven.pop();
        if next.is_none() {
            self.free += 1;
        }
        next
    }
}

impl Lane {
    fn join(&mut self, newcomer: Waiting) -> Result<(), Waiting> {
        let of_bot = |waiting: &&Waiting| newcomer.bot.is_some() && waiting.bot == newcomer.bot;
        if self.waiting.len() >= self.max || self.of_one_max < usize::MAX {
            self.waiting.retain(|waiting| !waiting.turn.is_closed());
        }
        if self.waiting.iter().filter(of_bot).count() >= self.of_one_max {
            return Err(newcomer);
        }
        if self.waiting.len() >= self.max {
            match self.crowded_out_by(&newcomer) {
                // Its request is notified, because it can no longer get a turn.
                Some(last) => drop(self.waiting.remove(last)),
                None => return Err(newcomer),
            }
        }
        self.waiting.push_back(newcomer);
        Ok(())
    }

    /// Alternately the longest waiting one of all, and the longest waiting one of the least crowded
    /// address: so no caller waits behind a whole crowd, and no crowd waits forever.
    fn pop(&mut self) -> Option<Waiting> {
        // A caller that has gone must not use up a turn of its lane.
        self.waiting.retain(|waiting| !waiting.turn.is_closed());
        self.served = self.served.wrapping_add(1);
        let at = if self.served.is_multiple_of(2) { 0 } else { self.least_crowded()? };
        self.waiting.remove(at)
    }

    fn least_crowded(&self) -> Option<usize> {
        let widest = |waiting: &Waiting| waiting.from.first().copied();
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for waiting in &self.waiting {
            *counts.entry(widest(waiting)).or_default() += 1;
        }
        let crowd = |(_, waiting): &(usize, &Waiting)| counts.get(&widest(waiting)).copied();
        let least = self.waiting.iter().enumerate().min_by_key(crowd);
        least.map(|(at, _)| at)
    }

    /// The last one of the most crowded neighbourhood; `None` if that would be the newcomer.
    fn crowded_out_by(&self, newcomer: &Waiting) -> Option<usize> {
        // The newcomer stands behind all others.
        let from = |at: usize| self.waiting.get(at).unwrap_or(newcomer).from;
        let mut crowd: Vec<usize> = (0..=self.waiting.len()).collect();
        for level in 0..newcomer.from.len() {
            let place = |at: usize| from(at).get(level).copied();
            let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
            for at in &crowd {
                *counts.entry(place(*at)).or_default() += 1;
            }
            // Of equally crowded ones the one with the newcomer, so that no other is refused
            // unnecessarily.
            let most = counts.values().copied().max()?;
            let is_crowded = |at: &&usize| counts.get(&place(**at)) == Some(&most);
            let chosen = place(*crowd.iter().rev().find(is_crowded)?);
            crowd.retain(|at| place(*at) == chosen);
        }
        crowd.pop().filter(|last| *last < self.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Asking = Pin<Box<dyn Future<Output = Option<Turn>>>>;

    fn asker(address: &str, proven: Option<i64>) -> Asker {
        Asker { address: Some(address.parse().unwrap()), proven: proven.map(BotId) }
    }

    fn ask(queue: &Queue, address: &str, proven: Option<i64>) -> Asking {
        let (queue, asker) = (queue.clone(), asker(address, proven));
        let mut asking: Asking = Box::pin(async move { queue.turn(asker).await });
        match look(&mut asking) {
            Poll::Ready(outcome) => Box::pin(std::future::ready(outcome)),
            Poll::Pending => asking,
        }
    }

    fn look(asking: &mut Asking) -> Poll<Option<Turn>> {
        asking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Whether it waits still.
    fn waits(asking: &mut Asking) -> bool {
        look(asking).is_pending()
    }

    /// A queue whose turns are taken, and full of `flood`.
    fn full(flood: impl Fn(usize) -> String) -> (Queue, Vec<Turn>, Vec<Asking>) {
        let queue = Queue::new();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            let mut first = pin!(queue.turn(asker("192.0.2.1", None)));
            match first.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(turn)) => turns.push(turn),
                _ => panic!("a free turn is given at once"),
            }
        }
        let mut waiting: Vec<Asking> =
            (0..WAITING_MAX).map(|at| ask(&queue, &flood(at), None)).collect();
        assert!(waiting.iter_mut().all(waits));
        (queue, turns, waiting)
    }

    fn is_turned_away(asking: &mut Asking) -> bool {
        matches!(look(asking), Poll::Ready(None))
    }

    #[test]
    fn whoever_has_most_waiting_gives_way() {
        let (queue, _turns, mut flood) = full(|_| "203.0.113.7".to_owned());
        let mut same = ask(&queue, "203.0.113.7", None);
        assert!(is_turned_away(&mut same), "no more of the same");
        let mut others: Vec<_> = (1..=WAITING_MAX / 2)
            .map(|at| ask(&queue, &format!("198.51.100.{at}"), None))
            .collect();
        assert!(others.iter_mut().all(waits));
        let left = flood.iter_mut().filter_map(|it| waits(it).then_some(())).count();
        assert_eq!(left, WAITING_MAX - others.len(), "the last ones went");
        assert!(waits(&mut flood[0]));
    }

    #[test]
    fn neighbours_in_ipv6_are_one_crowd() {
        type Flood = fn(usize) -> String;
        let floods: [Flood; 3] = [
            |at| format!("2001:db8:1:2::{at:x}"),
            |at| format!("2001:db8:1:2{at:02x}::1"),
            |at| format!("2001:db8:1:{at:x}00::1"),
        ];
        for flood in floods {
            let (queue, _turns, _flood) = full(flood);
            let mut seated = Vec::new();
            // Elsewhere, and in another /56 of the same /48.
            for address in ["2001:db8:2::1", "198.51.100.1", "2001:db8:1:ff00::1"] {
                let mut other = ask(&queue, address, None);
                let same_48 = address.starts_with("2001:db8:1:");
                let is_spread = flood(1).ends_with("100::1");
                assert_eq!(waits(&mut other), !(same_48 && is_spread), "{}: {address}", flood(7));
                seated.push(other);
            }
            let mut more = ask(&queue, &flood(WAITING_MAX + 1), None);
            assert!(is_turned_away(&mut more), "{}", flood(7));
        }
    }

    #[test]
    fn who_proved_themselves_lately_has_a_place_and_comes_first() {
        let (queue, mut turns, mut flood) = full(|at| format!("198.51.100.{at}"));
        let mut stranger = ask(&queue, "192.0.2.9", None);
        assert!(is_turned_away(&mut stranger), "each has one place");
        let mut known = ask(&queue, "192.0.2.9", Some(7));
        assert!(waits(&mut known));
        let mut more: Vec<_> = (0..5).map(|_| ask(&queue, "192.0.2.9", Some(7))).collect();
        let kept = more.iter_mut().filter_map(|it| waits(it).then_some(())).count();
        assert_eq!(kept, PROVEN_OF_ONE_MAX - 1, "and not all places");
        turns.pop();
        assert!(matches!(look(&mut known), Poll::Ready(Some(_))));
        assert!(flood.iter_mut().all(waits));
    }

    #[test]
    fn bots_that_proved_themselves_cannot_keep_others_waiting_for_ever() {
        let (queue, mut turns, mut others) = full(|at| format!("198.51.100.{at}"));
        let mut proven = Vec::new();
        let mut served = 0;
        for turn in 1..=12 {
            // Each served one is followed by another: their lane is always full.
            while queue.state().proven.waiting.len() < PROVEN_MAX {
                let bot = i64::try_from(proven.len()).unwrap();
                proven.push(ask(&queue, "192.0.2.9", Some(bot)));
            }
            turns.pop();
            for asking in proven.iter_mut().chain(&mut others) {
                if let Poll::Ready(given) = look(asking) {
                    turns.push(given.unwrap());
                    *asking = Box::pin(std::future::pending());
                }
            }
            served = WAITING_MAX - queue.state().others.waiting.len();
            assert!(served >= turn / 3, "{served} of {turn} turns");
        }
        assert_eq!(served, 4, "the proven keep their two of three");
    }

    #[test]
    fn nobody_waits_behind_a_whole_crowd_and_no_crowd_for_ever() {
        let (queue, mut turns, mut flood) = full(|_| "203.0.113.7".to_owned());
        let mut others: Vec<_> =
            (1..=3).map(|at| ask(&queue, &format!("198.51.100.{at}"), None)).collect();
        for _ in 0..4 {
            turns.pop();
            let served = others.iter_mut().chain(&mut flood[..4]);
            turns.extend(served.filter_map(|asking| match look(asking) {
                Poll::Ready(turn) => {
                    *asking = Box::pin(std::future::pending());
                    turn
                }
                Poll::Pending => None,
            }));
        }
        assert_eq!(queue.state().others.waiting.len(), WAITING_MAX - 4);
        let first = |at: usize| queue.state().others.waiting[at].from[0];
        let crowd: IpAddr = "203.0.113.7".parse().unwrap();
        assert_eq!([first(0), first(1)], [crowd; 2]);
        let waiting = queue.state();
        let few = waiting.others.waiting.iter();
        assert_eq!(few.filter(|it| it.from[0] != crowd).count(), 1);
    }

    #[test]
    fn a_turn_passes_over_who_has_gone_and_is_never_lost() {
        let (queue, turns, mut flood) = full(|_| "203.0.113.7".to_owned());
        let mut last = flood.pop().unwrap();
        drop(flood);
        drop(turns);
        let Poll::Ready(Some(turn)) = look(&mut last) else {
            panic!("the only one who waits is served");
        };
        assert_eq!(queue.state().free, AT_ONCE - 1);
        drop(turn);
        assert_eq!(queue.state().free, AT_ONCE);
        // Given, and never taken.
        let (queue, turns, flood) = full(|_| "203.0.113.7".to_owned());
        drop(turns);
        drop(flood);
        assert_eq!(queue.state().free, AT_ONCE);
    }
}
