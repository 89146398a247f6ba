//! Keys derived from `SECRET_KEY`, one for each purpose, so that none can be used for another; and
//! random ones.

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

/// A derived key. It is wiped when dropped, and has no `Debug`: nothing can print it.
pub(crate) struct Key(SecretBox<[u8; 32]>);

impl Key {
    pub(crate) fn new(bytes: [u8; 32]) -> Key {
        Key(SecretBox::new(Box::new(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// One purpose's key under `SECRET_KEY`, and under those before it.
pub(crate) struct KeyRing {
    /// Used for everything new.
    pub(crate) current: Key,
    /// Still accepted for older data.
    pub(crate) previous: Vec<Key>,
}

impl KeyRing {
    /// Every key, the present one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// Everything derived from `SECRET_KEY` and its predecessors.
pub(crate) struct Keys {
    pub(crate) token: KeyRing,
    pub(crate) cursor: KeyRing,
    pub(crate) idempotency: KeyRing,
}

impl Keys {
    /// `arena` is the database's identity: a token that is older than a restore must not open
    /// another bot's wallet.
    pub(crate) fn derive(
        secret_key: &SecretString,
        previous: &[SecretString],
        arena: &uuid::Uuid,
    ) -> Keys {
        let ring = |salt: &[u8], purpose: &[u8]| {
            let key =
                |secret: &SecretString| derive(secret.expose_secret().as_bytes(), salt, purpose);
            KeyRing { current: key(secret_key), previous: previous.iter().map(key).collect() }
        };
        Keys {
            token: ring(arena.as_bytes(), b"ledgerdome/token/v1"),
            cursor: ring(b"", b"ledgerdome/cursor/v1"),
            idempotency: ring(b"", b"ledgerdome/idempotency/v1"),
        }
    }
}

/// HKDF-SHA256 (RFC 5869).
pub(crate) fn derive(secret: &[u8], salt: &[u8], purpose: &[u8]) -> Key {
    let mut key = [0; 32];
    #[expect(clippy::expect_used, reason = "it fails above 255 × 32 bytes only")]
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(purpose, &mut key)
        .expect("32 bytes are a valid length");
    Key::new(key)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
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
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bound_to_their_arena_and_nothing_else_is() {
        let secret = SecretString::from("a secret of more than thirty-two characters");
        let (one, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        let of = |arena| {
            let keys = Keys::derive(&secret, &[], arena);
            [keys.token, keys.cursor, keys.idempotency].map(|ring| *ring.current.bytes())
        };
        let (mine, again, theirs) = (of(&one), of(&one), of(&other));
        assert_eq!(mine, again);
        assert_ne!(mine[0], theirs[0]);
        assert_eq!(mine[1..], theirs[1..]);
    }

    #[test]
    fn an_earlier_secret_key_gives_the_keys_it_gave_before() {
        let [old, new] = ["old", "new"].map(|name| SecretString::from(name.repeat(20)));
        let arena = uuid::Uuid::from_u128(1);
        let before = Keys::derive(&old, &[], &arena);
        let after = Keys::derive(&new, &[old], &arena);
        for (before, after) in [
            (before.token, after.token),
            (before.cursor, after.cursor),
            (before.idempotency, after.idempotency),
        ] {
            assert_eq!(before.current.bytes(), after.previous[0].bytes());
            assert_ne!(before.current.bytes(), after.current.bytes());
        }
    }
}
