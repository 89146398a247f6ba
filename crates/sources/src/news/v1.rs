//! How headlines were read for markets that were opened before the present rule.
//!
//! Frozen: the evidence of such a market must always give the result of its decision. Here a feed must be
//! well-formed UTF-8, items without title or date are skipped, and headlines count from the market's opening on.
//! [`super::feed`] is for all others.
//!
//! Feeds are written by strangers, and `feed-rs` recurses, copies and panics. No document comes to
//! it that [`admitted`] did not walk to its end first, and no panic leaves [`entries`].

use std::panic::catch_unwind;

use chrono::{DateTime, Utc};
use feed_rs::model::Entry;
use feed_rs::parser::Builder;
use ledger_core::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization as _;

use super::mentions::{holds_word, of_a_word};
use crate::error::{given, nonsense};
use crate::{BODY_MAX_BYTES, SourceError, json};

/// Elements within elements.
const DEPTH_MAX: usize = 32;
/// Groups of pictures: `feed-rs` copies values from outside the items into each.
const GROUPS_MAX: usize = 128;
/// The title of an article that was taken back.
const REMOVED: &str = "[Removed]";

struct Headline {
    title: String,
    published_at: Timestamp,
}

impl Headline {
    fn new(title: &str, published_at: Timestamp) -> Option<Headline> {
        let words: Vec<&str> = title.split_whitespace().collect();
        (!words.is_empty()).then(|| Headline { title: words.join(" "), published_at })
    }
}

/// The earliest headline of `[from, to]` with the keyword.
pub(crate) fn search(
    body: &[u8],
    keyword: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<String>, SourceError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let headlines = if first == Some(&b'{') { parse_newsapi(body)? } else { parse_feed(body)? };
    let keyword = normal(keyword);
    let found = headlines
        .iter()
        .filter(|headline| (from..=to).contains(&headline.published_at))
        .filter(|headline| holds_word(&normal(&headline.title), &keyword, of_a_word))
        .min_by_key(|headline| headline.published_at);
    // Feeds forget. A missing match only counts if the list reaches back to the opening.
    let reaches_back = headlines.iter().any(|h| h.published_at <= from);
    if found.is_none() && !reaches_back {
        return nonsense("list of headlines", "does not reach back to the opening of the market");
    }
    Ok(found.map(|found| found.title.clone()))
}

fn some(headlines: Vec<Headline>) -> Result<Vec<Headline>, SourceError> {
    if headlines.is_empty() {
        return nonsense("list of headlines", "holds none with a title and a date");
    }
    Ok(headlines)
}

fn parse_feed(body: &[u8]) -> Result<Vec<Headline>, SourceError> {
    if body.len() > BODY_MAX_BYTES {
        return Err(SourceError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| SourceError::NotFeed)?;
    let text = text.trim_start_matches('\u{feff}');
    let entries = admitted(text).and_then(entries);
    let entries = entries.ok_or(SourceError::NotFeed)?;
    some(entries.into_iter().filter_map(headline).collect())
}

/// The document after the XML declaration, if it is well-formed to its end and within limits of depth and width.
fn admitted(text: &str) -> Option<&str> {
    // None of XML's characters, and the mark of another encoding to a reader that guesses.
    if text.contains('\0') {
        return None;
    }
    let mut rest = text;
    let (mut depth, mut roots, mut groups) = (0_usize, 0, 0);
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                roots += usize::from(depth == 0);
                // `feed-rs` takes what follows the last colon for the name.
                let name = start.name().into_inner().rsplit(':').next();
                groups += usize::from(name == Some("group"));
                depth += 1;
                let fits = roots == 1 && depth <= DEPTH_MAX && groups <= GROUPS_MAX;
                if !fits || start.attributes().any(|it| it.is_err()) {
                    return None;
                }
            }
            // More ends than starts are an error of the reader's before they come here.
            Event::End(_) => depth = depth.saturating_sub(1),
            // Its declared encoding would be used.
            Event::Decl(_) if roots == 0 => {
                rest = text.get(usize::try_from(reader.buffer_position()).ok()?..)?;
            }
            Event::Decl(_) => return None,
            Event::Text(text) if depth == 0 && !text.trim().is_empty() => return None,
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => return None,
            Event::GeneralRef(reference) => {
                reference.resolve_char_ref().ok()?;
            }
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::Empty(_)
            | Event::Comment(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    // The end within an element is no end.
    (depth == 0 && roots == 1).then_some(rest)
}

/// `None` if `feed-rs` takes the document for no feed, or panics over it.
fn entries(text: &str) -> Option<Vec<Entry>> {
    let read = catch_unwind(|| {
        Builder::new()
            .timestamp_parser(read_date)
            // Ids are not needed, and some would be random.
            .id_generator(|_, _, _| String::new())
            .build()
            .parse(text.as_bytes())
    });
    Some(read.ok()?.ok()?.entries)
}

fn headline(entry: Entry) -> Option<Headline> {
    // An entry without a date of publication counts as published at its last real change.
    let published_at = Timestamp::from(entry.published.or(entry.updated)?);
    Headline::new(&entry.title?.content, published_at)
}

/// RFC 2822 as in RSS 2.0, RFC 3339 as in Atom, or RFC 3339 without seconds as in Dublin Core. A date without a
/// time of day is not precise enough.
fn read_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // Not in the RFC, and in many a feed.
    let written = text.replace(" UTC", " GMT");
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z"))
        .or_else(|_| DateTime::parse_from_rfc2822(&written))
        .ok()
        .map(|date| date.to_utc())
}

#[derive(Deserialize)]
struct Answer {
    status: Option<String>,
    articles: Option<Vec<Article>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Article {
    title: Option<String>,
    published_at: Option<String>,
}

fn parse_newsapi(body: &[u8]) -> Result<Vec<Headline>, SourceError> {
    let answer: Answer = json::object(body)?;
    let status = given("status", answer.status)?;
    if status != "ok" {
        return nonsense("status", "is not ok");
    }
    let articles = given("articles", answer.articles)?;
    let headline = |article: Article| {
        let title = article.title.filter(|title| title.trim() != REMOVED)?;
        let published_at: Timestamp = article.published_at?.parse().ok()?;
        Headline::new(&title, published_at)
    };
    some(articles.into_iter().filter_map(headline).collect())
}

/// NFKC in lower case with single spaces, so that what looks the same is the same.
fn normal(text: &str) -> String {
    let lower: String = text
        .nfkc()
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            // The same letter at the end of a word.
            'ς' => 'σ',
            // Typographers' apostrophes.
            '’' | '‘' => '\'',
            _ => c,
        })
        .nfkc()
        .collect();
    let words: Vec<&str> = lower.split_whitespace().collect();
    words.join(" ")
}
