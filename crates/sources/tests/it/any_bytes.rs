//! A parser returns a result for any bytes.

use std::sync::LazyLock;

use ledger_core::criteria::{Criteria, Times};
use ledger_core::market::MarketSource;
use proptest::prelude::*;
use serde_json::json;
use sources::derive;
use sources::github::parse_stars;
use sources::news::{mentions, parse_feed, parse_newsapi};
use sources::open_meteo::{parse_at, parse_now};
use sources::wikipedia::{parse_query, parse_summary};

use crate::played::proposals;
use crate::{at, now};

const RECORDED: [&[u8]; 9] = [
    include_bytes!("../data/github_repository.json"),
    include_bytes!("../data/open_meteo_now.json"),
    include_bytes!("../data/open_meteo_at.json"),
    include_bytes!("../data/wikipedia_summary.json"),
    include_bytes!("../data/wikipedia_query_redirect.json"),
    include_bytes!("../data/newsapi_top_headlines.json"),
    include_bytes!("../data/feed_rss2.xml"),
    include_bytes!("../data/feed_rss1.xml"),
    include_bytes!("../data/feed_atom.xml"),
];

/// [`RECORDED`], and answers of each source's stub.
static ANSWERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut answers: Vec<Vec<u8>> = RECORDED.iter().map(|body| body.to_vec()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for source in MarketSource::ALL.iter().copied() {
        let proposed = runtime.block_on(proposals(source, 1));
        answers.extend(proposed.into_iter().take(2).map(|it| it.evidence.body));
    }
    answers
});

/// How many of the seven parsers could read `body`.
fn readers(body: &[u8]) -> usize {
    let repository = "rust-lang/rust".parse().unwrap();
    let headlines = [parse_newsapi(body), parse_feed(body)];
    assert_eq!(parse_feed(body), headlines[1], "the same bytes say the same");
    for listing in headlines.iter().flatten() {
        let found = mentions(listing, "rust", at("2000-01-01T00:00:00Z"), now());
        let title = found.ok().flatten().and_then(|it| it.title.clone());
        assert!(title.is_none_or(|it| it.to_lowercase().contains("rust")));
    }
    derive_by_each_rule(body);
    let read = [
        parse_stars(body, &repository).is_ok(),
        parse_now(body, now()).is_ok(),
        parse_at(body, at("2026-11-24T14:30:00Z")).is_ok(),
        parse_summary(body).is_ok(),
        parse_query(body).is_ok(),
        headlines[0].is_ok(),
        headlines[1].is_ok(),
    ];
    read.into_iter().filter(|it| *it).count()
}

/// No source's reader panics, for present criteria and for those of earlier markets.
fn derive_by_each_rule(body: &[u8]) {
    let instant = at("2026-11-24T14:00:00Z");
    let times = Times { opens_at: instant, bets_close_at: instant, deadline: now() };
    let examples = MarketSource::ALL.iter().map(|it| (*it, sources::of(*it).example("rust")));
    let before = [
        json!({ "keyword": "rust" }),
        json!({ "keyword": "rust", "published": "AFTER_BETS_CLOSE" }),
    ];
    for (source, criteria) in examples.chain(before.map(|it| (MarketSource::News, it))) {
        let criteria = Criteria::deserialize(source, criteria).unwrap();
        let first = derive(&criteria, &times, now(), body);
        let second = derive(&criteria, &times, now(), body);
        assert_eq!(first, second);
    }
}

#[test]
fn each_recorded_answer_is_read_by_exactly_one_parser() {
    for body in RECORDED {
        assert_eq!(readers(body), 1);
    }
}

/// An answer with a part replaced.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let stretch = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        "[<>&;/\"'{}:,\\[\\]a-z0-9.éß\u{301}“-]{0,20}".prop_map(String::into_bytes),
    ];
    (prop::sample::select(ANSWERS.clone()), any::<prop::sample::Index>(), 0..30_usize, stretch)
        .prop_map(|(body, start, length, stretch)| {
            let start = start.index(body.len());
            let end = (start + length).min(body.len());
            [&body[..start], &stretch, &body[end..]].concat()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_parser_panics_on_any_bytes(body in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert_eq!(readers(&body), 0);
    }

    #[test]
    fn no_parser_panics_on_any_text(body in "\\PC{0,300}") {
        readers(body.as_bytes());
    }

    #[test]
    fn no_parser_panics_on_damaged_answers(body in damaged()) {
        prop_assert!(readers(&body) <= 1);
    }

    #[test]
    fn no_parser_panics_on_any_markup(parts in prop::collection::vec(prop::sample::select(vec![
        "<rss version=\"2.0\">", "<channel>", "<item>", "<title>", "</title>", "</item>", "</channel>",
        "</rss>", "<pubDate>", "<x:date xmlns:x=\"http://purl.org/dc/elements/1.1/\">", "</x:date>",
        "2026-11-24T14:05:00Z", "&amp;", "&#233;", "&", "<![CDATA[", "]]>", "<!--", "-->", "<a b='c'/>",
        "“", "<feed xmlns=\"http://www.w3.org/2005/Atom\">", "<entry>", "<link href='x'/>", "<author>", "</author>", "“a@b.com",
        "<m:group xmlns:m=\"http://search.yahoo.com/mrss/\">", "</m:group>", "<?xml version='1.0' encoding='latin1'?>",
    ]), 0..40)) {
        readers(parts.concat().as_bytes());
    }
}
