//! How fast something may be done: the generic cell rate algorithm (GCRA).
//!
//! GCRA comes from ITU-T recommendation I.371 (its "virtual scheduling" form). A rate of one use per `interval`,
//! with `burst` at once, needs one number for each key: the moment at which all uses so far are available again
//! (the "theoretical arrival time"). A use moves it `interval` further; it is refused if that would put it more
//! than `burst × interval` ahead of now. Nothing jumps at the edge of a window, and a key costs one short string.
//!
//! One script checks all keys of a request, by Redis' own clock, and counts them together or not at all: a
//! request that one of them refuses costs nothing under the others. A key expires as soon as it equals a missing
//! key.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use crate::Cache;
use crate::error::{CacheError, CacheResult};

/// The highest rate that can be counted, in uses a minute: one in ten microseconds.
pub const RATE_PER_MINUTE_MAX: u32 = 6_000_000;
const MICROS_PER_MINUTE: u64 = 60_000_000;

/// How fast, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval_micros: u64,
    burst: u32,
}

impl Rate {
    /// So many uses a minute in the long run, of which `burst` may come at once. Neither may be zero: zero counts
    /// as one.
    pub fn per_minute(uses: u32, burst: u32) -> Rate {
        let uses = uses.clamp(1, RATE_PER_MINUTE_MAX);
        Rate { interval_micros: MICROS_PER_MINUTE / u64::from(uses), burst: burst.max(1) }
    }

    /// How many may come at once.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// How long it takes until a burst may come again.
    pub fn window(self) -> Duration {
        Duration::from_micros(self.window_micros())
    }

    fn window_micros(self) -> u64 {
        self.interval_micros.saturating_mul(u64::from(self.burst))
    }

    /// One use at `now`, after which everything is paid for by the answered moment; microseconds,
    /// both. The same rule as [`Cache::admit_each`] in Redis, for counting elsewhere.
    ///
    /// # Errors
    /// How long to wait when there is no room.
    pub fn admit(self, paid_by: u64, now: u64) -> Result<u64, Duration> {
        let next = paid_by.max(now).saturating_add(self.interval_micros);
        let ahead = next.saturating_sub(now);
        match ahead.checked_sub(self.window_micros()) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(Duration::from_micros(wait)),
        }
    }

    /// How many more would be admitted at `now`.
    pub fn remaining(self, paid_by: u64, now: u64) -> u32 {
        let ahead = paid_by.saturating_sub(now);
        let room = self.window_micros().saturating_sub(ahead) / self.interval_micros;
        u32::try_from(room).unwrap_or(u32::MAX)
    }
}

/// One use of `name`, such as `address:203.0.113.7`.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    pub name: &'a str,
    pub rate: Rate,
}

/// Whether there was room under every rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The use with this index has least room left: so many more, and all of it again after
    /// `reset`.
    Admitted { tightest: usize, remaining: u32, reset: Duration },
    /// Nothing was counted. The use with this index is refused longest.
    Refused { by: usize, retry_after: Duration },
}

/// For each request `{1, index, remaining, microseconds until reset}` or `{0, index, 0, microseconds
/// to wait}`, one after the other. Times have 16 digits: Lua's own way to write a number keeps 14.
static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local clock = redis.call('TIME') \
         local now = clock[1] * 1000000 + clock[2] \
         local held = redis.call('MGET', unpack(KEYS)) \
         local ahead, used, answers = {}, {}, {} \
         for i, key in ipairs(KEYS) do \
           ahead[key] = math.max(tonumber(held[i] or '0') - now, 0) \
         end \
         local key, arg = 0, 1 \
         while arg <= #ARGV do \
           local uses = tonumber(ARGV[arg]) \
           local by, wait, tightest, least, reset = 0, 0, 0, math.huge, 0 \
           for i = 1, uses do \
             local interval = tonumber(ARGV[arg + 2 * i - 1]) \
             local window = interval * tonumber(ARGV[arg + 2 * i]) \
             local paid = ahead[KEYS[key + i]] + interval \
             if paid - window > wait then by, wait = i, paid - window end \
             local room = math.floor((window - paid) / interval) \
             if room < least then tightest, least, reset = i, room, paid end \
           end \
           local answer = {0, by, 0, wait} \
           if by == 0 then \
             answer = {1, tightest, least, reset} \
             for i = 1, uses do \
               local name = KEYS[key + i] \
               ahead[name] = ahead[name] + tonumber(ARGV[arg + 2 * i - 1]) \
               used[name] = true \
             end \
           end \
           for _, figure in ipairs(answer) do answers[#answers + 1] = figure end \
           key, arg = key + uses, arg + 2 * uses + 1 \
         end \
         for _, name in ipairs(KEYS) do \
           if used[name] then \
             used[name] = nil \
             redis.call('SET', name, string.format('%.0f', now + ahead[name]), \
               'PX', math.ceil(ahead[name] / 1000)) \
           end \
         end \
         return answers",
    )
});

impl Cache {
    /// Counts each request once under each of its rates if all of them have room, else under none: one request
    /// after the other, with results in their order. Each has at least one use, and at most a few.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`CacheError`].
    pub async fn admit_each(&self, requests: &[&[Use<'_>]]) -> CacheResult<Vec<Verdict>> {
        let mut admit = ADMIT.prepare_invoke();
        for uses in requests {
            admit.arg(uses.len());
            for Use { name, rate } in *uses {
                admit
                    .key(self.key(&format!("rate:{name}")))
                    .arg(rate.interval_micros)
                    .arg(rate.burst);
            }
        }
        // Run twice after a lost answer it counts twice, which errs on the safe side.
        let figures: Vec<u64> = self.invoke(&admit).await?;
        let (answers, rest) = figures.as_chunks::<4>();
        if answers.len() != requests.len() || !rest.is_empty() {
            return Err(no_such_answer());
        }
        let verdicts = answers.iter().zip(requests);
        verdicts.map(|(answer, uses)| Verdict::read(*answer, uses.len())).collect()
    }
}

impl Verdict {
    fn read([admitted, index, remaining, micros]: [u64; 4], uses: usize) -> CacheResult<Verdict> {
        let index = usize::try_from(index)
            .ok()
            .and_then(|index| index.checked_sub(1))
            .filter(|index| *index < uses)
            .ok_or_else(no_such_answer)?;
        let time = Duration::from_micros(micros);
        Ok(match admitted {
            1 => Verdict::Admitted {
                tightest: index,
                remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                reset: time,
            },
            _ => Verdict::Refused { by: index, retry_after: time },
        })
    }
}

fn no_such_answer() -> CacheError {
    CacheError::Corrupt("the answer to a limit".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_one_each_interval() {
        let rate = Rate::per_minute(60, 3);
        let start = 1_000_000_000;
        let mut paid_by = 0;
        for left in [2, 1, 0] {
            paid_by = rate.admit(paid_by, start).unwrap();
            assert_eq!(rate.remaining(paid_by, start), left);
        }
        assert_eq!(rate.admit(paid_by, start), Err(Duration::from_secs(1)));
        assert_eq!(rate.admit(paid_by, start + 999_999), Err(Duration::from_micros(1)));
        let paid_by = rate.admit(paid_by, start + 1_000_000).unwrap();
        assert_eq!(rate.remaining(paid_by, start + 1_000_000), 0);
        assert_eq!(rate.remaining(paid_by, start + 10_000_000), 3);
    }

    #[test]
    fn a_rate_of_nothing_and_a_rate_beyond_counting_are_still_rates() {
        assert_eq!(Rate::per_minute(0, 0), Rate::per_minute(1, 1));
        assert_eq!(Rate::per_minute(u32::MAX, 1), Rate::per_minute(RATE_PER_MINUTE_MAX, 1));
        let most = Rate::per_minute(1, u32::MAX);
        assert!(most.admit(0, u64::MAX / 2).is_ok());
    }
}
