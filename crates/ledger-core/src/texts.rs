//! Types that are written as text and read back by their own parser, and functions that clean and cut
//! text.

/// The longest post, and the longest reasoning, in characters.
pub const POST_MAX_CHARS: usize = 280;

/// `Serialize` and `Deserialize` by way of `Display` and `FromStr`.
macro_rules! as_string {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$name, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

/// `Debug` that shows what `Display` does.
macro_rules! shown_as_text {
    ($name:ident) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

/// A text with a rule, made by parsing alone.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $error:ident = $message:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, derive_more::Display)]
        pub struct $name(String);

        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<$name, $error> {
                let rule: fn(&str) -> bool = $rule;
                if rule(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err($error)
                }
            }
        }

        as_string!($name);
    };
}

/// One line of plain text, fit for a feed: control and invisible formatting characters become
/// spaces, runs of white space collapse, and it ends after [`POST_MAX_CHARS`] characters.
pub fn one_line(text: &str) -> String {
    let visible = |c: char| {
        let formatting = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || formatting { ' ' } else { c }
    };
    let cleaned: String = text.chars().map(visible).collect();
    let line = cleaned.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, POST_MAX_CHARS)
}

/// The text, or as much of it as fits into so many characters with an ellipsis.
pub(crate) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max - 1).collect();
    cut.push('…');
    cut
}
