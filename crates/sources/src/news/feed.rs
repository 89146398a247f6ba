//! RSS, Atom and RDF, as far as headlines go: the title, date and link of each item.
//!
//! Feeds are written by strangers, and often wrongly. One odd element costs what it touches and nothing else: a
//! reader that cannot go on begins again behind it. In a title or date, U+FFFD replaces unreadable parts: such a
//! title was not read in full, and such a date is invalid. Within another child of the item, such as its
//! description, it costs nothing as long as that child ends. Between such children it costs the item, and between
//! items the list. The list is also incomplete if it ends early, or if something may hide items: a comment or
//! CDATA section with tags of items was perhaps never closed, and a declared entity may contain anything.
//!
//! An item's title is its own `title`, or `dc:title`; several are one title with a bar between them. Its date of
//! publication is `pubDate`, `published` or `issued`, else `dc:date`. `updated` and `modified` are not dates of
//! publication: an item with only these was published by then, at an unknown time.

use std::collections::{BTreeMap, HashSet};

use ledger_core::Timestamp;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use url::Url;

use super::{Item, Listing, NEWS_MAX_BYTES, dates, encoding, text};
use crate::http::{self, Http};
use crate::{Fetched, SetupError, SourceError};

/// Elements within elements; a right feed has about five, and ten with pictures.
const DEPTH_MAX: usize = 64;
/// How often the reader begins again behind an error: what does not end costs a walk to the end
/// each time.
const ERRORS_MAX: usize = 64;

/// The entities whose meaning no document changes.
const PREDEFINED: [&str; 5] = ["amp", "lt", "gt", "quot", "apos"];

/// A technology feed of some thirty items.
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
    pub async fn headlines(&self, now: Timestamp) -> Fetched<Listing> {
        let headers = http::accepting(
            "application/rss+xml, application/atom+xml, application/rdf+xml, application/xml, text/xml",
        );
        let answer = self.http.get_up_to(NEWS_MAX_BYTES, &self.url, headers, now).await;
        let charset = http::charset(&answer.headers);
        super::as_far_as_it_came(answer, |body| read_feed(body, charset.as_deref()))
    }
}

/// Reads a feed in the encoding that it declares. Equal bytes give equal headlines.
///
/// # Errors
/// When the answer is no feed.
pub fn parse_feed(body: &[u8]) -> Result<Listing, SourceError> {
    read_feed(body, None)
}

/// Reads a feed whose answer named this charset.
fn read_feed(body: &[u8], charset: Option<&str>) -> Result<Listing, SourceError> {
    if body.len() > NEWS_MAX_BYTES {
        return Err(SourceError::TooLarge);
    }
    let text = encoding::decode(body, charset);
    let mut walk = Walk::default();
    let mut from = 0;
    for _ in 0..=ERRORS_MAX {
        let rest = text.get(from..).unwrap_or_default();
        let Some(stop) = walk.read(rest) else {
            return walk.finish();
        };
        // Behind the sign that the reader stumbled over.
        let after = text.get(from + stop..).unwrap_or_default();
        let next = after.char_indices().skip(1).find(|(_, c)| *c == '<');
        match next {
            Some((offset, _)) => from += stop + offset,
            None => break,
        }
    }
    walk.lost = true;
    walk.finish()
}

/// The state of reading a document.
#[derive(Default)]
struct Walk {
    /// The names of the elements that are open.
    open: Vec<String>,
    seen_root: bool,
    is_feed: bool,
    item: Option<Draft>,
    items: Vec<Item>,
    /// Whether something between items was lost.
    lost: bool,
    /// The entities that the document declares; `%` if it declares some by parameter entities, so
    /// that it may be any.
    declared: HashSet<String>,
}

/// An item that is being read.
#[derive(Default)]
struct Draft {
    name: String,
    /// How many elements are open within which it is one.
    depth: usize,
    /// The text of each field, for each occurrence.
    texts: BTreeMap<Field, Vec<String>>,
    /// The child that is being read.
    into: Option<Field>,
    /// Whether something of it was lost.
    lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Title,
    OtherTitle,
    Published,
    /// Of publication by Dublin Core.
    Dated,
    Updated,
    Link,
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn prefix(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

fn is_item(name: &str) -> bool {
    ["item", "entry"].contains(&local(name))
}

/// Whether what stands behind a `<` is a tag of an item.
fn is_tag_of_item(tag: &str) -> bool {
    let tag = tag.strip_prefix('/').unwrap_or(tag);
    let ends = |c: char| c.is_whitespace() || c == '>' || c == '/';
    tag.split(ends).next().is_some_and(is_item)
}

/// Whether a tag holds the beginning of another: a quote or bracket is missing, and all up to the
/// next one was read as this tag.
fn is_torn(event: &Event<'_>) -> bool {
    match event {
        Event::Start(tag) | Event::Empty(tag) => tag.contains('<'),
        Event::End(tag) => tag.contains('<'),
        _ => false,
    }
}

/// Whether an entity may be called so.
fn is_name(text: &str) -> bool {
    let begins = |c: char| c.is_alphabetic() || matches!(c, '_' | ':');
    text.starts_with(begins)
        && text.chars().all(|c| begins(c) || c.is_numeric() || matches!(c, '.' | '-'))
}

impl Walk {
    /// Reads to the end, or answers where the reader cannot go on.
    fn read(&mut self, text: &str) -> Option<usize> {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        loop {
            let from = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
            match reader.read_event() {
                Ok(Event::Eof) => return None,
                Ok(event) if is_torn(&event) => {
                    self.odd();
                    return Some(from);
                }
                Ok(event) => self.take(&event),
                Err(_) => {
                    self.odd();
                    return Some(usize::try_from(reader.error_position()).unwrap_or(text.len()));
                }
            }
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(start) => self.start(start),
            Event::Empty(start) => {
                let depth = self.open.len();
                self.start(start);
                if self.open.len() > depth {
                    self.end(start.name().into_inner());
                }
            }
            Event::End(end) => self.end(end.name().into_inner()),
            Event::Text(part) => self.text(part),
            Event::CData(part) => {
                self.unread(part);
                self.text(part);
            }
            Event::GeneralRef(name) => self.reference(name),
            Event::Comment(part) => self.unread(part),
            Event::PI(part) => self.unread(part),
            Event::DocType(part) => {
                self.unread(part);
                let names = part.split("<!ENTITY").skip(1);
                let names = names.filter_map(|it| it.split_whitespace().next());
                self.declared.extend(names.map(str::to_owned));
            }
            Event::Decl(_) | Event::Eof => {}
        }
    }

    /// Something that cannot be read: it costs what it is in.
    fn odd(&mut self) {
        match &mut self.item {
            Some(item) => item.odd(self.open.len()),
            None => self.lost = true,
        }
    }

    /// Sections that are not read as markup. If it holds tags of items, its beginning or end was perhaps a
    /// mistake, and the items are real.
    fn unread(&mut self, part: &str) {
        if part.split('<').skip(1).any(is_tag_of_item) {
            self.lost = true;
        }
    }

    fn reference(&mut self, name: &str) {
        let written = format!("&{name};");
        let is_fixed = name.starts_with('#') || PREDEFINED.contains(&name);
        let is_declared = self.declared.contains(name) || self.declared.contains("%");
        let is_known = text::is_entity(name) && (is_fixed || !is_declared);
        if is_known || !(is_fixed || is_name(name)) {
            return self.text(&written);
        }
        let in_words = self.item.as_mut().is_some_and(|it| it.words().is_some());
        if !in_words {
            self.text(&written);
        }
        // Outside of titles and dates it matters if it may contain elements.
        if in_words || is_declared {
            self.odd();
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) {
        let name = start.name().into_inner();
        if !self.seen_root {
            self.seen_root = true;
            let known = ["rss", "rdf", "feed", "entry", "channel"];
            self.is_feed = known.iter().any(|it| local(name).eq_ignore_ascii_case(it));
        } else if self.open.is_empty() {
            // A second document behind the first.
            self.lost = true;
        }
        let is_item = is_item(name);
        if let Some(item) = &mut self.item
            && is_item
        {
            if item.name == name {
                // The one before was never closed.
                item.cut();
                self.close_item();
            } else {
                self.lost = true;
            }
        }
        if self.open.len() >= DEPTH_MAX {
            // From here on it is unclear which element ends.
            self.lost = true;
            return;
        }
        match &mut self.item {
            None if is_item => {
                let depth = self.open.len();
                self.item = Some(Draft { name: name.to_owned(), depth, ..Draft::default() });
            }
            None => {}
            Some(item) if self.open.len() == item.depth + 1 => item.begin(name, start),
            Some(_) => {}
        }
        self.open.push(name.to_owned());
    }

    fn end(&mut self, name: &str) {
        let Some(place) = self.open.iter().rposition(|it| it == name) else {
            return self.odd();
        };
        let unclosed = place + 1 < self.open.len();
        match &mut self.item {
            // It ends with what it is in, or its children with it.
            Some(item) if place < item.depth || (place == item.depth && unclosed) => item.cut(),
            Some(item) if unclosed => item.odd(place + 1),
            None if unclosed => self.lost = true,
            Some(_) | None => {}
        }
        self.open.truncate(place);
        if let Some(item) = &mut self.item {
            if place <= item.depth {
                self.close_item();
            } else if place == item.depth + 1 {
                item.into = None;
            }
        }
    }

    fn text(&mut self, part: &str) {
        if let Some(item) = &mut self.item {
            item.add(part);
        }
    }

    fn close_item(&mut self) {
        if let Some(item) = self.item.take() {
            self.open.truncate(item.depth);
            self.items.push(item.finish());
        }
    }

    fn finish(mut self) -> Result<Listing, SourceError> {
        if !self.is_feed {
            return Err(SourceError::NotFeed);
        }
        if !self.open.is_empty() || self.item.is_some() {
            self.lost = true;
            self.item.iter_mut().for_each(Draft::cut);
        }
        self.close_item();
        Ok(Listing { items: self.items, whole: !self.lost })
    }
}

impl Draft {
    /// An element of the item itself begins.
    fn begin(&mut self, name: &str, start: &BytesStart<'_>) {
        let own = prefix(name) == prefix(&self.name);
        let lower = local(name).to_ascii_lowercase();
        self.into = match lower.as_str() {
            "title" if own => Some(Field::Title),
            "title" if prefix(name).eq_ignore_ascii_case("dc") => Some(Field::OtherTitle),
            "pubdate" | "published" | "issued" => Some(Field::Published),
            "date" | "publicationdate" => Some(Field::Dated),
            "updated" | "modified" => Some(Field::Updated),
            "link" if own => Some(Field::Link),
            _ => None,
        };
        let Some(field) = self.into else {
            return;
        };
        let mut text = String::new();
        if field == Field::Link {
            let attribute = |name: &str| {
                let found = start.try_get_attribute(name).ok().flatten()?;
                Some(text::decoded(&found.value))
            };
            // Others lead to comments, pictures or the feed.
            let other = attribute("rel").is_some_and(|rel| rel != "alternate");
            if other || attribute("target").is_some() {
                self.into = None;
                return;
            }
            text = attribute("href").unwrap_or_default();
        }
        self.texts.entry(field).or_default().push(text);
    }

    /// The field of the next text.
    fn last(&mut self) -> Option<&mut String> {
        self.texts.get_mut(&self.into?)?.last_mut()
    }

    /// The title or date to which the text that comes belongs.
    fn words(&mut self) -> Option<&mut String> {
        if self.into == Some(Field::Link) { None } else { self.last() }
    }

    fn add(&mut self, part: &str) {
        if let Some(last) = self.last() {
            last.push_str(part);
        }
    }

    /// Something that cannot be read, when so many elements are open.
    fn odd(&mut self, open: usize) {
        let in_child = open > self.depth + 1;
        match self.words() {
            Some(words) => words.push(char::REPLACEMENT_CHARACTER),
            None if in_child => {}
            None => self.lost = true,
        }
    }

    /// It ends where it should not.
    fn cut(&mut self) {
        if let Some(words) = self.words() {
            words.push(char::REPLACEMENT_CHARACTER);
        }
        self.lost = true;
    }

    fn finish(self) -> Item {
        let all = |field| self.texts.get(&field).map(Vec::as_slice).unwrap_or_default();
        let own = all(Field::Title);
        let titles = if own.is_empty() { all(Field::OtherTitle) } else { own };
        let mut titles: Vec<String> = titles.iter().map(|raw| text::shown(raw)).collect();
        titles.dedup();
        let mut links = all(Field::Link).iter().map(|link| text::decoded(link));
        let link = links.find(|link| super::is_link(link.trim()));
        let [published, dublin, updated] =
            [Field::Published, Field::Dated, Field::Updated].map(|field| date(all(field)));
        let published_at = published.or(dublin);
        let title = titles.join(" | ");
        let item = Item::new(&title, published_at, link.as_deref(), !self.lost);
        Item { updated_at: updated.filter(|_| item.published_at.is_none()), ..item }
    }
}

/// The one date that all these texts name; `None` if there is none, or one that cannot be read.
fn date(all: &[String]) -> Option<Timestamp> {
    let mut read = all.iter().map(|it| dates::read(&text::decoded(it)));
    let first = read.next()??;
    read.all(|other| other == Some(first)).then_some(first)
}
