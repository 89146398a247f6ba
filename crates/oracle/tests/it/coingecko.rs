//! The CoinGecko feed and all possible answers of its server.

use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::time::Duration;

use db::prices::Span;
use http_stub::{Reply, Stub};
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use oracle::sources::{
    ANSWER_MAX_BYTES, CoinGecko, FeedError, PriceFeed, Quote, SetupError, SourceConfig, coingecko,
};
use secrecy::SecretString;

use crate::support;

/// 2026-02-16T00:00:00Z.
const NOW: i64 = 1_771_200_000;
const KEY: &str = "CG-hunter2";

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000).unwrap()
}

fn config(base_url: &str) -> SourceConfig {
    SourceConfig {
        base_url: base_url.parse().unwrap(),
        api_key: None,
        contact: "ops@arena.example".to_owned(),
        timeout: Duration::from_secs(10),
    }
}

fn feed(stub: &Stub) -> CoinGecko {
    CoinGecko::new(config(&format!("http://{}/api/v3", stub.address))).unwrap()
}

async fn ask(stub: &Stub) -> Result<Quote, FeedError> {
    feed(stub).quote(now()).await
}

async fn answer_to(status: &str, headers: &str, body: &str) -> Result<Quote, FeedError> {
    ask(&Stub::answering(status, headers, body).await).await
}

fn number(status: u16) -> NonZeroU16 {
    NonZeroU16::new(status).unwrap()
}

#[tokio::test]
async fn a_price_comes_through_to_the_last_digit() {
    let stub = support::coingecko("67187.3358936566", NOW - 40).await;
    let quote = ask(&stub).await.unwrap();
    assert_eq!(quote.price.to_string(), "67187.33589366");
    assert_eq!(quote.provider_at, now().plus_seconds(-40));
    assert_eq!(feed(&stub).source(), PriceSource::Coingecko);
}

#[tokio::test]
async fn the_request_says_what_it_wants_and_who_asks() {
    let stub = support::coingecko("67187.33", NOW).await;
    ask(&stub).await.unwrap();
    let request = stub.requests().remove(0).text.to_ascii_lowercase();
    let line = "get /api/v3/simple/price?ids=bitcoin&vs_currencies=usd\
                &include_last_updated_at=true http/1.1";
    assert!(request.starts_with(line), "{request}");
    assert!(request.contains("user-agent: ledgerdome-oracle/"), "{request}");
    assert!(request.contains("(+ops@arena.example)"), "{request}");
    assert!(request.contains("accept: application/json"), "{request}");
    assert!(!request.contains("x-cg-demo-api-key"), "{request}");
}

#[tokio::test]
async fn its_history_is_asked_for_by_the_second() {
    let body = r#"{"prices":[[1771199100123,67000.5],[1771199400456,67001.25]],"market_caps":[[1771199100123,1.3e12]],"total_volumes":[[1771199100123,3.1e10]]}"#;
    let stub = Stub::answering("200 OK", "Content-Type: application/json\r\n", body).await;
    let span = Span { begins_at: now().plus_seconds(-900), ends_at: now().plus_seconds(-600) };
    let told = feed(&stub).history(span, now()).await.unwrap();
    assert_eq!(told.quotes.len(), 1);
    let at = told.quotes[0].provider_at.micros();
    assert_eq!(at, 1_771_199_100_123_000);
    let request = stub.requests().remove(0).text;
    let line = "GET /api/v3/coins/bitcoin/market_chart/range?vs_currency=usd\
                &from=1771199100&to=1771199401 HTTP/1.1";
    assert!(request.starts_with(line), "{request}");
}

#[tokio::test]
async fn a_key_goes_into_its_header() {
    let stub = support::coingecko("67187.33", NOW).await;
    let mut config = config(&format!("http://{}", stub.address));
    config.api_key = Some(SecretString::from(KEY));
    CoinGecko::new(config).unwrap().quote(now()).await.unwrap();
    let request = stub.requests().remove(0).text;
    assert!(request.contains(&format!("x-cg-demo-api-key: {KEY}\r\n")), "{request}");
}

#[tokio::test]
async fn too_many_requests_with_and_without_retry_after() {
    let body = r#"{"status":{"error_code":429,"error_message":"You've exceeded the Rate Limit."}}"#;
    for (header, retry_after_seconds) in [
        ("", None),
        ("Retry-After: 600\r\n", Some(600)),
        ("Retry-After: Mon, 16 Feb 2026 00:20:00 GMT\r\n", Some(1200)),
        ("Retry-After: later\r\n", None),
    ] {
        let error = answer_to("429 Too Many Requests", header, body).await.unwrap_err();
        assert_eq!(error, FeedError::RateLimited { retry_after_seconds }, "{header}");
        assert_eq!(error.wants_peace().unwrap().retry_after_seconds, retry_after_seconds);
    }
}

#[tokio::test]
async fn forbidden_wants_peace_too() {
    let html = "<html><body>error code: 1020</body></html>";
    let error = answer_to("403 Forbidden", "", html).await.unwrap_err();
    assert_eq!(error, FeedError::Forbidden);
    assert!(error.wants_peace().is_some());
}

#[tokio::test]
async fn other_statuses_are_told_apart() {
    for (status, error) in [
        ("500 Internal Server Error", FeedError::Server(number(500))),
        ("503 Service Unavailable", FeedError::Server(number(503))),
        ("401 Unauthorized", FeedError::Status(number(401))),
        ("404 Not Found", FeedError::Status(number(404))),
        ("204 No Content", FeedError::Status(number(204))),
    ] {
        assert_eq!(answer_to(status, "", "").await, Err(error.clone()), "{status}");
        assert_eq!(error.wants_peace(), None);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = support::coingecko("1000.00", NOW).await;
    let location = format!("Location: http://{}/\r\n", elsewhere.address);
    let error = answer_to("302 Found", &location, "").await;
    assert_eq!(error, Err(FeedError::Status(number(302))));
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_web_page_is_no_price() {
    let html = "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>";
    let answer = answer_to("200 OK", "Content-Type: text/html\r\n", html).await;
    assert_eq!(answer, Err(FeedError::NotJson));
}

#[tokio::test]
async fn an_unknown_coin_is_an_empty_object() {
    let answer = answer_to("200 OK", "", "{}").await;
    assert_eq!(answer, Err(FeedError::MissingField("bitcoin")));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let body = format!(r#"{{"bitcoin":"{}"}}"#, "x".repeat(ANSWER_MAX_BYTES));
    let error = FeedError::TooLarge { limit_bytes: ANSWER_MAX_BYTES };
    assert_eq!(answer_to("200 OK", "", &body).await, Err(error));
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out() {
    for reply in [Reply::Silence, Reply::HalfAnswer] {
        let stub = Stub::replying(reply).await;
        let mut config = config(&format!("http://{}", stub.address));
        config.timeout = Duration::from_millis(200);
        let answer = CoinGecko::new(config).unwrap().quote(now()).await;
        assert_eq!(answer, Err(FeedError::Timeout));
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_or_is_not_there_is_unreachable() {
    let stub = Stub::replying(Reply::Hangup).await;
    assert!(matches!(ask(&stub).await, Err(FeedError::Unreachable(_))));

    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/path-with-a-key", listener.local_addr().unwrap());
    drop(listener);
    let error = CoinGecko::new(config(&url)).unwrap().quote(now()).await.unwrap_err();
    assert!(matches!(error, FeedError::Unreachable(_)), "{error}");
    assert!(!error.to_string().contains("path-with-a-key"), "{error}");
}

#[tokio::test]
async fn a_set_up_that_cannot_work_is_refused() {
    let refused = |config| CoinGecko::new(config).err().unwrap();
    let example = coingecko::DEFAULT_URL;
    assert_eq!(refused(config("ftp://127.0.0.1/")), SetupError::Url(example));
    let with_key = SourceConfig {
        api_key: Some(SecretString::from("two\nlines")),
        ..config("http://127.0.0.1/")
    };
    assert_eq!(refused(with_key), SetupError::ApiKey);
    let with_contact =
        SourceConfig { contact: "two\nlines".to_owned(), ..config("http://127.0.0.1/") };
    assert_eq!(refused(with_contact), SetupError::Contact);
}
