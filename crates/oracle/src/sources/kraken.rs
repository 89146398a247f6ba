//! Kraken's public trades, and its minutes for the past. Neither needs a key.
//!
//! The ticker names no time, so a sample is the newest trade, whose time is exact. History is one
//! price a minute: what the last trade of that minute paid, at the minute's end.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::{Http, SetupError, SourceConfig};
use super::{FeedError, PriceFeed, Quote, current, plausible};

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.kraken.com/0";
/// Nobody has a key; were one configured, it would go here.
const KEY_HEADER: &str = "api-key";
const PAIR: &str = "XBTUSD";
/// How far back the newest trade may lie.
const TRADES_SECONDS: i64 = 120;
const MINUTE_SECONDS: i64 = 60;

/// The Kraken feed.
pub struct Kraken(Http);

impl Kraken {
    /// # Errors
    /// When the URL or the contact cannot be used.
    pub fn new(config: SourceConfig) -> Result<Kraken, SetupError> {
        Http::new(config, DEFAULT_URL, KEY_HEADER).map(Kraken)
    }

    async fn ask(&self, now: Timestamp) -> Result<Quote, FeedError> {
        // In nanoseconds since 1970, as its trades are numbered.
        let since = format!("{}000", now.plus_seconds(-TRADES_SECONDS).micros());
        let query = [("pair", PAIR), ("since", &since)];
        let body = self.0.get(&["public", "Trades"], &query, now).await?;
        read_trades(&body, now)
    }

    async fn look_back(
        &self,
        begins_at: Timestamp,
        ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Quote>, FeedError> {
        let since = begins_at.micros().div_euclid(1_000_000) - 2 * MINUTE_SECONDS;
        let since = since.to_string();
        let query = [("pair", PAIR), ("interval", "1"), ("since", &since)];
        let body = self.0.get(&["public", "OHLC"], &query, now).await?;
        read_minutes(&body, begins_at, ends_at)
    }
}

impl PriceFeed for Kraken {
    fn source(&self) -> PriceSource {
        PriceSource::Kraken
    }

    fn quote(&self, now: Timestamp) -> BoxFuture<'_, Result<Quote, FeedError>> {
        self.ask(now).boxed()
    }

    fn history(
        &self,
        begins_at: Timestamp,
        ends_at: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Quote>, FeedError>> {
        self.look_back(begins_at, ends_at, now).boxed()
    }
}

/// Every answer is 200 with either errors or a result: the rows under the pair's name in full, and
/// `last`.
#[derive(Deserialize)]
struct Answer<'a> {
    error: Vec<String>,
    #[serde(borrow)]
    result: Option<BTreeMap<String, &'a RawValue>>,
}

fn rows(body: &[u8]) -> Result<Vec<Vec<&RawValue>>, FeedError> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| FeedError::NotJson)?;
    if let Some(error) = answer.error.first() {
        return Err(
            if error.contains("Rate limit") || error.contains("Too many requests") {
                FeedError::RateLimited {
                    retry_after_seconds: None,
                }
            } else {
                FeedError::Said(
                    error
                        .chars()
                        .take(100)
                        .filter(|c| !c.is_control())
                        .collect(),
                )
            },
        );
    }
    let result = answer.result.ok_or(FeedError::MissingField("result"))?;
    let rows = result.iter().find(|(name, _)| *name != "last");
    let (_, rows) = rows.ok_or(FeedError::MissingField("the pair's rows"))?;
    serde_json::from_str(rows.get()).map_err(|_| FeedError::NotJson)
}

/// A field that is a string of a number.
fn number<'a>(row: &[&'a RawValue], place: usize) -> Result<&'a str, FeedError> {
    let text = row
        .get(place)
        .ok_or(FeedError::MissingField("a price"))?
        .get();
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .ok_or(FeedError::Price(super::PriceTextError::NotANumber))
}

/// Seconds since 1970, with or without a fraction; what is finer than a microsecond is cut off.
fn time(row: &[&RawValue], place: usize) -> Result<Timestamp, FeedError> {
    let text = row
        .get(place)
        .ok_or(FeedError::MissingField("a time"))?
        .get();
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_digits(seconds) || !is_digits(fraction) {
        return Err(FeedError::Time);
    }
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros: i64 = format!("{seconds}{fraction}")
        .parse()
        .map_err(|_| FeedError::Time)?;
    Timestamp::from_micros(micros).ok_or(FeedError::Time)
}

/// The newest of the trades: price, volume, time and more.
fn read_trades(body: &[u8], now: Timestamp) -> Result<Quote, FeedError> {
    let rows = rows(body)?;
    let newest = rows
        .last()
        .ok_or(FeedError::MissingField("a recent trade"))?;
    Ok(Quote {
        price: plausible(number(newest, 0)?)?,
        provider_at: current(time(newest, 2)?, now)?,
    })
}

/// Minutes: their beginning, open, high, low, close and more. The last one is not over yet.
fn read_minutes(
    body: &[u8],
    begins_at: Timestamp,
    ends_at: Timestamp,
) -> Result<Vec<Quote>, FeedError> {
    let rows = rows(body)?;
    let over = rows.len().saturating_sub(1);
    let mut quotes = Vec::with_capacity(over);
    for row in rows.iter().take(over) {
        let quote = Quote {
            price: plausible(number(row, 4)?)?,
            provider_at: time(row, 0)?.plus_seconds(MINUTE_SECONDS),
        };
        if begins_at <= quote.provider_at && quote.provider_at < ends_at {
            quotes.push(quote);
        }
    }
    quotes.sort_by_key(|quote| quote.provider_at);
    Ok(quotes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-02-16T00:00:00Z.
    const NOW: i64 = 1_771_200_000;

    fn now() -> Timestamp {
        Timestamp::from_micros(NOW * 1_000_000).unwrap()
    }

    const TRADES: &str = r#"{"error":[],"result":{"XXBTZUSD":[
        ["67187.30000","0.34507674",1771199970.8277369,"b","m","",61044952],
        ["67187.40000","0.00276870",1771199993.9979,"s","l","",61044956]],"last":"1771199993997900000"}}"#;
    const MINUTES: &str = r#"{"error":[],"result":{"XXBTZUSD":[
        [1771199040,"67100.0","67101.0","67099.0","67100.5","67100.1","3.39243896",23],
        [1771199100,"67100.5","67103.0","67100.5","67102.0","67101.1","1.1",11],
        [1771199160,"67102.0","67102.0","67090.0","67091.0","67099.1","2.1",12]],"last":1771199100}}"#;

    #[test]
    fn the_newest_trade_is_the_price_at_its_own_time() {
        let quote = read_trades(TRADES.as_bytes(), now()).unwrap();
        assert_eq!(quote.price.to_string(), "67187.40000000");
        assert_eq!(quote.provider_at.micros(), 1_771_199_993_997_900);
    }

    #[test]
    fn a_minute_is_worth_its_last_trade_at_its_end_once_it_is_over() {
        let (begins, ends) = (now().plus_seconds(-900), now().plus_seconds(-600));
        let quotes = read_minutes(MINUTES.as_bytes(), begins, ends).unwrap();
        let read: Vec<_> = quotes
            .iter()
            .map(|quote| {
                (
                    quote.price.to_string(),
                    now().seconds_since(quote.provider_at),
                )
            })
            .collect();
        assert_eq!(
            read,
            [
                ("67100.50000000".to_owned(), 900),
                ("67102.00000000".to_owned(), 840)
            ]
        );
        let later = read_minutes(MINUTES.as_bytes(), now().plus_seconds(-890), ends).unwrap();
        assert_eq!(later.len(), 1);
    }

    #[test]
    fn what_it_says_in_a_200_counts() {
        for (body, error) in [
            (
                r#"{"error":["EAPI:Rate limit exceeded"]}"#,
                FeedError::RateLimited {
                    retry_after_seconds: None,
                },
            ),
            (
                r#"{"error":["EGeneral:Too many requests"],"result":{}}"#,
                FeedError::RateLimited {
                    retry_after_seconds: None,
                },
            ),
            (
                r#"{"error":["EService:Unavailable"]}"#,
                FeedError::Said("EService:Unavailable".to_owned()),
            ),
            (r#"{"error":[]}"#, FeedError::MissingField("result")),
            (
                r#"{"error":[],"result":{"last":"1"}}"#,
                FeedError::MissingField("the pair's rows"),
            ),
            (
                r#"{"error":[],"result":{"XXBTZUSD":[],"last":"1"}}"#,
                FeedError::MissingField("a recent trade"),
            ),
            (
                r#"{"error":[],"result":{"XXBTZUSD":[["67187.3"]],"last":"1"}}"#,
                FeedError::MissingField("a time"),
            ),
            (
                r#"{"error":[],"result":{"XXBTZUSD":[[67187.3,"1",1771199970]],"last":"1"}}"#,
                FeedError::Price(crate::price_text::PriceTextError::NotANumber),
            ),
            (
                r#"{"error":[],"result":{"XXBTZUSD":[["67187.3","1",1771199398.9]],"last":"1"}}"#,
                FeedError::Stale { age_seconds: 601 },
            ),
            ("<html>", FeedError::NotJson),
        ] {
            assert_eq!(read_trades(body.as_bytes(), now()), Err(error), "{body}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_bytes_make_it_panic_or_a_price(body in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read_trades(&body, now()).is_err());
            prop_assert!(read_minutes(&body, now(), now()).is_err());
        }

        #[test]
        fn no_time_makes_it_panic(text in "-?[0-9]{0,30}(\\.[0-9]{0,30})?") {
            let body = format!(r#"{{"error":[],"result":{{"X":[["67000.0","1",{text}]],"last":"1"}}}}"#);
            drop(read_trades(body.as_bytes(), now()));
        }
    }
}
