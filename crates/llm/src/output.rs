//! Finds the one JSON object in a model's text.
//!
//! Models put code fences and prose around their answers, think aloud before they answer, leave trailing commas
//! and raw line breaks in strings, and sometimes refuse. All that is handled here, in one pass that never looks
//! inside an object's strings, so that valid JSON comes through byte for byte. Thinking is removed by its marks
//! ([`THOUGHT_MARKS`] and the channels of OpenAI's open models). Of several objects the last complete one counts:
//! earlier ones are drafts. Missing values are never invented: a truncated or contradictory object is an error.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};

/// Longer texts are not looked at.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// How much of a parser's complaint is kept.
const DETAIL_CHARS_MAX: usize = 160;
/// Between a refusal's first words and the beginning of the text there may be an "Unfortunately".
const REFUSAL_WINDOW_CHARS: usize = 160;

/// Why a text gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    #[error("the model answered nothing")]
    Empty,
    #[error("the model refused")]
    Refused,
    #[error("the model's answer has no JSON object")]
    NoObject,
    /// An object, or a block of thinking, begins and does not end.
    #[error("the model's answer was cut off; allow it more output tokens")]
    CutOff,
    #[error("the model's answer is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Two values for one key: it is unclear which one is meant.
    #[error("the model's answer gives a key twice: {0}")]
    DuplicateKey(String),
    /// An object that is not JSON, or not of the requested form.
    #[error("the model's answer does not have the requested form: {0}")]
    Invalid(String),
}

/// Reads the last JSON object in the text.
///
/// # Errors
/// See [`OutputError`].
pub fn parse_object<T: DeserializeOwned>(text: &str) -> Result<T, OutputError> {
    let object = clean(text)?;
    serde_json::from_str(&object).map_err(|error| invalid(&error))
}

/// The text of the last complete JSON object outside of thinking, repaired if need be; borrowed when
/// nothing had to be repaired.
///
/// # Errors
/// See [`OutputError`].
pub fn clean(text: &str) -> Result<Cow<'_, str>, OutputError> {
    last_object(text).map(|(object, _)| object)
}

/// Whether a text that the provider cut off ends before its answer does: nothing but marks may
/// follow the object that counts. Any other text is the beginning of another one.
pub fn ends_early(text: &str) -> bool {
    !last_object(text).is_ok_and(|(_, after)| is_only_marks(after))
}

/// The object that counts and the text after it.
fn last_object(text: &str) -> Result<(Cow<'_, str>, &str), OutputError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(OutputError::TooLong);
    }
    let mut first_fault = None;
    let mut found = None;
    // The model's final message, as far as it is marked.
    let mut said = without_bare_channels(text)?;
    let mut rest = said;
    while let Some(part) = next_part(rest) {
        rest = match part {
            Part::Thought { after } => {
                said = after;
                after
            }
            // All that came before was thinking; some chat templates swallow the opening mark.
            Part::ThoughtEnd { after } => {
                (found, first_fault) = (None, None);
                said = after;
                after
            }
            Part::Object { object, after } => {
                match checked(object) {
                    // Braces in prose.
                    Ok(empty) if found.is_some() && is_empty(&empty) => {}
                    Ok(object) => found = Some((object, after)),
                    // It is unclear which of the two is meant, and the draft before does not count.
                    Err(fault @ OutputError::DuplicateKey(_)) => {
                        found = None;
                        first_fault = Some(fault);
                    }
                    Err(fault) => drop(first_fault.get_or_insert(fault)),
                }
                after
            }
            Part::CutOff => {
                first_fault.get_or_insert(OutputError::CutOff);
                after_thinking(rest)
            }
        };
    }
    match (found, first_fault) {
        (Some(found), _) => Ok(found),
        // Braces in prose are no objects; an answer with nothing else may be a refusal.
        (None, Some(fault)) => Err(fault),
        (None, None) => Err(without_object(said)),
    }
}

fn is_empty(object: &str) -> bool {
    object.strip_prefix('{').is_some_and(|inside| inside.trim_start().starts_with('}'))
}

fn is_only_marks(after: &str) -> bool {
    let mut rest = after.trim_start_matches([' ', '\t', '\r', '\n', '`', ']']);
    while let Some(mark) = rest.strip_prefix("<|") {
        let Some((_, after)) = mark.split_once("|>") else {
            return false;
        };
        rest = after.trim_start();
    }
    rest.is_empty()
}

/// Half an object may have been thought without an opening mark; the answer then follows the last
/// closing one. After that no closing mark is left, so this happens at most twice.
fn after_thinking(text: &str) -> &str {
    THOUGHT_MARKS
        .iter()
        .filter_map(|(_, close)| last_ignoring_case(text, close).map(|at| at + close.len()))
        .max()
        .and_then(|after| text.get(after..))
        .unwrap_or_default()
}

/// Some servers take the special tokens out of an answer in channels and leave the channels' names:
/// `analysisWe need …assistantfinal{…}`.
fn without_bare_channels(text: &str) -> Result<&str, OutputError> {
    let begins_with_thought = ["analysis", "commentary"].iter().any(|channel| {
        text.trim_start()
            .strip_prefix(channel)
            .is_some_and(|thought| thought.starts_with(|first: char| first.is_uppercase()))
    });
    match text.rfind(BARE_FINAL) {
        Some(at) if begins_with_thought => {
            Ok(text.get(at + BARE_FINAL.len()..).unwrap_or_default())
        }
        None if begins_with_thought => Err(OutputError::CutOff),
        _ => Ok(text),
    }
}

fn without_object(text: &str) -> OutputError {
    if is_only_marks(text) {
        OutputError::Empty
    } else if is_refusal(text) {
        OutputError::Refused
    } else {
        OutputError::NoObject
    }
}

/// Whether a text without an answer in it reads like a refusal.
pub fn is_refusal(text: &str) -> bool {
    const PHRASES: [&str; 16] = [
        "i can't",
        "i cannot",
        "i can not",
        "i won't",
        "i will not",
        "i'm sorry",
        "i am sorry",
        "i apologize",
        "i'm unable",
        "i am unable",
        "i'm not able",
        "i am not able",
        "i must decline",
        "as an ai",
        "can't assist",
        "cannot assist",
    ];
    let beginning: String = text.trim_start().chars().take(REFUSAL_WINDOW_CHARS).collect();
    let beginning = beginning.replace('\u{2019}', "'").to_lowercase();
    PHRASES.iter().any(|phrase| beginning.contains(phrase))
}

enum Part<'a> {
    Thought { after: &'a str },
    ThoughtEnd { after: &'a str },
    Object { object: &'a str, after: &'a str },
    CutOff,
}

/// How models mark what they think, begin and end; upper and lower case are the same.
pub const THOUGHT_MARKS: [(&str, &str); 12] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<analysis>", "</analysis>"),
    ("<scratchpad>", "</scratchpad>"),
    ("[THINK]", "[/THINK]"),
    ("\u{25c1}think\u{25b7}", "\u{25c1}/think\u{25b7}"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
];

/// Where a message's channel is named (`<|channel|>analysis<|message|>…<|end|>`), and what ends it.
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const MESSAGE_ENDS: [&str; 5] = ["<|end|>", "<|start|>", "<|return|>", "<|call|>", CHANNEL];
/// The channel that others are to read.
const FINAL: &str = "final";
const BARE_FINAL: &str = "assistantfinal";
/// Between a channel's mark and its message there are a name and a recipient.
const CHANNEL_BYTES_MAX: usize = 200;

/// The next thing in the text that is not prose.
fn next_part(text: &str) -> Option<Part<'_>> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(['{', '<', '[', '\u{25c1}'])?;
        let here = text.get(at..)?;
        for (open, close) in THOUGHT_MARKS {
            if has_prefix(here, open) {
                let end = find_ignoring_case(here, close);
                let after = end.and_then(|end| here.get(end + close.len()..));
                return Some(after.map_or(Part::CutOff, |after| Part::Thought { after }));
            }
            if has_prefix(here, close) {
                return here.get(close.len()..).map(|after| Part::ThoughtEnd { after });
            }
        }
        if let Some(part) = channel(here) {
            return Some(part);
        }
        if begins_object(here) {
            return Some(match object_end(here).and_then(|end| here.split_at_checked(end)) {
                Some((object, after)) => Part::Object { object, after },
                None => Part::CutOff,
            });
        }
        from = at + here.chars().next().map_or(1, char::len_utf8);
    }
}

/// A message in a channel, if the text begins with one: the final one makes drafts of all that came
/// before it, every other is thinking.
fn channel(text: &str) -> Option<Part<'_>> {
    let head = text.strip_prefix(CHANNEL)?;
    let at = head
        .as_bytes()
        .windows(MESSAGE.len())
        .take(CHANNEL_BYTES_MAX)
        .position(|window| window == MESSAGE.as_bytes())?;
    let (name, message) = head.split_at_checked(at)?;
    let message = message.strip_prefix(MESSAGE)?;
    if name.trim_start().starts_with(FINAL) {
        return Some(Part::ThoughtEnd { after: message });
    }
    let end = message
        .match_indices("<|")
        .filter_map(|(at, _)| message.get(at..))
        .find(|rest| MESSAGE_ENDS.iter().any(|mark| rest.starts_with(mark)));
    Some(end.map_or(Part::CutOff, |after| Part::Thought { after }))
}

/// A brace in prose ("{UP}") begins no object: in one a quote or the closing brace follows.
fn begins_object(text: &str) -> bool {
    text.strip_prefix('{').is_some_and(|inside| inside.trim_start().starts_with(['"', '}']))
}

/// The length of the object that the text begins with; `None` when it does not end.
fn object_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut strings = Strings::default();
    for (index, byte) in text.bytes().enumerate() {
        if strings.is_inside(byte) {
            continue;
        }
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// Tells which bytes of a JSON text belong to strings. Bytes will do: those of a character that
/// is not ASCII are never equal to a quote or a backslash.
#[derive(Default)]
struct Strings {
    is_open: bool,
    is_escaped: bool,
}

impl Strings {
    /// Takes the next byte; the quotes themselves belong to the string.
    fn is_inside(&mut self, byte: u8) -> bool {
        if !self.is_open {
            self.is_open = byte == b'"';
            return self.is_open;
        }
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else if byte == b'"' {
            self.is_open = false;
        }
        true
    }
}

/// The object, if it is JSON, directly or after repairs of small faults.
fn checked(object: &str) -> Result<Cow<'_, str>, OutputError> {
    let Err(fault) = check(object) else {
        return Ok(Cow::Borrowed(object));
    };
    if matches!(fault, OutputError::DuplicateKey(_)) {
        return Err(fault);
    }
    let repaired = repair(object);
    check(&repaired).map(|()| Cow::Owned(repaired))
}

/// Removes trailing commas and writes raw control characters in strings as JSON wants them.
fn repair(object: &str) -> String {
    let mut repaired = String::with_capacity(object.len());
    let mut strings = Strings::default();
    for (index, character) in object.char_indices() {
        // Only ASCII matters to `Strings`; any other character counts as a letter.
        let byte = u8::try_from(character).ok().filter(u8::is_ascii).unwrap_or(b'x');
        if strings.is_inside(byte) {
            match character {
                '\n' => repaired.push_str("\\n"),
                '\r' => repaired.push_str("\\r"),
                '\t' => repaired.push_str("\\t"),
                control if u32::from(control) < 0x20 => {
                    repaired.push_str(&format!("\\u{:04x}", u32::from(control)));
                }
                other => repaired.push(other),
            }
        } else if character != ',' || !is_trailing(object, index) {
            repaired.push(character);
        }
    }
    repaired
}

fn is_trailing(object: &str, comma: usize) -> bool {
    object.get(comma + 1..).is_some_and(|rest| rest.trim_start().starts_with(['}', ']']))
}

fn check(object: &str) -> Result<(), OutputError> {
    let mut keys = UniqueKeys::default();
    let result = keys.deserialize(&mut serde_json::Deserializer::from_str(object));
    match (result, keys.duplicate) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(key)) => Err(OutputError::DuplicateKey(shortened(&key))),
        (Err(error), None) => Err(invalid(&error)),
    }
}

fn invalid(error: &serde_json::Error) -> OutputError {
    OutputError::Invalid(shortened(&error.to_string()))
}

/// Some of this is the model's own text, so it is kept short and on one line.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(DETAIL_CHARS_MAX).collect();
    short.replace(char::is_control, " ")
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    text.windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted))
}

fn last_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    text.windows(wanted.len()).rposition(|window| window.eq_ignore_ascii_case(wanted))
}

/// Reads any JSON and keeps nothing, but stops at an object that gives a key twice.
#[derive(Default)]
struct UniqueKeys {
    duplicate: Option<String>,
}

impl<'de> DeserializeSeed<'de> for &mut UniqueKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! keep_nothing {
    ($($visit:ident($($kind:ty)?);)+) => {$(
        fn $visit<E>(self $(, _: $kind)?) -> Result<(), E> {
            Ok(())
        }
    )+};
}

impl<'de> Visitor<'de> for &mut UniqueKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                self.duplicate = Some(key);
                return Err(A::Error::custom("a key is given twice"));
            }
            keys.insert(key);
            map.next_value_seed(&mut *self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    keep_nothing! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_str(&str);
        visit_unit();
    }
}
