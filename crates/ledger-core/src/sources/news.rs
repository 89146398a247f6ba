//! News: a keyword in technology headlines.

use serde::{Deserialize, Serialize};

use super::{About, LIFE_LEAST, SourceRules, Taking};
use crate::criteria::{Question, Reading, Side, Times, second};
use crate::money::Money;
use crate::subject::Keyword;
use crate::time::Timestamp;

const SECOND_MICROS: i64 = 1_000_000;

pub(crate) const ABOUT: About = About {
    name: "News",
    about: "Decided by the headlines that are published after bets closed and by the deadline.",
    takes: Taking::Bet,
    least_seconds: LIFE_LEAST,
    most_seconds: (
        86_400,
        "must be at most 24 hours away: a list of headlines does not reach back further",
    ),
    rules: SourceRules { weight: 15, bounty: Money::cents(500), seconds: 1_200 },
};

labelled! {
    /// Which headlines count, and how they are read.
    HeadlineRule {
        /// Those published after bets closed and by the deadline; only a date of publication
        /// counts. The market cannot resolve NO if an item was not read in full, or if the list
        /// does not reach back to the close of bets.
        AfterBetsClose = "AFTER_BETS_CLOSE",
    }
}

/// Will a keyword appear in a technology headline that is published after bets closed?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HeadlineCriteria {
    /// What must appear.
    pub keyword: Keyword,
    /// Set by the arena at the opening; the request's value is ignored. A market keeps its rule.
    /// Older markets have none: there, headlines count from the opening on, and unreadable items
    /// are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<HeadlineRule>,
}

impl Question for HeadlineCriteria {
    fn under_present_rules(&self) -> HeadlineCriteria {
        HeadlineCriteria { published: Some(HeadlineRule::AfterBetsClose), ..self.clone() }
    }

    fn subject(&self) -> String {
        self.keyword.as_str().to_lowercase()
    }

    fn question(&self, times: &Times) -> String {
        let keyword = &self.keyword;
        let asked = format!("Will '{keyword}' appear in a technology headline published");
        match self.published {
            None => format!("{asked} by {}?", second(times.deadline)),
            Some(HeadlineRule::AfterBetsClose) => {
                let (after, until) = headlines_between(times);
                format!("{asked} after {} and by {}?", second(after), second(until))
            }
        }
    }

    fn condition(&self) -> String {
        let keyword = &self.keyword;
        let after = self.published.map_or("", |_| "after bets closed and ");
        format!("YES if “{keyword}” is in a headline that is published {after}by the deadline.")
    }

    fn decide(&self, reading: &Reading) -> Option<Side> {
        match reading {
            Reading::Found { text, .. } => Some(Side::yes_if(text.is_some())),
            _ => None,
        }
    }
}

/// A headline counts if it was published after the first instant and by the second. Whole
/// seconds, because the question names them.
pub fn headlines_between(times: &Times) -> (Timestamp, Timestamp) {
    let whole = |at: Timestamp, add: i64| {
        let micros = at.micros().saturating_add(add);
        Timestamp::from_micros(micros - micros.rem_euclid(SECOND_MICROS)).unwrap_or(at)
    };
    (whole(times.bets_close_at, SECOND_MICROS - 1), whole(times.deadline, 0))
}
