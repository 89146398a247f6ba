//! Tokens revoked by a rotation, in memory.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use db::credentials::{RecentRotation, Standing};
use ledger_core::BotId;

use super::tokens::{Bearer, TOKEN_SECONDS};

/// How long a rotation must be remembered: until the last token from before it has expired, and a
/// minute for a login that was under way.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(TOKEN_SECONDS.unsigned_abs() + 60);

/// The bots that rotated recently. For other bots the signature of a token is enough.
#[derive(Default)]
pub(crate) struct Rotations(RwLock<HashMap<BotId, Known>>);

struct Known {
    /// The number of the credentials in force.
    version: i64,
    /// Until when the former credentials are valid.
    old_until: Instant,
    learnt: Instant,
}

impl Rotations {
    /// Whether the credentials that bought a token are still in force.
    pub(crate) fn standing(&self, bearer: Bearer) -> Standing {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(&bearer.bot) {
            Some(known) if bearer.version < known.version => {
                let predecessor = bearer.version.saturating_add(1) == known.version;
                if predecessor && Instant::now() < known.old_until {
                    Standing::Grace
                } else {
                    Standing::Ended
                }
            }
            _ => Standing::Current,
        }
    }

    pub(crate) fn learn(&self, recent: &[RecentRotation]) {
        let now = Instant::now();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| now.duration_since(known.learnt) <= REMEMBERED);
        for rotation in recent {
            // An older read must not undo a rotation in this process.
            let newer =
                known.get(&rotation.bot).is_none_or(|known| known.version <= rotation.version);
            if newer {
                let fresh = Known {
                    version: rotation.version,
                    old_until: now + rotation.old_remaining,
                    learnt: now,
                };
                known.insert(rotation.bot, fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(version: i64, grace: u64) -> RecentRotation {
        RecentRotation { bot: BotId(12), version, old_remaining: Duration::from_secs(grace) }
    }

    fn standings(rotations: &Rotations) -> [Standing; 4] {
        [1, 2, 3, 4].map(|version| rotations.standing(Bearer { bot: BotId(12), version }))
    }

    #[test]
    fn only_the_direct_predecessor_has_a_grace() {
        use Standing::{Current, Ended, Grace};
        let rotations = Rotations::default();
        assert_eq!(standings(&rotations), [Current; 4]);
        rotations.learn(&[rotation(3, 600)]);
        // A later one may have been made elsewhere, and is signed.
        assert_eq!(standings(&rotations), [Ended, Grace, Current, Current]);
        rotations.learn(&[rotation(3, 0)]);
        assert_eq!(standings(&rotations), [Ended, Ended, Current, Current]);
        let other = Bearer { bot: BotId(13), version: 1 };
        assert_eq!(rotations.standing(other), Current);
    }

    #[test]
    fn an_older_reading_undoes_nothing() {
        let rotations = Rotations::default();
        rotations.learn(&[rotation(3, 0)]);
        rotations.learn(&[rotation(2, 600)]);
        assert_eq!(standings(&rotations)[..2], [Standing::Ended; 2]);
    }
}
