//! The sources of a simulation: they answer out of the [`World`], in the bodies that the real
//! services send.
//!
//! What decides a market is derived from those bytes by the code that reads the real ones, so that a
//! simulated market ends the way a real one does.

use std::sync::Arc;

use db::markets::{Finding, Market, NewEvidence};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use ledger_core::Timestamp;
use ledger_core::criteria::{
    ArticleCriteria, Comparison, Criteria, HeadlineCriteria, HeadlineRule, Place, StarCriteria,
    TemperatureCriteria, weather_instant,
};
use ledger_core::market::MarketSource;
use ledger_core::prediction::PriceSource;
use ledger_core::subject::Repository;
use oracle::markets::{MarketFeed, NoProposal, Proposal, Reading};
use oracle::sources::{FeedError, History, PriceFeed, Quote};
use serde_json::json;
use sources::{Evidence, SourceError, derive};

use crate::world::{Condition, World};

/// As many as the real service is asked for.
const HEADLINES_MAX: usize = 50;
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M";

/// The price of the coin.
pub struct PriceOf(pub Arc<World>);

impl PriceFeed for PriceOf {
    fn source(&self) -> PriceSource {
        PriceSource::Simulated
    }

    fn quote(&self, now: Timestamp) -> BoxFuture<'_, Result<Quote, FeedError>> {
        let quote = self.0.price(now).map(|price| Quote {
            price,
            provider_at: now,
        });
        future::ready(quote.ok_or(FeedError::MissingField("price"))).boxed()
    }

    fn history(
        &self,
        begins_at: Timestamp,
        ends_at: Timestamp,
        _now: Timestamp,
    ) -> BoxFuture<'_, Result<History, FeedError>> {
        let minutes = std::iter::successors(Some(begins_at), |at| Some(at.plus_seconds(60)));
        let quote = |provider_at| {
            let price = self.0.price(provider_at)?;
            Some(Quote { price, provider_at })
        };
        let within = minutes.take_while(|at| *at < ends_at);
        let quotes = within.filter_map(quote).collect();
        future::ready(Ok(History::whole(quotes, begins_at, ends_at))).boxed()
    }
}

/// One source of markets.
pub struct Feed {
    world: Arc<World>,
    source: MarketSource,
    star_step: i64,
}

/// All four, in the order in which the real ones are asked.
#[must_use]
pub fn all(world: &Arc<World>, star_step: i64) -> Vec<Arc<dyn MarketFeed>> {
    [
        MarketSource::Research,
        MarketSource::Weather,
        MarketSource::Github,
        MarketSource::News,
    ]
    .into_iter()
    .map(|source| {
        Arc::new(Feed {
            world: Arc::clone(world),
            source,
            star_step: star_step.max(1),
        }) as Arc<dyn MarketFeed>
    })
    .collect()
}

impl MarketFeed for Feed {
    fn source(&self) -> MarketSource {
        self.source
    }

    fn name(&self) -> &'static str {
        match self.source {
            MarketSource::Github => "github",
            MarketSource::News => "news",
            MarketSource::Weather => "open-meteo",
            MarketSource::Research => "wikipedia",
        }
    }

    fn propose<'a>(
        &'a self,
        taken: &'a [String],
        draw: u64,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Proposal, NoProposal>> {
        let proposal = match self.trouble(now) {
            Some(error) => Err(error.into()),
            None => self.question(taken, draw, now),
        };
        future::ready(proposal).boxed()
    }

    fn read<'a>(&'a self, market: &'a Market, now: Timestamp) -> BoxFuture<'a, Reading> {
        future::ready(self.reading(market, now)).boxed()
    }
}

impl Feed {
    fn trouble(&self, now: Timestamp) -> Option<SourceError> {
        match self.world.doing(self.source, now) {
            Condition::Answers => None,
            Condition::Fails => Some(SourceError::Server(503)),
            Condition::SlowDown(seconds) => Some(SourceError::RateLimited {
                retry_after_seconds: Some(seconds),
            }),
        }
    }

    fn question(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        match self.source {
            MarketSource::Github => self.ask_stars(taken, draw, now),
            MarketSource::News => self.ask_headline(taken, draw, now),
            MarketSource::Weather => self.ask_temperature(taken, draw, now),
            MarketSource::Research => self.ask_page(taken, draw, now),
        }
    }

    fn ask_stars(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let repository = choose(self.world.repositories(), taken, draw, Repository::subject)?;
        let answer = self.stars(repository, now);
        let stars = sources::github::parse_stars(&answer.body, repository)?;
        let steps = stars / self.star_step + 1;
        let criteria = StarCriteria {
            repository: repository.clone(),
            comparison: Comparison::AtLeast,
            stars: steps.saturating_mul(self.star_step),
        };
        Ok(answer.behind(Criteria::Github(criteria), format!("{stars} stars")))
    }

    fn ask_temperature(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let subject = |town: &crate::world::Town| town.city.as_str().to_lowercase();
        let town = choose(self.world.towns(), taken, draw, subject)?;
        let answer = self.temperature_now(town.place, now);
        let found = sources::open_meteo::parse_now(&answer.body, now)?;
        // To the nearest whole degree, as the real feed asks.
        let half = ledger_core::money::UNITS_PER_CREDIT / 2;
        let criteria = TemperatureCriteria {
            city: town.city.clone(),
            latitude: town.place.latitude,
            longitude: town.place.longitude,
            comparison: if draw >> 63 == 0 {
                Comparison::Above
            } else {
                Comparison::Below
            },
            celsius: (found.decimal().units() + half)
                .div_euclid(ledger_core::money::UNITS_PER_CREDIT),
        };
        Ok(answer.behind(Criteria::Weather(criteria), format!("{found} °C")))
    }

    fn ask_headline(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let subject = |keyword: &ledger_core::subject::Keyword| keyword.as_str().to_lowercase();
        let keyword = choose(self.world.keywords(), taken, draw, subject)?;
        let answer = self.headlines(now);
        let found = sources::news::parse(&answer.body)?.items.len();
        let criteria = HeadlineCriteria {
            keyword: keyword.clone(),
            published: Some(HeadlineRule::AfterBetsClose),
        };
        Ok(answer.behind(Criteria::News(criteria), format!("{found} headlines")))
    }

    fn ask_page(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let answer = self.article(draw, now);
        let article = sources::wikipedia::parse_summary(&answer.body)?;
        let unusable = |_| NoProposal::Unusable("an article without a title".to_owned());
        let title = article.title.parse().map_err(unusable)?;
        let criteria = Criteria::Research(ArticleCriteria { article: title });
        if taken.contains(&criteria.subject()) {
            return Err(NoProposal::NothingFree);
        }
        let page_id = article.page_id.to_string().parse();
        let mut proposal = answer.behind(criteria, format!("page {}", article.page_id));
        proposal.answer = page_id.ok();
        Ok(proposal)
    }

    fn reading(&self, market: &Market, now: Timestamp) -> Reading {
        if let Some(error) = self.trouble(now) {
            return Reading {
                evidence: Answer::refused(&error, now),
                error: Some(error),
            };
        }
        let answer = match &market.criteria {
            Criteria::Github(criteria) => self.stars(&criteria.repository, now),
            Criteria::Weather(criteria) => {
                self.temperature_at(criteria.place(), weather_instant(market.deadline), now)
            }
            Criteria::News(_) | Criteria::Research(_) => self.headlines(now),
        };
        match derive(&market.criteria, &market.times(), now, &answer.body) {
            Ok(reading) => Reading {
                evidence: answer.kept(Finding::Read {
                    value: reading.to_string(),
                    decides: market.criteria.decide(&reading),
                }),
                error: None,
            },
            Err(error) => Reading {
                evidence: answer.kept(Finding::Nothing {
                    problem: error.to_string(),
                }),
                error: Some(error),
            },
        }
    }

    fn stars(&self, repository: &Repository, now: Timestamp) -> Answer {
        let stars = self.world.stars(repository, now).unwrap_or(0);
        let body = json!({
            "name": repository.name(),
            "full_name": repository.to_string(),
            "owner": { "login": repository.owner() },
            "stargazers_count": stars,
        });
        Answer::new(
            format!("https://api.github.test/repos/{repository}"),
            &body,
            now,
        )
    }

    fn temperature_now(&self, place: Place, now: Timestamp) -> Answer {
        let quarter = weather_instant(now);
        let tenths = self.world.tenths(place, quarter);
        let body = json!({
            "latitude": number(&place.latitude.to_string()),
            "longitude": number(&place.longitude.to_string()),
            "utc_offset_seconds": 0,
            "timezone": "GMT",
            "current_units": { "time": "iso8601", "interval": "seconds", "temperature_2m": "°C" },
            "current": {
                "time": quarter.datetime().format(TIME_FORMAT).to_string(),
                "interval": 900,
                "temperature_2m": degrees(tenths),
            },
        });
        Answer::new(weather_url(place, "current=temperature_2m"), &body, now)
    }

    fn temperature_at(&self, place: Place, instant: Timestamp, now: Timestamp) -> Answer {
        let time = instant.datetime().format(TIME_FORMAT).to_string();
        let tenths = self.world.tenths(place, instant);
        let body = json!({
            "latitude": number(&place.latitude.to_string()),
            "longitude": number(&place.longitude.to_string()),
            "utc_offset_seconds": 0,
            "timezone": "GMT",
            "minutely_15_units": { "time": "iso8601", "temperature_2m": "°C" },
            "minutely_15": { "time": [time], "temperature_2m": [degrees(tenths)] },
        });
        let query =
            format!("minutely_15=temperature_2m&start_minutely_15={time}&end_minutely_15={time}");
        Answer::new(weather_url(place, &query), &body, now)
    }

    fn headlines(&self, now: Timestamp) -> Answer {
        let headlines = self.world.headlines(now, HEADLINES_MAX);
        let articles: Vec<_> = headlines
            .iter()
            .enumerate()
            .map(|(place, headline)| {
                json!({
                    "source": { "id": null, "name": "The Simulated Times" },
                    "title": headline.title,
                    "url": format!("https://news.test/{}/{place}", headline.published_at.micros()),
                    "publishedAt": headline.published_at,
                })
            })
            .collect();
        let body = json!({ "status": "ok", "totalResults": articles.len(), "articles": articles });
        Answer::new(
            "https://newsapi.test/v2/top-headlines".to_owned(),
            &body,
            now,
        )
    }

    fn article(&self, draw: u64, now: Timestamp) -> Answer {
        let article = self.world.article(draw);
        let body = json!({
            "type": "standard",
            "title": article.title,
            "namespace": { "id": 0, "text": "" },
            "pageid": article.page_id,
            "lang": "en",
            "extract": format!("The {} is a place that only this simulation knows.", article.title),
        });
        let url = "https://wikipedia.test/api/rest_v1/page/random/summary".to_owned();
        Answer::new(url, &body, now)
    }
}

/// Something whose subject is not taken.
fn choose<'a, T>(
    all: &'a [T],
    taken: &[String],
    draw: u64,
    subject: impl Fn(&T) -> String,
) -> Result<&'a T, NoProposal> {
    let free: Vec<&T> = all
        .iter()
        .filter(|one| !taken.contains(&subject(one)))
        .collect();
    let count = u64::try_from(free.len()).unwrap_or(0);
    let place = draw
        .checked_rem(count)
        .and_then(|place| usize::try_from(place).ok());
    place
        .and_then(|place| free.get(place).copied())
        .ok_or(NoProposal::NothingFree)
}

/// Tenths as a number of JSON with one decimal.
fn degrees(tenths: i64) -> serde_json::Value {
    let sign = if tenths < 0 { "-" } else { "" };
    let size = tenths.unsigned_abs();
    number(&format!("{sign}{}.{}", size / 10, size % 10))
}

fn number(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or(serde_json::Value::Null)
}

fn weather_url(place: Place, query: &str) -> String {
    let Place {
        latitude,
        longitude,
    } = place;
    format!(
        "https://open-meteo.test/v1/forecast?latitude={latitude}&longitude={longitude}&timezone=GMT&{query}"
    )
}

/// What a service sends back.
struct Answer {
    url: String,
    body: Vec<u8>,
    at: Timestamp,
}

impl Answer {
    fn new(url: String, body: &serde_json::Value, at: Timestamp) -> Answer {
        Answer {
            url,
            body: body.to_string().into_bytes(),
            at,
        }
    }

    fn kept(self, finding: Finding) -> NewEvidence {
        NewEvidence {
            url: self.url,
            fetched_at: self.at,
            status: Some(200),
            sha256: Some(Evidence::digest(&self.body)),
            body: self.body,
            truncated: false,
            finding,
        }
    }

    /// The question that this answer led to.
    fn behind(self, criteria: Criteria, value: String) -> Proposal {
        let read = Finding::Read {
            value,
            decides: None,
        };
        Proposal {
            criteria,
            answer: None,
            evidence: vec![self.kept(read)],
        }
    }

    /// What is kept of an answer that says no.
    fn refused(error: &SourceError, at: Timestamp) -> NewEvidence {
        let finding = Finding::Nothing {
            problem: error.to_string(),
        };
        let empty = Answer {
            url: "https://silent.test/".to_owned(),
            body: Vec::new(),
            at,
        };
        NewEvidence {
            status: Some(if matches!(error, SourceError::Server(_)) {
                503
            } else {
                429
            }),
            ..empty.kept(finding)
        }
    }
}
