//! `BACKUP_KEY`: authenticates manifests of backups. It is kept apart from them.
//!
//! A manifest contains the SHA-256 of its dump, so neither can be changed without the key of the manifest's HMAC.
//! A key only proves that the maker of a manifest had it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use daemon::config::Reader;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ledger_core::Hash;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) const BACKUP_KEY: &str = "BACKUP_KEY";
/// Keys before it, with commas in between: backups that were made under them can be restored.
pub(crate) const BACKUP_KEY_PREVIOUS: &str = "BACKUP_KEY_PREVIOUS";
/// 256 bits in hex.
const KEY_CHARS: usize = 64;
/// Separates this use of the key from other uses of the same bytes.
const PURPOSE: &[u8] = b"ledgerdome-backup-manifest\n";
const ID_PURPOSE: &[u8] = b"ledgerdome-backup-key-id\n";
const ID_CHARS: usize = 16;
/// The field of a manifest that the HMAC does not cover.
const FIELD: &str = "authentication";

/// A manifest's authentication.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authentication {
    /// Which key it was, by [`Key::id`].
    pub(crate) key: String,
    /// Over the manifest without this field: an object with sorted names and no blanks.
    hmac_sha256: Hash,
}

/// One key. It has no `Debug`.
pub(crate) struct Key([u8; 32]);

/// The key that is used, and those before it.
pub(crate) struct Keys {
    pub(crate) present: Option<Key>,
    previous: Vec<Key>,
}

impl Keys {
    /// Reads both settings; either may be absent.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Keys {
        let key_of = |reader: &mut Reader<'_>, name: &str, text: &SecretString| {
            let key = Hash::from_hex(&text.expose_secret().to_ascii_lowercase());
            if key.is_none() {
                reader.problem(
                    name,
                    "must be 64 hexadecimal digits, as `openssl rand -hex 32` makes them",
                );
            }
            key.map(|hash| Key(hash.0))
        };
        let present = reader.optional_secret(BACKUP_KEY, KEY_CHARS);
        let present = present.and_then(|text| key_of(reader, BACKUP_KEY, &text));
        let previous = reader.secrets(BACKUP_KEY_PREVIOUS, KEY_CHARS);
        let previous =
            previous.iter().filter_map(|text| key_of(reader, BACKUP_KEY_PREVIOUS, text)).collect();
        Keys { present, previous }
    }

    /// Whether one of the keys made the manifest of this text.
    pub(crate) fn made(&self, manifest: &str, claimed: &Authentication) -> anyhow::Result<bool> {
        let body = canonical(serde_json::from_str(manifest)?)?;
        for key in self.present.iter().chain(&self.previous) {
            if key.mac(&body)?.verify_slice(&claimed.hmac_sha256.0).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_none() && self.previous.is_empty()
    }
}

impl Key {
    /// Identifies the key without revealing it: the key is 256 random bits.
    pub(crate) fn id(&self) -> String {
        let hash = Sha256::new().chain_update(ID_PURPOSE).chain_update(self.0).finalize();
        Hash(hash.into()).to_string().chars().take(ID_CHARS).collect()
    }

    /// The HMAC of a manifest with these fields.
    pub(crate) fn authenticate(&self, manifest: &impl Serialize) -> anyhow::Result<Authentication> {
        let body = canonical(serde_json::to_value(manifest)?)?;
        Ok(Authentication {
            key: self.id(),
            hmac_sha256: Hash(self.mac(&body)?.finalize().into_bytes().into()),
        })
    }

    fn mac(&self, body: &[u8]) -> anyhow::Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)?;
        mac.update(PURPOSE);
        mac.update(body);
        Ok(mac)
    }
}

/// The authenticated bytes: independent of the writer of the file, and also for future fields.
fn canonical(manifest: Value) -> anyhow::Result<Vec<u8>> {
    let Value::Object(fields) = manifest else {
        bail!("a manifest is an object");
    };
    let mut sorted: BTreeMap<String, Value> = fields.into_iter().collect();
    sorted.remove(FIELD);
    serde_json::to_vec(&sorted).context("cannot write the manifest")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use daemon::config::Sources;
    use serde_json::json;

    use super::*;

    const A: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const B: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn keys(text: &str) -> Option<Keys> {
        let sources = Sources::from_parts(text, []);
        let mut reader = Reader::new(&sources);
        let keys = Keys::read(&mut reader);
        reader.finish().ok().map(|()| keys)
    }

    #[test]
    fn every_field_is_authenticated_and_an_older_key_stays_good() {
        let old = keys(&format!("BACKUP_KEY={A}")).unwrap();
        let manifest = json!({"format": "x", "entries": 3, "roles": ["a", "b"]});
        let claimed = old.present.as_ref().unwrap().authenticate(&manifest).unwrap();
        // By another program, in another order.
        let text =
            r#"{ "roles": ["a", "b"], "authentication": {"any": 1}, "format": "x", "entries": 3 }"#;
        assert!(old.made(text, &claimed).unwrap());
        let rotated = keys(&format!("BACKUP_KEY={B}\nBACKUP_KEY_PREVIOUS={A}")).unwrap();
        assert!(rotated.made(text, &claimed).unwrap());
        assert!(!keys(&format!("BACKUP_KEY={B}")).unwrap().made(text, &claimed).unwrap());
        assert!(!keys("").unwrap().made(text, &claimed).unwrap());
        for forged in [
            text.replace('3', "4"),
            text.replace("\"b\"", "\"c\""),
            text.replace("}, ", "}, \"more\": null, "),
        ] {
            assert_ne!(forged, text);
            assert!(!old.made(&forged, &claimed).unwrap(), "{forged}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(keys("BACKUP_KEY=short").is_none());
        assert!(keys(&format!("BACKUP_KEY={}", A.replace('0', "g"))).is_none());
        assert!(keys(&format!("BACKUP_KEY_PREVIOUS={A},short")).is_none());
        assert!(keys("BACKUP_KEY=").unwrap().is_empty());
    }
}
