//! CoinGecko's simple price and its history, read to the last digit.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::{Http, SetupError, SourceConfig};
use super::{FeedError, PriceFeed, Quote, current, plausible};

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.coingecko.com/api/v3";
const KEY_HEADER: &str = "x-cg-demo-api-key";

/// The CoinGecko feed.
pub struct CoinGecko(Http);

impl CoinGecko {
    /// # Errors
    /// When the URL, the key or the contact cannot be used.
    pub fn new(config: SourceConfig) -> Result<CoinGecko, SetupError> {
        Http::new(config, DEFAULT_URL, KEY_HEADER).map(CoinGecko)
    }

    async fn ask(&self, now: Timestamp) -> Result<Quote, FeedError> {
        let query = [
            ("ids", "bitcoin"),
            ("vs_currencies", "usd"),
            ("include_last_updated_at", "true"),
        ];
        let body = self.0.get(&["simple", "price"], &query, now).await?;
        read_answer(&body, now)
    }

    async fn look_back(
        &self,
        begins_at: Timestamp,
        ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Quote>, FeedError> {
        let path = ["coins", "bitcoin", "market_chart", "range"];
        let seconds = |at: Timestamp| at.micros().div_euclid(1_000_000);
        let (from, to) = (seconds(begins_at), seconds(ends_at) + 1);
        let query = [
            ("vs_currency", "usd"),
            ("from", &from.to_string()),
            ("to", &to.to_string()),
        ];
        let body = self.0.get(&path, &query, now).await?;
        read_history(&body, begins_at, ends_at)
    }
}

impl PriceFeed for CoinGecko {
    fn source(&self) -> PriceSource {
        PriceSource::Coingecko
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

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    bitcoin: Option<Bitcoin<'a>>,
}

/// Numbers stay the text they came as.
#[derive(Deserialize)]
struct Bitcoin<'a> {
    #[serde(borrow)]
    usd: Option<&'a RawValue>,
    #[serde(borrow)]
    last_updated_at: Option<&'a RawValue>,
}

fn read_answer(body: &[u8], now: Timestamp) -> Result<Quote, FeedError> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| FeedError::NotJson)?;
    let bitcoin = answer.bitcoin.ok_or(FeedError::MissingField("bitcoin"))?;
    let usd = bitcoin.usd.ok_or(FeedError::MissingField("bitcoin.usd"))?;
    let updated = bitcoin
        .last_updated_at
        .ok_or(FeedError::MissingField("bitcoin.last_updated_at"))?;
    let price = plausible(usd.get())?;
    let provider_at = current(read_time(updated.get(), 1_000_000)?, now)?;
    Ok(Quote { price, provider_at })
}

/// A whole number of so many microseconds since 1970.
fn read_time(text: &str, unit_micros: i64) -> Result<Timestamp, FeedError> {
    let units: i64 = text.parse().map_err(|_| FeedError::Time)?;
    let micros = units.checked_mul(unit_micros).ok_or(FeedError::Time)?;
    Timestamp::from_micros(micros).ok_or(FeedError::Time)
}

/// Pairs of milliseconds and a price.
#[derive(Deserialize)]
struct History<'a> {
    #[serde(borrow)]
    prices: Option<Vec<(&'a RawValue, &'a RawValue)>>,
}

fn read_history(
    body: &[u8],
    begins_at: Timestamp,
    ends_at: Timestamp,
) -> Result<Vec<Quote>, FeedError> {
    let history: History<'_> = serde_json::from_slice(body).map_err(|_| FeedError::NotJson)?;
    let prices = history.prices.ok_or(FeedError::MissingField("prices"))?;
    let mut quotes = Vec::with_capacity(prices.len());
    for (at, price) in prices {
        let provider_at = read_time(at.get(), 1_000)?;
        let price = plausible(price.get())?;
        if begins_at <= provider_at && provider_at < ends_at {
            quotes.push(Quote { price, provider_at });
        }
    }
    quotes.sort_by_key(|quote| quote.provider_at);
    Ok(quotes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::price_text;
    use crate::sources::{AHEAD_MAX_SECONDS, PLAUSIBLE, QUOTE_AGE_MAX_SECONDS};

    use super::*;

    /// 2026-02-16T00:00:00Z.
    const NOW: i64 = 1_771_200_000;

    fn now() -> Timestamp {
        Timestamp::from_micros(NOW * 1_000_000).unwrap()
    }

    fn read(body: &str) -> Result<Quote, FeedError> {
        read_answer(body.as_bytes(), now())
    }

    fn answer(usd: &str, updated: i64) -> String {
        format!(r#"{{"bitcoin":{{"usd":{usd},"last_updated_at":{updated}}}}}"#)
    }

    #[test]
    fn an_answer_is_read_to_the_last_digit() {
        let quote = read(&answer("67187.3358936566", NOW - 30)).unwrap();
        assert_eq!(quote.price.to_string(), "67187.33589366");
        assert_eq!(quote.provider_at, now().plus_seconds(-30));
    }

    #[test]
    fn fields_we_did_not_ask_for_do_not_matter() {
        let body = r#"{"status":{"x":[1]},"bitcoin":{"usd_24h_change":3.6,"usd":6.7e4,"last_updated_at":1771199990}}"#;
        assert_eq!(read(body).unwrap().price.to_string(), "67000.00000000");
    }

    #[test]
    fn what_is_left_out_is_named() {
        for (body, field) in [
            ("{}", "bitcoin"),
            (r#"{"bitcoin":null}"#, "bitcoin"),
            (r#"{"bitcoin":{}}"#, "bitcoin.usd"),
            (
                r#"{"bitcoin":{"usd":null,"last_updated_at":1}}"#,
                "bitcoin.usd",
            ),
            (r#"{"bitcoin":{"usd":67000}}"#, "bitcoin.last_updated_at"),
        ] {
            assert_eq!(read(body), Err(FeedError::MissingField(field)), "{body}");
        }
    }

    #[test]
    fn what_is_not_the_expected_json_is_refused() {
        for body in [
            "",
            "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>",
            "[]",
            "null",
            r#"{"bitcoin":67000}"#,
            r#"{"bitcoin":{"usd":NaN,"last_updated_at":1771199990}}"#,
            r#"{"bitcoin":{"usd":1,"usd":2,"last_updated_at":1771199990}}"#,
            r#"{"bitcoin":{"usd":67000,"last_updated_at":1771199990}"#,
        ] {
            assert_eq!(read(body), Err(FeedError::NotJson), "{body}");
        }
    }

    #[test]
    fn a_price_that_cannot_be_is_refused() {
        use price_text::PriceTextError::{NotANumber, NotPositive, TooLarge};
        for (usd, error) in [
            ("0", NotPositive),
            ("-67000.5", NotPositive),
            ("\"67000\"", NotANumber),
            ("[67000]", NotANumber),
            ("true", NotANumber),
            ("1e30", TooLarge),
        ] {
            assert_eq!(
                read(&answer(usd, NOW)),
                Err(FeedError::Price(error)),
                "{usd}"
            );
        }
        for usd in ["99.99", "0.00000001", "10000000.01"] {
            let price = usd.parse().unwrap();
            assert_eq!(
                read(&answer(usd, NOW)),
                Err(FeedError::Absurd { price }),
                "{usd}"
            );
        }
        for usd in ["100", "10000000"] {
            assert!(read(&answer(usd, NOW)).is_ok(), "{usd}");
        }
    }

    #[test]
    fn a_time_that_is_not_about_now_is_refused() {
        assert!(read(&answer("67000", NOW + 60)).is_ok());
        assert!(read(&answer("67000", NOW - 600)).is_ok());
        let future = FeedError::FromTheFuture { ahead_seconds: 61 };
        assert_eq!(read(&answer("67000", NOW + 61)), Err(future));
        let stale = FeedError::Stale { age_seconds: 601 };
        assert_eq!(read(&answer("67000", NOW - 601)), Err(stale));
        for time in [
            "1771200000.5",
            "\"1771200000\"",
            "1e9",
            "9223372036854775807",
        ] {
            let body = format!(r#"{{"bitcoin":{{"usd":67000,"last_updated_at":{time}}}}}"#);
            assert_eq!(read(&body), Err(FeedError::Time), "{time}");
        }
    }

    #[test]
    fn a_history_is_read_within_its_span() {
        let body =
            br#"{"prices":[[1771199100123,67000.5],[1771199400456,67001.25],[1771199700789,6.7e4]],
                        "market_caps":[[1771199100123,1.3e12]],"total_volumes":[]}"#;
        let span = (now().plus_seconds(-900), now().plus_seconds(-300));
        let quotes = read_history(body, span.0, span.1).unwrap();
        let read: Vec<_> = quotes
            .iter()
            .map(|quote| (quote.price.to_string(), quote.provider_at.micros()))
            .collect();
        assert_eq!(
            read,
            [
                ("67000.50000000".to_owned(), 1_771_199_100_123_000),
                ("67001.25000000".to_owned(), 1_771_199_400_456_000),
            ]
        );
        for (body, error) in [
            ("{}", FeedError::MissingField("prices")),
            ("<html>", FeedError::NotJson),
            (
                r#"{"prices":[[1771199100123,"67000"]]}"#,
                FeedError::Price(price_text::PriceTextError::NotANumber),
            ),
            (r#"{"prices":[["soon",67000]]}"#, FeedError::Time),
        ] {
            assert_eq!(
                read_history(body.as_bytes(), span.0, span.1),
                Err(error),
                "{body}"
            );
        }
        let none = read_history(br#"{"prices":[]}"#, span.0, span.1);
        assert_eq!(none, Ok(Vec::new()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_bytes_make_it_panic_or_a_price(body in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read_answer(&body, now()).is_err());
        }

        #[test]
        fn what_is_read_is_plausible(
            usd in "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?|\\PC{0,12}",
            updated in prop_oneof!["-?[0-9]{1,25}", (NOW - 400..NOW + 400).prop_map(|at| at.to_string())],
        ) {
            let body = format!(r#"{{"bitcoin":{{"usd":{usd},"last_updated_at":{updated}}}}}"#);
            if let Ok(quote) = read(&body) {
                prop_assert!(PLAUSIBLE.contains(&quote.price.money()));
                let age = now().seconds_since(quote.provider_at);
                prop_assert!((-AHEAD_MAX_SECONDS..=QUOTE_AGE_MAX_SECONDS).contains(&age));
            }
        }
    }
}
