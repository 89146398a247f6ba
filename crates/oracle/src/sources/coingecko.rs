//! CoinGecko's simple price, read to the last digit.
//!
//! One request an answer: no retries, no redirects (the key would follow them), a time-out, and no
//! more of the answer than [`ANSWER_MAX_BYTES`].

use std::num::NonZeroU16;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ledger_core::prediction::PriceSource;
use ledger_core::{Money, Timestamp};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::{AHEAD_MAX_SECONDS, FeedError, PriceFeed, QUOTE_AGE_MAX_SECONDS, Quote};
use crate::price_text;

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.coingecko.com/api/v3";
/// How long one answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read; a right one has about sixty.
pub const ANSWER_MAX_BYTES: usize = 65_536;
/// Outside of these a price is a mistake, in US dollars a Bitcoin.
const PLAUSIBLE: std::ops::RangeInclusive<Money> = Money::cents(10_000)..=MAX_PLAUSIBLE;
/// Ten million dollars.
const MAX_PLAUSIBLE: Money = Money::cents(1_000_000_000);
const KEY_HEADER: &str = "x-cg-demo-api-key";

/// How to reach CoinGecko.
#[derive(Clone)]
pub struct CoinGeckoConfig {
    /// Without the endpoint: [`DEFAULT_URL`] or the like.
    pub base_url: Url,
    /// A demo key, if there is one.
    pub api_key: Option<SecretString>,
    /// Where the operator can be found: part of the `User-Agent`.
    pub contact: String,
    /// For the whole answer; [`TIMEOUT`] in earnest.
    pub timeout: Duration,
}

/// Why the feed cannot be set up. Messages hold no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("must be an http:// or https:// URL such as {DEFAULT_URL}")]
    Url,
    #[error("must be printable ASCII, fit for an HTTP header")]
    ApiKey,
    #[error("must be printable ASCII such as an address or URL, fit for an HTTP header")]
    Contact,
    #[error("cannot be used: no HTTPS client could be made; are CA certificates installed?")]
    Client,
}

/// The CoinGecko feed.
pub struct CoinGecko {
    client: Client,
    endpoint: Url,
}

impl CoinGecko {
    /// # Errors
    /// When the URL, the key or the contact cannot be used.
    pub fn new(config: CoinGeckoConfig) -> Result<CoinGecko, SetupError> {
        let endpoint = endpoint(config.base_url)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = config.api_key {
            let mut value =
                HeaderValue::from_str(key.expose_secret()).map_err(|_| SetupError::ApiKey)?;
            value.set_sensitive(true);
            headers.insert(KEY_HEADER, value);
        }
        let version = env!("CARGO_PKG_VERSION");
        let agent = format!("ledgerdome-oracle/{version} (+{})", config.contact);
        let agent = HeaderValue::from_str(&agent).map_err(|_| SetupError::Contact)?;
        let mut client = Client::builder()
            .user_agent(agent)
            .default_headers(headers)
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&endpoint) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|_| SetupError::Client)?;
        Ok(CoinGecko { client, endpoint })
    }

    async fn ask(&self, now: Timestamp) -> Result<Quote, FeedError> {
        let response = self
            .client
            .get(self.endpoint.clone())
            .send()
            .await
            .map_err(lost)?;
        check_status(&response, now)?;
        let body = read_capped(response).await?;
        read_answer(&body, now)
    }
}

impl PriceFeed for CoinGecko {
    fn source(&self) -> PriceSource {
        PriceSource::Coingecko
    }

    fn quote(&self, now: Timestamp) -> BoxFuture<'_, Result<Quote, FeedError>> {
        self.ask(now).boxed()
    }
}

fn endpoint(mut url: Url) -> Result<Url, SetupError> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(SetupError::Url);
    }
    url.path_segments_mut()
        .map_err(|()| SetupError::Url)?
        .pop_if_empty()
        .extend(["simple", "price"]);
    url.query_pairs_mut()
        .append_pair("ids", "bitcoin")
        .append_pair("vs_currencies", "usd")
        .append_pair("include_last_updated_at", "true");
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn lost(error: reqwest::Error) -> FeedError {
    if error.is_timeout() {
        return FeedError::Timeout;
    }
    // Without the URL: an operator may have put a key into it.
    FeedError::Unreachable(daemon::telemetry::chain(&error.without_url()))
}

fn check_status(response: &Response, now: Timestamp) -> Result<(), FeedError> {
    let status = response.status();
    let number = NonZeroU16::new(status.as_u16()).unwrap_or(NonZeroU16::MIN);
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(FeedError::RateLimited {
            retry_after_seconds: retry_after(response.headers(), now),
        }),
        StatusCode::FORBIDDEN => Err(FeedError::Forbidden),
        _ if status.is_server_error() => Err(FeedError::Server(number)),
        _ => Err(FeedError::Status(number)),
    }
}

/// Seconds or an HTTP date; whatever is neither says nothing.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than an i64 holds ask for more than anybody is granted.
        return Some(text.parse().unwrap_or(i64::MAX));
    }
    let until = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp::from(until.to_utc()).seconds_since(now).max(0))
}

async fn read_capped(mut response: Response) -> Result<Vec<u8>, FeedError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(FeedError::TooLarge {
                limit_bytes: ANSWER_MAX_BYTES,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
    let price = price_text::parse(usd.get()).map_err(FeedError::Price)?;
    if !PLAUSIBLE.contains(&price.money()) {
        return Err(FeedError::Absurd { price });
    }
    let provider_at = read_time(updated.get(), now)?;
    Ok(Quote { price, provider_at })
}

fn read_time(text: &str, now: Timestamp) -> Result<Timestamp, FeedError> {
    let seconds: i64 = text.parse().map_err(|_| FeedError::Time)?;
    let micros = seconds.checked_mul(1_000_000).ok_or(FeedError::Time)?;
    let at = Timestamp::from_micros(micros).ok_or(FeedError::Time)?;
    let age_seconds = now.seconds_since(at);
    if age_seconds > QUOTE_AGE_MAX_SECONDS {
        return Err(FeedError::Stale { age_seconds });
    }
    if age_seconds < -AHEAD_MAX_SECONDS {
        return Err(FeedError::FromTheFuture {
            ahead_seconds: -age_seconds,
        });
    }
    Ok(at)
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
    fn retry_after_comes_in_two_forms() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers, now())
        };
        assert_eq!(read("90"), Some(90));
        assert_eq!(read(" 90 "), Some(90));
        assert_eq!(read("99999999999999999999"), Some(i64::MAX));
        assert_eq!(read("Mon, 16 Feb 2026 00:15:00 GMT"), Some(900));
        assert_eq!(read("Sun, 15 Feb 2026 00:00:00 GMT"), Some(0));
        for text in ["", "soon", "-5", "1.5", "Mon, 99 Feb 2026 00:15:00 GMT"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn the_endpoint_follows_the_base() {
        let wanted = "https://example.org/api/v3/simple/price\
                      ?ids=bitcoin&vs_currencies=usd&include_last_updated_at=true";
        for base in ["https://example.org/api/v3", "https://example.org/api/v3/"] {
            assert_eq!(endpoint(base.parse().unwrap()).unwrap().as_str(), wanted);
        }
        assert_eq!(
            endpoint("ftp://example.org".parse().unwrap()),
            Err(SetupError::Url)
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
