//! Research: what is the page id of an article at Wikipedia? The answer is committed to at the opening.

use serde::{Deserialize, Serialize};

use super::{About, LIFE_LEAST, LIFE_MOST, SourceRules, Taking};
use crate::criteria::{Question, Reading, Side, Times, one_clean_line};
use crate::money::Money;

pub(crate) const ABOUT: About = About {
    name: "Research",
    about: "A question with one answer, fixed before the market opens. The first right answer is paid at \
        once.",
    takes: Taking::Answer,
    least_seconds: LIFE_LEAST,
    most_seconds: LIFE_MOST,
    rules: SourceRules { weight: 40, bounty: Money::cents(2_500), seconds: 300 },
};

checked_text! {
    /// The title of an article at Wikipedia.
    ArticleTitle, ArticleTitleError = "must be a title of at most 255 bytes, without any of # < > [ ] | {{ }}",
    |text| {
        text.len() <= 255
            && one_clean_line(text, 255)
            && !text.contains(['#', '<', '>', '[', ']', '|', '{', '}'])
    }
}

/// What is the page id of an article?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ArticleCriteria {
    /// Whose page id is the answer.
    pub article: ArticleTitle,
}

impl Question for ArticleCriteria {
    fn subject(&self) -> String {
        self.article.as_str().to_lowercase()
    }

    fn question(&self, _: &Times) -> String {
        let article = &self.article;
        format!("What is the Wikipedia page id of the article titled '{article}'?")
    }

    fn condition(&self) -> String {
        let article = &self.article;
        format!(
            "Right is the one answer that was committed to. It is about the article “{article}”."
        )
    }

    /// Its commitment decides.
    fn decide(&self, _: &Reading) -> Option<Side> {
        None
    }
}
