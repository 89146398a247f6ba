//! RSS, Atom and RDF, as far as headlines go: the title, date and link of each item.
//!
//! `feed-rs` reads them, and takes what the Web calls a feed: RSS from 0.91 on, Atom without its
//! namespace, a lone entry, prefixes that were never declared; the last of several titles or dates
//! counts. HTML's entities and XHTML's tags stay in a title as they came. An item of RSS 1.0 needs a
//! link.
//!
//! Feeds are written by strangers, and `feed-rs` recurses, copies and panics. No document comes to
//! it that [`admitted`] did not walk to its end first, and no panic leaves [`entries`]. Nothing here
//! may draw an id or a date that is not in the feed: dates are read by [`read_date`] alone, for
//! `feed-rs` would guess them.

use std::panic::catch_unwind;

use chrono::{DateTime, Utc};
use feed_rs::model::{Entry, Link};
use feed_rs::parser::Builder;
use ledger_core::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;
use url::Url;

use super::{Headline, is_link, some};
use crate::http::{self, Http};
use crate::{BODY_MAX_BYTES, Fetched, SetupError, SourceError};

/// Elements within elements; a right feed has about five, and ten with pictures.
const DEPTH_MAX: usize = 32;
/// Groups of pictures, of which an item has one at most: `feed-rs` gives each a copy of whatever is
/// said outside it, a quarter of a gigabyte from one answer if nobody counts.
const GROUPS_MAX: usize = 128;

/// A technology feed of some thirty items, well below what is read of an answer.
pub const DEFAULT_FEED_URL: &str = "https://feeds.bbci.co.uk/news/technology/rss.xml";

/// The client of one feed.
#[derive(Clone)]
pub struct Feed {
    http: Http,
    url: Url,
}

impl Feed {
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(http: Http, url: Url) -> Result<Feed, SetupError> {
        let url = http::checked(url)?;
        Ok(Feed { http, url })
    }

    /// The headlines of now.
    pub async fn headlines(&self, now: Timestamp) -> Fetched<Vec<Headline>> {
        let headers = http::accepting(
            "application/rss+xml, application/atom+xml, application/rdf+xml, application/xml, text/xml",
        );
        let answer = self.http.get(&self.url, headers, now).await;
        answer.understand(parse_feed)
    }
}

/// Reads a feed, as UTF-8 whatever it declares. Equal bytes give equal headlines.
///
/// # Errors
/// When the answer is no feed, or holds no headline.
pub fn parse_feed(body: &[u8]) -> Result<Vec<Headline>, SourceError> {
    if body.len() > BODY_MAX_BYTES {
        return Err(SourceError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| SourceError::NotFeed)?;
    let text = text.trim_start_matches('\u{feff}');
    let entries = admitted(text).and_then(entries);
    let entries = entries.ok_or(SourceError::NotFeed)?;
    some(entries.into_iter().filter_map(headline).collect())
}

/// What follows the XML declaration, if the document is well-formed to its end, and neither so deep
/// nor so wide that reading it would hurt.
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
            // The encoding that it declares would be believed.
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
            // Nobody asks for ids, and some would be random.
            .id_generator(|_, _, _| String::new())
            .build()
            .parse(text.as_bytes())
    });
    Some(read.ok()?.ok()?.entries)
}

fn headline(entry: Entry) -> Option<Headline> {
    // An entry without a date of publication was published when it last changed in earnest.
    let published_at = Timestamp::from(entry.published.or(entry.updated)?);
    let link = entry.links.iter().find(|link| is_article(link));
    let link = link.map(|link| link.href.as_str());
    Headline::new(&entry.title?.content, published_at, link)
}

/// Whether `link` is the address of the article itself; others lead to comments, pictures or the
/// feed.
fn is_article(link: &Link) -> bool {
    let alternate = link.rel.as_deref().is_none_or(|rel| rel == "alternate");
    alternate && link.target.is_none() && is_link(&link.href)
}

/// RFC 2822 as in RSS 2.0, RFC 3339 as in Atom, or RFC 3339 without seconds as in Dublin Core. A
/// date without a time of day says too little.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_in_three_forms() {
        let expected = "2026-11-24T14:05:00.000000Z";
        for text in [
            "Tue, 24 Nov 2026 14:05:00 GMT",
            "Tue, 24 Nov 2026 14:05:00 UTC",
            "Tue, 24 Nov 2026 14:05:00 +0000",
            " Tue, 24 Nov 2026 09:05:00 EST\n",
            "24 Nov 2026 15:05 +0100",
            "2026-11-24T14:05:00Z",
            "2026-11-24T15:05:00.000+01:00",
            "2026-11-24T14:05Z",
            "2026-11-24T09:05-05:00",
        ] {
            let read = read_date(text).map(|at| Timestamp::from(at).to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn dates_that_would_need_a_guess_are_none() {
        for text in [
            "",
            "yesterday",
            "2026-11-24",
            "2026-11-24T14:05:00",
            "Tue, 24 Nov 2026 24:10:00 GMT",
            "Wed, 24 Nov 2026 14:05:00 GMT",
            "Tue, 24 Nov 2026 14:05:00 CET",
            "Nov 24 2026 14:05:00 GMT",
            "1764000000",
        ] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }
}
