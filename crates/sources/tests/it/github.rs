//! Stars.

use ledger_core::subject::Repository;
use sources::SourceError;
use sources::github::{GitHub, parse_stars};

use crate::stub::{Stub, http, ok, with_headers};
use crate::{changed, nonsense, now};

const RECORDED: &[u8] = include_bytes!("../data/github_repository.json");
const RATE_LIMITED: &[u8] = include_bytes!("../data/github_rate_limited.json");
const NOT_FOUND: &[u8] = include_bytes!("../data/github_not_found.json");
const MOVED: &[u8] = include_bytes!("../data/github_moved.json");
const TOKEN: &str = "ghp_hunter2";

fn rust() -> Repository {
    "rust-lang/rust".parse().unwrap()
}

#[tokio::test]
async fn stars_are_asked_for_and_read() {
    let stub = Stub::start(|_, _| ok(RECORDED)).await;
    let base = stub.url().join("api/v3/").unwrap();
    let github = GitHub::new(http(), base.clone(), Some(TOKEN.into())).unwrap();
    let fetched = github.stars(&rust(), now()).await;
    assert_eq!(fetched.value, Ok(112_345));

    let request = stub.only_request();
    assert_eq!(request.target, "/api/v3/repos/rust-lang/rust");
    assert_eq!(request.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(request.header("x-github-api-version"), Some("2022-11-28"));
    assert_eq!(request.header("authorization"), Some("Bearer ghp_hunter2"));

    let evidence = fetched.evidence;
    assert_eq!(evidence.url, format!("{base}repos/rust-lang/rust"));
    assert_eq!(evidence.fetched_at, now());
    assert_eq!(evidence.status, Some(200));
    assert_eq!(evidence.body, RECORDED);
    assert!(!evidence.truncated);
    // The stored evidence gives the same answer, without a network.
    assert_eq!(parse_stars(&evidence.body, &rust()), Ok(112_345));
}

#[tokio::test]
async fn without_a_token_none_is_sent() {
    let stub = Stub::start(|_, _| ok(RECORDED)).await;
    let github = GitHub::new(http(), stub.url(), None).unwrap();
    assert_eq!(github.stars(&rust(), now()).await.value, Ok(112_345));
    assert_eq!(stub.only_request().header("authorization"), None);
}

#[tokio::test]
async fn both_of_githubs_rate_limits_are_understood() {
    // 2026-11-24T14:50:00Z, ten minutes from now.
    const RESET: &str = "x-ratelimit-limit: 60\r\nx-ratelimit-remaining: 0\r\n\
                         x-ratelimit-reset: 1795531800\r\n";
    let past = RESET.replace("1795531800", "1795530000");
    let left = RESET.replace("remaining: 0", "remaining: 12");
    let both = format!("retry-after: 60\r\n{RESET}");
    let limited = |seconds| SourceError::RateLimited { retry_after_seconds: seconds };
    for (status, headers, error) in [
        (403, RESET.to_owned(), limited(Some(600))),
        (429, RESET.to_owned(), limited(Some(600))),
        (403, "retry-after: 60\r\n".to_owned(), limited(Some(60))),
        (403, both, limited(Some(60))),
        (403, past, limited(Some(0))),
        // GitHub's text, if its headers have no wait.
        (403, left.clone(), limited(None)),
        (429, left, limited(None)),
        (403, String::new(), limited(None)),
        (403, "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: never\r\n".to_owned(), limited(None)),
    ] {
        let stub = Stub::start(move |_, _| with_headers(status, &headers, RATE_LIMITED)).await;
        let github = GitHub::new(http(), stub.url(), None).unwrap();
        let fetched = github.stars(&rust(), now()).await;
        assert_eq!(fetched.value, Err(error));
        assert_eq!(fetched.evidence.status, Some(status));
        assert_eq!(fetched.evidence.body, RATE_LIMITED);
    }
}

#[tokio::test]
async fn a_closed_repository_is_not_githubs_refusal() {
    for (status, body) in [
        (403, r#"{"message":"Repository access blocked"}"#),
        (451, r#"{"message":"Repository access blocked","block":{"reason":"dmca"}}"#),
        (410, r#"{"message":"This repository is gone"}"#),
    ] {
        let left = "x-ratelimit-remaining: 12\r\n";
        let stub = Stub::start(move |_, _| with_headers(status, left, body)).await;
        let github = GitHub::new(http(), stub.url(), None).unwrap();
        let error = github.stars(&rust(), now()).await.value.unwrap_err();
        assert_eq!(error, SourceError::Refused(status));
        assert_eq!(error.wants_peace(), None);
    }
}

#[tokio::test]
async fn a_repository_that_is_gone_or_moved_has_no_stars() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/repos/gone/gone" => with_headers(404, "", NOT_FOUND),
        "/repos/moved/moved" => with_headers(301, "Location: /repositories/724712\r\n", MOVED),
        _ => ok(RECORDED),
    })
    .await;
    let github = GitHub::new(http(), stub.url(), None).unwrap();
    for (repository, error) in
        [("gone/gone", SourceError::NotFound), ("moved/moved", SourceError::Redirected(301))]
    {
        let repository = repository.parse().unwrap();
        let fetched = github.stars(&repository, now()).await;
        assert_eq!(fetched.value, Err(error));
    }
    assert_eq!(stub.requests().len(), 2, "no redirect was followed");
}

#[test]
fn only_a_whole_number_of_stars_counts() {
    const FIELD: &str = "stargazers_count";
    let read = |stars: &str| {
        let to = format!(r#""stargazers_count": {stars},"#);
        parse_stars(&changed(RECORDED, r#""stargazers_count": 112345,"#, &to), &rust())
    };
    assert_eq!(read("0"), Ok(0));
    assert_eq!(read("9223372036854775807"), Ok(i64::MAX));
    assert_eq!(read("-1"), Err(nonsense(FIELD, "is below zero")));
    assert_eq!(read("9223372036854775808"), Err(nonsense(FIELD, "is out of range")));
    assert_eq!(read("null"), Err(SourceError::MissingField(FIELD)));
    for stars in ["1.5", "1e3", "112345.0", "\"112345\"", "true", "[1]", "{}"] {
        assert_eq!(read(stars), Err(nonsense(FIELD, "is no whole number")), "{stars}");
    }
    for stars in ["NaN", "1,2", "01", "+1", ""] {
        assert_eq!(read(stars), Err(SourceError::NotJson), "{stars}");
    }
    let doubled = r#""stargazers_count": 1, "stargazers_count": 112345,"#;
    let body = changed(RECORDED, r#""stargazers_count": 112345,"#, doubled);
    assert_eq!(parse_stars(&body, &rust()), Err(SourceError::NotJson));
}

#[test]
fn another_repository_is_another_one() {
    let shouting = "Rust-Lang/RUST".parse().unwrap();
    assert_eq!(parse_stars(RECORDED, &shouting), Ok(112_345));
    let other = "rust-lang/rustc".parse().unwrap();
    assert_eq!(
        parse_stars(RECORDED, &other),
        Err(nonsense("full_name", "is another repository's"))
    );
    assert_eq!(
        parse_stars(b"{\"stargazers_count\":5}", &rust()),
        Err(SourceError::MissingField("full_name"))
    );
    assert_eq!(parse_stars(NOT_FOUND, &rust()), Err(SourceError::MissingField("full_name")));
}
