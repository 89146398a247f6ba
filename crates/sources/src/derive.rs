//! What the bytes of an answer say about a market's criteria.
//!
//! The one way from evidence to outcome: whoever decides a market calls it with what is kept of the
//! answer it just got, and whoever doubts an outcome calls it years later with the evidence that was
//! kept.

use ledger_core::Timestamp;
use ledger_core::criteria::{
    Criteria, HeadlineCriteria, HeadlineRule, Reading, Times, weather_instant,
};

use crate::news::{self, Listing, v1};
use crate::{Evidence, Fetched, SourceError, github, open_meteo};

/// Reads what decides a market from the kept body of an answer that was fetched at `fetched_at`.
///
/// # Errors
/// When the answer does not say it; and for research, which its commitment decides.
pub fn derive(
    criteria: &Criteria,
    times: &Times,
    fetched_at: Timestamp,
    body: &[u8],
) -> Result<Reading, SourceError> {
    match criteria {
        Criteria::Github(criteria) => {
            github::parse_stars(body, &criteria.repository).map(Reading::Stars)
        }
        Criteria::Weather(_) => open_meteo::parse_at(body, weather_instant(times.deadline))
            .map(|celsius| Reading::Celsius(celsius.decimal())),
        Criteria::News(HeadlineCriteria {
            keyword,
            published: None,
        }) => {
            let until = times.deadline.min(fetched_at);
            v1::search(body, keyword.as_str(), times.opens_at, until).map(Reading::Headline)
        }
        Criteria::News(HeadlineCriteria {
            keyword,
            published: Some(HeadlineRule::AfterBetsClose),
        }) => {
            let (after, until) = window(times, fetched_at);
            let listing = news::parse(body)?;
            let found = news::mentions(&listing, keyword.as_str(), after, until)?;
            Ok(Reading::Headline(found.and_then(|it| it.title.clone())))
        }
        Criteria::Research(_) => Err(SourceError::Nonsense {
            field: "question of research",
            problem: "is decided by its commitment, not by a fetch",
        }),
    }
}

/// When a headline must have been published. Nothing of the future counts: neither what is dated
/// after the deadline, nor what a publisher dated ahead of the fetch.
fn window(times: &Times, fetched_at: Timestamp) -> (Timestamp, Timestamp) {
    let (after, until) = times.headlines_between();
    (after, until.min(fetched_at))
}

/// What is kept of a list of headlines that was fetched for this market. [`derive`] reads it.
#[must_use]
pub fn headlines_to_keep(
    criteria: &Criteria,
    times: &Times,
    fetched: Fetched<Listing>,
) -> Fetched<()> {
    let Fetched { evidence, value } = fetched;
    let evidence = match (&value, criteria) {
        (
            Ok(listing),
            Criteria::News(HeadlineCriteria {
                published: Some(_), ..
            }),
        ) => {
            let (after, until) = window(times, evidence.fetched_at);
            news::keep(evidence, listing, after, until)
        }
        _ => evidence,
    };
    Fetched {
        evidence: Evidence::cut(evidence),
        value: value.map(drop),
    }
}
