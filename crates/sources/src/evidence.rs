//! What is kept of a fetch, so that others can see what was seen.

use ledger_core::{Hash, Timestamp};
use sha2::{Digest, Sha256};

use crate::SourceError;

/// No more of an answer is kept, and of all but headlines no more is read.
pub const BODY_MAX_BYTES: usize = 65_536;

/// One fetch, as it is kept. Where several requests were made, this is the one that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// As asked, secrets removed.
    pub url: String,
    /// The caller's time at the request.
    pub fetched_at: Timestamp,
    /// `None` if there was no answer.
    pub status: Option<u16>,
    /// Of `body`; `None` if there was no answer.
    pub sha256: Option<Hash>,
    /// What was read of the answer: at most [`BODY_MAX_BYTES`], and of headlines as they come from
    /// [`crate::news::News`] at most [`crate::news::NEWS_MAX_BYTES`].
    pub body: Vec<u8>,
    /// Whether the answer is longer than `body`, be it too long or cut off on the way.
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

    /// What `sha256` has to be for a body.
    pub fn digest(body: &[u8]) -> Hash {
        Hash(Sha256::digest(body).into())
    }
}

/// What came of a fetch: whatever it says, the evidence is there.
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
    /// Nothing was asked: what was to be decided is not this source's. A mistake of ours.
    pub(crate) fn misplaced(now: Timestamp) -> Fetched<()> {
        Fetched {
            evidence: Evidence::unanswered("none".to_owned(), now),
            value: Err(SourceError::MISPLACED),
        }
    }
}
