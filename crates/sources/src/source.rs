//! The traits of a source: its setup, its proposals, and the meaning of its answers.

use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::Timestamp;
use ledger_core::criteria::{Criteria, Reading, Times};
use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use ledger_core::research::Answer;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::played::{Asked, Played, World};
use crate::{Evidence, Fetched, Http, SetupError, SourceError};

/// A source without settings.
pub trait Source: Sync {
    /// The name of its cooldown, also for the log.
    fn name(&self) -> &'static str;

    /// The source as the settings want it. `None` where a problem was noted.
    fn feed(
        &self,
        settings: &mut dyn Settings,
        http: &Http,
        rules: &MarketRules,
    ) -> Option<Arc<dyn Feed>>;

    /// Reads a market's deciding value from the stored body of an answer fetched at `fetched_at`.
    ///
    /// # Errors
    /// If the answer does not decide; always for sources decided by a commitment.
    fn derive(
        &self,
        _criteria: &Criteria,
        _times: &Times,
        _fetched_at: Timestamp,
        _body: &[u8],
    ) -> Result<Reading, SourceError> {
        Err(SourceError::MISPLACED)
    }

    /// The setting of its address, and the path that belongs to it.
    fn address(&self) -> (&'static str, &'static str);

    /// Its answer where it is played; `None` for other requests.
    fn answer(&self, world: &World, asked: &Asked<'_>) -> Option<Played>;

    /// Criteria for tests, about something that `word` names.
    fn example(&self, word: &str) -> Value;
}

/// A configured source: it proposes questions, and fetches their evidence. It never sleeps and never
/// retries; the caller decides when to query it.
#[async_trait]
pub trait Feed: Send + Sync {
    fn source(&self) -> MarketSource;

    fn name(&self) -> &'static str {
        crate::of(self.source()).name()
    }

    /// Whether one answer decides all its markets, so that a fault is the source's. Such a feed sends one request
    /// for all markets at the same moment.
    fn has_one_answer_for_all(&self) -> bool {
        false
    }

    /// Proposes a question about something that is not in `taken`. `draw` is a random number.
    async fn propose(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal>;

    /// Fetches the evidence of a market after its deadline. See [`read`].
    async fn fetch(&self, _criteria: &Criteria, _times: &Times, now: Timestamp) -> Fetched<()> {
        Fetched::misplaced(now)
    }
}

/// Fetches a market's evidence, and derives the outcome from the bytes, so that it can be derived again.
pub async fn read(
    feed: &dyn Feed,
    criteria: &Criteria,
    times: &Times,
    now: Timestamp,
) -> Fetched<Reading> {
    let Fetched { evidence, value } = feed.fetch(criteria, times, now).await;
    let value =
        value.and_then(|()| crate::derive(criteria, times, evidence.fetched_at, &evidence.body));
    Fetched { evidence, value }
}

/// A question that may be opened.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub criteria: Criteria,
    /// The answer for a commitment of research.
    pub answer: Option<Answer>,
    /// The fetch that led to it, and the value read from it.
    pub evidence: Evidence,
    pub value: String,
}

/// Why a feed proposes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProposal {
    #[error("all of its subjects have open markets")]
    NothingFree,
    #[error("{error}")]
    Source {
        /// The chosen subject, if any.
        subject: Option<String>,
        error: SourceError,
    },
    #[error("{0}")]
    Unusable(String),
}

impl NoProposal {
    /// The source failed at a question about `subject`, where one was chosen before the fetch.
    pub(crate) fn about(subject: Option<String>) -> impl FnOnce(SourceError) -> NoProposal {
        |error| NoProposal::Source { subject, error }
    }
}

/// Chooses a question with a free subject.
pub(crate) fn choose<'a, T>(
    all: &'a [T],
    taken: &[String],
    draw: u64,
    subject: impl Fn(&T) -> String,
) -> Result<&'a T, NoProposal> {
    let free: Vec<&T> = all.iter().filter(|one| !taken.contains(&subject(one))).collect();
    let count = u64::try_from(free.len()).unwrap_or(0);
    let place = draw
        .checked_rem(count)
        .and_then(|place| usize::try_from(place).ok())
        .ok_or(NoProposal::NothingFree)?;
    free.get(place).copied().ok_or(NoProposal::NothingFree)
}

/// Where settings come from. A problem is noted, and the setting counts as absent.
pub trait Settings {
    fn text(&mut self, name: &str) -> Option<String>;
    fn url(&mut self, name: &str) -> Option<Url>;
    fn secret(&mut self, name: &str) -> Option<SecretString>;
    /// `problem` follows the name in a sentence and must not contain the value.
    fn problem(&mut self, name: &str, problem: String);
}

/// No settings: all defaults.
impl Settings for () {
    fn text(&mut self, _: &str) -> Option<String> {
        None
    }

    fn url(&mut self, _: &str) -> Option<Url> {
        None
    }

    fn secret(&mut self, _: &str) -> Option<SecretString> {
        None
    }

    fn problem(&mut self, _: &str, _: String) {}
}

/// A service's address: the setting's, or the public one.
pub(crate) fn address(settings: &mut dyn Settings, name: &str, default: &str) -> Option<Url> {
    settings.url(name).or_else(|| Url::parse(default).ok())
}

/// A client, or the problem under the name of the setting at fault.
pub(crate) fn made<T>(
    settings: &mut dyn Settings,
    made: Result<T, SetupError>,
    [url, key]: [&str; 2],
) -> Option<T> {
    made.map_err(|problem| {
        let name = match problem {
            SetupError::Url | SetupError::Client => url,
            SetupError::Key => key,
            SetupError::Contact => "CONTACT",
        };
        settings.problem(name, problem.to_string());
    })
    .ok()
}

/// A list with commas in between, of at least one.
pub(crate) fn list<T: FromStr>(
    settings: &mut dyn Settings,
    name: &str,
    default: &str,
) -> Option<Vec<T>>
where
    T::Err: std::fmt::Display,
{
    let text = settings.text(name).unwrap_or_else(|| default.to_owned());
    let mut found = Vec::new();
    for (index, entry) in text.split(',').enumerate() {
        match entry.trim().parse() {
            Ok(one) => found.push(one),
            Err(problem) => {
                settings.problem(name, format!("entry {} {problem}", index + 1));
                return None;
            }
        }
    }
    Some(found)
}
