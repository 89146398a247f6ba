//! Headlines as a source of markets.

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::Timestamp;
use ledger_core::criteria::{Criteria, HeadlineCriteria, Reading, Times};
use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use ledger_core::sources::news::{HeadlineRule, headlines_between};
use ledger_core::subject::Keyword;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    DEFAULT_FEED_URL, DEFAULT_URL, Feed as FeedClient, Listing, News, NewsApi, keep, mentions,
    parse, v1,
};
use crate::played::{Asked, Played, World};
use crate::source::{address, choose, list, made};
use crate::{Feed, Fetched, Http, NoProposal, Proposal, Settings, Source, SourceError};

/// Keywords, unless `MARKET_KEYWORDS` names others.
const KEYWORDS: &str = "AI,Apple,Google,Microsoft,Amazon,Meta,Nvidia,OpenAI,Tesla,Samsung,chip,\
    robot,privacy,hack,Windows,Android,iPhone,crypto,Bitcoin,data,cloud,phone,China,EU";

/// Keywords in technology headlines.
pub(crate) struct Headlines;

impl Source for Headlines {
    fn name(&self) -> &'static str {
        "news"
    }

    /// NewsAPI with a key, a feed without one.
    fn feed(
        &self,
        settings: &mut dyn Settings,
        http: &Http,
        _: &MarketRules,
    ) -> Option<Arc<dyn Feed>> {
        let key = settings.secret("NEWSAPI_KEY");
        let api_url = address(settings, "NEWSAPI_URL", DEFAULT_URL)?;
        let feed_url = address(settings, "NEWS_FEED_URL", DEFAULT_FEED_URL)?;
        let client = match key {
            Some(key) => {
                let client = NewsApi::new(http.clone(), api_url, &key).map(News::Api);
                made(settings, client, ["NEWSAPI_URL", "NEWSAPI_KEY"])
            }
            None => {
                let client = FeedClient::new(http.clone(), feed_url).map(News::Feed);
                made(settings, client, ["NEWS_FEED_URL", "NEWS_FEED_URL"])
            }
        };
        let keywords = list(settings, "MARKET_KEYWORDS", KEYWORDS);
        Some(Arc::new(NewsFeed { client: client?, keywords: keywords?, answer: Mutex::default() }))
    }

    fn derive(
        &self,
        criteria: &Criteria,
        times: &Times,
        fetched_at: Timestamp,
        body: &[u8],
    ) -> Result<Reading, SourceError> {
        let Criteria::News(HeadlineCriteria { keyword, published }) = criteria else {
            return Err(SourceError::MISPLACED);
        };
        let text = match published {
            None => {
                let until = times.deadline.min(fetched_at);
                v1::search(body, keyword.as_str(), times.opens_at, until)?
            }
            Some(HeadlineRule::AfterBetsClose) => {
                let (after, until) = window(times, fetched_at);
                let listing = parse(body)?;
                let found = mentions(&listing, keyword.as_str(), after, until)?;
                found.and_then(|it| it.title.clone())
            }
        };
        let what = "headline";
        Ok(Reading::Found { what, text })
    }

    fn address(&self) -> (&'static str, &'static str) {
        ("NEWS_FEED_URL", "/technology/rss.xml")
    }

    /// Sixty items, one every two minutes, about subjects of questions.
    fn answer(&self, world: &World, asked: &Asked<'_>) -> Option<Played> {
        const SPACING: i64 = 120;
        if !asked.path.ends_with("rss.xml") {
            return None;
        }
        let subjects: Vec<&str> = KEYWORDS.split(',').collect();
        let count = u32::try_from(subjects.len()).ok()?;
        let newest = asked.seconds() / SPACING;
        let item = |age: i64| {
            let number = newest - age;
            let place = usize::try_from(world.roll(count, "headline", number)).ok()?;
            let subject = subjects.get(place)?;
            let at = Timestamp::from_micros(number * SPACING * 1_000_000)?.datetime();
            let date = at.format("%a, %d %b %Y %H:%M:%S GMT");
            Some(format!(
                "<item><title><![CDATA[Number {number}: what {subject} means to you]]></title>\
                 <link>https://news.example.org/{number}</link>\
                 <guid isPermaLink=\"false\">https://news.example.org/{number}#0</guid>\
                 <pubDate>{date}</pubDate></item>"
            ))
        };
        let items: String = (0..60).filter_map(item).collect();
        Some(Played {
            headers: vec![("content-type", "text/xml".to_owned())],
            ..Played::body(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rss version=\"2.0\"><channel>\
                 <title>Example Technology</title><link>https://news.example.org/</link>\
                 <description>Technology news</description>{items}</channel></rss>"
            ))
        })
    }

    fn example(&self, word: &str) -> Value {
        json!({ "keyword": format!("k{word}") })
    }
}

/// When a headline must have been published. Nothing of the future counts: neither what is dated
/// after the deadline, nor what a publisher dated ahead of the fetch.
fn window(times: &Times, fetched_at: Timestamp) -> (Timestamp, Timestamp) {
    let (after, until) = headlines_between(times);
    (after, until.min(fetched_at))
}

/// The stored form of a list of headlines fetched for this market. [`crate::derive`] reads it.
pub fn headlines_to_keep(
    criteria: &Criteria,
    times: &Times,
    fetched: Fetched<Listing>,
) -> Fetched<()> {
    let Fetched { evidence, value } = fetched;
    let evidence = match (&value, criteria) {
        (Ok(listing), Criteria::News(criteria)) if criteria.published.is_some() => {
            let (after, until) = window(times, evidence.fetched_at);
            keep(evidence, listing, after, until)
        }
        _ => evidence,
    };
    Fetched { evidence, value }.kept()
}

struct NewsFeed {
    client: News,
    keywords: Vec<Keyword>,
    /// One answer decides all markets that are due in a round: that of the moment at which it began.
    answer: Mutex<Option<(Timestamp, Fetched<Listing>)>>,
}

impl NewsFeed {
    /// Asks, unless the answer of this round is there.
    async fn headlines_of_round(&self, now: Timestamp) -> Fetched<Listing> {
        // Locked during the request: the others wait for its answer.
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
}

#[async_trait]
impl Feed for NewsFeed {
    fn source(&self) -> MarketSource {
        MarketSource::News
    }

    fn has_one_answer_for_all(&self) -> bool {
        true
    }

    async fn propose(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let subject = |keyword: &Keyword| keyword.as_str().to_lowercase();
        let keyword = choose(&self.keywords, taken, draw, subject)?;
        // Asked beforehand: a question that its source could not decide is not put.
        let Fetched { evidence, value } = self.client.headlines(now).await;
        let listing = value.map_err(NoProposal::about(None))?;
        // An incomplete list decides no question.
        let about = listing.whole.then(|| subject(keyword));
        listing.could_decide(keyword.as_str(), now).map_err(NoProposal::about(about))?;
        Ok(Proposal {
            criteria: Criteria::News(HeadlineCriteria {
                keyword: keyword.clone(),
                published: Some(HeadlineRule::AfterBetsClose),
            }),
            answer: None,
            evidence: evidence.cut(),
            value: format!("{} headlines", listing.items.len()),
        })
    }

    async fn fetch(&self, criteria: &Criteria, times: &Times, now: Timestamp) -> Fetched<()> {
        headlines_to_keep(criteria, times, self.headlines_of_round(now).await)
    }
}
