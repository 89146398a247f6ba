//! Wikipedia: an article's opening words, at random or by title.
//!
//! The REST API is queried first; if it refuses us (403), the action API. Redirects are followed
//! within the same scheme, host and port only, and only a few.

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::Timestamp;
use ledger_core::criteria::{ArticleCriteria, Criteria};
use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;
use url::Url;

use crate::error::{given, nonsense};
use crate::http::{self, Answer, Http};
use crate::played::{Asked, Played, World};
use crate::source::{address, made};
use crate::{
    Evidence, Feed, Fetched, NoProposal, Proposal, Settings, SetupError, Source, SourceError, json,
    number,
};

/// The English Wikipedia.
pub const DEFAULT_URL: &str = "https://en.wikipedia.org";
/// The longest title there can be.
pub const TITLE_MAX_BYTES: usize = 255;
/// A random article takes one, a title that redirects another.
pub const REDIRECTS_MAX: usize = 3;
const ANOTHER_TITLE: SourceError =
    SourceError::Nonsense { field: "title", problem: "is not the requested one" };

/// Page ids of articles.
pub(crate) struct Research;

impl Source for Research {
    fn name(&self) -> &'static str {
        "wikipedia"
    }

    fn feed(
        &self,
        settings: &mut dyn Settings,
        http: &Http,
        _: &MarketRules,
    ) -> Option<Arc<dyn Feed>> {
        let url = address(settings, "WIKIPEDIA_URL", DEFAULT_URL)?;
        let client = Wikipedia::new(http.clone(), url);
        let client = made(settings, client, ["WIKIPEDIA_URL", "WIKIPEDIA_URL"])?;
        Some(Arc::new(ResearchFeed { client }))
    }

    fn address(&self) -> (&'static str, &'static str) {
        ("WIKIPEDIA_URL", "")
    }

    fn answer(&self, world: &World, asked: &Asked<'_>) -> Option<Played> {
        let page = asked.path.strip_prefix("/api/rest_v1/page/")?;
        let title = match page.strip_prefix("summary/") {
            Some(title) => title.replace("%20", " ").replace('_', " "),
            None if page == "random/summary" => {
                format!("Example article {}-{}", asked.seconds(), world.drawn())
            }
            None => return None,
        };
        if !title.starts_with("Example article ") {
            return Some(Played::status(404));
        }
        Some(Played::json(&json!({
            "type": "standard",
            "title": title,
            "namespace": { "id": 0, "text": "" },
            "pageid": played_page_id(world, &title),
            "extract": format!("{title} is an article of an example."),
        })))
    }

    fn example(&self, word: &str) -> Value {
        json!({ "article": format!("Thing {word}") })
    }
}

/// The page id of an article where Wikipedia is played.
pub fn played_page_id(world: &World, title: &str) -> i64 {
    1_000 + world.roll(70_000_000, title, 0)
}

struct ResearchFeed {
    client: Wikipedia,
}

#[async_trait]
impl Feed for ResearchFeed {
    fn source(&self) -> MarketSource {
        MarketSource::Research
    }

    async fn propose(
        &self,
        taken: &[String],
        _: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let Fetched { evidence, value } = self.client.random(now).await;
        let article = value.map_err(NoProposal::about(None))?;
        let unusable = |why: &str| NoProposal::Unusable(format!("a random article {why}"));
        let title =
            article.title.parse().map_err(|_| unusable("has a title that cannot be a subject"))?;
        let criteria = Criteria::Research(ArticleCriteria { article: title });
        if taken.contains(&criteria.subject()) {
            return Err(NoProposal::NothingFree);
        }
        let answer = article.page_id.to_string().parse();
        Ok(Proposal {
            criteria,
            answer: Some(answer.map_err(|_| unusable("has no page id"))?),
            evidence,
            value: format!("page {}", article.page_id),
        })
    }
}

/// An article: no disambiguation page, no main page, nothing from another namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Above zero, and stable when the article is renamed.
    pub page_id: i64,
    /// The title in use; differs from the requested one after a redirect.
    pub title: String,
    /// Its first words as plain text; the action API gives the whole introduction. Never empty.
    pub extract: String,
}

/// The Wikipedia client.
#[derive(Clone)]
pub struct Wikipedia {
    http: Http,
    base: Url,
}

impl Wikipedia {
    /// `base_url` is [`DEFAULT_URL`] or the like.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(http: Http, base_url: Url) -> Result<Wikipedia, SetupError> {
        let base = http::checked_base(base_url)?;
        Ok(Wikipedia { http, base })
    }

    /// An article that chance picks.
    pub async fn random(&self, now: Timestamp) -> Fetched<Article> {
        let url = self.rest(&["random", "summary"]);
        let (answer, _) = self.get(url, now).await;
        if answer.outcome != Err(SourceError::Forbidden) {
            return answer.understand(parse_summary);
        }
        let url = self.action(&[("generator", "random"), ("grnnamespace", "0"), ("grnlimit", "1")]);
        let (answer, _) = self.get(url, now).await;
        answer.understand(parse_query)
    }

    /// The article of a title, or the one that it redirects to: compare [`Article::title`].
    pub async fn by_title(&self, title: &str, now: Timestamp) -> Fetched<Article> {
        let underscored = title.trim().replace(' ', "_");
        let url = self.rest(&["summary", &underscored]);
        if let Err(error) = check_title(&underscored) {
            return Fetched {
                // Only the base: an invalid title is not shown.
                evidence: Evidence::unanswered(self.base.to_string(), now),
                value: Err(error),
            };
        }
        let (answer, redirects) = self.get(url, now).await;
        if answer.outcome != Err(SourceError::Forbidden) {
            return answer.understand(|body| {
                let article = parse_summary(body)?;
                // Without a redirect, another title is another answer.
                if redirects == 0 && !same_title(&article.title, title) {
                    return Err(ANOTHER_TITLE);
                }
                Ok(article)
            });
        }
        let url = self.action(&[("titles", title.trim()), ("redirects", "1")]);
        let (answer, _) = self.get(url, now).await;
        answer.understand(|body| {
            let query = read_query(body)?;
            let leads_to = query.follow(title);
            let article = query.article()?;
            if !same_title(&article.title, &leads_to) {
                return Err(ANOTHER_TITLE);
            }
            Ok(article)
        })
    }

    fn rest(&self, page: &[&str]) -> Url {
        let path: Vec<&str> =
            ["api", "rest_v1", "page"].into_iter().chain(page.iter().copied()).collect();
        http::below(&self.base, &path)
    }

    fn action(&self, what: &[(&str, &str)]) -> Url {
        let mut url = http::below(&self.base, &["w", "api.php"]);
        url.query_pairs_mut()
            .append_pair("action", "query")
            .append_pair("format", "json")
            .append_pair("formatversion", "2")
            .append_pair("prop", "extracts|info|pageprops")
            // Says which page is a disambiguation, and nothing else.
            .append_pair("ppprop", "disambiguation")
            .append_pair("exintro", "1")
            .append_pair("explaintext", "1")
            .extend_pairs(what);
        url
    }

    /// The last answer, and how many redirects led to it.
    async fn get(&self, mut url: Url, now: Timestamp) -> (Answer, usize) {
        let headers = http::accepting("application/json");
        let mut redirects = 0;
        loop {
            let answer = self.http.get(&url, headers.clone(), now).await;
            match answer.redirect(&url) {
                Some(next) if redirects < REDIRECTS_MAX && next.origin() == url.origin() => {
                    redirects += 1;
                    url = next;
                }
                _ => return (answer, redirects),
            }
        }
    }
}

/// Invalid titles: the action API would split one at `|`, and `.` or `..` would be another path.
fn check_title(underscored: &str) -> Result<(), SourceError> {
    if underscored.is_empty() || underscored.len() > TITLE_MAX_BYTES {
        return nonsense("title", "does not have 1 to 255 bytes");
    }
    if underscored.contains(|c: char| c.is_control() || c == '|')
        || matches!(underscored, "." | "..")
    {
        return nonsense("title", "no page can have");
    }
    Ok(())
}

/// Titles are equal ignoring underscores for spaces and the case of the first letter.
fn same_title(one: &str, other: &str) -> bool {
    normal_title(one) == normal_title(other)
}

fn normal_title(title: &str) -> String {
    let words: Vec<&str> = title
        .split(|c: char| c == '_' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    let joined = words.join(" ");
    let mut letters = joined.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).nfc().collect()
}

#[derive(Deserialize)]
struct Summary<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    namespace: Option<Namespace<'a>>,
    title: Option<String>,
    #[serde(borrow)]
    pageid: Option<&'a RawValue>,
    extract: Option<String>,
}

#[derive(Deserialize)]
struct Namespace<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Reads a summary of the REST API.
///
/// # Errors
/// When the answer is no JSON, or not about an article with some words.
pub fn parse_summary(body: &[u8]) -> Result<Article, SourceError> {
    let summary: Summary<'_> = json::object(body)?;
    let kind = given("type", summary.kind)?;
    if kind != "standard" {
        return nonsense("type", "is not that of an article");
    }
    let namespace = given("namespace", summary.namespace)?;
    article(
        number::whole("namespace.id", namespace.id)?,
        summary.pageid,
        summary.title,
        summary.extract,
    )
}

#[derive(Deserialize)]
struct QueryAnswer<'a> {
    error: Option<ApiError>,
    #[serde(borrow)]
    query: Option<Query<'a>>,
}

#[derive(Deserialize)]
struct ApiError {
    code: String,
}

#[derive(Deserialize)]
struct Query<'a> {
    #[serde(default)]
    normalized: Vec<Step>,
    #[serde(default)]
    redirects: Vec<Step>,
    #[serde(default, borrow)]
    pages: Vec<Page<'a>>,
}

/// From the requested title to that of the page.
#[derive(Deserialize)]
struct Step {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    pageid: Option<&'a RawValue>,
    #[serde(borrow)]
    ns: Option<&'a RawValue>,
    title: Option<String>,
    #[serde(default)]
    missing: bool,
    #[serde(default)]
    invalid: bool,
    pageprops: Option<PageProps>,
    extract: Option<String>,
}

#[derive(Deserialize)]
struct PageProps {
    disambiguation: Option<String>,
}

impl Query<'_> {
    /// The title that `title` leads to by normalisation and redirects.
    fn follow(&self, title: &str) -> String {
        let mut at = title.to_owned();
        // Each step once: steps that go in circles end.
        for step in self.normalized.iter().chain(&self.redirects) {
            if same_title(&step.from, &at) {
                at.clone_from(&step.to);
            }
        }
        at
    }

    fn article(self) -> Result<Article, SourceError> {
        let mut pages = self.pages.into_iter();
        let page = pages.next().ok_or(SourceError::MissingField("query.pages"))?;
        if pages.next().is_some() {
            return nonsense("query.pages", "holds more than one page");
        }
        if page.missing || page.invalid {
            return Err(SourceError::NotFound);
        }
        if page.pageprops.is_some_and(|it| it.disambiguation.is_some()) {
            return nonsense("page", "is a disambiguation");
        }
        let namespace = number::whole("ns", page.ns)?;
        article(namespace, page.pageid, page.title, page.extract)
    }
}

/// Reads an answer of the action API, `formatversion=2`, about one page.
///
/// # Errors
/// When the answer is no JSON, the page is missing, or it is no article with some words.
pub fn parse_query(body: &[u8]) -> Result<Article, SourceError> {
    read_query(body)?.article()
}

fn read_query(body: &[u8]) -> Result<Query<'_>, SourceError> {
    let answer: QueryAnswer<'_> = json::object(body)?;
    match answer.error {
        // The action API reports its errors with status 200.
        Some(error) if error.code == "ratelimited" => {
            Err(SourceError::RateLimited { retry_after_seconds: None })
        }
        Some(_) => nonsense("answer", "is an error of the action API"),
        None => answer.query.ok_or(SourceError::MissingField("query")),
    }
}

fn article(
    namespace: i64,
    page_id: Option<&RawValue>,
    title: Option<String>,
    extract: Option<String>,
) -> Result<Article, SourceError> {
    if namespace != 0 {
        return nonsense("namespace", "is not that of articles");
    }
    let page_id = number::whole("pageid", page_id)?;
    if page_id <= 0 {
        return nonsense("pageid", "is not above zero");
    }
    let title = given("title", title)?;
    if title.trim().is_empty() || title.len() > TITLE_MAX_BYTES {
        return nonsense("title", "does not have 1 to 255 bytes");
    }
    let extract = given("extract", extract)?;
    if extract.trim().is_empty() {
        return nonsense("extract", "is empty");
    }
    Ok(Article { page_id, title, extract: extract.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_the_same_after_normalisation() {
        assert!(same_title("rust_(programming  language)", "Rust (programming language)"));
        assert!(same_title("éclair", "Éclair"));
        assert!(same_title("Cafe\u{301}", "Café"));
        assert!(!same_title("Rust (Programming language)", "Rust (programming language)"));
        assert!(!same_title("Rust", "Rusty"));
    }
}
