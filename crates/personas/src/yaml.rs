//! A YAML mapping with the place of everything in it, so that what is wrong can be pointed at.
//!
//! Reading into a struct would stop at the first fault. Here the text becomes a tree first, and
//! [`Fields`] takes the fields out one by one and notes each fault. It has nothing about personas.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Spanned};

/// One fault in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; 0 when the place is unknown.
    pub line: u64,
    /// The field's path, e.g. `strategy.aggression`; empty for a fault of the whole text.
    pub field: String,
    /// The rest of a sentence that begins with the field's name.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.text),
            field => write!(f, "line {}: {field} {}", self.line, self.text),
        }
    }
}

/// The fields of a mapping that were not taken yet, and the faults found so far.
pub(super) struct Fields {
    entries: Vec<Entry>,
    /// The line of the mapping itself: where a missing field is missed.
    line: u64,
    prefix: String,
    faults: Vec<Fault>,
    /// Every requested name.
    known: Vec<&'static str>,
    /// Whether a field may be absent.
    are_optional: bool,
}

type Entry = (Spanned<String>, Spanned<Node>);

/// A value, as far as personas can make use of it.
enum Node {
    Text(String),
    Integer(i64),
    Mapping(Vec<Entry>),
    /// Something that no field takes, by the name for messages.
    Unusable(&'static str),
}

impl Fields {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Result<Fields, Fault> {
        let options = serde_saphyr::options! {
            // Both are reported by `finish` and `parse`, with all the other faults.
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            merge_keys: MergeKeyPolicy::Error,
        };
        let root: Spanned<Node> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| Fault {
                line: error.location().map_or(0, |at| at.line()),
                field: String::new(),
                text: format!("is not YAML: {}", one_line(&error.without_snippet().to_string())),
            })?;
        let line = root.referenced.line();
        match root.value {
            Node::Mapping(entries) => Ok(Fields::new(entries, line, String::new())),
            Node::Text(_) | Node::Integer(_) | Node::Unusable(_) => Err(Fault {
                line,
                field: String::new(),
                text: "a persona is a mapping: `handle: …`, one field a line".to_owned(),
            }),
        }
    }

    fn new(entries: Vec<Entry>, line: u64, prefix: String) -> Fields {
        Fields { entries, line, prefix, faults: Vec::new(), known: Vec::new(), are_optional: false }
    }

    /// Notes a fault of the field at that line.
    fn fault(&mut self, line: u64, name: &str, text: impl Into<String>) {
        let field = format!("{}{name}", self.prefix);
        self.faults.push(Fault { line, field, text: text.into() });
    }

    /// A text of so many characters.
    pub(super) fn text(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
    ) -> Option<String> {
        self.parsed_by(name, |text| sized(text, &length))
    }

    /// A text of so many characters, all in one line.
    pub(super) fn one_line(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
    ) -> Option<String> {
        self.parsed_by(name, |text| match sized(text, &length)? {
            text if text.chars().any(char::is_control) => Err("must be one line".to_owned()),
            text => Ok(text),
        })
    }

    /// A text that parses into a value; the parser's message follows the field's name.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &'static str,
    ) -> Option<T> {
        self.parsed_by(name, str::parse)
    }

    /// A text that this makes a value of; its message follows the field's name.
    pub(super) fn parsed_by<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, line) = self.any_text(name)?;
        parse(&text).map_err(|error| self.fault(line, name, error.to_string())).ok()
    }

    /// A whole number within bounds.
    pub(super) fn integer(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<i64>,
    ) -> Option<i64> {
        let node = self.take(name)?;
        match node.value {
            Node::Integer(value) if bounds.contains(&value) => return Some(value),
            _ => {}
        }
        let (low, high) = (bounds.start(), bounds.end());
        let text = format!("must be a whole number from {low} to {high}");
        self.fault(node.referenced.line(), name, text);
        None
    }

    /// Reads a mapping inside of this one.
    pub(super) fn mapping<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields) -> T,
    ) -> Option<T> {
        let node = self.take(name)?;
        let line = node.referenced.line();
        let Node::Mapping(entries) = node.value else {
            self.fault(line, name, "must be a mapping: indented fields, one a line");
            return None;
        };
        let prefix = format!("{}{name}.", self.prefix);
        let mut fields = Fields::new(entries, line, prefix);
        fields.are_optional = self.are_optional;
        let value = read(&mut fields);
        fields.refuse_rest();
        self.faults.append(&mut fields.faults);
        Some(value)
    }

    /// Fields that are read by this may be absent.
    pub(super) fn if_given<T>(&mut self, read: impl FnOnce(&mut Fields) -> T) -> T {
        self.are_optional = true;
        let value = read(self);
        self.are_optional = false;
        value
    }

    /// Every fault, by line: the recorded ones, and each unknown field.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        self.refuse_rest();
        self.faults.sort_by_key(|fault| fault.line);
        self.faults
    }

    fn refuse_rest(&mut self) {
        for (key, _) in std::mem::take(&mut self.entries) {
            let name = printable(&key.value);
            let text = if self.known.contains(&key.value.as_str()) {
                "is given twice".to_owned()
            } else {
                format!("is not a field here; known are {}", self.known.join(", "))
            };
            self.fault(key.referenced.line(), &name, text);
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Spanned<Node>> {
        self.known.push(name);
        let at = self.entries.iter().position(|(key, _)| key.value == name);
        if at.is_none() && !self.are_optional {
            self.fault(self.line, name, "is missing");
        }
        Some(self.entries.remove(at?).1)
    }

    /// A text and its line.
    fn any_text(&mut self, name: &'static str) -> Option<(String, u64)> {
        let node = self.take(name)?;
        let line = node.referenced.line();
        let kind = match node.value {
            Node::Text(text) => return Some((text, line)),
            Node::Integer(_) => "a number; put it in quotes",
            Node::Mapping(_) => "a mapping",
            Node::Unusable(kind) => kind,
        };
        self.fault(line, name, format!("must be text, not {kind}"));
        None
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

/// A value of an unsupported type, by its name for messages.
macro_rules! unusable {
    ($($visit:ident($($kind:ty)?): $name:literal;)+) => {$(
        fn $visit<E>(self $(, _: $kind)?) -> Result<Node, E> {
            Ok(Node::Unusable($name))
        }
    )+};
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Unusable("so large a number"), Node::Integer))
    }

    unusable! {
        visit_i128(i128): "so large a number";
        visit_u128(u128): "so large a number";
        // The written digits are already lost, and money must not come from a float.
        visit_f64(f64): "a number; put it in quotes";
        visit_bool(bool): "true or false; put it in quotes";
        visit_unit(): "nothing";
        visit_none(): "nothing";
        visit_bytes(&[u8]): "binary data";
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        while sequence.next_element::<Node>()?.is_some() {}
        Ok(Node::Unusable("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            if entries.len() >= ENTRIES_MAX {
                return Err(A::Error::custom("too many fields"));
            }
            entries.push((key, value));
        }
        Ok(Node::Mapping(entries))
    }
}

/// The text without blanks around it.
fn sized(text: &str, length: &RangeInclusive<usize>) -> Result<String, String> {
    let (text, low, high) = (text.trim(), length.start(), length.end());
    let count = text.chars().count();
    let problem = || format!("must have {low} to {high} characters, not {count}");
    length.contains(&count).then(|| text.to_owned()).ok_or_else(problem)
}

const ENTRIES_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 64;

/// A parser's message, fit for a log line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A key from the file, fit for a log line.
fn printable(key: &str) -> String {
    let short: String = key.chars().take(NAME_CHARS_MAX).collect();
    short.replace(char::is_control, " ")
}
