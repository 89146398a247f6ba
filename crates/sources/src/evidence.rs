//! The stored part of a fetch, so that others can check it.

use ledger_core::{Hash, Timestamp};
use sha2::{Digest, Sha256};

use crate::SourceError;

/// The stored part of an answer; except for headlines, no more is read.
pub const BODY_MAX_BYTES: usize = 65_536;

/// One fetch, as it is kept. Where several requests were made, this is the one that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The URL of the request, without secrets.
    pub url: String,
    /// The caller's time at the request.
    pub fetched_at: Timestamp,
    /// `None` if there was no answer.
    pub status: Option<u16>,
    /// The SHA-256 of `body`; `None` if there was no answer.
    pub sha256: Option<Hash>,
    /// The read part of the answer: at most [`BODY_MAX_BYTES`], and for headlines from [`crate::news::News`] at
    /// most [`crate::news::NEWS_MAX_BYTES`].
    pub body: Vec<u8>,
    /// Whether the answer is longer than `body`: too long, or cut off.
    pub truncated: bool,
}

impl Evidence {
    pub(crate) fn unanswered(url: String, fetched_at: Timestamp) -> Evidence {
        Evidence { url, fetched_at, status: None, sha256: None, body: Vec::new(), truncated: false }
    }

    /// As much of it as is kept.
    pub fn cut(mut self) -> Evidence {
        if self.body.len() > BODY_MAX_BYTES {
            self.body.truncate(BODY_MAX_BYTES);
            self.truncated = true;
            self.sha256 = Some(Evidence::digest(&self.body));
        }
        self
    }

    /// The expected `sha256` of a body.
    pub fn digest(body: &[u8]) -> Hash {
        Hash(Sha256::digest(body).into())
    }
}

/// The result of a fetch, always with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched<T> {
    pub evidence: Evidence,
    pub value: Result<T, SourceError>,
}

impl<T> Fetched<T> {
    /// The fetch as it is kept, and whether it could be read.
    pub(crate) fn kept(self) -> Fetched<()> {
        Fetched { evidence: self.evidence.cut(), value: self.value.map(drop) }
    }
}

impl Fetched<()> {
    /// No request was sent: the criteria are not this source's. A mistake of ours.
    pub(crate) fn misplaced(now: Timestamp) -> Fetched<()> {
        Fetched {
            evidence: Evidence::unanswered("none".to_owned(), now),
            value: Err(SourceError::MISPLACED),
        }
    }
}
