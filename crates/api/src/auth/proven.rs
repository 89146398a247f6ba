//! Which logins succeeded lately, so that a bot which proved itself finds a place in a full queue.
//!
//! A repeated login is recognised by a keyed hash of bot and API key, which a caller with only the bot's name
//! cannot compute. It is still verified like any other: this only gives a place in the queue, not a token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledger_core::BotId;

use crate::keys::derive;

/// How long a login counts.
const LATELY: Duration = Duration::from_secs(24 * 60 * 60);
/// Logins that are remembered; the oldest make room.
const REMEMBERED_MAX: usize = 10_000;

pub(crate) struct Proven {
    /// Of this process alone, so that the hashes mean nothing anywhere else.
    key: [u8; 32],
    when: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Proven {
    pub(crate) fn new() -> Result<Proven, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Proven { key, when: Mutex::default() })
    }

    pub(crate) fn knows(&self, bot: BotId, api_key: &str, now: Instant) -> bool {
        let when = self.when.lock().unwrap_or_else(PoisonError::into_inner);
        when.get(&self.name(bot, api_key)).is_some_and(|at| now.duration_since(*at) < LATELY)
    }

    pub(crate) fn learn(&self, bot: BotId, api_key: &str, now: Instant) {
        let name = self.name(bot, api_key);
        let mut when = self.when.lock().unwrap_or_else(PoisonError::into_inner);
        if when.len() >= REMEMBERED_MAX && !when.contains_key(&name) {
            let oldest = when.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(name, _)| *name) {
                when.remove(&oldest);
            }
        }
        when.insert(name, now);
    }

    /// An invalid key belongs to no bot.
    pub(crate) fn forget(&self, bot: BotId, api_key: &str) {
        let name = self.name(bot, api_key);
        let mut when = self.when.lock().unwrap_or_else(PoisonError::into_inner);
        when.remove(&name);
    }

    fn name(&self, bot: BotId, api_key: &str) -> [u8; 32] {
        let purpose = format!("ledgerdome/proven/v1/{bot}");
        *derive(api_key.as_bytes(), &self.key, purpose.as_bytes()).bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_login_is_known_again_by_bot_and_key_for_a_day() {
        let (proven, now) = (Proven::new().unwrap(), Instant::now());
        let (mia, tom) = (BotId(1), BotId(2));
        proven.learn(mia, "ldk_1", now);
        assert!(proven.knows(mia, "ldk_1", now));
        assert!(!proven.knows(mia, "ldk_2", now));
        assert!(!proven.knows(tom, "ldk_1", now));
        assert!(!proven.knows(mia, "ldk_1", now + LATELY));
        proven.forget(mia, "ldk_1");
        assert!(!proven.knows(mia, "ldk_1", now));
    }

    #[test]
    fn the_oldest_make_room() {
        let (proven, now) = (Proven::new().unwrap(), Instant::now());
        let at = |bot: i64| now + Duration::from_secs(bot.unsigned_abs());
        let most = i64::try_from(REMEMBERED_MAX).unwrap();
        for bot in 0..=most {
            proven.learn(BotId(bot), "ldk", at(bot));
        }
        assert!(!proven.knows(BotId(0), "ldk", at(most)));
        assert!(proven.knows(BotId(1), "ldk", at(most)));
        assert!(proven.knows(BotId(most), "ldk", at(most)));
    }
}
