//! Whether a headline mentions a keyword.

use ledger_core::Timestamp;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::Headline;

/// The earliest headline published in `[from, to]` whose title holds the keyword as a whole word,
/// whatever the case; of several at once, the first in the list.
///
/// `to` must be no later than the fetch that the headlines are from: publishers date articles ahead.
/// A word ends where no letter, digit or underscore follows: `C` is mentioned in "C++", `Rust` not
/// in "Rusty", `Apple` in "Apple's". Scripts that put no spaces between words hold few whole words.
#[must_use]
pub fn mentions<'a>(
    headlines: &'a [Headline],
    keyword: &str,
    from: Timestamp,
    to: Timestamp,
) -> Option<&'a Headline> {
    let keyword = normal(keyword);
    headlines
        .iter()
        .filter(|headline| (from..=to).contains(&headline.published_at))
        .filter(|headline| holds_word(&normal(&headline.title), &keyword))
        .min_by_key(|headline| headline.published_at)
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

fn holds_word(title: &str, keyword: &str) -> bool {
    if keyword.is_empty() {
        return false;
    }
    let of_a_word = |c: char| c.is_alphanumeric() || c == '_' || is_combining_mark(c);
    // Every place, also where two overlap: "a a" in "xa a a".
    title.char_indices().any(|(at, _)| {
        let (before, rest) = title.split_at(at);
        let Some(after) = rest.strip_prefix(keyword) else {
            return false;
        };
        !before.ends_with(of_a_word) && !after.starts_with(of_a_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn headline(title: &str, seconds: i64) -> Headline {
        Headline::new(title, at(seconds), None).unwrap()
    }

    fn mentioned(title: &str, keyword: &str) -> bool {
        mentions(&[headline(title, 5)], keyword, at(0), at(10)).is_some()
    }

    #[test]
    fn a_keyword_is_a_whole_word_whatever_its_case() {
        for (title, keyword) in [
            ("Rust 2.0 is out", "rust"),
            ("Why we love RUST", "Rust"),
            ("Is it Rust?", "Rust"),
            ("“Rust” in the kernel", "Rust"),
            ("Apple’s new chip", "Apple"),
            ("Trader Joe’s opens", "Trader Joe's"),
            ("C++26 and C++ 26", "C++"),
            ("The .NET runtime", ".NET"),
            ("A new Raspberry\u{a0}Pi", "Raspberry Pi"),
            ("A new RASPBERRY PI: cheap", "Raspberry Pi"),
            ("GPT-5 arrives", "gpt-5"),
            ("Ｏｐｅｎ ＡＩ", "Open AI"),
            ("Cafe\u{301} robots", "CAFÉ"),
            ("Οδυσσεύς lands", "ΟΔΥΣΣΕΎΣ"),
            ("xa a a", "a a"),
            ("Rusty Rust", "Rust"),
        ] {
            assert!(mentioned(title, keyword), "{keyword} in {title}");
        }
    }

    #[test]
    fn part_of_a_word_is_not_the_word() {
        for (title, keyword) in [
            ("Rusty nails", "Rust"),
            ("Trust nobody", "Rust"),
            ("ASP.NET ships", ".NET"),
            ("rust_analyzer ships", "Rust"),
            ("Rust2 ships", "Rust"),
            ("Über-Robots", "bots"),
            ("Cafe\u{301}s", "Café"),
            ("x\u{20dd} marks", "x"),
            ("Raspberry, Pi", "Raspberry Pi"),
            ("人工知能", "知能"),
            ("anything", ""),
            ("anything", " "),
        ] {
            assert!(!mentioned(title, keyword), "{keyword:?} in {title}");
        }
    }

    #[test]
    fn the_earliest_within_the_window_counts() {
        let headlines = [
            headline("Rust, later", 9),
            headline("Rust, early", 3),
            headline("Rust, early too", 3),
            headline("Rust, before the opening", 1),
            headline("Rust, from the future", 11),
            headline("No word of it", 2),
        ];
        let found = mentions(&headlines, "Rust", at(2), at(10)).unwrap();
        assert_eq!(found.title, "Rust, early");
        // The ends belong to the window.
        assert!(mentions(&headlines, "Rust", at(9), at(9)).is_some());
        assert!(mentions(&headlines, "Rust", at(4), at(8)).is_none());
        // A window the wrong way round holds nothing.
        assert!(mentions(&headlines, "Rust", at(10), at(2)).is_none());
        assert!(mentions(&[], "Rust", at(0), at(10)).is_none());
    }
}
