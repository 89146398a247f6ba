//! GitHub: how many stars a repository has.
//!
//! A renamed or moved repository is another one: neither its redirect nor its new name counts.

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::Timestamp;
use ledger_core::criteria::{Comparison, Criteria, Reading, StarCriteria, Times};
use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use ledger_core::subject::Repository;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use crate::error::{given, nonsense};
use crate::http::{self, Http};
use crate::played::{Asked, Played, World};
use crate::source::{address, choose, list, made};
use crate::{
    Feed, Fetched, NoProposal, Proposal, Settings, SetupError, Source, SourceError, json, number,
};

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.github.com";
const API_VERSION: &str = "2022-11-28";
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");

/// Repositories that questions are about, unless `MARKET_REPOSITORIES` names others.
const REPOSITORIES: &str = "rust-lang/rust,tokio-rs/tokio,actix/actix-web,diesel-rs/diesel,\
    torvalds/linux,postgres/postgres,redis/redis,python/cpython,golang/go,nodejs/node,\
    microsoft/vscode,facebook/react,vuejs/core,sveltejs/svelte,huggingface/transformers,\
    pytorch/pytorch,ggml-org/llama.cpp,ollama/ollama,vllm-project/vllm,langchain-ai/langchain,\
    denoland/deno,oven-sh/bun,neovim/neovim,kubernetes/kubernetes";

/// Stars of repositories.
pub(crate) struct Stars;

impl Source for Stars {
    fn name(&self) -> &'static str {
        "github"
    }

    fn feed(
        &self,
        settings: &mut dyn Settings,
        http: &Http,
        rules: &MarketRules,
    ) -> Option<Arc<dyn Feed>> {
        let url = address(settings, "GITHUB_API_URL", DEFAULT_URL)?;
        let client = GitHub::new(http.clone(), url, settings.secret("GITHUB_TOKEN"));
        let client = made(settings, client, ["GITHUB_API_URL", "GITHUB_TOKEN"]);
        let repositories = list(settings, "MARKET_REPOSITORIES", REPOSITORIES);
        Some(Arc::new(StarFeed {
            client: client?,
            repositories: repositories?,
            star_step: rules.star_step.max(1),
        }))
    }

    fn derive(
        &self,
        criteria: &Criteria,
        _: &Times,
        _: Timestamp,
        body: &[u8],
    ) -> Result<Reading, SourceError> {
        let Criteria::Github(criteria) = criteria else {
            return Err(SourceError::MISPLACED);
        };
        parse_stars(body, &criteria.repository).map(stars_read)
    }

    fn address(&self) -> (&'static str, &'static str) {
        ("GITHUB_API_URL", "")
    }

    /// Each repository gains up to seven hundred stars an hour.
    fn answer(&self, world: &World, asked: &Asked<'_>) -> Option<Played> {
        const HOUR: i64 = 3_600;
        let full_name = asked.path.strip_prefix("/repos/")?;
        let own = full_name.to_lowercase();
        // From the autumn of 2024 on, before any world that is played.
        let at = |hour: i64| 350 * (hour - 480_000).max(0) + world.roll(350, &own, hour);
        let (hour, into) = (asked.seconds() / HOUR, asked.seconds() % HOUR);
        let gained = at(hour) + (at(hour + 1) - at(hour)) * into / HOUR;
        Some(Played::json(&json!({
            "name": full_name.split_once('/').map_or("", |(_, name)| name),
            "full_name": full_name,
            "stargazers_count": 500 + world.roll(80_000, &own, 0) + gained,
        })))
    }

    fn example(&self, word: &str) -> Value {
        json!({ "repository": format!("test/{word}"), "comparison": ">=", "stars": 500 })
    }
}

const fn stars_read(value: i64) -> Reading {
    Reading::Whole { value, unit: "stars" }
}

struct StarFeed {
    client: GitHub,
    repositories: Vec<Repository>,
    star_step: i64,
}

#[async_trait]
impl Feed for StarFeed {
    fn source(&self) -> MarketSource {
        MarketSource::Github
    }

    async fn propose(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let repository = choose(&self.repositories, taken, draw, Repository::subject)?;
        let Fetched { evidence, value } = self.client.stars(repository, now).await;
        let stars = value.map_err(NoProposal::about(Some(repository.subject())))?;
        let steps = stars / self.star_step + 1;
        Ok(Proposal {
            criteria: Criteria::Github(StarCriteria {
                repository: repository.clone(),
                comparison: Comparison::AtLeast,
                stars: steps.saturating_mul(self.star_step),
            }),
            answer: None,
            evidence,
            value: stars_read(stars).to_string(),
        })
    }

    async fn fetch(&self, criteria: &Criteria, _: &Times, now: Timestamp) -> Fetched<()> {
        match criteria {
            Criteria::Github(of) => self.client.stars(&of.repository, now).await.kept(),
            _ => Fetched::misplaced(now),
        }
    }
}

/// The GitHub client.
#[derive(Clone)]
pub struct GitHub {
    http: Http,
    base: Url,
    headers: HeaderMap,
}

impl GitHub {
    /// `base_url` is [`DEFAULT_URL`] or the like. Without a token GitHub grants 60 requests an hour.
    ///
    /// # Errors
    /// When the URL or the token cannot be used.
    pub fn new(
        http: Http,
        base_url: Url,
        token: Option<SecretString>,
    ) -> Result<GitHub, SetupError> {
        let mut headers = http::accepting("application/vnd.github+json");
        headers.insert(API_VERSION_HEADER, HeaderValue::from_static(API_VERSION));
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, http::secret_header("Bearer ", &token)?);
        }
        Ok(GitHub { http, base: http::checked_base(base_url)?, headers })
    }

    /// The stars of a repository, now.
    pub async fn stars(&self, repository: &Repository, now: Timestamp) -> Fetched<i64> {
        let path = ["repos", repository.owner(), repository.name()];
        let url = http::below(&self.base, &path);
        let mut answer = self.http.get(&url, self.headers.clone(), now).await;
        answer.outcome = answer.outcome.map_err(|error| match error {
            SourceError::Forbidden | SourceError::RateLimited { .. } => {
                let seconds = limited_for(&answer.headers, now);
                let said = matches!(error, SourceError::RateLimited { .. })
                    || says_slower(&answer.evidence.body);
                if seconds.is_some() || said {
                    SourceError::RateLimited { retry_after_seconds: seconds }
                } else {
                    // A repository that is blocked, disabled or closed.
                    SourceError::Refused(403)
                }
            }
            SourceError::Status(status @ (410 | 451)) => SourceError::Refused(status),
            other => other,
        });
        answer.understand(|body| parse_stars(body, repository))
    }
}

/// GitHub requests a lower rate by 403 or 429, and gives the wait in one of two ways.
fn limited_for(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(seconds) = http::retry_after_seconds(headers, now) {
        return Some(seconds);
    }
    if text("x-ratelimit-remaining")? != "0" {
        return None;
    }
    let reset_seconds: i64 = text("x-ratelimit-reset")?.parse().ok()?;
    let reset = Timestamp::from_micros(reset_seconds.checked_mul(1_000_000)?)?;
    Some(reset.seconds_since(now).max(0))
}

/// Whether a refusal without a header is about our pace ("You have exceeded a secondary rate
/// limit"), or about our address.
fn says_slower(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["rate limit", "abuse detection"].iter().any(|words| text.contains(words))
}

#[derive(Deserialize)]
struct Answer<'a> {
    full_name: Option<String>,
    #[serde(borrow)]
    stargazers_count: Option<&'a RawValue>,
}

/// Reads the answer about a repository.
///
/// # Errors
/// When the answer is no JSON, is about another repository or gives no number of stars.
pub fn parse_stars(body: &[u8], repository: &Repository) -> Result<i64, SourceError> {
    const FIELD: &str = "stargazers_count";
    let answer: Answer<'_> = json::object(body)?;
    let full_name = given("full_name", answer.full_name)?;
    if !full_name.eq_ignore_ascii_case(&repository.to_string()) {
        return nonsense("full_name", "is another repository's");
    }
    let stars = number::whole(FIELD, answer.stargazers_count)?;
    if stars < 0 {
        return nonsense(FIELD, "is below zero");
    }
    Ok(stars)
}
