//! Articles.

use sources::SourceError;
use sources::wikipedia::{Article, Wikipedia, parse_query, parse_summary};

use crate::stub::{Reply, Request, Stub, http, ok, status, with_headers};
use crate::{changed, nonsense, now};

const SUMMARY: &[u8] = include_bytes!("../data/wikipedia_summary.json");
const DISAMBIGUATION: &[u8] = include_bytes!("../data/wikipedia_disambiguation.json");
const NOT_FOUND: &[u8] = include_bytes!("../data/wikipedia_not_found.json");
const QUERY_RANDOM: &[u8] = include_bytes!("../data/wikipedia_query_random.json");
const QUERY_REDIRECT: &[u8] = include_bytes!("../data/wikipedia_query_redirect.json");
const QUERY_MISSING: &[u8] = include_bytes!("../data/wikipedia_query_missing.json");
const QUERY_DISAMBIGUATION: &[u8] = include_bytes!("../data/wikipedia_query_disambiguation.json");
const QUERY_ERROR: &[u8] = include_bytes!("../data/wikipedia_query_error.json");
const QUERY_RATE_LIMITED: &[u8] = include_bytes!("../data/wikipedia_query_rate_limited.json");

async fn wikipedia(
    answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
) -> (Stub, Wikipedia) {
    let stub = Stub::start(answer).await;
    let client = Wikipedia::new(http(), stub.url()).unwrap();
    (stub, client)
}

fn see_other(location: &str) -> Reply {
    with_headers(303, &format!("Location: {location}\r\n"), "")
}

fn targets(stub: &Stub) -> Vec<String> {
    stub.requests().into_iter().map(|request| request.target).collect()
}

fn is_ferris_wheel(article: &Article) -> bool {
    article.page_id == 232_154
        && article.title == "Ferris wheel"
        && article.extract.starts_with("A Ferris wheel is an amusement")
}

#[tokio::test]
async fn a_random_article_is_one_redirect_away() {
    let (stub, client) = wikipedia(|_, before| match before {
        0 => see_other("../summary/Ferris_wheel"),
        _ => ok(SUMMARY),
    })
    .await;
    let fetched = client.random(now()).await;
    assert!(is_ferris_wheel(&fetched.value.unwrap()));
    // The evidence is of the answer that decided.
    let url = stub.url().join("/api/rest_v1/page/summary/Ferris_wheel");
    assert_eq!(fetched.evidence.url, url.unwrap().as_str());
    assert_eq!(fetched.evidence.body, SUMMARY);
    assert!(is_ferris_wheel(&parse_summary(&fetched.evidence.body).unwrap()));
    assert_eq!(
        targets(&stub),
        ["/api/rest_v1/page/random/summary", "/api/rest_v1/page/summary/Ferris_wheel"]
    );
    let request = &stub.requests()[1];
    assert!(request.header("user-agent").unwrap().contains("ops@example"));
}

#[tokio::test]
async fn redirects_have_an_end_and_stay_in_the_house() {
    let (stub, client) = wikipedia(|_, before| see_other(&format!("/again/{before}"))).await;
    let fetched = client.random(now()).await;
    assert_eq!(fetched.value, Err(SourceError::Redirected(303)));
    assert_eq!(stub.requests().len(), 4);

    let other = Stub::start(|_, _| ok(SUMMARY)).await;
    let port = other.url().port().unwrap();
    for location in [
        other.url().to_string(),
        format!("//127.0.0.1:{port}/x"),
        "https://127.0.0.1/x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://[".to_owned(),
    ] {
        let (stub, client) = wikipedia(move |_, _| see_other(&location)).await;
        let fetched = client.random(now()).await;
        assert_eq!(fetched.value, Err(SourceError::Redirected(303)));
        assert_eq!(stub.requests().len(), 1);
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn an_article_by_its_title() {
    let (stub, client) = wikipedia(|_, _| ok(SUMMARY)).await;
    for title in ["Ferris wheel", "ferris_wheel", "  Ferris wheel "] {
        let fetched = client.by_title(title, now()).await;
        assert!(is_ferris_wheel(&fetched.value.unwrap()), "{title}");
    }
    assert_eq!(
        targets(&stub),
        [
            "/api/rest_v1/page/summary/Ferris_wheel",
            "/api/rest_v1/page/summary/ferris_wheel",
            "/api/rest_v1/page/summary/Ferris_wheel",
        ]
    );
    // Another title without a redirect is no answer.
    let fetched = client.by_title("Roller coaster", now()).await;
    assert_eq!(fetched.value, Err(nonsense("title", "is not the requested one")));
}

#[tokio::test]
async fn titles_are_encoded_whatever_they_hold() {
    for (title, path) in [
        ("AC/DC", "AC%2FDC"),
        ("Who? What?", "Who%3F_What%3F"),
        ("F# A# ∞", "F%23_A%23_%E2%88%9E"),
        ("100% & more", "100%25_%26_more"),
        ("../../../w/x", "..%2F..%2F..%2Fw%2Fx"),
    ] {
        let (stub, client) = wikipedia(|_, _| status(404, NOT_FOUND)).await;
        let fetched = client.by_title(title, now()).await;
        assert_eq!(fetched.value, Err(SourceError::NotFound));
        let target = stub.only_request().target;
        assert_eq!(target, format!("/api/rest_v1/page/summary/{path}"));
    }
}

#[tokio::test]
async fn what_is_no_title_is_not_asked_for() {
    let (stub, client) = wikipedia(|_, _| ok(SUMMARY)).await;
    let long = "x".repeat(256);
    for title in ["", "  ", "a|b", "a\nb", ".", "..", long.as_str()] {
        let fetched = client.by_title(title, now()).await;
        let Err(SourceError::Nonsense { field: "title", .. }) = fetched.value else {
            panic!("{title}: {:?}", fetched.value);
        };
        assert_eq!(fetched.evidence.status, None);
    }
    assert!(stub.requests().is_empty());
    let longest = "x".repeat(255);
    client.by_title(&longest, now()).await.value.unwrap_err();
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn a_redirected_title_shows_where_it_led() {
    let (_stub, client) = wikipedia(|_, before| match before {
        0 => with_headers(302, "Location: Ferris_wheel\r\n", ""),
        _ => ok(SUMMARY),
    })
    .await;
    let fetched = client.by_title("Observation wheel", now()).await;
    assert_eq!(fetched.value.unwrap().title, "Ferris wheel");
}

/// Refuses at the REST API, answers `query` at the action API.
fn refused_at_first(query: &'static [u8]) -> impl Fn(&Request, usize) -> Reply + Send + Sync {
    move |request, _| {
        if request.target.starts_with("/api/rest_v1/") {
            status(403, "Please respect our robot policy")
        } else {
            ok(query)
        }
    }
}

#[tokio::test]
async fn where_rest_refuses_the_action_api_is_asked() {
    const COMMON: &str = "/w/api.php?action=query&format=json&formatversion=2\
                          &prop=extracts%7Cinfo%7Cpageprops&ppprop=disambiguation\
                          &exintro=1&explaintext=1";
    let (stub, client) = wikipedia(refused_at_first(QUERY_RANDOM)).await;
    let fetched = client.random(now()).await;
    assert!(is_ferris_wheel(&fetched.value.unwrap()));
    assert_eq!(fetched.evidence.body, QUERY_RANDOM);
    assert!(is_ferris_wheel(&parse_query(QUERY_RANDOM).unwrap()));
    let random = format!("{COMMON}&generator=random&grnnamespace=0&grnlimit=1");
    assert_eq!(targets(&stub)[1], random);

    let (stub, client) = wikipedia(refused_at_first(QUERY_REDIRECT)).await;
    let fetched = client.by_title("observation wheel", now()).await;
    assert_eq!(fetched.value.unwrap().title, "Ferris wheel");
    assert_eq!(fetched.evidence.status, Some(200));
    let by_title = format!("{COMMON}&titles=observation+wheel&redirects=1");
    assert_eq!(targets(&stub)[1], by_title);
    // If the answer's redirects do not start at the requested title, it is another answer.
    let fetched = client.by_title("Roller coaster", now()).await;
    assert_eq!(fetched.value, Err(nonsense("title", "is not the requested one")));
}

#[tokio::test]
async fn the_action_apis_refusals() {
    for (body, error) in [
        (QUERY_MISSING, SourceError::NotFound),
        (QUERY_DISAMBIGUATION, nonsense("page", "is a disambiguation")),
        (QUERY_ERROR, nonsense("answer", "is an error of the action API")),
        (QUERY_RATE_LIMITED, SourceError::RateLimited { retry_after_seconds: None }),
        (b"{\"batchcomplete\":true}", SourceError::MissingField("query")),
        (b"{\"query\":{\"pages\":[]}}", SourceError::MissingField("query.pages")),
        (b"{\"query\":{\"pages\":[{},{}]}}", nonsense("query.pages", "holds more than one page")),
        (b"{\"query\":{\"pages\":[{\"title\":\"<\",\"invalid\":true}]}}", SourceError::NotFound),
        // formatversion=1 would be another shape.
        (b"{\"query\":{\"pages\":{\"5\":{\"pageid\":5}}}}", SourceError::NotJson),
    ] {
        assert_eq!(parse_query(body), Err(error.clone()));
        let (_stub, client) = wikipedia(refused_at_first(body)).await;
        assert_eq!(client.random(now()).await.value, Err(error));
    }
}

#[tokio::test]
async fn refused_twice_is_refused() {
    let (stub, client) = wikipedia(|_, _| status(403, "no")).await;
    let fetched = client.by_title("Rust", now()).await;
    assert_eq!(fetched.value, Err(SourceError::Forbidden));
    assert!(fetched.evidence.url.contains("/w/api.php?"));
    assert_eq!(stub.requests().len(), 2);
}

#[test]
fn only_articles_count() {
    assert_eq!(parse_summary(DISAMBIGUATION), Err(nonsense("type", "is not that of an article")));
    for (from, to, error) in [
        (
            r#""type":"standard""#,
            r#""type":"mainpage""#,
            nonsense("type", "is not that of an article"),
        ),
        (
            r#""namespace":{"id":0"#,
            r#""namespace":{"id":1"#,
            nonsense("namespace", "is not that of articles"),
        ),
        (r#""pageid":232154"#, r#""pageid":0"#, nonsense("pageid", "is not above zero")),
        (r#""pageid":232154"#, r#""pageid":-5"#, nonsense("pageid", "is not above zero")),
        (r#""pageid":232154"#, r#""pageid":"232154""#, nonsense("pageid", "is no whole number")),
        (
            r#""title":"Ferris wheel""#,
            r#""title":" ""#,
            nonsense("title", "does not have 1 to 255 bytes"),
        ),
        (r#""extract":"A"#, r#""extract":" ","x":"A"#, nonsense("extract", "is empty")),
        (r#""type":"#, r#""x":"#, SourceError::MissingField("type")),
        (r#""namespace":"#, r#""x":"#, SourceError::MissingField("namespace")),
        (r#""pageid":"#, r#""x":"#, SourceError::MissingField("pageid")),
        (r#","title":"#, r#","x":"#, SourceError::MissingField("title")),
        (r#""extract":"#, r#""x":"#, SourceError::MissingField("extract")),
        (r#""title":"Ferris wheel""#, r#""title":7"#, SourceError::NotJson),
    ] {
        let read = parse_summary(&changed(SUMMARY, from, to));
        assert_eq!(read, Err(error), "{to}");
    }
}
