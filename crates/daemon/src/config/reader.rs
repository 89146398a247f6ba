//! Takes settings out by name and collects everything that is wrong with them.

use std::any::Any;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

use super::{ConfigError, Problem, Sources, workspace_root};

/// Reads settings one by one. Nothing fails until [`Reader::finish`], which lists every problem: until then an
/// empty value, or the default, replaces an unusable one.
///
/// A setting whose value is empty counts as not set, so that `NAME=` in the environment turns
/// off what the `.env` file says.
#[derive(Debug)]
pub struct Reader<'a> {
    sources: &'a Sources,
    problems: Vec<Problem>,
}

/// A replacement for an unusable value must never be used: tests fail if the problems were not read.
impl Drop for Reader<'_> {
    fn drop(&mut self) {
        debug_assert!(
            self.problems.is_empty() || std::thread::panicking(),
            "settings were read without checking their problems: {:?}",
            self.problems
        );
    }
}

impl<'a> Reader<'a> {
    pub fn new(sources: &'a Sources) -> Self {
        Self { sources, problems: sources.file_problems.clone() }
    }

    /// For settings read in addition to the service's, which itself reports problems of the file.
    pub(crate) fn beside(sources: &'a Sources) -> Self {
        Self { sources, problems: Vec::new() }
    }

    /// A setting without default. `None` means that a problem was noted.
    pub fn required<T: FromStr<Err: 'static>>(&mut self, name: &str) -> Option<T> {
        let text = self.required_text(name)?;
        self.parse(name, &text)
    }

    /// A setting with a default, which is also the answer when a problem was noted.
    pub fn or<T: FromStr<Err: 'static>>(&mut self, name: &str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    /// A setting with a default and bounds, both ends included.
    pub fn or_within<T>(&mut self, name: &str, default: T, bounds: RangeInclusive<T>) -> T
    where
        T: FromStr<Err: 'static> + PartialOrd + Display,
    {
        let value = self.or(name, default);
        if !bounds.contains(&value) {
            let (low, high) = (bounds.start(), bounds.end());
            self.note(name, &format!("must lie between {low} and {high}"));
        }
        value
    }

    /// A setting that may be absent. A malformed value is a problem, and `None`.
    pub fn optional<T: FromStr<Err: 'static>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        self.parse(name, &text)
    }

    /// A secret without default, at least `min_chars` characters long.
    pub fn secret(&mut self, name: &str, min_chars: usize) -> SecretString {
        self.required_text(name)
            .and_then(|text| self.long_enough(name, text, min_chars))
            .unwrap_or_default()
    }

    /// A secret that may be absent; if present, it has at least `min_chars` characters.
    pub fn optional_secret(&mut self, name: &str, min_chars: usize) -> Option<SecretString> {
        let text = self.text(name)?;
        self.long_enough(name, text, min_chars)
    }

    /// Secrets with commas between them, each at least `min_chars` characters long; may be absent.
    pub fn secrets(&mut self, name: &str, min_chars: usize) -> Vec<SecretString> {
        let text = self.text(name).unwrap_or_default();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts == [""] {
            return Vec::new();
        }
        if parts.iter().any(|part| part.chars().count() < min_chars) {
            let rule = format!(
                "must be a list with commas in between, each of at least {min_chars} characters"
            );
            self.note(name, &rule);
            return Vec::new();
        }
        parts.into_iter().map(SecretString::from).collect()
    }

    /// The URL of a server, without default, in one of the given schemes. It may hold a password
    /// and is therefore a secret; [`super::endpoint`] gives the part that may be shown.
    pub fn connection_url(&mut self, name: &str, schemes: &[&str]) -> SecretString {
        let Some(text) = self.required_text(name) else {
            return SecretString::default();
        };
        let valid = url::Url::parse(&text).is_ok_and(|url| schemes.contains(&url.scheme()));
        if !valid {
            let forms: Vec<String> = schemes.iter().map(|s| format!("{s}://…")).collect();
            self.note(name, &format!("must be a URL of the form {}", forms.join(" or ")));
            return SecretString::default();
        }
        SecretString::from(text)
    }

    /// A path, with a default. Relative ones are meant from the workspace, not from wherever the
    /// process was started.
    pub fn path_or(&mut self, name: &str, default: &str) -> PathBuf {
        workspace_root().join(self.text(name).unwrap_or_else(|| default.to_owned()))
    }

    /// The value as written, unless it is empty or not set.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.sources.given(name)
    }

    /// Notes a problem that only the caller can see. The text follows the setting's name in a
    /// sentence ("must …", "is …") and must not contain the value.
    pub fn problem(&mut self, name: &str, text: impl Into<String>) {
        self.problems.push(Problem { name: name.to_owned(), text: text.into() });
    }

    /// # Errors
    /// When any problem was noted: all of them.
    pub fn finish(mut self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.told()) }
    }

    fn told(&mut self) -> ConfigError {
        let problems = std::mem::take(&mut self.problems);
        ConfigError::new(problems, self.sources.looked_at().to_owned())
    }

    /// Like [`Reader::finish`], and returns the configuration built from the values; `None` is expected if one of
    /// them was missing.
    ///
    /// # Errors
    /// When any problem was noted: all of them.
    pub fn finish_with<T>(mut self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) => self.finish().map(|()| config),
            None => {
                if self.problems.is_empty() {
                    self.problem("The configuration", "is incomplete");
                }
                Err(self.told())
            }
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        if self.sources.is_undecodable(name) {
            self.problem(name, "(from the environment) is not UTF-8");
            return None;
        }
        self.raw(name)
    }

    fn required_text(&mut self, name: &str) -> Option<String> {
        let noted = self.problems.len();
        let text = self.text(name);
        if text.is_none() && self.problems.len() == noted {
            let is_set = self.sources.get(name).is_some();
            if is_set {
                self.note(name, "is empty");
            } else {
                self.problem(name, "is not set");
            }
        }
        text
    }

    fn parse<T: FromStr<Err: 'static>>(&mut self, name: &str, text: &str) -> Option<T> {
        let note = |error: T::Err| {
            // Other messages of parsers are not passed on: many of them quote what they were given.
            match (&error as &dyn Any).downcast_ref::<&'static str>() {
                Some(fixed) => self.note(name, fixed),
                None => self.note(name, &expectation::<T>()),
            }
        };
        text.parse().map_err(note).ok()
    }

    fn long_enough(&mut self, name: &str, text: String, min_chars: usize) -> Option<SecretString> {
        if text.chars().count() < min_chars {
            self.note(name, &format!("must have at least {min_chars} characters"));
            return None;
        }
        Some(SecretString::from(text))
    }

    /// A problem of a present value, with its origin.
    fn note(&mut self, name: &str, text: &str) {
        match self.sources.origin(name) {
            Some(origin) => self.problem(name, format!("(from {origin}) {text}")),
            None => self.problem(name, text),
        }
    }
}

/// The required form of a value of the type, as the end of a sentence.
fn expectation<T>() -> String {
    let full = std::any::type_name::<T>();
    let name = full.rsplit("::").next().unwrap_or(full);
    match name {
        "u8" => "must be a whole number from 0 to 255".to_owned(),
        "u16" => "must be a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "u128" | "usize" => "must be a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "must be a whole number".to_owned(),
        "f32" | "f64" => "must be a number".to_owned(),
        "bool" => "must be true or false".to_owned(),
        "IpAddr" => "must be an IP address, e.g. 127.0.0.1".to_owned(),
        "SocketAddr" => "must be an IP address with a port, e.g. 127.0.0.1:8000".to_owned(),
        "Url" => "must be a URL, e.g. http://127.0.0.1:8000".to_owned(),
        other => format!("is not a valid {other}"),
    }
}
