//! Github: the stars of a repository.

use serde::{Deserialize, Serialize};

use super::{About, LIFE_LEAST, LIFE_MOST, SourceRules, Taking};
use crate::criteria::{Comparison, CriteriaError, Question, Reading, Side, Times, need, second};
use crate::money::Money;
use crate::subject::Repository;

pub(crate) const ABOUT: About = About {
    name: "GitHub",
    about: "Decided by the stars that GitHub counts at the deadline.",
    takes: Taking::Bet,
    least_seconds: LIFE_LEAST,
    most_seconds: LIFE_MOST,
    rules: SourceRules { weight: 20, bounty: Money::cents(800), seconds: 3_600 },
};

/// Will a repository have so many stars?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StarCriteria {
    /// Whose stars are counted.
    pub repository: Repository,
    /// How the count must compare with `stars`.
    pub comparison: Comparison,
    /// The figure of the question, from 1 to 100000000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000_000))]
    pub stars: i64,
}

impl Question for StarCriteria {
    fn check(&self) -> Result<(), CriteriaError> {
        let rule = "must be from 1 to 100000000";
        need((1..=100_000_000).contains(&self.stars), "stars", rule)
    }

    fn subject(&self) -> String {
        self.repository.subject()
    }

    fn question(&self, times: &Times) -> String {
        let StarCriteria { repository, comparison, stars } = self;
        format!(
            "Will {repository} have {} {stars} stars when it is first read at or after {}?",
            match comparison {
                Comparison::Above => "more than",
                Comparison::Below => "fewer than",
                other => other.words(),
            },
            second(times.deadline)
        )
    }

    fn condition(&self) -> String {
        let (repository, than, stars) = (&self.repository, self.comparison.than(), self.stars);
        format!("YES if {repository} has {than} {stars} stars when it is read.")
    }

    fn decide(&self, reading: &Reading) -> Option<Side> {
        match reading {
            Reading::Whole { value, .. } => {
                Some(Side::yes_if(self.comparison.holds(value, &self.stars)))
            }
            _ => None,
        }
    }
}
