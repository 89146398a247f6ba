//! Headlines.

use sources::SourceError;
use sources::news::{Feed, Headline, NewsApi, mentions, parse_feed, parse_newsapi};

use crate::stub::{Stub, http, ok, status};
use crate::{at, changed, nonsense, now};

const NEWSAPI: &[u8] = include_bytes!("../data/newsapi_top_headlines.json");
const NEWSAPI_KEY: &[u8] = include_bytes!("../data/newsapi_key_invalid.json");
const NEWSAPI_NONE: &[u8] = include_bytes!("../data/newsapi_none.json");
const RSS2: &[u8] = include_bytes!("../data/feed_rss2.xml");
const RSS1: &[u8] = include_bytes!("../data/feed_rss1.xml");
const ATOM: &[u8] = include_bytes!("../data/feed_atom.xml");
const KEY: &str = "hunter2-0123456789";
const NONE: SourceError = SourceError::Nonsense {
    field: "list of headlines",
    problem: "holds none with a title and a date",
};

fn headline(title: &str, published_at: &str, link: Option<&str>) -> Headline {
    Headline {
        title: title.to_owned(),
        published_at: at(published_at),
        link: link.map(str::to_owned),
    }
}

#[tokio::test]
async fn newsapi_is_asked_with_its_key_in_a_header() {
    let stub = Stub::start(|_, _| ok(NEWSAPI)).await;
    let newsapi = NewsApi::new(http(), stub.url(), &KEY.into()).unwrap();
    let fetched = newsapi.headlines(now()).await;
    let expected = vec![
        headline(
            "Rust lands in the next Android kernel - The Verge",
            "2026-11-24T14:05:00Z",
            Some("https://www.theverge.com/2026/11/24/rust-android-kernel"),
        ),
        headline(
            "Raspberry Pi 6 is here, and it’s “quiet” - WIRED",
            "2026-11-24T13:00:00Z",
            Some("https://www.wired.com/story/raspberry-pi-6/"),
        ),
    ];
    assert_eq!(fetched.value.as_ref(), Ok(&expected));
    assert_eq!(parse_newsapi(&fetched.evidence.body), Ok(expected));
    let request = stub.only_request();
    assert_eq!(
        request.target,
        "/v2/top-headlines?category=technology&language=en&pageSize=50"
    );
    assert_eq!(request.header("x-api-key"), Some(KEY));
    assert!(!fetched.evidence.url.contains(KEY));
}

#[tokio::test]
async fn a_key_that_is_wrong_is_not_repeated() {
    let stub = Stub::start(|_, _| status(401, NEWSAPI_KEY)).await;
    let newsapi = NewsApi::new(http(), stub.url(), &KEY.into()).unwrap();
    let fetched = newsapi.headlines(now()).await;
    let error = fetched.value.unwrap_err();
    assert_eq!(error, SourceError::Status(401));
    assert!(!error.to_string().contains(KEY));
}

#[test]
fn newsapis_answers_that_say_nothing() {
    assert_eq!(parse_newsapi(NEWSAPI_NONE), Err(NONE));
    assert_eq!(
        parse_newsapi(NEWSAPI_KEY),
        Err(nonsense("status", "is not ok"))
    );
    assert_eq!(
        parse_newsapi(b"{\"status\":\"ok\"}"),
        Err(SourceError::MissingField("articles"))
    );
    assert_eq!(
        parse_newsapi(b"{\"articles\":[]}"),
        Err(SourceError::MissingField("status"))
    );
    let body = changed(NEWSAPI, "\"articles\":[", "\"articles\":[7,");
    assert_eq!(parse_newsapi(&body), Err(SourceError::NotJson));
    // Only articles that say nothing.
    let body = changed(
        NEWSAPI,
        "\"publishedAt\":\"2026-11-24",
        "\"publishedAt\":\"24.11.",
    );
    assert_eq!(parse_newsapi(&body), Err(NONE));
}

#[tokio::test]
async fn feeds_are_read_in_three_formats() {
    let rss2 = vec![
        headline(
            "Rust reaches the kernel's core",
            "2026-11-24T14:05:09Z",
            Some("https://news.example.org/articles/c1?at_medium=RSS&at_campaign=rss"),
        ),
        headline("AT&T & the cafés <again>", "2026-11-24T13:00:00Z", None),
    ];
    let rss1 = vec![
        headline(
            "Firefox Rewrites Its Rewrite In Rust",
            "2026-11-24T13:20:00Z",
            Some("https://slash.example.org/story/1?utm_source=rss1.0&utm_medium=feed"),
        ),
        headline(
            "A Wheel, Reinvented",
            "2026-11-24T12:40:00Z",
            Some("https://slash.example.org/story/2"),
        ),
    ];
    let atom = vec![
        headline(
            "Rust’s new compiler is fast",
            "2026-11-24T13:45:30Z",
            Some("https://verge.example.org/news/1"),
        ),
        headline(
            "A quiet Raspberry Pi",
            "2026-11-24T12:00:00Z",
            Some("https://verge.example.org/news/2"),
        ),
    ];
    for (body, expected) in [(RSS2, rss2), (RSS1, rss1), (ATOM, atom)] {
        let stub = Stub::start(move |_, _| ok(body)).await;
        let url = stub.url().join("/feed.xml?section=tech").unwrap();
        let feed = Feed::new(http(), url.clone()).unwrap();
        let fetched = feed.headlines(now()).await;
        assert_eq!(fetched.value.as_ref(), Ok(&expected));
        assert_eq!(fetched.evidence.url, url.as_str());
        assert_eq!(parse_feed(&fetched.evidence.body), Ok(expected));
        let request = stub.only_request();
        assert_eq!(request.target, "/feed.xml?section=tech");
        assert!(request.header("accept").unwrap().contains("rss+xml"));

        let with_mark = [b"\xef\xbb\xbf", body].concat();
        assert!(parse_feed(&with_mark).is_ok());
    }
}

#[test]
fn a_recorded_feed_answers_a_question() {
    let headlines = parse_feed(RSS2).unwrap();
    let noon = at("2026-11-24T12:00:00Z");
    let found = mentions(&headlines, "rust", noon, now()).unwrap();
    assert_eq!(found.title, "Rust reaches the kernel's core");
    assert!(mentions(&headlines, "rust", noon, at("2026-11-24T14:05:08Z")).is_none());
    assert!(mentions(&headlines, "AT&T", noon, now()).is_some());
    assert!(mentions(&headlines, "Another title", noon, now()).is_none());
}

#[test]
fn what_ends_early_is_no_feed() {
    for feed in [RSS2, RSS1, ATOM] {
        let whole = std::str::from_utf8(feed).unwrap().trim_end();
        for length in 0..whole.len() {
            let read = parse_feed(&feed[..length]);
            assert_eq!(read, Err(SourceError::NotFeed), "{length}");
        }
    }
}

#[test]
fn what_is_no_feed_is_refused() {
    let item = "<item><title>x</title><pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item>";
    let rss = |body: &str| format!("<rss version=\"2.0\">{body}</rss>");
    let channel = rss(&format!("<channel>{item}</channel>"));
    assert!(parse_feed(channel.as_bytes()).is_ok());
    let twice = format!("{channel}{channel}");
    let deep = rss(&format!(
        "<channel><item>{}{}</item></channel>",
        "<a>".repeat(5_000),
        "</a>".repeat(5_000)
    ));
    let old = channel.replace("2.0", "0.91");
    let versionless = channel.replace(" version=\"2.0\"", "");
    let crossed = channel.replace("</title>", "</titel>");
    let spaceless_atom = "<feed><entry><title>x</title></entry></feed>".to_owned();
    let json = r#"{"version":"https://jsonfeed.org/version/1","items":[]}"#.to_owned();
    let latin = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\u{0}".to_owned();
    for text in [
        twice,
        deep,
        old,
        versionless,
        crossed,
        spaceless_atom,
        json,
        latin,
        "<rss".to_owned(),
        "&".to_owned(),
    ] {
        let read = parse_feed(text.as_bytes());
        assert_eq!(read, Err(SourceError::NotFeed), "{text:.80}");
    }
    let latin1 = channel.replace('x', "é");
    let bytes: Vec<u8> = latin1.chars().map(|c| u8::try_from(c).unwrap()).collect();
    assert_eq!(parse_feed(&bytes), Err(SourceError::NotFeed));
    let large = format!("{channel}{}", " ".repeat(70_000));
    assert_eq!(parse_feed(large.as_bytes()), Err(SourceError::TooLarge));
}

#[test]
fn items_count_only_where_items_belong() {
    let item = "<item><title>x</title><pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item>";
    for body in [
        item.to_owned(),
        "<channel></channel>".to_owned(),
        "<channel/>".to_owned(),
        format!("<channel><group>{item}</group></channel>"),
        format!("<chanel>{item}</chanel>"),
        format!("<x:channel xmlns:x=\"urn:x\">{item}</x:channel>"),
        format!("<channel xmlns=\"urn:x\">{item}</channel>"),
        "<channel><item><y:title>x</y:title><pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item></channel>".to_owned(),
    ] {
        let feed = format!("<rss version=\"2.0\">{body}</rss>");
        assert_eq!(parse_feed(feed.as_bytes()), Err(NONE), "{body}");
    }
}

#[test]
fn strange_markup_changes_no_headline() {
    let read = |title: &str| {
        let feed = format!(
            "<!DOCTYPE rss [<!ENTITY bomb \"boom\">]><rss version=\"2.0\"><channel><item>\
             <title>{title}</title><title>second</title>\
             <pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item></channel></rss>"
        );
        parse_feed(feed.as_bytes()).map(|headlines| headlines[0].title.clone())
    };
    for (markup, title) in [
        ("a &bomb; b", "a &bomb; b"),
        ("a&nbsp;b", "a&nbsp;b"),
        ("a<!-- not this -->b", "ab"),
        ("a<?not this?>b", "ab"),
        ("a <b>c</b> d", "a c d"),
        ("&#x52;ust", "Rust"),
        ("<![CDATA[<title>]]>", "<title>"),
    ] {
        assert_eq!(read(markup).as_deref(), Ok(title), "{markup}");
    }
    for markup in ["&#0;", "&#x110000;", "a & b", "<b>"] {
        assert_eq!(read(markup), Err(SourceError::NotFeed), "{markup}");
    }
}
