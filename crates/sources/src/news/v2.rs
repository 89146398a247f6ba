//! How headlines were read for markets that were opened under `AFTER_BETS_CLOSE`, the rule before the
//! present one.
//!
//! Frozen: what such a market's evidence said when it was decided, it must say whenever it is read
//! again. Here the date of the last change stands in for a missing date of publication, one old item
//! shows that a list reaches back, a list of NewsAPI always counts as whole, and `BST` is one hour
//! ahead of UTC. [`super::feed`] and [`super::mentions`] are for markets of today.

use ledger_core::Timestamp;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::mentions::{holds_word, of_a_word};
use super::text::folded;
use super::{Listing, NEWS_MAX_BYTES, TITLE_MAX_CHARS, dates, encoding, kept, text};
use crate::{SourceError, json};

const DEPTH_MAX: usize = 64;
const ERRORS_MAX: usize = 64;
/// The title of an article that was taken back.
const REMOVED: &str = "[Removed]";

struct Headline {
    title: Option<String>,
    published_at: Option<Timestamp>,
    whole: bool,
}

impl Headline {
    fn new(title: &str, published_at: Option<Timestamp>, whole: bool) -> Headline {
        let words: Vec<&str> = title.split_whitespace().collect();
        let all = words.join(" ");
        let title: String = all.chars().take(TITLE_MAX_CHARS).collect();
        let legible = !title.contains(char::REPLACEMENT_CHARACTER);
        Headline {
            whole: whole && legible && title.len() == all.len(),
            title: (!title.is_empty()).then_some(title),
            published_at,
        }
    }
}

struct Headlines {
    items: Vec<Headline>,
    whole: bool,
}

impl From<Listing> for Headlines {
    fn from(kept: Listing) -> Headlines {
        let items = kept.items.into_iter().map(|item| Headline {
            title: item.title,
            published_at: item.published_at,
            whole: item.whole,
        });
        Headlines {
            items: items.collect(),
            whole: kept.whole,
        }
    }
}

/// The earliest headline with the keyword that was published after `after` and by `until`.
pub(crate) fn search(
    body: &[u8],
    keyword: &str,
    after: Timestamp,
    until: Timestamp,
) -> Result<Option<String>, SourceError> {
    let list = parse(body)?;
    let keyword = folded(keyword);
    let mut found: Option<&Headline> = None;
    let mut doubtful = 0_usize;
    for item in &list.items {
        let in_time = item.published_at.map(|at| after < at && at <= until);
        if in_time == Some(false) {
            continue;
        }
        let title = item.title.as_deref();
        let holds = title.is_some_and(|title| holds_word(&folded(title), &keyword, of_a_word));
        match (in_time, holds) {
            (Some(true), true) => {
                let earlier = found.is_none_or(|other| item.published_at < other.published_at);
                found = if earlier { Some(item) } else { found };
            }
            (_, false) if item.whole && title.is_some() => {}
            _ => doubtful += 1,
        }
    }
    if let Some(found) = found {
        return Ok(found.title.clone());
    }
    if doubtful > 0 {
        return Err(SourceError::InDoubt { items: doubtful });
    }
    let oldest = list.items.iter().filter_map(|it| it.published_at).min();
    let problem = if !list.whole {
        "is not whole, so that what is missing in it may still be there"
    } else if oldest.is_none_or(|oldest| oldest > after) {
        "does not reach back to the close of bets"
    } else {
        return Ok(None);
    };
    Err(SourceError::Nonsense {
        field: "list of headlines",
        problem,
    })
}

fn parse(body: &[u8]) -> Result<Headlines, SourceError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return parse_feed(body);
    }
    match kept::parse(body) {
        Some(kept) => kept.map(Headlines::from),
        None => parse_newsapi(body),
    }
}

fn parse_feed(body: &[u8]) -> Result<Headlines, SourceError> {
    if body.len() > NEWS_MAX_BYTES {
        return Err(SourceError::TooLarge);
    }
    let text = encoding::decode(body, None);
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
    walk.whole = false;
    walk.finish()
}

/// What of a document was read so far.
struct Walk {
    /// The names of the elements that are open.
    open: Vec<String>,
    seen_root: bool,
    is_feed: bool,
    item: Option<Draft>,
    items: Vec<Headline>,
    /// Whether nothing between items was lost.
    whole: bool,
}

impl Default for Walk {
    fn default() -> Walk {
        Walk {
            open: Vec::new(),
            seen_root: false,
            is_feed: false,
            item: None,
            items: Vec::new(),
            whole: true,
        }
    }
}

/// An item that is being read.
struct Draft {
    name: String,
    /// How many elements are open within which it is one.
    depth: usize,
    titles: Vec<String>,
    other_titles: Vec<String>,
    /// By how much they say: of publication, of publication by Dublin Core, of the last change.
    dates: [Vec<String>; 3],
    /// What the text that comes belongs to.
    into: Option<Field>,
    whole: bool,
}

#[derive(Clone, Copy)]
enum Field {
    Title,
    OtherTitle,
    Date(usize),
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn prefix(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
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
            match reader.read_event() {
                Ok(Event::Eof) => return None,
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
            Event::CData(part) => self.text(part),
            Event::GeneralRef(name) => self.text(&format!("&{};", &**name)),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) | Event::Eof => {}
        }
    }

    /// Something that cannot be read: it costs the item in which it is, or the list.
    fn odd(&mut self) {
        match &mut self.item {
            Some(item) => item.whole = false,
            None => self.whole = false,
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
            self.whole = false;
        }
        if self.open.len() >= DEPTH_MAX {
            return self.odd();
        }
        if self.item.as_ref().is_some_and(|item| item.name == name) {
            // The one before was never closed.
            self.odd();
            self.close_item();
        }
        let is_item = ["item", "entry"].contains(&local(name));
        match &mut self.item {
            None if is_item => {
                self.item = Some(Draft {
                    name: name.to_owned(),
                    depth: self.open.len(),
                    titles: Vec::new(),
                    other_titles: Vec::new(),
                    dates: <[Vec<String>; 3]>::default(),
                    into: None,
                    whole: true,
                });
            }
            None => {}
            Some(item) if self.open.len() == item.depth + 1 => item.begin(name),
            Some(_) => {}
        }
        self.open.push(name.to_owned());
    }

    fn end(&mut self, name: &str) {
        let Some(place) = self.open.iter().rposition(|it| it == name) else {
            return self.odd();
        };
        if place + 1 < self.open.len() {
            // Elements within it were never closed.
            self.odd();
        }
        self.open.truncate(place);
        if let Some(item) = &mut self.item {
            if place <= item.depth {
                if place < item.depth {
                    item.whole = false;
                }
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

    fn finish(mut self) -> Result<Headlines, SourceError> {
        if !self.is_feed {
            return Err(SourceError::NotFeed);
        }
        if !self.open.is_empty() || self.item.is_some() {
            self.whole = false;
            self.odd();
        }
        self.close_item();
        Ok(Headlines {
            items: self.items,
            whole: self.whole,
        })
    }
}

impl Draft {
    /// An element of the item itself begins.
    fn begin(&mut self, name: &str) {
        let own = prefix(name) == prefix(&self.name);
        let lower = local(name).to_ascii_lowercase();
        self.into = match lower.as_str() {
            "title" if own => Some(Field::Title),
            "title" if prefix(name).eq_ignore_ascii_case("dc") => Some(Field::OtherTitle),
            "pubdate" | "published" | "issued" => Some(Field::Date(0)),
            "date" | "publicationdate" => Some(Field::Date(1)),
            "updated" | "modified" => Some(Field::Date(2)),
            _ => None,
        };
        match self.into {
            Some(Field::Title) => self.titles.push(String::new()),
            Some(Field::OtherTitle) => self.other_titles.push(String::new()),
            Some(Field::Date(rank)) => {
                if let Some(dates) = self.dates.get_mut(rank) {
                    dates.push(String::new());
                }
            }
            None => {}
        }
    }

    fn add(&mut self, part: &str) {
        let last = match self.into {
            Some(Field::Title) => self.titles.last_mut(),
            Some(Field::OtherTitle) => self.other_titles.last_mut(),
            Some(Field::Date(rank)) => self.dates.get_mut(rank).and_then(|it| it.last_mut()),
            None => None,
        };
        if let Some(last) = last {
            last.push_str(part);
        }
    }

    fn finish(self) -> Headline {
        let titles = if self.titles.is_empty() {
            &self.other_titles
        } else {
            &self.titles
        };
        let mut titles: Vec<String> = titles.iter().map(|raw| text::shown(raw)).collect();
        titles.dedup();
        Headline::new(&titles.join(" | "), date(&self.dates), self.whole)
    }
}

fn date(dates: &[Vec<String>; 3]) -> Option<Timestamp> {
    let [published, dublin, changed] = dates;
    let one = |all: &[String]| {
        let mut read = all
            .iter()
            .map(|it| dates::read_with_bst(&text::decoded(it)));
        let first = read.next()??;
        read.all(|other| other == Some(first)).then_some(first)
    };
    let said = !published.is_empty() || !dublin.is_empty();
    match one(published).or_else(|| one(dublin)) {
        Some(at) => Some(at),
        None if said => None,
        None => one(changed),
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    status: Option<String>,
    #[serde(borrow)]
    articles: Option<Vec<&'a RawValue>>,
}

fn parse_newsapi(body: &[u8]) -> Result<Headlines, SourceError> {
    let answer: Answer<'_> = json::object(body)?;
    let status = answer.status.ok_or(SourceError::MissingField("status"))?;
    if status != "ok" {
        return Err(SourceError::Nonsense {
            field: "status",
            problem: "is not ok",
        });
    }
    let articles = answer
        .articles
        .ok_or(SourceError::MissingField("articles"))?;
    Ok(Headlines {
        items: articles.into_iter().map(article).collect(),
        whole: true,
    })
}

fn article(raw: &RawValue) -> Headline {
    let article: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let field = |name: &str| article.get(name).and_then(Value::as_str);
    let title = field("title").filter(|title| title.trim() != REMOVED);
    Headline::new(
        &text::shown(title.unwrap_or_default()),
        field("publishedAt").and_then(dates::read_with_bst),
        true,
    )
}
