//! The keys that are derived from `SECRET_KEY`, one a purpose, so that none can stand in for
//! another; and the random ones.

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

pub(crate) type Key = [u8; 32];

/// Everything derived from `SECRET_KEY`.
pub(crate) struct Keys {
    pub(crate) token: Key,
    pub(crate) cursor: Key,
    pub(crate) idempotency: Key,
}

impl Keys {
    /// `arena` is the database's identity: a token that outlives its bots must open nobody else's
    /// wallet.
    pub(crate) fn derive(secret_key: &SecretString, arena: &uuid::Uuid) -> Keys {
        let secret = secret_key.expose_secret().as_bytes();
        Keys {
            token: derive(secret, arena.as_bytes(), b"ledgerdome/token/v1"),
            cursor: derive(secret, b"", b"ledgerdome/cursor/v1"),
            idempotency: derive(secret, b"", b"ledgerdome/idempotency/v1"),
        }
    }
}

/// HKDF-SHA256 (RFC 5869).
pub(crate) fn derive(secret: &[u8], salt: &[u8], purpose: &[u8]) -> Key {
    let mut key = Key::default();
    #[expect(clippy::expect_used, reason = "it fails above 255 × 32 bytes only")]
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(purpose, &mut key)
        .expect("32 bytes are a valid length");
    key
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

/// The bytes of lower-case hex; `None` for anything else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bound_to_their_arena_and_nothing_else_is() {
        let secret = SecretString::from("a secret of more than thirty-two characters");
        let (one, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        let (mine, again) = (Keys::derive(&secret, &one), Keys::derive(&secret, &one));
        let theirs = Keys::derive(&secret, &other);
        assert_eq!(mine.token, again.token);
        assert_ne!(mine.token, theirs.token);
        assert_eq!(mine.cursor, theirs.cursor);
        assert_eq!(mine.idempotency, theirs.idempotency);
    }
}
