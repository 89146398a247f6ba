//! The rules for an `Idempotency-Key`.

use uuid::{Uuid, Variant};

/// The header that makes a retried POST harmless.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// `true` on an answer that repeats an earlier one.
pub const IDEMPOTENCY_REPLAYED: &str = "Idempotency-Replayed";
/// The longest key, in characters.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// The shortest key of a request whose answer contains secrets: a UUID without hyphens fits.
pub const SECRET_IDEMPOTENCY_KEY_CHARS_MIN: usize = 32;
/// Different characters of such a key. Of 32 random hex digits fewer are different once in ten million.
const DIFFERENT_CHARS_MIN: usize = 8;

/// Whether a text can be a key: 1 to 255 visible ASCII characters.
pub fn is_idempotency_key(key: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Why a key is invalid for a request whose answer contains secrets; `None` if it is valid. A client that
/// guesses such a key could get the secrets, so short and obviously not random keys are refused.
/// Randomness cannot be checked: this catches honest mistakes.
pub fn guessable(key: &str) -> Option<&'static str> {
    let bytes = key.as_bytes();
    if bytes.len() < SECRET_IDEMPOTENCY_KEY_CHARS_MIN {
        return Some(
            "must have at least 32 characters here, because the answer contains secrets: a random UUID is \
             fine",
        );
    }
    let plain = has_few_characters(bytes)
        || repeats_itself(bytes)
        || counts(bytes)
        || is_predictable_uuid(bytes);
    plain.then_some(
        "must be random here, because the answer contains secrets: a random UUID (version 4) is fine",
    )
}

fn has_few_characters(key: &[u8]) -> bool {
    let mut different = key.to_vec();
    different.sort_unstable();
    different.dedup();
    different.len() < DIFFERENT_CHARS_MIN
}

/// One shorter text, again and again.
fn repeats_itself(key: &[u8]) -> bool {
    (1..=key.len() / 2)
        .any(|period| key.iter().zip(key.iter().skip(period)).all(|(one, other)| one == other))
}

/// As in `0123456789abcdef`: more than half of the characters follow from the ones before.
fn counts(key: &[u8]) -> bool {
    let neighbours = key
        .iter()
        .zip(key.iter().skip(1))
        .filter(|(one, other)| one.abs_diff(**other) == 1)
        .count();
    neighbours * 2 > key.len()
}

/// A UUID of a time and a machine, or of a name, in every notation of UUIDs: with `urn:uuid:`, in
/// braces, without hyphens. 32 hex digits in another form may as well be random: of these only a
/// time of our days gives one away, which of random ones fewer than one in a thousand have.
fn is_predictable_uuid(key: &[u8]) -> bool {
    let lower = key.to_ascii_lowercase();
    let bare = lower.strip_prefix(b"urn:uuid:").unwrap_or(&lower);
    let unbraced = bare.strip_prefix(b"{").and_then(|it| it.strip_suffix(b"}"));
    let bare = unbraced.unwrap_or(bare);
    let digits: Vec<u8> = bare.iter().copied().filter(|byte| *byte != b'-').collect();
    let hyphens = bare.iter().enumerate().filter(|(_, byte)| **byte == b'-');
    let is_grouped = hyphens.map(|(place, _)| place).eq([8, 13, 18, 23]);
    let is_written_as_one = is_grouped || bare.len() < lower.len();
    Uuid::try_parse_ascii(&digits).is_ok_and(|uuid| {
        matches!(uuid.get_version_num(), 1 | 2 | 3 | 5 | 6)
            && (is_written_as_one || is_of_our_days(&uuid))
    })
}

/// Whether it is of version 1, 2 or 6, and made between 1995 and 2055.
fn is_of_our_days(uuid: &Uuid) -> bool {
    const SINCE_1582: u64 = 122_192_928_000_000_000;
    const PER_SECOND: u64 = 10_000_000;
    const FROM: u64 = SINCE_1582 + 788_918_400 * PER_SECOND;
    const UNTIL: u64 = SINCE_1582 + 2_682_374_400 * PER_SECOND;
    let (low, mid, high, _) = uuid.as_fields();
    let (low, mid, high) = (u64::from(low), u64::from(mid), u64::from(high & 0x0fff));
    // In units of 100 ns; version 6 has the highest digits first.
    let time = match uuid.get_version_num() {
        1 | 2 => high << 48 | mid << 32 | low,
        6 => low << 28 | mid << 12 | high,
        _ => return false,
    };
    uuid.get_variant() == Variant::RFC4122 && (FROM..UNTIL).contains(&time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_is_taken() {
        for key in [
            "9f1c6a52-0a3f-4c57-8a41-54f7f6a0c001",
            "9F1C6A52-0A3F-4C57-8A41-54F7F6A0C001",
            "0192f7a1-6a3c-7c1e-9d2b-8e5f4a7b6c1d",
            "9f1c6a520a3f4c578a4154f7f6a0c001",
            // Random digits that would be of version 1, and of version 5.
            "9f1c6a520a3f1c578a4154f7f6a0c001",
            "cfbff0d193755685968c48ce8b15ae17",
            "{9f1c6a52-0a3f-4c57-8a41-54f7f6a0c001}",
            "urn:uuid:9f1c6a52-0a3f-4c57-8a41-54f7f6a0c001",
            "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEb",
            "31415926535897932384626433832795",
        ] {
            assert_eq!(guessable(key), None, "{key}");
        }
    }

    #[test]
    fn what_is_short_or_plainly_not_random_is_refused() {
        for key in [
            "register-1",
            "9f1c6a520a3f4c578a4154f7f6a0c00",
            "00000000-0000-0000-0000-000000000000",
            "00000000000000000000000000000001",
            "register-mia-1-register-mia-1-register-mia-1-",
            "0123456789abcdef0123456789abcdeF",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            // Of a time and a machine, and of a name.
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "cfbff0d1-9375-5685-968c-48ce8b15ae17",
            "6ba7b8109dad11d180b400c04fd430c8",
            "6BA7B8109DAD11D180B400C04FD430C8",
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
            "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "URN:UUID:{cfbff0d1-9375-5685-968c-48ce8b15ae17}",
            "6ba7b810-9dad11d180b4-00c04fd430c8",
            // Version 1 and version 6 of 2026.
            "4c1f8a00cb2d11f1921c325096b39f47",
            "1f1cb2d4c1f86a00921c325096b39f47",
        ] {
            assert!(guessable(key).is_some(), "{key}");
        }
    }

    #[test]
    fn a_key_is_1_to_255_visible_characters() {
        for key in ["k", "!~", &"k".repeat(255)] {
            assert!(is_idempotency_key(key));
        }
        for key in ["", "with space", "line\nfeed", "ü", &"k".repeat(256)] {
            assert!(!is_idempotency_key(key));
        }
    }
}
