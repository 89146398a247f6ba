//! Cooldowns after failures: of a source, or of one of its subjects.
//!
//! A closed repository or an unknown city does not affect other subjects. A source that requests a wait does.
//! Where either may be to blame, the subject is, until so many different ones have failed in a row that it must
//! be the source. Lost with the process; a wait that a source requested is stored in Postgres, and each market's
//! next try in its row.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::Timestamp;
use ledger_core::market::retry_seconds;
use sources::{Feed, SourceError};

/// This many different subjects failing in a row count as a failure of their source.
const SUBJECTS_IN_A_ROW: usize = 3;
/// How long after their cooldown failures of subjects are kept, in seconds.
const FORGET_SECONDS: i64 = 3_600;

/// Whom an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Source,
    Subject,
    /// The way to the answer, or its form: the source's or the subject's.
    Way,
    /// By the error: the subject's, or the source's if it concerns all subjects.
    Content,
}

const fn blame(error: &SourceError) -> Blame {
    match error {
        SourceError::RateLimited { .. } | SourceError::Forbidden | SourceError::Status(401) => {
            Blame::Source
        }
        // Of one subject, or of our address.
        SourceError::Refused(403) => Blame::Way,
        SourceError::NotFound
        | SourceError::Refused(_)
        | SourceError::Redirected(_)
        | SourceError::InDoubt { .. } => Blame::Subject,
        SourceError::Timeout
        | SourceError::Unreachable(_)
        | SourceError::Server(_)
        | SourceError::Status(_)
        | SourceError::NotJson
        | SourceError::NotFeed
        | SourceError::TooLarge => Blame::Way,
        SourceError::MissingField(_)
        | SourceError::Nonsense { .. }
        | SourceError::Stale { .. }
        | SourceError::FromTheFuture { .. } => Blame::Content,
    }
}

/// The cooldown after failures in a row.
#[derive(Debug, Clone, Copy)]
struct Pause {
    failures: i32,
    began: Timestamp,
    until: Timestamp,
}

impl Pause {
    fn after(before: Option<Pause>, now: Timestamp) -> Pause {
        // Several answers of one moment are one failure.
        let counted = before.is_some_and(|pause| pause.began == now);
        let earlier = before.map_or(0, |pause| pause.failures);
        let failures = earlier.saturating_add(i32::from(!counted)).max(1);
        Pause { failures, began: now, until: now.plus_seconds(retry_seconds(failures)) }
    }

    fn holds(&self, now: Timestamp) -> bool {
        // A clock that was set back must not extend a cooldown.
        now < self.until && self.until.seconds_since(now) <= retry_seconds(i32::MAX)
    }
}

/// The effect of a failure.
pub(super) struct Blamed {
    pub(super) pause_seconds: i64,
    pub(super) whole_source: bool,
}

/// The target of the cooldown.
#[derive(Default)]
pub(super) struct Cooling {
    sources: BTreeMap<&'static str, Pause>,
    /// The empty subject is a question that the source was to choose itself.
    subjects: BTreeMap<(&'static str, String), Pause>,
    /// Subjects that failed since their source last answered.
    in_a_row: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Cooling {
    pub(super) fn is_source_left_alone(&self, source: &str, now: Timestamp) -> bool {
        self.sources.get(source).is_some_and(|pause| pause.holds(now))
    }

    /// The subjects of a source in a cooldown. If the empty one is among them, the source proposes nothing.
    pub(super) fn subjects_left_alone(&self, source: &str, now: Timestamp) -> Vec<String> {
        self.subjects
            .iter()
            .filter(|((of, _), pause)| *of == source && pause.holds(now))
            .map(|((_, subject), _)| subject.clone())
            .collect()
    }

    /// Whether the source had failed as a whole.
    pub(super) fn answered(&mut self, source: &str, subject: &str, now: Timestamp) -> bool {
        self.in_a_row.remove(source);
        self.subjects.retain(|(of, about), pause| {
            let is_another = *of != source || (about != subject && !about.is_empty());
            is_another || pause.began >= now
        });
        let before = self.sources.len();
        self.sources.retain(|name, pause| *name != source || pause.began >= now);
        self.sources.len() < before
    }

    pub(super) fn failed(
        &mut self,
        feed: &dyn Feed,
        subject: Option<&str>,
        error: &SourceError,
        now: Timestamp,
    ) -> Blamed {
        let source = feed.name();
        self.subjects.retain(|_, pause| now.seconds_since(pause.until) < FORGET_SECONDS);
        let mut is_the_source = || {
            let in_a_row = self.in_a_row.entry(source).or_default();
            in_a_row.insert(subject.unwrap_or_default().to_owned());
            in_a_row.len() >= SUBJECTS_IN_A_ROW
        };
        let whole_source = match blame(error) {
            Blame::Source => true,
            Blame::Subject => false,
            Blame::Way => subject.is_none() || feed.has_one_answer_for_all() || is_the_source(),
            Blame::Content => {
                subject.is_some() && !feed.has_one_answer_for_all() && is_the_source()
            }
        };
        let pause = if whole_source {
            let pause = Pause::after(self.sources.get(source).copied(), now);
            self.sources.insert(source, pause);
            pause
        } else {
            let key = (source, subject.unwrap_or_default().to_owned());
            let pause = Pause::after(self.subjects.get(&key).copied(), now);
            self.subjects.insert(key, pause);
            pause
        };
        Blamed { pause_seconds: pause.until.seconds_since(now), whole_source }
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::market::MarketSource;
    use sources::{NoProposal, Proposal};

    use super::*;

    /// A source by its name alone.
    struct Named {
        one_answer_for_all: bool,
    }

    #[async_trait::async_trait]
    impl Feed for Named {
        fn source(&self) -> MarketSource {
            MarketSource::Github
        }

        fn name(&self) -> &'static str {
            "named"
        }

        fn has_one_answer_for_all(&self) -> bool {
            self.one_answer_for_all
        }

        async fn propose(
            &self,
            _: &[String],
            _: u64,
            _: Timestamp,
        ) -> Result<Proposal, NoProposal> {
            unreachable!("nobody asks it")
        }
    }

    const BY_SUBJECT: Named = Named { one_answer_for_all: false };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn is_the_source(error: &SourceError, subjects: &[&str], feed: &Named) -> bool {
        let mut cooling = Cooling::default();
        for subject in subjects {
            cooling.failed(feed, Some(subject), error, at(0));
        }
        cooling.is_source_left_alone("named", at(1))
    }

    #[test]
    fn a_subjects_failure_is_its_sources_when_several_fail_in_a_row() {
        for error in [
            SourceError::Timeout,
            SourceError::Refused(403),
            SourceError::NotJson,
            SourceError::MissingField("stargazers_count"),
        ] {
            assert!(!is_the_source(&error, &["a", "a", "a", "a"], &BY_SUBJECT), "{error}");
            assert!(!is_the_source(&error, &["a", "b"], &BY_SUBJECT), "{error}");
            assert!(is_the_source(&error, &["a", "b", "c"], &BY_SUBJECT), "{error}");
        }
        for error in [SourceError::NotFound, SourceError::Refused(451)] {
            assert!(!is_the_source(&error, &["a", "b", "c", "d"], &BY_SUBJECT), "{error}");
        }
        for error in
            [SourceError::Forbidden, SourceError::RateLimited { retry_after_seconds: None }]
        {
            assert!(is_the_source(&error, &["a"], &BY_SUBJECT), "{error}");
        }
        let news = Named { one_answer_for_all: true };
        assert!(is_the_source(&SourceError::NotFeed, &["a"], &news));
        let doubt = SourceError::InDoubt { items: 1 };
        assert!(!is_the_source(&doubt, &["a", "b", "c"], &news));
    }

    #[test]
    fn an_answer_ends_the_row_and_the_pause_of_its_subject() {
        let mut cooling = Cooling::default();
        for subject in ["a", "b"] {
            cooling.failed(&BY_SUBJECT, Some(subject), &SourceError::Timeout, at(0));
        }
        assert_eq!(cooling.subjects_left_alone("named", at(29)), ["a", "b"]);
        assert!(!cooling.answered("named", "a", at(1)));
        assert_eq!(cooling.subjects_left_alone("named", at(29)), ["b"]);
        assert_eq!(cooling.subjects_left_alone("named", at(30)), [""; 0]);
        cooling.failed(&BY_SUBJECT, Some("c"), &SourceError::Timeout, at(2));
        cooling.failed(&BY_SUBJECT, Some("d"), &SourceError::Timeout, at(2));
        assert!(!cooling.is_source_left_alone("named", at(3)));
        cooling.failed(&BY_SUBJECT, Some("e"), &SourceError::Timeout, at(2));
        assert!(cooling.is_source_left_alone("named", at(3)));
        assert!(cooling.answered("named", "e", at(4)));
        assert!(!cooling.is_source_left_alone("named", at(5)));
    }
}
