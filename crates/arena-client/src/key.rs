//! The key that makes a retried post harmless.

use std::fmt;

use uuid::Uuid;

/// Names one request, so that the arena performs it once however often it arrives. An answer with
/// secrets in it is kept encrypted under this key, so it is not shown either.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    const CHARS_MAX: usize = 200;

    /// 122 random bits.
    #[must_use]
    pub fn random() -> IdempotencyKey {
        IdempotencyKey(Uuid::new_v4().to_string())
    }

    /// A key that means something to the caller, e.g. a turn's number: whoever repeats the turn,
    /// be it another process, uses the same. `None` unless it is 1 to 200 printable ASCII
    /// characters without spaces.
    #[must_use]
    pub fn named(name: &str) -> Option<IdempotencyKey> {
        let is_usable = (1..=Self::CHARS_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        is_usable.then(|| IdempotencyKey(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey([hidden])")
    }
}
