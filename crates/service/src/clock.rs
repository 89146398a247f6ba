//! The time by this machine's clock, only for display: ages of prices, deadlines. All decisions about money use
//! Postgres' clock.

use std::time::{SystemTime, UNIX_EPOCH};

use ledger_core::Timestamp;

/// Now, in microseconds.
///
/// # Panics
/// In 260,000 years, when the calendar ends.
pub fn now() -> Timestamp {
    // Before 1970 this machine's clock is broken, and with it every answer.
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(elapsed.as_micros()).ok();
    #[expect(clippy::expect_used, reason = "the calendar ends in 260,000 years")]
    micros.and_then(Timestamp::from_micros).expect("a time within the calendar")
}
