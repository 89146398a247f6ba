//! Limits: rates in [`rate`], and here counts, in fixed windows that begin with the first use.

pub mod rate;

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use crate::Cache;
use crate::error::CacheResult;

/// A limit by name: so many times within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub uses: u32,
    pub window: Duration,
}

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admitted {
        remaining: u32,
    },
    /// Nothing was counted. There is room again after `retry_after`.
    Exhausted {
        retry_after: Duration,
    },
}

/// Counts only admitted uses, so that refused attempts do not extend the block.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local used = tonumber(redis.call('GET', KEYS[1]) or '0') \
         if used >= tonumber(ARGV[1]) then return {-1, redis.call('PTTL', KEYS[1])} end \
         used = redis.call('INCR', KEYS[1]) \
         if used == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
         return {tonumber(ARGV[1]) - used, 0}",
    )
});

static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then redis.call('DECR', KEYS[1]) end \
         return redis.status_reply('OK')",
    )
});

impl Cache {
    /// Uses one of the limit's places, if one is left. `name` identifies the action and the actor, such as
    /// `grant:203.0.113.7`.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`crate::CacheError`].
    pub async fn take(&self, name: &str, limit: Limit) -> CacheResult<Admission> {
        let key = self.limit_key(name);
        let millis = u64::try_from(limit.window.as_millis()).unwrap_or(u64::MAX).max(1);
        // Run twice after a lost answer it counts twice, which errs on the safe side.
        let (remaining, wait): (i64, i64) =
            self.invoke(TAKE.key(&key).arg(limit.uses).arg(millis)).await?;
        Ok(match u32::try_from(remaining) {
            Ok(remaining) => Admission::Admitted { remaining },
            Err(_) => {
                let retry_after = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
                Admission::Exhausted { retry_after }
            }
        })
    }

    /// Frees a place that was taken for something that then did not happen.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`crate::CacheError`].
    pub async fn give_back(&self, name: &str) -> CacheResult<()> {
        let key = self.limit_key(name);
        self.invoke(&GIVE_BACK.key(&key)).await
    }

    fn limit_key(&self, name: &str) -> String {
        self.key(&format!("limit:{name}"))
    }
}
