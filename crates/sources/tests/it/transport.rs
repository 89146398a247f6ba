//! Failures of any answer, for each source and for the other requests of its client.

use std::time::Duration;

use ledger_core::criteria::{Criteria, Times};
use ledger_core::economy::MarketRules;
use ledger_core::market::{MarketSource, Taking};
use secrecy::SecretString;
use sources::github::GitHub;
use sources::news::{Feed, NEWS_MAX_BYTES, NewsApi};
use sources::open_meteo::OpenMeteo;
use sources::wikipedia::Wikipedia;
use sources::{
    BODY_MAX_BYTES, Evidence, Fetched, Http, HttpConfig, Peace, Settings, SetupError, SourceError,
};
use tokio::net::TcpListener;
use url::Url;

use crate::now;
use crate::stub::{Reply, Stub, http, ok, patient_for, status, with_headers};

const PAGE: &[u8] = include_bytes!("../data/web_page.html");
const SECRET: &str = "hunter2-0123456789";

/// Each service is at this address, and each secret is [`SECRET`].
struct At<'a>(&'a Url);

impl Settings for At<'_> {
    fn text(&mut self, _: &str) -> Option<String> {
        None
    }

    fn url(&mut self, _: &str) -> Option<Url> {
        Some(self.0.clone())
    }

    fn secret(&mut self, _: &str) -> Option<SecretString> {
        Some(SecretString::from(SECRET))
    }

    fn problem(&mut self, name: &str, problem: String) {
        panic!("{name} {problem}");
    }
}

/// Sends each client's requests to `base`: those for the evidence of a market, and all others.
async fn ask_all(http: &Http, base: &Url) -> Vec<(&'static str, Fetched<String>)> {
    fn told<T: std::fmt::Debug>(fetched: Fetched<T>) -> Fetched<String> {
        Fetched {
            evidence: fetched.evidence,
            value: fetched.value.map(|value| format!("{value:?}")),
        }
    }
    let (now, secret) = (now(), SecretString::from(SECRET));
    let times = Times { opens_at: now, bets_close_at: now, deadline: now };
    let mut asked = Vec::new();
    for source in MarketSource::ALL.iter().copied() {
        if source.about().takes == Taking::Answer {
            continue;
        }
        let feed = sources::of(source).feed(&mut At(base), http, &MarketRules::default()).unwrap();
        let example = sources::of(source).example("thing");
        let criteria = Criteria::deserialize(source, example).unwrap();
        asked.push((feed.name(), told(feed.fetch(&criteria, &times, now).await)));
    }
    let place = ledger_core::sources::weather::Place {
        latitude: "52.52".parse().unwrap(),
        longitude: "13.41".parse().unwrap(),
    };
    let meteo = OpenMeteo::new(http.clone(), base.clone()).unwrap();
    let wikipedia = Wikipedia::new(http.clone(), base.clone()).unwrap();
    let newsapi = NewsApi::new(http.clone(), base.clone(), &secret).unwrap();
    let feed_url = base.join(&format!("/feed?token={SECRET}")).unwrap();
    let feed = Feed::new(http.clone(), feed_url).unwrap();
    asked.extend([
        ("meteo now", told(meteo.temperature_now(place, now).await)),
        ("random", told(wikipedia.random(now).await)),
        ("by title", told(wikipedia.by_title("Rust", now).await)),
        ("newsapi", told(newsapi.headlines(now).await)),
        ("feed", told(feed.headlines(now).await)),
    ]);
    asked
}

/// What each client says to `reply`, with the service's own wording of "not what I expected".
async fn expect_all(reply: impl Fn() -> Reply + Send + Sync + 'static, error: &SourceError) {
    let stub = Stub::start(move |_, _| reply()).await;
    for (who, fetched) in ask_all(&http(), &stub.url()).await {
        let expected = match (who, error) {
            ("feed", SourceError::NotJson) => &SourceError::NotFeed,
            // Of this one repository, unless GitHub's answer is about our client.
            ("github", SourceError::Forbidden) => &SourceError::Refused(403),
            _ => error,
        };
        assert_eq!(fetched.value.as_ref(), Err(expected), "{who}");
        let evidence = fetched.evidence;
        assert_eq!(evidence.fetched_at, now());
        assert!(evidence.status.is_some(), "{who}");
        assert_eq!(evidence.sha256, Some(Evidence::digest(&evidence.body)), "{who}");
        assert!(!evidence.url.contains(SECRET), "{who}: {}", evidence.url);
    }
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for (code, error) in [
        (403, SourceError::Forbidden),
        (404, SourceError::NotFound),
        (500, SourceError::Server(500)),
        (503, SourceError::Server(503)),
        (400, SourceError::Status(400)),
        (401, SourceError::Status(401)),
        (204, SourceError::Status(204)),
        (304, SourceError::Redirected(304)),
    ] {
        expect_all(move || status(code, ""), &error).await;
    }
}

#[tokio::test]
async fn asking_too_often_says_for_how_long_to_stop() {
    for (header, seconds) in [
        ("Retry-After: 90\r\n", Some(90)),
        ("Retry-After: Tue, 24 Nov 2026 14:45:00 GMT\r\n", Some(300)),
        ("Retry-After: soon\r\n", None),
        ("", None),
    ] {
        let error = SourceError::RateLimited { retry_after_seconds: seconds };
        let peace = Peace { retry_after_seconds: seconds };
        assert_eq!(error.wants_peace(), Some(peace));
        expect_all(move || with_headers(429, header, "slower"), &error).await;
    }
    let peace = SourceError::Forbidden.wants_peace();
    assert_eq!(peace.unwrap().retry_after_seconds, None);
    assert_eq!(SourceError::NotFound.wants_peace(), None);
}

#[tokio::test]
async fn what_is_not_the_expected_format_is_refused() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep_object = r#"{"a":"#.repeat(10_000);
    let bodies: [Vec<u8>; 10] = [
        PAGE.to_vec(),
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        // What an array holds has no names.
        b"[\"rust-lang/rust\",5]".to_vec(),
        b"{\"status\":\"ok\",\"full_name\":\"rust".to_vec(),
        b"{\"type\":\"\xff\xfe\",\"title\":\"\x80\"}".to_vec(),
        deep.into_bytes(),
        deep_object.into_bytes(),
        vec![0; 1000],
    ];
    for body in bodies {
        expect_all(move || ok(&body), &SourceError::NotJson).await;
    }
}

#[tokio::test]
async fn no_more_is_read_than_can_be_kept() {
    let mut huge = br#"{"padding":""#.to_vec();
    huge.resize(5_000_000, b'x');
    let sent = huge.clone();
    let stub = Stub::start(move |_, _| ok(&sent)).await;
    for (who, fetched) in ask_all(&http(), &stub.url()).await {
        assert_eq!(fetched.value, Err(SourceError::TooLarge), "{who}");
        let evidence = fetched.evidence;
        let most = match who {
            "newsapi" | "feed" => NEWS_MAX_BYTES,
            _ => BODY_MAX_BYTES,
        };
        assert_eq!(evidence.body, huge[..most], "{who}");
        assert_eq!(evidence.clone().cut().body, huge[..BODY_MAX_BYTES]);
        assert!(evidence.truncated, "{who}");
        assert_eq!(evidence.sha256, Some(Evidence::digest(&evidence.body)));
        assert_eq!(evidence.status, Some(200));
    }
}

#[tokio::test]
async fn the_longest_answer_that_can_be_kept_is_whole() {
    let mut body = br#"{"stargazers_count":7,"full_name":"rust-lang/rust"}"#.to_vec();
    body.resize(BODY_MAX_BYTES, b' ');
    let stub = Stub::start(move |_, _| ok(&body)).await;
    let github = GitHub::new(http(), stub.url(), None).unwrap();
    let fetched = github.stars(&"rust-lang/rust".parse().unwrap(), now()).await;
    assert_eq!(fetched.value, Ok(7));
    assert!(!fetched.evidence.truncated);
    assert_eq!(fetched.evidence.body.len(), BODY_MAX_BYTES);
}

#[tokio::test]
async fn a_refusal_stays_one_however_long_its_page_is() {
    let page = vec![b'x'; 100_000];
    expect_all(move || status(502, &page), &SourceError::Server(502)).await;
}

#[tokio::test]
async fn redirects_to_another_host_are_not_followed() {
    let other = Stub::start(|_, _| ok("{}")).await;
    for code in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}stolen\r\n", other.url());
        let reply = move || with_headers(code, &location, "");
        expect_all(reply, &SourceError::Redirected(code)).await;
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn silence_is_a_timeout() {
    for reply in [|| Reply::Silence, || Reply::HalfAnswer] {
        let stub = Stub::start(move |_, _| reply()).await;
        let http = patient_for(Duration::from_millis(200));
        for (who, fetched) in ask_all(&http, &stub.url()).await {
            assert_eq!(fetched.value, Err(SourceError::Timeout), "{who}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_kept_as_far_as_it_came() {
    let stub = Stub::start(|_, _| Reply::CutOff).await;
    for (who, fetched) in ask_all(&http(), &stub.url()).await {
        let Err(SourceError::Unreachable(text)) = fetched.value else {
            panic!("{who}: {:?}", fetched.value);
        };
        assert!(!text.contains("http://"), "{text}");
        let evidence = fetched.evidence;
        assert_eq!(evidence.body, b"{\"half\":");
        assert!(evidence.truncated);
        assert_eq!(evidence.sha256, Some(Evidence::digest(b"{\"half\":")));
    }
}

#[tokio::test]
async fn nobody_there_leaves_evidence_of_the_question() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let hangup = Stub::start(|_, _| Reply::Hangup).await;
    for base in [base, hangup.url()] {
        for (who, fetched) in ask_all(&http(), &base).await {
            let Err(SourceError::Unreachable(text)) = &fetched.value else {
                panic!("{who}: {:?}", fetched.value);
            };
            assert!(!text.contains(SECRET) && !text.contains("http://"), "{text}");
            let evidence = fetched.evidence;
            assert!(evidence.url.starts_with(base.as_str()), "{}", evidence.url);
            assert!(!evidence.url.contains(SECRET), "{}", evidence.url);
            assert_eq!((evidence.status, evidence.sha256), (None, None), "{who}");
            assert!(evidence.body.is_empty() && !evidence.truncated);
        }
    }
}

#[test]
fn what_cannot_be_set_up_is_said_at_once() {
    let contact = |contact: &str| {
        let timeout = sources::TIMEOUT;
        let contact = contact.to_owned();
        Http::new(&HttpConfig { contact, timeout }).err()
    };
    assert_eq!(contact("ops@example.org"), None);
    for text in ["", "  ", "a\nb"] {
        assert_eq!(contact(text), Some(SetupError::Contact), "{text:?}");
    }
    let base: Url = "https://example.org".parse().unwrap();
    for key in ["", "a\nb"] {
        let key = SecretString::from(key);
        let newsapi = NewsApi::new(http(), base.clone(), &key);
        assert_eq!(newsapi.err(), Some(SetupError::Key));
        let github = GitHub::new(http(), base.clone(), Some(key));
        assert_eq!(github.err(), Some(SetupError::Key));
    }
    let ftp: Url = "ftp://example.org".parse().unwrap();
    assert_eq!(Wikipedia::new(http(), ftp.clone()).err(), Some(SetupError::Url));
    assert_eq!(OpenMeteo::new(http(), ftp.clone()).err(), Some(SetupError::Url));
    assert_eq!(GitHub::new(http(), ftp.clone(), None).err(), Some(SetupError::Url));
    assert_eq!(Feed::new(http(), ftp).err(), Some(SetupError::Url));
}
