//! Paging: `limit`, and the opaque cursors that continue a list where it was left.
//!
//! A cursor is the position of the last item shown, with the list it belongs to and a short seal
//! over it and the list's path, so that one that was made up or belongs elsewhere, such as to another
//! bot's chain, is refused instead of misread.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::Query;
use api_types::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{ApiError, ApiResult};
use crate::keys::{Key, hex, unhex};
use crate::secrets::{SecretStore, Secrets};

const SEAL_BYTES: usize = 8;

/// The lists there are; a cursor of one is no cursor of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Bots = 1,
    Predictions,
    Prices,
    Posts,
    Journal,
    Chain,
    Markets,
    Bets,
    Standings,
    Audit,
    Ticks,
    Evidence,
}

/// The query string, read.
pub(crate) struct Parameters {
    path: String,
    values: HashMap<String, String>,
}

impl Parameters {
    pub(crate) fn of(req: &HttpRequest) -> Result<Parameters, ApiError> {
        let query = Query::<Vec<(String, String)>>::from_query(req.query_string());
        let pairs = query.map_err(|_| ApiError::malformed("The query string cannot be read."))?;
        let mut parameters = HashMap::new();
        for (name, value) in pairs.into_inner() {
            // With two, a parser that reads only one may read the wrong one.
            if parameters.insert(name.clone(), value).is_some() {
                return Err(ApiError::invalid(name, "is given twice"));
            }
        }
        Ok(Parameters {
            // Decoded, as routes are matched by it: one list has one path, however it is written.
            path: req.match_info().as_str().to_owned(),
            values: parameters,
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a parameter is `true`; the default is `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::invalid(name, "must be true or false")),
        }
    }

    /// A number from `least` to `most`, or its default.
    pub(crate) fn number(
        &self,
        name: &'static str,
        (least, most): (u32, u32),
        default: u32,
    ) -> Result<u32, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let number = text.parse().ok();
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let rule = format!("must be a whole number from {least} to {most}");
            ApiError::invalid(name, rule)
        })
    }

    /// The names that were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The requested page of the list.
    pub(crate) fn page<const N: usize>(
        &self,
        list: List,
        secrets: &SecretStore,
    ) -> ApiResult<PageRequest<N>> {
        let secrets = secrets.now();
        let limit = self.number("limit", (1, PAGE_LIMIT_MAX), PAGE_LIMIT_DEFAULT)?;
        let after = match self.get("cursor") {
            None => None,
            Some(text) => Some(
                secrets
                    .keys
                    .cursor
                    .all()
                    .find_map(|key| decode(list, &self.path, key, text))
                    .ok_or_else(|| {
                        ApiError::invalid(
                            "cursor",
                            "must be a next_cursor of this same list, exactly as it was answered",
                        )
                    })?,
            ),
        };
        Ok(PageRequest { list, path: self.path.clone(), limit, after, secrets })
    }
}

/// A requested page; a position in its list has `N` numbers.
pub(crate) struct PageRequest<const N: usize> {
    list: List,
    path: String,
    limit: u32,
    /// The position behind which it begins; `None` at the newest end.
    pub(crate) after: Option<[i64; N]>,
    secrets: Arc<Secrets>,
}

impl<const N: usize> PageRequest<N> {
    pub(crate) fn limit(&self) -> i64 {
        i64::from(self.limit)
    }

    /// The page as it is answered. A full page may be the last one; the one behind it is then empty.
    pub(crate) fn answer<R, T>(
        &self,
        rows: Vec<R>,
        position: impl Fn(&R) -> [i64; N],
        show: impl Fn(R) -> T,
    ) -> Page<T> {
        let key = &self.secrets.keys.cursor.current;
        let full = u32::try_from(rows.len()).is_ok_and(|count| count >= self.limit);
        let next_cursor = rows
            .last()
            .filter(|_| full)
            .map(|last| encode(self.list, &self.path, key, position(last)));
        Page { items: rows.into_iter().map(show).collect(), next_cursor }
    }
}

fn encode<const N: usize>(list: List, path: &str, key: &Key, position: [i64; N]) -> String {
    let mut bytes = vec![list as u8];
    bytes.extend(position.iter().flat_map(|number| number.to_be_bytes()));
    let seal = seal(path, key, &bytes);
    bytes.extend_from_slice(&seal);
    hex(&bytes)
}

fn decode<const N: usize>(list: List, path: &str, key: &Key, text: &str) -> Option<[i64; N]> {
    let bytes = unhex(text)?;
    let (payload, found) = bytes.split_at_checked(1 + N * 8)?;
    let sound: bool = found.ct_eq(&seal(path, key, payload)).into();
    if !sound || payload[0] != list as u8 {
        return None;
    }
    let mut position = [0; N];
    for (number, bytes) in position.iter_mut().zip(payload[1..].chunks_exact(8)) {
        *number = i64::from_be_bytes(bytes.try_into().ok()?);
    }
    Some(position)
}

/// Payloads of one list have one length, so the boundary between payload and path is fixed, and the
/// digest is truncated: nothing can be appended.
fn seal(path: &str, key: &Key, payload: &[u8]) -> [u8; SEAL_BYTES] {
    let digest =
        Sha256::new().chain_update(key.bytes()).chain_update(payload).chain_update(path).finalize();
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&digest[..SEAL_BYTES]);
    seal
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::new([7; 32])
    }

    #[test]
    fn a_position_survives() {
        let position = [i64::MIN, -1, i64::MAX];
        let cursor = encode(List::Journal, "/ledger", &key(), position);
        assert_eq!(decode(List::Journal, "/ledger", &key(), &cursor), Some(position));
    }

    #[test]
    fn no_changed_digit_goes_unnoticed() {
        let cursor = encode(List::Bots, "/bots", &key(), [12]);
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(decode::<1>(List::Bots, "/bots", &key(), &changed), None, "digit {at}");
        }
        for cut in 0..cursor.len() {
            assert_eq!(decode::<1>(List::Bots, "/bots", &key(), &cursor[..cut]), None);
        }
        assert_eq!(decode::<1>(List::Bots, "/bots", &key(), &format!("{cursor}00")), None);
    }

    #[test]
    fn a_cursor_belongs_to_its_list_and_its_key() {
        let cursor = encode(List::Bots, "/bots", &key(), [12]);
        assert_eq!(decode::<1>(List::Posts, "/bots", &key(), &cursor), None);
        assert_eq!(decode::<1>(List::Bots, "/bots", &Key::new([8; 32]), &cursor), None);
        assert_eq!(decode::<1>(List::Bots, "/bot", &key(), &cursor), None);
        assert_eq!(decode::<1>(List::Bots, "/bots", &key(), "ä"), None);
        assert_eq!(decode::<1>(List::Bots, "/bots", &key(), ""), None);
    }

    proptest! {
        #[test]
        fn no_text_is_a_cursor_unless_it_was_answered(text in any::<String>(), hex in "[0-9a-f]{0,80}") {
            for text in [text, hex] {
                prop_assert_eq!(decode::<1>(List::Bots, "/bots", &key(), &text), None);
                prop_assert_eq!(decode::<3>(List::Journal, "/ledger", &key(), &text), None);
            }
        }

        #[test]
        fn every_position_comes_back(position in any::<[i64; 2]>(), path in any::<String>()) {
            let cursor = encode(List::Standings, &path, &key(), position);
            prop_assert_eq!(decode(List::Standings, &path, &key(), &cursor), Some(position));
            prop_assert_eq!(decode::<1>(List::Standings, &path, &key(), &cursor), None);
        }
    }
}
