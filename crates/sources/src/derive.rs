//! What the bytes of an answer say about a market's criteria.
//!
//! The one way from evidence to outcome: whoever decides a market calls it with the answer it just
//! got, and whoever doubts an outcome calls it years later with the evidence that was kept.

use ledger_core::Timestamp;
use ledger_core::criteria::{Criteria, Reading, weather_instant};

use crate::{SourceError, github, news, open_meteo};

/// Reads what decides a market that was open from `opens_at` to `deadline` from the body of an
/// answer that was fetched at `fetched_at`.
///
/// # Errors
/// When the answer does not say it; and for research, which its commitment decides.
pub fn derive(
    criteria: &Criteria,
    opens_at: Timestamp,
    deadline: Timestamp,
    fetched_at: Timestamp,
    body: &[u8],
) -> Result<Reading, SourceError> {
    match criteria {
        Criteria::Github(criteria) => {
            github::parse_stars(body, &criteria.repository).map(Reading::Stars)
        }
        Criteria::Weather(_) => open_meteo::parse_at(body, weather_instant(deadline))
            .map(|celsius| Reading::Celsius(celsius.decimal())),
        Criteria::News(criteria) => {
            let headlines = news::parse(body)?;
            // Nothing of the future counts: neither what is dated after the deadline, nor what a
            // publisher dated ahead of the fetch.
            let until = deadline.min(fetched_at);
            let found = news::mentions(&headlines, criteria.keyword.as_str(), opens_at, until);
            // Feeds forget. That nothing was found says something only where the list reaches back
            // to the opening.
            let reaches_back = headlines.iter().any(|h| h.published_at <= opens_at);
            if found.is_none() && !reaches_back {
                return Err(SourceError::Nonsense {
                    field: "list of headlines",
                    problem: "does not reach back to the opening of the market",
                });
            }
            Ok(Reading::Headline(found.map(|found| found.title.clone())))
        }
        Criteria::Research(_) => Err(SourceError::Nonsense {
            field: "question of research",
            problem: "is decided by its commitment, not by a fetch",
        }),
    }
}
