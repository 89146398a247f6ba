//! The cooldown of a source that requested fewer requests.
//!
//! CoinGecko's free tier allows some ten calls a minute for each address. After a refusal only patience helps,
//! and each refusal in a row calls for more of it. The strikes and the end of the cooldown are in Postgres
//! (`db::leases`), so that neither a restart nor a second oracle sends requests sooner.

/// The first cooldown, in seconds; each further one is twice as long, up to
/// [`COOLDOWN_MAX_SECONDS`].
pub const COOLDOWN_BASE_SECONDS: i64 = 120;
/// The third cooldown and every one after it, in seconds.
pub const COOLDOWN_MAX_SECONDS: i64 = 480;
/// The longest accepted wait, in seconds: a wrong `Retry-After` must not disable a source forever.
pub const RETRY_AFTER_MAX_SECONDS: i64 = 86_400;
/// After so many strikes the retries are used up.
pub const RETRIES_MAX: i32 = 3;

/// The cooldown in seconds after `strikes` refusals in a row: 120, 240, 480, and from then on 480 more each time;
/// longer if the source requested it.
pub fn cooldown_seconds(strikes: i32, retry_after_seconds: Option<i64>) -> i64 {
    let doublings = u32::try_from(strikes.clamp(1, RETRIES_MAX) - 1).unwrap_or(0);
    let own = COOLDOWN_BASE_SECONDS << doublings;
    let asked = retry_after_seconds.unwrap_or(0).min(RETRY_AFTER_MAX_SECONDS);
    own.max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cooldowns_double_and_then_stay() {
        let waits: Vec<i64> = (1..=6).map(|strikes| cooldown_seconds(strikes, None)).collect();
        assert_eq!(waits, [120, 240, 480, 480, 480, 480]);
        assert_eq!(cooldown_seconds(i32::MAX, None), COOLDOWN_MAX_SECONDS);
        assert_eq!(cooldown_seconds(0, None), COOLDOWN_BASE_SECONDS);
    }

    #[test]
    fn retry_after_counts_only_when_it_is_longer() {
        assert_eq!(cooldown_seconds(1, Some(60)), 120);
        assert_eq!(cooldown_seconds(1, Some(121)), 121);
        assert_eq!(cooldown_seconds(3, Some(900)), 900);
        assert_eq!(cooldown_seconds(1, Some(-5)), 120);
        assert_eq!(cooldown_seconds(1, Some(i64::MAX)), RETRY_AFTER_MAX_SECONDS);
    }
}
