//! Paging: `limit`, and the opaque cursors that continue a list where it was left.
//!
//! A cursor is the position of the last item shown, with the list it belongs to and a short seal,
//! so that one that was made up or belongs elsewhere is refused instead of misread.

use std::collections::HashMap;

use actix_web::HttpRequest;
use actix_web::web::Query;
use api_types::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::keys::{Key, KeyRing, hex, unhex};

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
}

/// The query string, read.
pub(crate) struct Parameters(HashMap<String, String>);

impl Parameters {
    pub(crate) fn of(req: &HttpRequest) -> Result<Parameters, ApiError> {
        let query = Query::<HashMap<String, String>>::from_query(req.query_string());
        query
            .map(|query| Parameters(query.into_inner()))
            .map_err(|_| ApiError::MalformedRequest {
                detail: "The query string cannot be read.".to_owned(),
            })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Which page of the list is asked for.
    pub(crate) fn page<const N: usize>(
        &self,
        list: List,
        keys: &KeyRing,
    ) -> Result<PageRequest<N>, ApiError> {
        let limit = match self.get("limit") {
            None => PAGE_LIMIT_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_LIMIT_MAX).contains(limit))
                .ok_or_else(|| {
                    ApiError::invalid(
                        "limit",
                        format!("must be a whole number from 1 to {PAGE_LIMIT_MAX}"),
                    )
                })?,
        };
        let after = match self.get("cursor") {
            None => None,
            Some(text) => Some(
                keys.all()
                    .find_map(|key| decode(list, key, text))
                    .ok_or_else(|| {
                        ApiError::invalid(
                            "cursor",
                            "must be a next_cursor of this same list, exactly as it was answered",
                        )
                    })?,
            ),
        };
        Ok(PageRequest { list, limit, after })
    }
}

/// A page that is asked for; `N` numbers make up a position in its list.
pub(crate) struct PageRequest<const N: usize> {
    list: List,
    limit: u32,
    /// The position behind which it begins; `None` at the newest end.
    pub(crate) after: Option<[i64; N]>,
}

impl<const N: usize> PageRequest<N> {
    pub(crate) fn limit(&self) -> i64 {
        i64::from(self.limit)
    }

    /// The page as it is answered. A full page may be the last one; the one behind it is then empty.
    pub(crate) fn answer<R, T>(
        &self,
        rows: Vec<R>,
        keys: &KeyRing,
        position: impl Fn(&R) -> [i64; N],
        show: impl Fn(R) -> T,
    ) -> Page<T> {
        let full = u32::try_from(rows.len()).is_ok_and(|count| count >= self.limit);
        let next_cursor = rows
            .last()
            .filter(|_| full)
            .map(|last| encode(self.list, &keys.current, position(last)));
        Page {
            items: rows.into_iter().map(show).collect(),
            next_cursor,
        }
    }
}

fn encode<const N: usize>(list: List, key: &Key, position: [i64; N]) -> String {
    let mut bytes = vec![list as u8];
    bytes.extend(position.iter().flat_map(|number| number.to_be_bytes()));
    let seal = seal(key, &bytes);
    bytes.extend_from_slice(&seal);
    hex(&bytes)
}

fn decode<const N: usize>(list: List, key: &Key, text: &str) -> Option<[i64; N]> {
    let bytes = unhex(text)?;
    let (payload, found) = bytes.split_at_checked(1 + N * 8)?;
    let sound: bool = found.ct_eq(&seal(key, payload)).into();
    if !sound || payload[0] != list as u8 {
        return None;
    }
    let mut position = [0; N];
    for (number, bytes) in position.iter_mut().zip(payload[1..].chunks_exact(8)) {
        *number = i64::from_be_bytes(bytes.try_into().ok()?);
    }
    Some(position)
}

/// Payloads of one list have one length, and the digest is cut off: nothing can be appended.
fn seal(key: &Key, payload: &[u8]) -> [u8; SEAL_BYTES] {
    let digest = Sha256::new()
        .chain_update(key.bytes())
        .chain_update(payload)
        .finalize();
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&digest[..SEAL_BYTES]);
    seal
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key() -> Key {
        Key::new([7; 32])
    }

    #[test]
    fn a_position_survives() {
        let position = [i64::MIN, -1, i64::MAX];
        let cursor = encode(List::Journal, &key(), position);
        assert_eq!(decode(List::Journal, &key(), &cursor), Some(position));
    }

    #[test]
    fn no_changed_digit_goes_unnoticed() {
        let cursor = encode(List::Bots, &key(), [12]);
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(
                decode::<1>(List::Bots, &key(), &changed),
                None,
                "digit {at}"
            );
        }
        for cut in 0..cursor.len() {
            assert_eq!(decode::<1>(List::Bots, &key(), &cursor[..cut]), None);
        }
        assert_eq!(
            decode::<1>(List::Bots, &key(), &format!("{cursor}00")),
            None
        );
    }

    #[test]
    fn a_cursor_belongs_to_its_list_and_its_key() {
        let cursor = encode(List::Bots, &key(), [12]);
        assert_eq!(decode::<1>(List::Posts, &key(), &cursor), None);
        assert_eq!(decode::<1>(List::Bots, &Key::new([8; 32]), &cursor), None);
        assert_eq!(decode::<1>(List::Bots, &key(), "ä"), None);
        assert_eq!(decode::<1>(List::Bots, &key(), ""), None);
    }
}
