//! Kraken's public trades, and its minutes for the past. Neither needs a key.
//!
//! The ticker names no time, so a sample is the newest trade, whose time is exact. History is one price a minute:
//! what the last trade of that minute paid, at the minute's end. It reaches back twelve hours: Kraken returns at
//! most the last 720 minutes for any request.

use std::collections::BTreeMap;

use async_trait::async_trait;
use db::prices::Span;
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::warn;

use super::http::{Http, SetupError, SourceConfig};
use super::{FeedError, History, PriceFeed, Quote, current, plausible};

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.kraken.com/0";
/// Nobody has a key; were one configured, it would go here.
const KEY_HEADER: &str = "api-key";
const PAIR: &str = "XBTUSD";
const MINUTE_SECONDS: i64 = 60;
/// A little less than the 720 minutes of the answer: time passes until it arrives.
const REACHES_BACK_SECONDS: i64 = 700 * MINUTE_SECONDS;
/// The longest part of a stranger's text in the log.
const SAID_MAX_CHARS: usize = 100;

/// The Kraken feed.
pub struct Kraken(Http);

impl Kraken {
    /// # Errors
    /// When the URL or the contact cannot be used.
    pub fn new(config: SourceConfig) -> Result<Kraken, SetupError> {
        Http::new(config, DEFAULT_URL, KEY_HEADER).map(Kraken)
    }
}

#[async_trait]
impl PriceFeed for Kraken {
    fn source(&self) -> PriceSource {
        PriceSource::Kraken
    }

    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError> {
        // Without a beginning it returns the last thousand trades. With one it would return the first thousand
        // after it, which may not include the newest.
        let query = [("pair", PAIR)];
        let body = self.0.get(&["public", "Trades"], &query, now).await?;
        read_trades(&body, now)
    }

    fn reaches_back_seconds(&self) -> Option<i64> {
        Some(REACHES_BACK_SECONDS)
    }

    async fn history(&self, span: Span, now: Timestamp) -> Result<History, FeedError> {
        let since = span.begins_at.micros().div_euclid(1_000_000) - 2 * MINUTE_SECONDS;
        let since = since.to_string();
        let query = [("pair", PAIR), ("interval", "1"), ("since", &since)];
        let body = self.0.get(&["public", "OHLC"], &query, now).await?;
        read_minutes(&body, span)
    }
}

/// Every answer is 200 with errors or a result, the rows under the pair's full name, and `last`; and with either
/// perhaps warnings. An error begins with E, a warning with W.
#[derive(Deserialize)]
struct Answer<'a> {
    error: Vec<String>,
    #[serde(borrow)]
    result: Option<BTreeMap<String, &'a RawValue>>,
}

fn rows(body: &[u8]) -> Result<Vec<Vec<&RawValue>>, FeedError> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| FeedError::NotJson)?;
    for said in answer.error {
        let is_error = said.starts_with('E');
        if is_error && (said.contains("Rate limit") || said.contains("Too many requests")) {
            return Err(FeedError::RateLimited { retry_after_seconds: None });
        }
        let said: String = said.chars().take(SAID_MAX_CHARS).filter(|c| !c.is_control()).collect();
        if is_error {
            return Err(FeedError::Said(said));
        }
        warn!(source = "kraken", said, "price source warns");
    }
    let result = answer.result.ok_or(FeedError::MissingField("result"))?;
    let rows = result.iter().find(|(name, _)| *name != "last");
    let (_, rows) = rows.ok_or(FeedError::MissingField("the pair's rows"))?;
    let rows: Vec<Option<Vec<&RawValue>>> =
        serde_json::from_str(rows.get()).map_err(|_| FeedError::NotJson)?;
    // One that is null is a row without fields.
    Ok(rows.into_iter().map(Option::unwrap_or_default).collect())
}

/// A field that is a string of a number.
fn number<'a>(row: &[&'a RawValue], place: usize) -> Result<&'a str, FeedError> {
    let text = row.get(place).ok_or(FeedError::MissingField("a price"))?.get();
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .ok_or(FeedError::Price(super::PriceTextError::NotANumber))
}

/// Seconds since 1970, with or without a fraction, truncated to microseconds.
fn time(row: &[&RawValue], place: usize) -> Result<Timestamp, FeedError> {
    let text = row.get(place).ok_or(FeedError::MissingField("a time"))?.get();
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_digits(seconds) || !is_digits(fraction) {
        return Err(FeedError::Time);
    }
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros: i64 = format!("{seconds}{fraction}").parse().map_err(|_| FeedError::Time)?;
    Timestamp::from_micros(micros).ok_or(FeedError::Time)
}

/// The newest of the trades: price, volume, time and more.
fn read_trades(body: &[u8], now: Timestamp) -> Result<Quote, FeedError> {
    let rows = rows(body)?;
    let newest = rows.last().ok_or(FeedError::MissingField("a recent trade"))?;
    Ok(Quote {
        price: plausible(number(newest, 0)?)?,
        provider_at: current(time(newest, 2)?, now)?,
    })
}

/// Minutes: their beginning, open, high, low, close and more. The last one is not over yet. The answer does not
/// cover the time before the first minute or after the last complete one.
fn read_minutes(body: &[u8], span: Span) -> Result<History, FeedError> {
    let rows = rows(body)?;
    let (Some(first), Some((last, over))) = (rows.first(), rows.split_last()) else {
        return Err(FeedError::NoPrices);
    };
    let (first, last) = (time(first, 0)?, time(last, 0)?);
    let told = Span {
        begins_at: if first <= span.begins_at {
            span.begins_at
        } else {
            first.plus_seconds(MINUTE_SECONDS)
        },
        // The minute before it ends with it.
        ends_at: span.ends_at.min(last.plus_seconds(1)),
    };
    if told.begins_at >= told.ends_at {
        return Err(FeedError::TooShort);
    }
    let minutes = over.iter().map(|row| {
        let ends_at = time(row, 0).map(|at| at.plus_seconds(MINUTE_SECONDS));
        (ends_at, number(row, 4).and_then(plausible))
    });
    let mut history = History::of(minutes, told);
    if told != span {
        history.problem.get_or_insert(FeedError::TooShort);
    }
    Ok(history)
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
        let span = of(-900, -839);
        let history = read_minutes(MINUTES.as_bytes(), span).unwrap();
        let read: Vec<_> = history
            .quotes
            .iter()
            .map(|quote| (quote.price.to_string(), now().seconds_since(quote.provider_at)))
            .collect();
        assert_eq!(read, [("67100.50000000".to_owned(), 900), ("67102.00000000".to_owned(), 840)]);
        assert_eq!((history.told, history.problem), (vec![span], None));
        let later = read_minutes(MINUTES.as_bytes(), of(-890, -839)).unwrap();
        assert_eq!(later.quotes.len(), 1);
    }

    /// So many seconds from now.
    fn of(begins: i64, ends: i64) -> Span {
        Span { begins_at: now().plus_seconds(begins), ends_at: now().plus_seconds(ends) }
    }

    #[test]
    fn of_what_it_leaves_out_nothing_is_told() {
        // Rows begin at 960 s before now; the last one, at 840 s before, is not over.
        for (asked, told) in [
            (of(-960, -839), Some(of(-960, -839))),
            (of(-961, -839), Some(of(-900, -839))),
            (of(-50_000, -839), Some(of(-900, -839))),
            (of(-900, -600), Some(of(-900, -839))),
            (of(-800, -600), None),
            (of(-50_000, -1_000), None),
        ] {
            let read = read_minutes(MINUTES.as_bytes(), asked);
            match told {
                Some(told) => {
                    let read = read.unwrap();
                    assert_eq!(read.told, [told], "{asked:?}");
                    let problem = (told != asked).then_some(FeedError::TooShort);
                    assert_eq!(read.problem, problem, "{asked:?}");
                }
                None => assert_eq!(read, Err(FeedError::TooShort), "{asked:?}"),
            }
        }
        let empty = br#"{"error":[],"result":{"XXBTZUSD":[],"last":1771199100}}"#;
        assert_eq!(read_minutes(empty, of(-900, -600)), Err(FeedError::NoPrices));
    }

    #[test]
    fn a_bad_minute_costs_nothing_but_itself() {
        for (good, bad) in [
            (r#""67102.0","67101.1""#, r#"null,"67101.1""#),
            (r#""67102.0","67101.1""#, r#""0","67101.1""#),
        ] {
            let body = MINUTES.replace(good, bad);
            assert_ne!(body, MINUTES);
            let history = read_minutes(body.as_bytes(), of(-960, -839)).unwrap();
            assert_eq!(history.quotes.len(), 1);
            // Minus 840 is its end.
            assert_eq!(history.told[0], of(-960, -840));
            let behind = now().micros() - 840_000_000 + 1;
            assert_eq!(history.told[1].begins_at.micros(), behind);
            assert!(matches!(history.problem, Some(FeedError::Price(_))));
        }
        let body = MINUTES.replace(
            r#"[1771199100,"67100.5","67103.0","67100.5","67102.0","67101.1","1.1",11]"#,
            "null",
        );
        let history = read_minutes(body.as_bytes(), of(-960, -839)).unwrap();
        assert_eq!((history.quotes.len(), history.told.len()), (1, 1));
    }

    #[test]
    fn a_warning_is_no_error() {
        let body = TRADES.replace(r#""error":[]"#, r#""error":["WGeneral:Deprecated soon"]"#);
        assert!(read_trades(body.as_bytes(), now()).is_ok());
        let body = TRADES.replace(
            r#""error":[]"#,
            r#""error":["WGeneral:Deprecated soon","EAPI:Rate limit exceeded"]"#,
        );
        let error = read_trades(body.as_bytes(), now()).unwrap_err();
        assert!(error.wants_peace().is_some(), "{error}");
    }

    #[test]
    fn what_it_says_in_a_200_counts() {
        for (body, error) in [
            (
                r#"{"error":["EAPI:Rate limit exceeded"]}"#,
                FeedError::RateLimited { retry_after_seconds: None },
            ),
            (
                r#"{"error":["EGeneral:Too many requests"],"result":{}}"#,
                FeedError::RateLimited { retry_after_seconds: None },
            ),
            (
                r#"{"error":["EService:Unavailable"]}"#,
                FeedError::Said("EService:Unavailable".to_owned()),
            ),
            (r#"{"error":[]}"#, FeedError::MissingField("result")),
            (r#"{"error":[],"result":{"last":"1"}}"#, FeedError::MissingField("the pair's rows")),
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
            prop_assert!(read_minutes(&body, of(-900, -600)).is_err());
        }

        #[test]
        fn no_time_makes_it_panic(text in "-?[0-9]{0,30}(\\.[0-9]{0,30})?") {
            let body = format!(r#"{{"error":[],"result":{{"X":[["67000.0","1",{text}]],"last":"1"}}}}"#);
            drop(read_trades(body.as_bytes(), now()));
        }
    }
}
