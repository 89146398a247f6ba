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
        headline("AT&amp;T & the cafés <again>", "2026-11-24T13:00:00Z", None),
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
            "Rust&#8217;s new compiler is fast",
            "2026-11-24T13:45:30Z",
            Some("https://verge.example.org/news/1"),
        ),
        headline(
            "A <em>quiet</em> Raspberry Pi",
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
    assert!(mentions(&headlines, "cafés", noon, now()).is_some());
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

const ITEM: &str = "<item><title>x</title><pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item>";

fn rss(body: &str) -> String {
    format!("<rss version=\"2.0\" xmlns:media=\"http://search.yahoo.com/mrss/\">{body}</rss>")
}

#[test]
fn what_is_no_feed_is_refused() {
    let channel = rss(&format!("<channel>{ITEM}</channel>"));
    assert!(parse_feed(channel.as_bytes()).is_ok());
    for text in [
        format!("{channel}{channel}"),
        format!("{channel}<a/>"),
        format!("{channel}a"),
        format!("a{channel}"),
        format!("&amp;{channel}"),
        format!("<![CDATA[a]]>{channel}"),
        format!("{channel}<?xml version=\"1.0\"?>"),
        channel.replace(" version=\"2.0\"", ""),
        channel.replace("2.0", "3.0"),
        channel.replace("</title>", "</titel>"),
        channel.replace("<title>", "<title a=\"1\" a=\"2\">"),
        channel.replace("channel>", "chanel>"),
        rss(ITEM),
        r#"{"version":"https://jsonfeed.org/version/1","items":[]}"#.to_owned(),
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\u{0}".to_owned(),
        channel.chars().flat_map(|c| [c, '\0']).collect(),
        "<html><head><title>x</title></head></html>".to_owned(),
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

/// What a stricter reader would refuse, and this one does not.
#[test]
fn what_the_web_calls_a_feed_is_read() {
    let channel = rss(&format!("<channel>{ITEM}</channel>"));
    let atom =
        "<feed><entry><title>x</title><updated>2026-11-24T14:05:00Z</updated></entry></feed>";
    for text in [
        channel.replace("2.0", "0.91"),
        channel.replace("2.0", ""),
        rss(&format!("<y:channel>{ITEM}</y:channel>")),
        channel.replace("title>", "y:title>"),
        channel.replace("<title>", "<title>first</title><title>"),
        format!("\n<!-- a feed -->{channel}<!-- a feed -->\n"),
        atom.to_owned(),
        atom.replace("feed>", "entry>")
            .replace("<entry><entry>", "<entry>")
            .replace("</entry></entry>", "</entry>"),
    ] {
        let expected = vec![headline("x", "2026-11-24T14:05:00Z", None)];
        assert_eq!(parse_feed(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn a_feed_is_utf8_whatever_it_declares() {
    let feed = rss(&format!("<channel>{ITEM}</channel>")).replace('x', "Ééß");
    let feed = feed.replace("Ééßmlns", "xmlns");
    let expected = parse_feed(feed.as_bytes());
    assert!(expected.is_ok());
    for encoding in ["utf-8", "UTF-16", "ISO-8859-1", "Shift_JIS", "none"] {
        let declared = format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>{feed}");
        assert_eq!(parse_feed(declared.as_bytes()), expected, "{encoding}");
    }
}

#[test]
fn items_count_only_where_items_belong() {
    for body in [
        "<channel></channel>".to_owned(),
        "<channel/>".to_owned(),
        format!("<channel><group>{ITEM}</group></channel>"),
        format!("<channel xmlns=\"urn:x\">{ITEM}</channel>"),
        format!("<channel/><channel>{ITEM}</channel>"),
    ] {
        assert_eq!(parse_feed(rss(&body).as_bytes()), Err(NONE), "{body}");
    }
}

#[test]
fn the_link_is_the_first_to_the_article() {
    let read = |links: &str| {
        let feed = format!(
            "<feed xmlns=\"http://www.w3.org/2005/Atom\"><entry><title>x</title>{links}\
             <updated>2026-11-24T14:05:00Z</updated></entry></feed>"
        );
        parse_feed(feed.as_bytes()).unwrap().remove(0).link
    };
    let article = Some("https://example.org/1".to_owned());
    for before in [
        "",
        "<link rel=\"self\" href=\"https://example.org/feed\"/>",
        "<link rel=\"enclosure\" href=\"https://example.org/1.jpg\"/>",
        "<link href=\"javascript:alert(1)\"/>",
        "<link href=\"/0\"/>",
        "<link/>",
    ] {
        assert_eq!(read(before), None, "{before}");
        let links = format!(
            "{before}<link href=\"https://example.org/1\"/><link href=\"https://b.org/\"/>"
        );
        assert_eq!(read(&links), article, "{before}");
    }
    let commented = rss(&format!(
        "<channel>{}</channel>",
        ITEM.replace(
            "</item>",
            "<comments>https://example.org/1#c</comments></item>"
        )
    ));
    assert_eq!(parse_feed(commented.as_bytes()).unwrap()[0].link, None);
}

#[test]
fn a_feed_that_makes_its_reader_panic_is_no_feed() {
    for (from, to) in [
        ("example.org (Jane Doe)</author>", "example.org</author>"),
        ("time=\"0:00:05.5\"", "time=\"99999999999999999999999\""),
        // Seconds that fit no integer, which only some builds would notice.
        ("time=\"0:00:05.5\"", "time=\"9999999999999999999:00:00\""),
    ] {
        let feed = changed(RSS2, from, to);
        assert_eq!(parse_feed(&feed), Err(SourceError::NotFeed), "{to}");
    }
}

/// An item with `levels` elements of Media RSS, one within the other.
fn nested(levels: usize) -> String {
    let names = ["media:group", "media:content"].into_iter().cycle();
    let names: Vec<&str> = names.take(levels).collect();
    let starts = names.iter().map(|name| format!("<{name}>"));
    let ends = names.iter().rev().map(|name| format!("</{name}>"));
    let media: String = starts.chain(ends).collect();
    let item = ITEM.replace("</item>", &format!("{media}</item>"));
    rss(&format!("<channel>{item}</channel>"))
}

#[test]
fn the_deepest_feed_fits_a_small_stack() {
    let read = || {
        // Within the root, the channel and the item.
        assert!(parse_feed(nested(29).as_bytes()).is_ok());
        let groups = nested(29).replace("media:content", "media:group");
        assert!(parse_feed(groups.as_bytes()).is_ok());
        for levels in [30, 1_000, 2_000] {
            let read = parse_feed(nested(levels).as_bytes());
            assert_eq!(read, Err(SourceError::NotFeed), "{levels}");
        }
    };
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    small.spawn(read).unwrap().join().unwrap();
}

#[test]
fn groups_are_counted() {
    let read = |name: &str, groups: usize| {
        let media = format!("<{name}><media:content url=\"a:b\"/></{name}>").repeat(groups);
        let item = ITEM.replace("</item>", &format!("{media}</item>"));
        parse_feed(rss(&format!("<channel>{item}</channel>")).as_bytes())
    };
    for name in ["media:group", "media:a:group", "group"] {
        assert!(read(name, 128).is_ok(), "{name}");
        assert_eq!(read(name, 129), Err(SourceError::NotFeed), "{name}");
    }
}

#[test]
fn strange_markup_changes_no_headline() {
    let read = |title: &str| {
        let feed = format!(
            "<!DOCTYPE rss [<!ENTITY bomb \"boom\"><!ENTITY bombs \"&bomb;&bomb;&bomb;&bomb;\">]>\
             <rss version=\"2.0\"><channel><item><title>{title}</title>\
             <pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item></channel></rss>"
        );
        parse_feed(feed.as_bytes()).map(|headlines| headlines[0].title.clone())
    };
    for (markup, title) in [
        ("a &bombs; b", "a &bombs; b"),
        ("a&nbsp;b", "a&nbsp;b"),
        ("a<!-- not this -->b", "ab"),
        ("a<?not this?>b", "ab"),
        // Text up to the first element, of which RSS has none in a title.
        ("a <b>c</b> d", "a"),
        ("&#x52;ust", "Rust"),
        ("  a\n\tb  ", "a b"),
        ("<![CDATA[<title>]]>", "<title>"),
    ] {
        assert_eq!(read(markup).as_deref(), Ok(title), "{markup}");
    }
    for markup in ["&#0;", "&#x110000;", "a & b", "<b>"] {
        assert_eq!(read(markup), Err(SourceError::NotFeed), "{markup}");
    }
}
