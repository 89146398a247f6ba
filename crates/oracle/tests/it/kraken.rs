//! The Kraken feed, against answers as its server gives them.

use std::time::Duration;

use db::prices::Span;
use http_stub::Stub;
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use oracle::sources::{FeedError, Kraken, PriceFeed, SourceConfig};

/// 2026-02-16T00:00:00Z.
const NOW: i64 = 1_771_200_000;
const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000).unwrap()
}

fn feed(stub: &Stub) -> Kraken {
    let config = SourceConfig {
        base_url: format!("http://{}/0", stub.address).parse().unwrap(),
        api_key: None,
        contact: "ops@arena.example".to_owned(),
        timeout: Duration::from_secs(10),
    };
    Kraken::new(config).unwrap()
}

#[tokio::test]
async fn a_sample_is_the_newest_trade_of_all() {
    let body = r#"{"error":[],"result":{"XXBTZUSD":[["67187.30000","0.34507674",1771199970.8277369,"b","m","",61044952],["67187.40000","0.00276870",1771199993.9979,"s","l","",61044956]],"last":"1771199993997900000"}}"#;
    let stub = Stub::answering("200 OK", JSON, body).await;
    let quote = feed(&stub).quote(now()).await.unwrap();
    assert_eq!(quote.price.to_string(), "67187.40000000");
    assert_eq!(quote.provider_at.micros(), 1_771_199_993_997_900);
    assert_eq!(feed(&stub).source(), PriceSource::Kraken);
    let request = stub.requests().remove(0).text;
    // With a `since` it would return the first thousand after it.
    let line = "GET /0/public/Trades?pair=XBTUSD HTTP/1.1";
    assert!(request.starts_with(line), "{request}");
}

#[tokio::test]
async fn history_is_a_price_for_each_minute_that_is_over() {
    let body = r#"{"error":[],"result":{"XXBTZUSD":[[1771199040,"67100.0","67101.0","67099.0","67100.5","67100.1","3.39243896",23],[1771199100,"67100.5","67103.0","67100.5","67102.0","67101.1","1.1",11],[1771199160,"67102.0","67102.0","67090.0","67091.0","67099.1","2.1",12]],"last":1771199100}}"#;
    let stub = Stub::answering("200 OK", JSON, body).await;
    let span = Span { begins_at: now().plus_seconds(-900), ends_at: now().plus_seconds(-600) };
    let told = feed(&stub).history(span, now()).await.unwrap();
    // The last minute is not complete: the time after it is not covered.
    assert_eq!(told.told[0].ends_at, now().plus_seconds(-839));
    let prices: Vec<_> = told.quotes.iter().map(|quote| quote.price.to_string()).collect();
    assert_eq!(prices, ["67100.50000000", "67102.00000000"]);
    let request = stub.requests().remove(0).text;
    let line = "GET /0/public/OHLC?pair=XBTUSD&interval=1&since=1771198980 HTTP/1.1";
    assert!(request.starts_with(line), "{request}");
}

#[tokio::test]
async fn its_refusals_want_peace_however_they_are_said() {
    for (status, body) in [
        ("429 Too Many Requests", ""),
        ("200 OK", r#"{"error":["EGeneral:Too many requests"]}"#),
        ("200 OK", r#"{"error":["EAPI:Rate limit exceeded"]}"#),
    ] {
        let stub = Stub::answering(status, JSON, body).await;
        let error = feed(&stub).quote(now()).await.unwrap_err();
        assert!(error.wants_peace().is_some(), "{error}");
    }
    let stub = Stub::answering("200 OK", JSON, r#"{"error":["EService:Unavailable"]}"#).await;
    let error = feed(&stub).quote(now()).await.unwrap_err();
    assert_eq!(error, FeedError::Said("EService:Unavailable".to_owned()));
}
