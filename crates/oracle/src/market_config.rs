//! The settings of markets: where the four services are, and what is asked about.

use std::sync::Arc;

use daemon::config::Reader;
use ledger_core::criteria::{City, Degrees, Place};
use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use ledger_core::subject::{Keyword, Repository};
use sources::github::GitHub;
use sources::news::{Feed, News, NewsApi};
use sources::open_meteo::OpenMeteo;
use sources::wikipedia::Wikipedia;
use sources::{Http, HttpConfig, SetupError, TIMEOUT, github, news, open_meteo, wikipedia};
use url::Url;

use crate::config::CONTACT;
use crate::markets::MarketFeed;
use crate::markets::feeds::{GitHubFeed, NewsFeed, ResearchFeed, Town, WeatherFeed};

/// Repositories that questions are about, unless `MARKET_REPOSITORIES` names others.
const REPOSITORIES: &str = "rust-lang/rust,tokio-rs/tokio,actix/actix-web,diesel-rs/diesel,\
    torvalds/linux,postgres/postgres,redis/redis,python/cpython,golang/go,nodejs/node,\
    microsoft/vscode,facebook/react,vuejs/core,sveltejs/svelte,huggingface/transformers,\
    pytorch/pytorch,ggml-org/llama.cpp,ollama/ollama,vllm-project/vllm,langchain-ai/langchain,\
    denoland/deno,oven-sh/bun,neovim/neovim,kubernetes/kubernetes";
/// Keywords, unless `MARKET_KEYWORDS` names others.
const KEYWORDS: &str = "AI,Apple,Google,Microsoft,Amazon,Meta,Nvidia,OpenAI,Tesla,Samsung,chip,\
    robot,privacy,hack,Windows,Android,iPhone,crypto,Bitcoin,data,cloud,phone,China,EU";
/// Cities, unless `MARKET_CITIES` names others.
const CITIES: &str = "Berlin:52.52:13.41,London:51.51:-0.13,New York:40.71:-74.01,Tokyo:35.68:139.69,\
    Sydney:-33.87:151.21,São Paulo:-23.55:-46.63,Nairobi:-1.29:36.82,Mumbai:19.08:72.88,\
    Cairo:30.04:31.24,Reykjavík:64.15:-21.94,Singapore:1.35:103.82,Chicago:41.88:-87.63,\
    Madrid:40.42:-3.7,Warsaw:52.23:21.01,Seoul:37.57:126.98,Cape Town:-33.93:18.42";

/// The feeds of all sources that the market maker may choose. A source of weight 0 is still there:
/// operators may open markets of it.
pub(crate) fn read_feeds(reader: &mut Reader<'_>, rules: &MarketRules) -> Vec<Arc<dyn MarketFeed>> {
    let contact = reader.or("CONTACT", CONTACT.to_owned());
    let http = Http::new(&HttpConfig {
        contact,
        timeout: TIMEOUT,
    });
    let http = match http {
        Ok(http) => http,
        Err(problem) => {
            reader.problem("CONTACT", problem.to_string());
            return Vec::new();
        }
    };
    let mut feeds: Vec<Arc<dyn MarketFeed>> = Vec::new();
    if let Some(client) = wikipedia(reader, &http) {
        feeds.push(Arc::new(ResearchFeed::new(client)));
    }
    if let (Some(client), Some(towns)) = (weather(reader, &http), cities(reader)) {
        feeds.push(Arc::new(WeatherFeed::new(client, towns)));
    }
    let repositories = list::<Repository>(reader, "MARKET_REPOSITORIES", REPOSITORIES);
    if let (Some(client), Some(repositories)) = (github(reader, &http), repositories) {
        let step = rules.star_step;
        feeds.push(Arc::new(GitHubFeed::new(client, repositories, step)));
    }
    let keywords = list::<Keyword>(reader, "MARKET_KEYWORDS", KEYWORDS);
    if let (Some(client), Some(keywords)) = (headlines(reader, &http), keywords) {
        feeds.push(Arc::new(NewsFeed::new(client, keywords)));
    }
    feeds.sort_by_key(|feed| match feed.source() {
        MarketSource::Research => 0,
        MarketSource::Weather => 1,
        MarketSource::Github => 2,
        MarketSource::News => 3,
    });
    feeds
}

/// A service's address: the setting's, or the public one.
fn address(reader: &mut Reader<'_>, name: &str, default: &str) -> Option<Url> {
    let given: Option<Url> = reader.optional(name);
    given.or_else(|| Url::parse(default).ok())
}

/// A client, or the problem under the name of the setting at fault.
fn made<T>(
    reader: &mut Reader<'_>,
    made: Result<T, SetupError>,
    [url, key]: [&str; 2],
) -> Option<T> {
    match made {
        Ok(client) => Some(client),
        Err(problem) => {
            let name = match problem {
                SetupError::Url | SetupError::Client => url,
                SetupError::Key => key,
                SetupError::Contact => "CONTACT",
            };
            reader.problem(name, problem.to_string());
            None
        }
    }
}

fn wikipedia(reader: &mut Reader<'_>, http: &Http) -> Option<Wikipedia> {
    let url = address(reader, "WIKIPEDIA_URL", wikipedia::DEFAULT_URL)?;
    let client = Wikipedia::new(http.clone(), url);
    made(reader, client, ["WIKIPEDIA_URL", "WIKIPEDIA_URL"])
}

fn weather(reader: &mut Reader<'_>, http: &Http) -> Option<OpenMeteo> {
    let url = address(reader, "OPEN_METEO_URL", open_meteo::DEFAULT_URL)?;
    let client = OpenMeteo::new(http.clone(), url);
    made(reader, client, ["OPEN_METEO_URL", "OPEN_METEO_URL"])
}

fn github(reader: &mut Reader<'_>, http: &Http) -> Option<GitHub> {
    let url = address(reader, "GITHUB_API_URL", github::DEFAULT_URL)?;
    let token = reader.optional_secret("GITHUB_TOKEN", 1);
    let client = GitHub::new(http.clone(), url, token);
    made(reader, client, ["GITHUB_API_URL", "GITHUB_TOKEN"])
}

/// NewsAPI with a key, a feed without one.
fn headlines(reader: &mut Reader<'_>, http: &Http) -> Option<News> {
    let key = reader.optional_secret("NEWSAPI_KEY", 1);
    let api_url = address(reader, "NEWSAPI_URL", news::DEFAULT_URL)?;
    let feed_url = address(reader, "NEWS_FEED_URL", news::DEFAULT_FEED_URL)?;
    match key {
        Some(key) => {
            let client = NewsApi::new(http.clone(), api_url, &key).map(News::Api);
            made(reader, client, ["NEWSAPI_URL", "NEWSAPI_KEY"])
        }
        None => {
            let client = Feed::new(http.clone(), feed_url).map(News::Feed);
            made(reader, client, ["NEWS_FEED_URL", "NEWS_FEED_URL"])
        }
    }
}

/// A list with commas in between, of at least one.
fn list<T: std::str::FromStr>(
    reader: &mut Reader<'_>,
    name: &'static str,
    default: &str,
) -> Option<Vec<T>>
where
    T::Err: std::fmt::Display,
{
    let text = reader.or(name, default.to_owned());
    let mut found = Vec::new();
    for (index, entry) in text.split(',').enumerate() {
        match entry.trim().parse() {
            Ok(one) => found.push(one),
            Err(problem) => {
                reader.problem(name, format!("entry {} {problem}", index + 1));
                return None;
            }
        }
    }
    Some(found)
}

struct TownText(Town);

#[derive(Debug, thiserror::Error)]
#[error("must be a city, its latitude and its longitude, as in Berlin:52.52:13.41")]
struct TownError;

impl std::str::FromStr for TownText {
    type Err = TownError;

    fn from_str(text: &str) -> Result<TownText, TownError> {
        let [city, latitude, longitude] = text
            .split(':')
            .map(str::trim)
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| TownError)?;
        let city: City = city.parse().map_err(|_| TownError)?;
        let degrees = |text: &str| text.parse::<Degrees>().map_err(|_| TownError);
        let (latitude, longitude) = (degrees(latitude)?, degrees(longitude)?);
        if !latitude.is_latitude() {
            return Err(TownError);
        }
        let place = Place {
            latitude,
            longitude,
        };
        Ok(TownText(Town { city, place }))
    }
}

fn cities(reader: &mut Reader<'_>) -> Option<Vec<Town>> {
    let towns = list::<TownText>(reader, "MARKET_CITIES", CITIES)?;
    Some(towns.into_iter().map(|TownText(town)| town).collect())
}
