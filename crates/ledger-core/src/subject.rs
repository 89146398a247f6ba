//! Subjects of questions, checked once on input, and from then on valid in a URL.

use std::fmt;
use std::str::FromStr;

const OWNER_MAX_CHARS: usize = 39;
const REPOSITORY_MAX_CHARS: usize = 100;

/// A repository at GitHub, as `owner/name`. GitHub ignores case, but comparison of this type does
/// not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    owner: String,
    name: String,
}

/// Why a text names no repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    #[error("must be owner/name such as rust-lang/rust, without a host and with one slash")]
    Form,
    #[error(
        "must have an owner of 1 to {OWNER_MAX_CHARS} ASCII letters, digits, hyphens and \
         underscores that does not begin with a hyphen"
    )]
    Owner,
    #[error(
        "must have a name of 1 to {REPOSITORY_MAX_CHARS} ASCII letters, digits, hyphens, \
         underscores and points that is neither . nor .. and does not end in .git"
    )]
    Name,
}

impl Repository {
    /// In one spelling, for comparing.
    pub fn subject(&self) -> String {
        self.to_string().to_lowercase()
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Repository, RepositoryError> {
        let (owner, name) = text.split_once('/').ok_or(RepositoryError::Form)?;
        if name.contains('/') {
            return Err(RepositoryError::Form);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=OWNER_MAX_CHARS).contains(&owner.len())
            || !owner.bytes().all(plain)
            || owner.starts_with('-')
        {
            return Err(RepositoryError::Owner);
        }
        let dots = name == "." || name == ".." || name.to_ascii_lowercase().ends_with(".git");
        if !(1..=REPOSITORY_MAX_CHARS).contains(&name.len())
            || !name.bytes().all(|byte| plain(byte) || byte == b'.')
            || dots
        {
            return Err(RepositoryError::Name);
        }
        Ok(Repository { owner: owner.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

as_string!(Repository);
shown_as_text!(Repository);

const KEYWORD_MAX_CHARS: usize = 50;

/// A word or a few of them, looked for in headlines as they stand: `Rust`, `GPT-5`, `Raspberry Pi`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, derive_more::Display)]
pub struct Keyword(String);

/// Why a text is no keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    #[error("must have 1 to {KEYWORD_MAX_CHARS} characters")]
    Length,
    #[error("must contain a letter or digit")]
    NoWord,
    #[error("must have no spaces around it, single ones within, and no control characters")]
    Spacing,
}

impl Keyword {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Keyword {
    type Err = KeywordError;

    fn from_str(text: &str) -> Result<Keyword, KeywordError> {
        if !(1..=KEYWORD_MAX_CHARS).contains(&text.chars().count()) {
            return Err(KeywordError::Length);
        }
        let strange_space = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
        if text.trim() != text || text.contains("  ") || text.contains(strange_space) {
            return Err(KeywordError::Spacing);
        }
        if !text.contains(char::is_alphanumeric) {
            return Err(KeywordError::NoWord);
        }
        Ok(Keyword(text.to_owned()))
    }
}

as_string!(Keyword);
shown_as_text!(Keyword);
