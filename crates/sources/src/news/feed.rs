//! RSS 2.0, RSS 1.0 and Atom, as far as headlines go: the title, date and link of each item.
//!
//! Feeds are written by strangers. This reader keeps a few strings and a depth, recurses nowhere,
//! resolves no entity but XML's own five, and takes a document that ends early for none.

use chrono::DateTime;
use ledger_core::Timestamp;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use url::Url;

use super::{Headline, some};
use crate::http::{self, Http};
use crate::{BODY_MAX_BYTES, Fetched, SetupError, SourceError};

/// Elements within elements; a right feed has about five, and ten with pictures.
const DEPTH_MAX: usize = 64;
const ATOM: &str = "http://www.w3.org/2005/Atom";
const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const RSS1: &str = "http://purl.org/rss/1.0/";
const DUBLIN_CORE: &str = "http://purl.org/dc/elements/1.1/";

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

/// Reads a feed, as UTF-8.
///
/// # Errors
/// When the answer is no feed, or holds no headline.
pub fn parse_feed(body: &[u8]) -> Result<Vec<Headline>, SourceError> {
    if body.len() > BODY_MAX_BYTES {
        return Err(SourceError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| SourceError::NotFeed)?;
    let text = text.trim_start_matches('\u{feff}');
    some(Walk::default().through(text).ok_or(SourceError::NotFeed)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Rss2,
    Rss1,
    Atom,
}

impl Format {
    fn of_root(space: &str, start: &BytesStart<'_>) -> Option<Format> {
        match (space, start.local_name().into_inner()) {
            ("", "rss") if attribute(start, "version")? == "2.0" => Some(Format::Rss2),
            (RDF, "RDF") => Some(Format::Rss1),
            (ATOM, "feed") => Some(Format::Atom),
            _ => None,
        }
    }

    /// How many elements an item is within.
    const fn item_depth(self) -> usize {
        match self {
            Format::Rss2 => 2,
            Format::Rss1 | Format::Atom => 1,
        }
    }

    fn is_item(self, space: &str, name: &str) -> bool {
        match self {
            Format::Rss2 => (space, name) == ("", "item"),
            Format::Rss1 => (space, name) == (RSS1, "item"),
            Format::Atom => (space, name) == (ATOM, "entry"),
        }
    }

    fn field(self, space: &str, name: &str) -> Option<Field> {
        let own = match self {
            Format::Rss2 => "",
            Format::Rss1 => RSS1,
            Format::Atom => ATOM,
        };
        match (self, name) {
            (_, "title") if space == own => Some(Field::Title),
            (_, "link") if space == own => Some(Field::Link),
            (Format::Rss2, "pubDate") if space == own => Some(Field::Published),
            (Format::Atom, "published") if space == own => Some(Field::Published),
            // An entry without a date of publication was published when it last changed in earnest.
            (Format::Atom, "updated") if space == own => Some(Field::Updated),
            (Format::Rss1 | Format::Rss2, "date") if space == DUBLIN_CORE => Some(Field::Updated),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Title,
    Link,
    Published,
    /// Stands in where the date of publication is missing.
    Updated,
}

/// An item as far as it was read.
#[derive(Default)]
struct Item {
    title: Option<String>,
    link: Option<String>,
    published: Option<String>,
    updated: Option<String>,
}

impl Item {
    fn slot(&mut self, field: Field) -> &mut Option<String> {
        match field {
            Field::Title => &mut self.title,
            Field::Link => &mut self.link,
            Field::Published => &mut self.published,
            Field::Updated => &mut self.updated,
        }
    }

    fn headline(self) -> Option<Headline> {
        let title = self.title?;
        // Publishers escape twice as often as not.
        let title = without_references(&title);
        let published_at = read_date(&self.published.or(self.updated)?)?;
        Headline::new(&title, published_at, self.link.as_deref())
    }
}

/// A way through a document, from event to event.
#[derive(Default)]
struct Walk {
    format: Option<Format>,
    /// How many elements are open.
    depth: usize,
    /// In RSS 2.0: whether the open element below the root is the channel.
    in_channel: bool,
    item: Option<Item>,
    /// The field that is open, and its text so far.
    field: Option<(Field, String)>,
    headlines: Vec<Headline>,
}

impl Walk {
    /// `None` if the document is no feed.
    fn through(mut self, text: &str) -> Option<Vec<Headline>> {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        loop {
            let (resolved, event) = reader.read_resolved_event().ok()?;
            match event {
                Event::Start(start) => {
                    let space = match resolved {
                        ResolveResult::Bound(space) => space.into_inner(),
                        ResolveResult::Unbound => "",
                        // A prefix that was never declared is nobody's.
                        ResolveResult::Unknown(_) => "?",
                    };
                    self.open(space, &start)?;
                }
                Event::End(_) => self.close(),
                Event::Text(text) => self.append(&text.xml10_content()),
                Event::CData(text) => self.append(&text.xml10_content()),
                Event::GeneralRef(reference) => self.append_reference(&reference)?,
                Event::Eof => break,
                Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
        // The end within an element is no end.
        (self.depth == 0 && self.format.is_some()).then_some(self.headlines)
    }

    fn open(&mut self, space: &str, start: &BytesStart<'_>) -> Option<()> {
        let name = start.local_name().into_inner();
        let depth = self.depth;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let Some(format) = self.format else {
            self.format = Some(Format::of_root(space, start)?);
            return Some(());
        };
        if depth == 0 {
            // A second root.
            return None;
        }
        if depth == 1 && format == Format::Rss2 {
            self.in_channel = (space, name) == ("", "channel");
        }
        if depth == format.item_depth() && format.is_item(space, name) {
            let within = format != Format::Rss2 || self.in_channel;
            self.item = within.then(Item::default);
        } else if depth == format.item_depth() + 1
            && let Some(item) = &mut self.item
            && let Some(field) = format.field(space, name)
            // The first of several counts.
            && item.slot(field).is_none()
        {
            if (format, field) == (Format::Atom, Field::Link) {
                item.link = atom_link(start);
            } else {
                self.field = Some((field, String::new()));
            }
        }
        Some(())
    }

    fn close(&mut self) {
        // More ends than starts are an error of the reader's before they come here.
        self.depth = self.depth.saturating_sub(1);
        let Some(format) = self.format else {
            return;
        };
        if self.depth == format.item_depth() {
            let headline = self.item.take().and_then(Item::headline);
            self.headlines.extend(headline);
        } else if self.depth == format.item_depth() + 1
            && let Some((field, text)) = self.field.take()
            && let Some(item) = &mut self.item
        {
            *item.slot(field) = Some(text);
        }
    }

    fn append(&mut self, text: &str) {
        if let Some((_, so_far)) = &mut self.field {
            so_far.push_str(text);
        }
    }

    fn append_reference(&mut self, reference: &BytesRef<'_>) -> Option<()> {
        match meaning(reference)? {
            Some(text) => self.append(&text),
            // HTML's, most likely; nothing that is declared by the document is looked up.
            None => self.append(&format!("&{};", &**reference)),
        }
        Some(())
    }
}

/// What stands for a reference, if it is one of XML's own; `None` without if it cannot be.
fn meaning(reference: &BytesRef<'_>) -> Option<Option<String>> {
    if let Some(c) = reference.resolve_char_ref().ok()? {
        return Some(Some(c.to_string()));
    }
    Some(resolve_predefined_entity(reference).map(str::to_owned))
}

/// `text` with those references resolved that can be, and the rest as it stands.
fn without_references(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('&') {
        out.push_str(before);
        let resolved = from.split_once(';').and_then(|(name, after)| {
            let text = meaning(&BytesRef::new(name))??;
            Some((text, after))
        });
        let (text, after) = resolved.unwrap_or_else(|| ("&".to_owned(), from));
        out.push_str(&text);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = start.try_get_attribute(name).ok()??;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

/// The address of the article itself; other links lead to comments, pictures or the feed.
fn atom_link(start: &BytesStart<'_>) -> Option<String> {
    match attribute(start, "rel").as_deref() {
        None | Some("alternate") => attribute(start, "href"),
        Some(_) => None,
    }
}

/// RFC 2822 as in RSS 2.0, RFC 3339 as in Atom, or RFC 3339 without seconds as in Dublin Core. A
/// date without a time of day says too little.
fn read_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    // Not in the RFC, and in many a feed.
    let written = text.replace(" UTC", " GMT");
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z"))
        .or_else(|_| DateTime::parse_from_rfc2822(&written))
        .ok()
        .map(|date| Timestamp::from(date.to_utc()))
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
            let read = read_date(text).map(|at| at.to_string());
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
