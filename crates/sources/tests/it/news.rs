//! Headlines.

mod markup;

use ledger_core::criteria::{Criteria, Reading, Times};
use ledger_core::market::{MarketSource, Side};
use sources::news::{Feed, Item, Listing, NewsApi, mentions, parse, parse_feed, parse_newsapi};
use sources::{BODY_MAX_BYTES, Evidence, SourceError, derive, headlines_to_keep};

use crate::stub::{Stub, http, ok, status, with_headers};
use crate::{at, changed, nonsense, now};

const NEWSAPI: &[u8] = include_bytes!("../data/newsapi_top_headlines.json");
const NEWSAPI_KEY: &[u8] = include_bytes!("../data/newsapi_key_invalid.json");
const NEWSAPI_NONE: &[u8] = include_bytes!("../data/newsapi_none.json");
const RSS2: &[u8] = include_bytes!("../data/feed_rss2.xml");
const RSS1: &[u8] = include_bytes!("../data/feed_rss1.xml");
const ATOM: &[u8] = include_bytes!("../data/feed_atom.xml");
const KEY: &str = "hunter2-0123456789";

fn headline(title: &str, published_at: &str, link: Option<&str>) -> Item {
    Item {
        title: Some(title.to_owned()),
        published_at: Some(at(published_at)),
        updated_at: None,
        link: link.map(str::to_owned),
        whole: true,
    }
}

fn whole(items: Vec<Item>) -> Listing {
    Listing { items, whole: true }
}

#[tokio::test]
async fn newsapi_is_asked_with_its_key_in_a_header() {
    let stub = Stub::start(|_, _| ok(NEWSAPI)).await;
    let newsapi = NewsApi::new(http(), stub.url(), &KEY.into()).unwrap();
    let fetched = newsapi.headlines(now()).await;
    // An item without title or time exists, and may be about the keyword.
    let untitled = |published_at: &str, link: &str| Item {
        title: None,
        ..headline("", published_at, Some(link))
    };
    let undated = Item {
        published_at: None,
        ..headline(
            "Some day, somebody will date this",
            "2026-11-24T13:00:00Z",
            Some("https://example.org/undated"),
        )
    };
    let expected = whole(vec![
        headline(
            "Rust lands in the next Android kernel - The Verge",
            "2026-11-24T14:05:00Z",
            Some("https://www.theverge.com/2026/11/24/rust-android-kernel"),
        ),
        untitled("2026-11-24T14:01:00Z", "https://removed.com"),
        untitled("2026-11-24T13:30:00Z", "https://example.org/untitled"),
        headline(
            "Raspberry Pi 6 is here, and it’s “quiet” - WIRED",
            "2026-11-24T13:00:00Z",
            Some("https://www.wired.com/story/raspberry-pi-6/"),
        ),
        undated,
    ]);
    assert_eq!(fetched.value.as_ref(), Ok(&expected));
    assert_eq!(parse_newsapi(&fetched.evidence.body), Ok(expected));
    let request = stub.only_request();
    assert_eq!(request.target, "/v2/top-headlines?category=technology&language=en&pageSize=100");
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
    assert_eq!(parse_newsapi(NEWSAPI_NONE), Ok(whole(Vec::new())));
    assert_eq!(parse_newsapi(NEWSAPI_KEY), Err(nonsense("status", "is not ok")));
    assert_eq!(parse_newsapi(b"{\"status\":\"ok\"}"), Err(SourceError::MissingField("articles")));
    assert_eq!(parse_newsapi(b"{\"articles\":[]}"), Err(SourceError::MissingField("status")));
}

#[test]
fn a_list_of_newsapi_is_whole_if_it_lists_all_that_there_are() {
    for (total, is_whole) in [
        ("\"totalResults\":5", true),
        ("\"totalResults\":4", true),
        ("\"totalResults\":6", false),
        ("\"totalResults\":null", false),
        ("\"totalResults\":\"5\"", false),
        ("\"total\":5", false),
    ] {
        let body = changed(NEWSAPI, "\"totalResults\":5", total);
        assert_eq!(parse_newsapi(&body).unwrap().whole, is_whole, "{total}");
    }
}

#[test]
fn an_odd_article_costs_nothing_but_itself() {
    let all = parse_newsapi(NEWSAPI).unwrap();
    let body = changed(NEWSAPI, "\"articles\":[", "\"articles\":[7,");
    let read = parse_newsapi(&body).unwrap();
    assert_eq!(read.items.len(), all.items.len() + 1);
    assert_eq!((&read.items[0].title, read.items[0].published_at), (&None, None));
    assert_eq!(read.items[1..], all.items);
    let body = changed(NEWSAPI, "\"publishedAt\":\"2026-11-24", "\"publishedAt\":\"24.11.");
    let read = parse_newsapi(&body).unwrap();
    assert!(read.items.iter().all(|item| item.published_at.is_none()));
    assert_eq!(read.items[0].title, all.items[0].title);
}

#[tokio::test]
async fn feeds_are_read_in_three_formats() {
    let rss2 = whole(vec![
        headline(
            "Rust reaches the kernel's core",
            "2026-11-24T14:05:09Z",
            Some("https://news.example.org/articles/c1?at_medium=RSS&at_campaign=rss"),
        ),
        headline("AT&T & the cafés <again>", "2026-11-24T13:00:00Z", None),
    ]);
    let rss1 = whole(vec![
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
    ]);
    let atom = whole(vec![
        headline(
            "Rust’s new compiler is fast",
            "2026-11-24T13:45:30Z",
            Some("https://verge.example.org/news/1"),
        ),
        Item {
            published_at: None,
            updated_at: Some(at("2026-11-24T12:00:00Z")),
            ..headline(
                "A quiet Raspberry Pi",
                "2026-11-24T12:00:00Z",
                Some("https://verge.example.org/news/2"),
            )
        },
    ]);
    for (body, expected) in [(RSS2, rss2), (RSS1, rss1), (ATOM, atom)] {
        let stub = Stub::start(move |_, _| ok(body)).await;
        let url = stub.url().join("/feed.xml?section=tech").unwrap();
        let feed = Feed::new(http(), url.clone()).unwrap();
        let fetched = feed.headlines(now()).await;
        let read = fetched.value.unwrap();
        let in_full = |it: &&Item| {
            it.whole && it.title.is_some() && it.published_at.or(it.updated_at).is_some()
        };
        let found: Vec<Item> = read.items.iter().filter(in_full).cloned().collect();
        assert_eq!(found, expected.items);
        assert!(read.whole);
        assert_eq!(fetched.evidence.url, url.as_str());
        assert_eq!(parse_feed(&fetched.evidence.body), Ok(read));
        let request = stub.only_request();
        assert_eq!(request.target, "/feed.xml?section=tech");
        assert!(request.header("accept").unwrap().contains("rss+xml"));

        let with_mark = [b"\xef\xbb\xbf", body].concat();
        assert!(parse_feed(&with_mark).is_ok());
    }
}

#[test]
fn a_recorded_feed_answers_a_question() {
    let listing = parse_feed(RSS2).unwrap();
    let noon = at("2026-11-24T12:00:00Z");
    let found = mentions(&listing, "rust", noon, now()).unwrap().unwrap();
    assert_eq!(found.title.as_deref(), Some("Rust reaches the kernel's core"));
    assert!(mentions(&listing, "cafés", noon, now()).unwrap().is_some());
}

const ITEM: &str = "<item><title>x</title><pubDate>Tue, 24 Nov 2026 14:05:00 GMT</pubDate></item>";

fn rss(body: &str) -> String {
    format!("<rss version=\"2.0\" xmlns:media=\"http://search.yahoo.com/mrss/\">{body}</rss>")
}

/// A feed with this item between one before it and older ones behind it.
fn among_others(item: &str) -> String {
    let other = |title: &str, time: &str| {
        let item = ITEM.replace(">x<", &format!(">{title}<"));
        item.replace("14:05", time)
    };
    let before = other("before", "14:00");
    let after = other("after", "13:00");
    let older = [other("older", "12:30"), other("oldest", "12:00")].concat();
    rss(&format!("<channel>{before}{item}{after}{older}</channel>"))
}

fn titles(listing: &Listing) -> Vec<&str> {
    let titles = listing.items.iter().filter_map(|it| it.title.as_deref());
    titles.collect()
}

fn criteria_of(keyword: &str, rule: &str) -> Criteria {
    let criteria = serde_json::json!({ "keyword": keyword, "published": rule });
    Criteria::deserialize(MarketSource::News, criteria).unwrap()
}

fn times() -> Times {
    Times {
        opens_at: at("2026-11-24T13:30:00Z"),
        bets_close_at: at("2026-11-24T14:00:00Z"),
        deadline: at("2026-11-24T14:30:00Z"),
    }
}

/// The whole way: what is kept of a list, and what follows from it.
fn decided(
    body: &[u8],
    charset: &str,
    keyword: &str,
) -> (Evidence, Result<Option<Side>, SourceError>) {
    let criteria = criteria_of(keyword, "AFTER_BETS_CLOSE");
    let times = times();
    let body = body.to_vec();
    let header = format!("Content-Type: text/xml{charset}\r\n");
    let fetched = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let stub = Stub::start(move |_, _| with_headers(200, &header, &body)).await;
        Feed::new(http(), stub.url()).unwrap().headlines(now()).await
    });
    let kept = headlines_to_keep(&criteria, &times, fetched);
    assert!(kept.evidence.body.len() <= BODY_MAX_BYTES);
    assert_eq!(kept.evidence.sha256, Some(Evidence::digest(&kept.evidence.body)));
    let told = kept
        .value
        .and_then(|()| derive(&criteria, &times, kept.evidence.fetched_at, &kept.evidence.body));
    (kept.evidence, told.map(|reading| criteria.decide(&reading)))
}

#[test]
fn only_what_was_published_after_bets_closed_counts() {
    let with = |time: &str| among_others(&ITEM.replace("14:05:00", time).replace(">x<", ">Rust<"));
    for (time, side) in [
        ("13:45:00", Side::No),
        ("14:00:00", Side::No),
        ("14:00:01", Side::Yes),
        ("14:30:00", Side::Yes),
        ("14:30:01", Side::No),
    ] {
        let (_, told) = decided(with(time).as_bytes(), "", "rust");
        assert_eq!(told, Ok(Some(side)), "{time}");
    }
}

fn reading(title: Option<&str>) -> Reading {
    Reading::Found { what: "headline", text: title.map(str::to_owned) }
}

#[test]
fn a_market_of_before_this_rule_keeps_its_own() {
    let criteria = serde_json::json!({ "keyword": "rust" });
    let criteria = Criteria::deserialize(MarketSource::News, criteria).unwrap();
    let times = Times {
        opens_at: at("2026-11-24T13:30:00Z"),
        bets_close_at: at("2026-11-24T14:00:00Z"),
        deadline: at("2026-11-24T14:30:00Z"),
    };
    assert_eq!(
        criteria.question(&times),
        "Will 'rust' appear in a technology headline published by 2026-11-24 14:30:00 UTC?"
    );
    assert_eq!(
        criteria.under_present_rules().question(&times),
        "Will 'rust' appear in a technology headline published after 2026-11-24 14:00:00 UTC and by \
         2026-11-24 14:30:00 UTC?"
    );
    let old = |item: &str| derive(&criteria, &times, now(), among_others(item).as_bytes());
    let early = ITEM.replace("14:05:00", "13:45:00").replace(">x<", ">Rust<");
    assert_eq!(old(&early), Ok(reading(Some("Rust"))));
    // It skipped unreadable items, and still does.
    let undated = early.replace("13:45:00 GMT", "soon");
    assert_eq!(old(&undated), Ok(reading(None)));
    assert_eq!(old("<item><title>"), Err(SourceError::NotFeed));
}

#[test]
fn the_last_change_is_no_publication() {
    let doubt = Err(SourceError::InDoubt { items: 1 });
    let with = |date: &str| {
        let item = format!("<item><title>Rust is out</title>{date}</item>");
        decided(among_others(&item).as_bytes(), "", "rust").1
    };
    assert_eq!(with("<updated>2026-11-24T14:05:00Z</updated>"), doubt);
    assert_eq!(with("<dcterms:modified>2026-11-24T14:05:00Z</dcterms:modified>"), doubt);
    // It may have been published before bets closed, or afterwards.
    assert_eq!(with("<updated>2026-11-24T15:00:00Z</updated>"), doubt);
    assert_eq!(with("<pubDate>soon</pubDate><updated>2026-11-24T14:05:00Z</updated>"), doubt);
    // It was published by then.
    let before = "<updated>2026-11-24T14:00:00Z</updated>";
    assert_eq!(with(before), Ok(Some(Side::No)));
    let published = "<published>2026-11-24T14:05:00Z</published>";
    assert_eq!(with(&format!("{published}{before}")), Ok(Some(Side::Yes)));
}

#[test]
fn a_pinned_item_does_not_show_that_nothing_dropped_off() {
    let at_time = |time: &str| ITEM.replace("14:05:00", time);
    let new: String = (10..40).map(|minute| at_time(&format!("14:{minute}:00"))).collect();
    let decided = |items: &str| {
        let body = rss(&format!("<channel>{items}</channel>"));
        decided(body.as_bytes(), "", "rust").1
    };
    let pinned = at_time("11:00:00");
    let epoch = ITEM.replace("24 Nov 2026 14:05:00", "01 Jan 1970 00:00:00");
    let evergreen = ITEM.replace("24 Nov 2026", "24 Nov 2025").repeat(3);
    for old in [&pinned, &epoch, &epoch.repeat(3), &evergreen] {
        assert!(decided(&format!("{old}{new}")).is_err(), "{old}");
        assert!(decided(&format!("{new}{old}")).is_err(), "{old}");
    }
    let list = format!("{new}{}", pinned.repeat(3));
    assert_eq!(decided(&list), Ok(Some(Side::No)));
    assert_eq!(decided(&format!("{list}{evergreen}")), Ok(Some(Side::No)));
    // It is also read from the stored form of a longer list.
    let long = |items: &str| {
        let filler = at_time("14:40:01").replace(">x<", &format!(">{}<", "new ".repeat(400)));
        decided(&format!("{}{items}", filler.repeat(100)))
    };
    assert_eq!(long(&list), Ok(Some(Side::No)));
    assert!(long(&format!("{pinned}{new}")).is_err());
    assert!(long(&format!("{new}{evergreen}{pinned}")).is_err());
}

#[test]
fn what_may_have_swallowed_items_shows_no_absence() {
    let rust = ITEM.replace(">x<", ">Rust is out<");
    let old = ITEM.replace("14:05:00", "13:30:00");
    let describe = |text: &str| {
        let description = format!("<description>{text}</description></item>");
        old.replace("</item>", &description)
    };
    let decided = |before: &str, after: &str| {
        let items = format!("{before}{rust}{after}");
        decided(among_others(&items).as_bytes(), "", "rust").1
    };
    // A quote is missing or too many: the items behind it are read all the same.
    for torn in ["<img alt=\"5\" tall\">", "<img alt=\"5>", "a < b", "<br"] {
        let told = decided(&describe(torn), &describe("5\" > 4\""));
        assert_eq!(told, Ok(Some(Side::Yes)), "{torn}");
    }
    for (begins, ends) in [
        ("<![CDATA[never ended", "<![CDATA[ended]]>"),
        ("<!-- never ended", "<!-- ended -->"),
        ("<?php never ended", "<?php ended ?>"),
    ] {
        let told = decided(&describe(begins), &describe(ends));
        assert!(matches!(told, Err(SourceError::Nonsense { .. })), "{begins}: {told:?}");
        // Such a section alone is nothing special.
        assert_eq!(decided(&describe(ends), ""), Ok(Some(Side::Yes)));
    }
    let with_doctype = |entity: &str, item: &str| {
        let feed = among_others(item);
        let feed = format!("<!DOCTYPE rss [<!ENTITY r '{entity}'>]>{feed}");
        self::decided(feed.as_bytes(), "", "rust").1
    };
    let doubt = Err(SourceError::InDoubt { items: 1 });
    assert_eq!(with_doctype("Rust", &ITEM.replace(">x<", ">&r; is out<")), doubt);
    assert_eq!(with_doctype("y", &ITEM.replace(">x<", ">Rust&r; nails<")), doubt);
    assert!(with_doctype("anything", "&r;").is_err());
    assert!(with_doctype("&lt;item>", "").is_ok());
    assert!(with_doctype("<item>", "").is_err());
    assert_eq!(with_doctype("Rust", &describe("&r;")), Ok(Some(Side::No)));
}

#[test]
fn half_a_word_in_a_title_is_no_mention() {
    let doubt = Err(SourceError::InDoubt { items: 1 });
    for title in [
        "Why we love Rust&nosuch; ",
        "Rust\u{fffd} nails",
        "Rust&#0;y nails",
        "The new Rust<!y> nails",
        "The new Rust</titel>",
        "The new Rust<i>",
    ] {
        let item = ITEM.replace(">x<", &format!(">{title}<"));
        let told = decided(among_others(&item).as_bytes(), "", "rust").1;
        assert_eq!(told, doubt, "{title}");
    }
    let long = format!("{}Rust", "a ".repeat(998));
    let told = |end: &str| {
        let item = ITEM.replace(">x<", &format!(">{long}{end}<"));
        decided(among_others(&item).as_bytes(), "", "rust").1
    };
    assert_eq!(long.len(), 2_000);
    assert_eq!(told(""), Ok(Some(Side::Yes)));
    assert_eq!(told("y nails"), doubt);
    let cut = rss(&format!("<channel>{}", ITEM.replace("x</title>", "The new Rust")));
    let cut = cut.split("<pubDate>").next().unwrap();
    assert!(decided(cut.as_bytes(), "", "rust").1.is_err());
}

#[test]
fn unreadable_is_not_absent() {
    let doubt = Err(SourceError::InDoubt { items: 1 });
    let rust = ITEM.replace(">x<", ">Rust is out<");
    let bad = rust.replace("Tue, 24 Nov 2026 14:05:00 GMT", "24.11.2026, 14:05 Uhr");
    for item in [
        bad.clone(),
        ITEM.replace("<title>x</title>", ""),
        ITEM.replace(">x<", "><"),
        rust.replace("</title>", ""),
    ] {
        assert_eq!(decided(among_others(&item).as_bytes(), "", "rust").1, doubt, "{item}");
    }
    // An item that cannot match does not matter.
    let told = decided(among_others(&bad).as_bytes(), "", "golang").1;
    assert_eq!(told, Ok(Some(Side::No)));
    // A found match counts.
    let told = decided(among_others(&format!("{bad}{rust}")).as_bytes(), "", "rust").1;
    assert_eq!(told, Ok(Some(Side::Yes)));
    let cut = among_others(&rust).replace("</channel></rss>", "");
    assert_eq!(decided(cut.as_bytes(), "", "rust").1, Ok(Some(Side::Yes)));
    let cut = among_others("").replace("</channel></rss>", "");
    assert!(decided(cut.as_bytes(), "", "rust").1.is_err());
    assert_eq!(decided(among_others("").as_bytes(), "", "rust").1, Ok(Some(Side::No)));
}

#[test]
fn a_feed_may_be_two_mebibytes_long_and_its_outcome_follows_from_what_is_kept() {
    let filler =
        ITEM.replace("14:05:00", "11:00:00").replace(">x<", &format!(">{}<", "old ".repeat(400)));
    let long = |item: &str, count: usize| among_others(&format!("{}{item}", filler.repeat(count)));
    let rust = ITEM.replace(">x<", ">Rust is out<");
    for (body, side) in [(long(&rust, 1_200), Side::Yes), (long("", 1_200), Side::No)] {
        assert!(body.len() > 1_900_000 && body.len() < 2 * 1024 * 1024);
        let (kept, told) = decided(body.as_bytes(), "", "rust");
        assert_eq!(told, Ok(Some(side)));
        assert!(!kept.truncated);
        let kept = String::from_utf8(kept.body).unwrap();
        assert!(kept.contains(&Evidence::digest(body.as_bytes()).to_string()));
        assert_eq!(kept.contains("Rust is out"), side == Side::Yes);
    }
    // Too long: the read part counts, and the missing part may contain a match.
    assert!(decided(long("", 1_400).as_bytes(), "", "rust").1.is_err());
    let first = rss(&format!("<channel>{rust}{}</channel>", filler.repeat(1_400)));
    assert_eq!(decided(first.as_bytes(), "", "rust").1, Ok(Some(Side::Yes)));
    // More that matters than can be kept: nothing follows from what is left out.
    let many = among_others(&ITEM.replace(">x<", &format!(">{}<", "new ".repeat(400))).repeat(100));
    assert!(decided(many.as_bytes(), "", "rust").1.is_err());
}
