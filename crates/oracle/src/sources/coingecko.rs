//! CoinGecko's simple price and its history, read to the last digit.

use async_trait::async_trait;
use db::prices::Span;
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::{Http, SetupError, SourceConfig};
use super::{FeedError, History, PriceFeed, Quote, current, plausible};

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
}

#[async_trait]
impl PriceFeed for CoinGecko {
    fn source(&self) -> PriceSource {
        PriceSource::Coingecko
    }

    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError> {
        let query =
            [("ids", "bitcoin"), ("vs_currencies", "usd"), ("include_last_updated_at", "true")];
        let body = self.0.get(&["simple", "price"], &query, now).await?;
        read_answer(&body, now)
    }

    async fn history(&self, span: Span, now: Timestamp) -> Result<History, FeedError> {
        let path = ["coins", "bitcoin", "market_chart", "range"];
        let seconds = |at: Timestamp| at.micros().div_euclid(1_000_000);
        let (from, to) = (seconds(span.begins_at), seconds(span.ends_at) + 1);
        let query = [("vs_currency", "usd"), ("from", &from.to_string()), ("to", &to.to_string())];
        let body = self.0.get(&path, &query, now).await?;
        read_history(&body, span)
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
    let updated =
        bitcoin.last_updated_at.ok_or(FeedError::MissingField("bitcoin.last_updated_at"))?;
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
struct Chart<'a> {
    #[serde(borrow)]
    prices: Option<Vec<&'a RawValue>>,
}

fn read_history(body: &[u8], span: Span) -> Result<History, FeedError> {
    let chart: Chart<'_> = serde_json::from_slice(body).map_err(|_| FeedError::NotJson)?;
    let prices = chart.prices.ok_or(FeedError::MissingField("prices"))?;
    let point = |point: &RawValue| {
        let pair: Result<(&RawValue, &RawValue), _> = serde_json::from_str(point.get());
        match pair {
            Ok((at, price)) => (read_time(at.get(), 1_000), plausible(price.get())),
            Err(_) => (Err(FeedError::Time), Err(FeedError::Time)),
        }
    };
    Ok(History::of(prices.into_iter().map(point), span))
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
            (r#"{"bitcoin":{"usd":null,"last_updated_at":1}}"#, "bitcoin.usd"),
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
            assert_eq!(read(&answer(usd, NOW)), Err(FeedError::Price(error)), "{usd}");
        }
        for usd in ["99.99", "0.00000001", "10000000.01"] {
            let price = usd.parse().unwrap();
            assert_eq!(read(&answer(usd, NOW)), Err(FeedError::Absurd { price }), "{usd}");
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
        for time in ["1771200000.5", "\"1771200000\"", "1e9", "9223372036854775807"] {
            let body = format!(r#"{{"bitcoin":{{"usd":67000,"last_updated_at":{time}}}}}"#);
            assert_eq!(read(&body), Err(FeedError::Time), "{time}");
        }
    }

    #[test]
    fn a_history_is_read_within_its_span() {
        let body =
            br#"{"prices":[[1771199100123,67000.5],[1771199400456,67001.25],[1771199700789,6.7e4]],
                        "market_caps":[[1771199100123,1.3e12]],"total_volumes":[]}"#;
        let history = read_history(body, span()).unwrap();
        assert_eq!(
            points(&history),
            [
                ("67000.50000000".to_owned(), 1_771_199_100_123_000),
                ("67001.25000000".to_owned(), 1_771_199_400_456_000),
            ]
        );
        assert_eq!((history.told, history.problem), (vec![span()], None));
        for (body, error) in
            [("{}", FeedError::MissingField("prices")), ("<html>", FeedError::NotJson)]
        {
            assert_eq!(read_history(body.as_bytes(), span()), Err(error), "{body}");
        }
        let none = read_history(br#"{"prices":[]}"#, span()).unwrap();
        assert!(none.quotes.is_empty());
    }

    fn span() -> Span {
        Span { begins_at: now().plus_seconds(-900), ends_at: now().plus_seconds(-300) }
    }

    fn points(history: &History) -> Vec<(String, i64)> {
        let point = |quote: &Quote| (quote.price.to_string(), quote.provider_at.micros());
        history.quotes.iter().map(point).collect()
    }

    #[test]
    fn a_bad_point_costs_nothing_but_itself() {
        let at = |micros: i64| Timestamp::from_micros(micros).unwrap();
        let bad_at = 1_771_199_200_000_000;
        let around = |from: i64, to: i64| {
            let (begins_at, ends_at) = (span().begins_at, span().ends_at);
            vec![Span { begins_at, ends_at: at(from) }, Span { begins_at: at(to), ends_at }]
        };
        let moment = around(bad_at, bad_at + 1);
        // Without a time, all that lies between its neighbours.
        let between = around(1_771_199_100_000_001, 1_771_199_400_000_000);
        let not_a_number = FeedError::Price(price_text::PriceTextError::NotANumber);
        let absurd = FeedError::Absurd { price: "1.00".parse().unwrap() };
        for (bad, told, problem) in [
            ("[1771199200000,null]", &moment, &not_a_number),
            ("[1771199200000,\"67000\"]", &moment, &not_a_number),
            ("[1771199200000,1.00]", &moment, &absurd),
            ("[null,67000]", &between, &FeedError::Time),
            ("null", &between, &FeedError::Time),
            ("[1771199200000]", &between, &FeedError::Time),
            // Of another time: long before the span, or behind it.
            ("[0,67000]", &between, &FeedError::Time),
            ("[1771299200000,67000]", &between, &FeedError::Time),
        ] {
            let body =
                format!(r#"{{"prices":[[1771199100000,67000.5],{bad},[1771199400000,67001.25]]}}"#);
            let history = read_history(body.as_bytes(), span()).unwrap();
            assert_eq!(
                points(&history),
                [
                    ("67000.50000000".to_owned(), 1_771_199_100_000_000),
                    ("67001.25000000".to_owned(), 1_771_199_400_000_000),
                ],
                "{bad}"
            );
            assert_eq!(&history.told, told, "{bad}");
            assert_eq!(history.problem.as_ref(), Some(problem), "{bad}");
        }
        // Out of order: later rows may have any time.
        let body =
            br#"{"prices":[[1771199100000,67000.5],[1771199400000,67001.25],[1771199200000,1]]}"#;
        let history = read_history(body, span()).unwrap();
        let ends_at = at(1_771_199_200_000_000);
        assert_eq!(history.told, [Span { ends_at, ..span() }]);
        assert_eq!((history.quotes.len(), history.problem), (2, Some(FeedError::Time)));
        // At either end of the span.
        let body =
            br#"{"prices":[[1771199100000,null],[1771199400000,67001.25],[1771199699999,null]]}"#;
        let history = read_history(body, span()).unwrap();
        let (from, to) = (at(1_771_199_100_000_001), at(1_771_199_699_999_000));
        assert_eq!(
            history.told,
            [
                Span { begins_at: from, ends_at: to },
                Span { begins_at: at(1_771_199_699_999_001), ends_at: span().ends_at },
            ]
        );
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
