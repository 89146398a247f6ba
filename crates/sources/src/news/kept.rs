//! The stored form of a list of headlines that is too long, or not readable from its bytes alone (because a
//! header of the answer has its encoding).
//!
//! It has all items that can matter to the market: those published in its time or without a date, and the last
//! ones, in their order, with the digest and the size of the whole. [`super::parse`] reads this form like an
//! answer, and its result decides. So every payout depends only on stored data.

use std::collections::BTreeMap;

use ledger_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Item, Listing};
use crate::{BODY_MAX_BYTES, Evidence, SourceError};

const FORM: &str = "ledgerdome-headlines/v1";

#[derive(Serialize, Deserialize)]
struct Kept {
    form: String,
    /// Of the answer.
    sha256: String,
    bytes: u64,
    /// Whether nothing is missing that the source sent and that could matter.
    whole: bool,
    items: Vec<Item>,
}

/// Reads a body in our own form; `None` if it is in another.
pub(super) fn parse(body: &[u8]) -> Option<Result<Listing, SourceError>> {
    let kept: Kept = serde_json::from_slice(body).ok()?;
    if kept.form != FORM {
        return None;
    }
    Some(Ok(Listing { items: kept.items, whole: kept.whole }))
}

/// The evidence of a list for a market whose headlines are those after `after` and by `until`: the answer's own
/// bytes if they fit and are readable alone.
pub(crate) fn keep(
    evidence: Evidence,
    listing: &Listing,
    after: Timestamp,
    until: Timestamp,
) -> Evidence {
    if evidence.body.len() <= BODY_MAX_BYTES && super::parse(&evidence.body).as_ref() == Ok(listing)
    {
        return evidence;
    }
    let body = reduced(&evidence, listing, after, until);
    Evidence { sha256: Some(Evidence::digest(&body)), body, truncated: false, ..evidence }
}

fn reduced(evidence: &Evidence, listing: &Listing, after: Timestamp, until: Timestamp) -> Vec<u8> {
    let matters = |item: &Item| item.is_between(after, until) != Some(false);
    let items = listing.items.iter().enumerate();
    let mattering = items.filter(|(_, item)| matters(item));
    // First those without which absence is never shown.
    let places =
        listing.last_items(after).map(|(place, _)| place).chain(mattering.map(|(place, _)| place));
    let mut whole = listing.whole;
    let mut kept = BTreeMap::new();
    let mut room = BODY_MAX_BYTES - 512;
    for place in places {
        let Some(item) = listing.items.get(place) else {
            continue;
        };
        if kept.contains_key(&place) {
            continue;
        }
        let size = serde_json::to_vec(item).map_or(usize::MAX, |text| text.len() + 1);
        match room.checked_sub(size) {
            Some(left) => {
                room = left;
                kept.insert(place, item.clone());
            }
            // An omitted item could be the one.
            None => whole = false,
        }
    }
    let kept = Kept {
        form: FORM.to_owned(),
        sha256: Evidence::digest(&evidence.body).to_string(),
        bytes: u64::try_from(evidence.body.len()).unwrap_or(u64::MAX),
        whole,
        items: kept.into_values().collect(),
    };
    serde_json::to_vec(&kept).unwrap_or_default()
}
