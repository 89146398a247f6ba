//! The four sources of markets: what each can ask about, and how it reads what decides.

use db::markets::{Finding, Market, NewEvidence};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ledger_core::Timestamp;
use ledger_core::criteria::{
    ArticleCriteria, City, Comparison, Criteria, HeadlineCriteria, HeadlineRule, Place,
    StarCriteria, TemperatureCriteria, weather_instant,
};
use ledger_core::market::MarketSource;
use ledger_core::money::UNITS_PER_CREDIT;
use ledger_core::subject::{Keyword, Repository};
use sources::github::GitHub;
use sources::news::{Listing, News};
use sources::open_meteo::OpenMeteo;
use sources::wikipedia::Wikipedia;
use sources::{Evidence, Fetched, derive, headlines_to_keep};
use tokio::sync::Mutex;

use super::{MarketFeed, NoProposal, Proposal, Reading};

/// Chooses what to ask about: something whose subject is not taken.
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
        .and_then(|place| usize::try_from(place).ok())
        .ok_or(NoProposal::NothingFree)?;
    free.get(place).copied().ok_or(NoProposal::NothingFree)
}

/// A fetch as it is kept, with what it came to.
fn kept(evidence: Evidence, finding: Finding) -> NewEvidence {
    NewEvidence {
        url: evidence.url,
        fetched_at: evidence.fetched_at,
        status: evidence.status,
        sha256: evidence.sha256,
        body: evidence.body,
        truncated: evidence.truncated,
        finding,
    }
}

/// The fetch behind a proposal: what was read, or the reason why there is none.
///
/// `subject` is what was asked about, where it was chosen before the fetch.
fn opening<T>(
    fetched: Fetched<T>,
    subject: Option<String>,
    value: impl Fn(&T) -> String,
) -> Result<(T, NewEvidence), NoProposal> {
    let Fetched {
        evidence,
        value: read,
    } = fetched;
    let read = read.map_err(|error| NoProposal::Source { subject, error })?;
    let evidence = evidence.cut();
    let finding = Finding::Read {
        value: value(&read),
        decides: None,
    };
    Ok((read, kept(evidence, finding)))
}

/// The fetch at the end of a market: what its bytes decide, derived from them as anybody can derive
/// it again.
fn deciding<T>(market: &Market, fetched: Fetched<T>) -> Reading {
    let Fetched { evidence, value } = fetched;
    let read = value.and_then(|_| {
        derive(
            &market.criteria,
            &market.times(),
            evidence.fetched_at,
            &evidence.body,
        )
    });
    match read {
        Ok(reading) => Reading {
            evidence: kept(
                evidence,
                Finding::Read {
                    value: reading.to_string(),
                    decides: market.criteria.decide(&reading),
                },
            ),
            error: None,
        },
        Err(error) => Reading {
            evidence: kept(
                evidence,
                Finding::Nothing {
                    problem: error.to_string(),
                },
            ),
            error: Some(error),
        },
    }
}

/// What the caller asked for makes no sense for this feed: a mistake of ours, told as evidence.
fn misplaced(market: &Market, now: Timestamp) -> Reading {
    Reading {
        evidence: NewEvidence {
            url: "none".to_owned(),
            fetched_at: now,
            status: None,
            sha256: None,
            body: Vec::new(),
            truncated: false,
            finding: Finding::Nothing {
                problem: format!("a market of {} was put to another source", market.source),
            },
        },
        error: None,
    }
}

/// Stars of repositories.
pub struct GitHubFeed {
    client: GitHub,
    repositories: Vec<Repository>,
    star_step: i64,
}

impl GitHubFeed {
    #[must_use]
    pub fn new(client: GitHub, repositories: Vec<Repository>, star_step: i64) -> GitHubFeed {
        GitHubFeed {
            client,
            repositories,
            star_step: star_step.max(1),
        }
    }

    async fn question(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let repository = choose(&self.repositories, taken, draw, Repository::subject)?;
        let fetched = self.client.stars(repository, now).await;
        let subject = Some(repository.subject());
        let (stars, evidence) = opening(fetched, subject, |stars| format!("{stars} stars"))?;
        let steps = stars / self.star_step + 1;
        let criteria = StarCriteria {
            repository: repository.clone(),
            comparison: Comparison::AtLeast,
            stars: steps.saturating_mul(self.star_step),
        };
        Ok(Proposal {
            criteria: Criteria::Github(criteria),
            answer: None,
            evidence: vec![evidence],
        })
    }
}

impl MarketFeed for GitHubFeed {
    fn source(&self) -> MarketSource {
        MarketSource::Github
    }

    fn name(&self) -> &'static str {
        "github"
    }

    fn propose<'a>(
        &'a self,
        taken: &'a [String],
        draw: u64,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Proposal, NoProposal>> {
        self.question(taken, draw, now).boxed()
    }

    fn read<'a>(&'a self, market: &'a Market, now: Timestamp) -> BoxFuture<'a, Reading> {
        async move {
            match &market.criteria {
                Criteria::Github(criteria) => {
                    deciding(market, self.client.stars(&criteria.repository, now).await)
                }
                _ => misplaced(market, now),
            }
        }
        .boxed()
    }
}

/// A city and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Town {
    pub city: City,
    pub place: Place,
}

/// Temperatures of cities.
pub struct WeatherFeed {
    client: OpenMeteo,
    towns: Vec<Town>,
}

impl WeatherFeed {
    #[must_use]
    pub fn new(client: OpenMeteo, towns: Vec<Town>) -> WeatherFeed {
        WeatherFeed { client, towns }
    }

    async fn question(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let subject = |town: &Town| town.city.as_str().to_lowercase();
        let town = choose(&self.towns, taken, draw, subject)?;
        let fetched = self.client.temperature_now(town.place, now).await;
        let about = Some(subject(town));
        let (celsius, evidence) = opening(fetched, about, |degrees| format!("{degrees} °C"))?;
        // The present whole degree: to the nearest.
        let half = UNITS_PER_CREDIT / 2;
        let whole = (celsius.decimal().units() + half).div_euclid(UNITS_PER_CREDIT);
        // Another bit than those that chose the city.
        let comparison = if draw >> 63 == 0 {
            Comparison::Above
        } else {
            Comparison::Below
        };
        let criteria = TemperatureCriteria {
            city: town.city.clone(),
            latitude: town.place.latitude,
            longitude: town.place.longitude,
            comparison,
            celsius: whole,
        };
        Ok(Proposal {
            criteria: Criteria::Weather(criteria),
            answer: None,
            evidence: vec![evidence],
        })
    }
}

impl MarketFeed for WeatherFeed {
    fn source(&self) -> MarketSource {
        MarketSource::Weather
    }

    fn name(&self) -> &'static str {
        "open-meteo"
    }

    fn propose<'a>(
        &'a self,
        taken: &'a [String],
        draw: u64,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Proposal, NoProposal>> {
        self.question(taken, draw, now).boxed()
    }

    fn read<'a>(&'a self, market: &'a Market, now: Timestamp) -> BoxFuture<'a, Reading> {
        async move {
            match &market.criteria {
                Criteria::Weather(criteria) => {
                    let instant = weather_instant(market.deadline);
                    let place = criteria.place();
                    let fetched = self.client.temperature_at(place, instant, now).await;
                    deciding(market, fetched)
                }
                _ => misplaced(market, now),
            }
        }
        .boxed()
    }
}

/// Keywords in technology headlines.
pub struct NewsFeed {
    client: News,
    keywords: Vec<Keyword>,
    /// One answer decides all markets that are due in a cycle: that of the moment at which it began.
    answer: Mutex<Option<(Timestamp, Fetched<Listing>)>>,
}

impl NewsFeed {
    #[must_use]
    pub fn new(client: News, keywords: Vec<Keyword>) -> NewsFeed {
        NewsFeed {
            client,
            keywords,
            answer: Mutex::default(),
        }
    }

    /// Asks, unless the answer of this cycle is there.
    async fn headlines_of_cycle(&self, now: Timestamp) -> Fetched<Listing> {
        // Held while it is asked: the others wait for its answer.
        let mut answer = self.answer.lock().await;
        match &*answer {
            Some((at, fetched)) if *at == now => fetched.clone(),
            _ => {
                let fetched = self.client.headlines(now).await;
                *answer = Some((now, fetched.clone()));
                fetched
            }
        }
    }

    async fn question(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let subject = |keyword: &Keyword| keyword.as_str().to_lowercase();
        let keyword = choose(&self.keywords, taken, draw, subject)?;
        // Asked beforehand: a question that its source could not decide is not put.
        let fetched = self.client.headlines(now).await;
        let (listing, evidence) = opening(fetched, None, |listing| {
            format!("{} headlines", listing.items.len())
        })?;
        let in_doubt = |error| NoProposal::Source {
            // A list that is not whole answers no question at all.
            subject: listing.whole.then(|| subject(keyword)),
            error,
        };
        listing
            .could_decide(keyword.as_str(), now)
            .map_err(in_doubt)?;
        let criteria = HeadlineCriteria {
            keyword: keyword.clone(),
            published: Some(HeadlineRule::AfterBetsClose),
        };
        Ok(Proposal {
            criteria: Criteria::News(criteria),
            answer: None,
            evidence: vec![evidence],
        })
    }
}

impl MarketFeed for NewsFeed {
    fn source(&self) -> MarketSource {
        MarketSource::News
    }

    fn name(&self) -> &'static str {
        "news"
    }

    fn has_one_answer_for_all(&self) -> bool {
        true
    }

    fn propose<'a>(
        &'a self,
        taken: &'a [String],
        draw: u64,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Proposal, NoProposal>> {
        self.question(taken, draw, now).boxed()
    }

    fn read<'a>(&'a self, market: &'a Market, now: Timestamp) -> BoxFuture<'a, Reading> {
        async move {
            let fetched = self.headlines_of_cycle(now).await;
            deciding(
                market,
                headlines_to_keep(&market.criteria, &market.times(), fetched),
            )
        }
        .boxed()
    }
}

/// Page ids of Wikipedia's articles.
pub struct ResearchFeed {
    client: Wikipedia,
}

impl ResearchFeed {
    #[must_use]
    pub fn new(client: Wikipedia) -> ResearchFeed {
        ResearchFeed { client }
    }

    async fn question(&self, taken: &[String], now: Timestamp) -> Result<Proposal, NoProposal> {
        let fetched = self.client.random(now).await;
        let (article, evidence) =
            opening(fetched, None, |article| format!("page {}", article.page_id))?;
        let unusable = |why: &str| NoProposal::Unusable(format!("a random article {why}"));
        let title = article
            .title
            .parse()
            .map_err(|_| unusable("has a title that cannot be asked about"))?;
        let criteria = Criteria::Research(ArticleCriteria { article: title });
        if taken.contains(&criteria.subject()) {
            return Err(NoProposal::NothingFree);
        }
        let answer = article.page_id.to_string().parse();
        Ok(Proposal {
            criteria,
            answer: Some(answer.map_err(|_| unusable("has no page id"))?),
            evidence: vec![evidence],
        })
    }
}

impl MarketFeed for ResearchFeed {
    fn source(&self) -> MarketSource {
        MarketSource::Research
    }

    fn name(&self) -> &'static str {
        "wikipedia"
    }

    fn propose<'a>(
        &'a self,
        taken: &'a [String],
        _: u64,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Proposal, NoProposal>> {
        self.question(taken, now).boxed()
    }

    fn read<'a>(&'a self, market: &'a Market, now: Timestamp) -> BoxFuture<'a, Reading> {
        async move { misplaced(market, now) }.boxed()
    }
}
