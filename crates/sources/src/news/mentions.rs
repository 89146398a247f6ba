//! Whether a list of headlines mentions a keyword, or leaves it open.

use ledger_core::Timestamp;
use unicode_normalization::char::is_combining_mark;

use super::text::folded;
use super::{Item, Listing};
use crate::SourceError;
use crate::error::nonsense;

/// The earliest headline published after `after` and by `until` whose title contains the keyword as a whole word,
/// ignoring case; of several at the same time, the first in the list.
///
/// `until` must be no later than the fetch that the headlines are from: publishers date articles
/// ahead. A word ends where no letter, digit or underscore follows: `C` is mentioned in "C++",
/// `Rust` not in "Rusty", `Apple` in "Apple's". Scripts that put no spaces between words hold few
/// whole words. An unreadable part may continue a word: U+FFFD does not end one, nor does the end
/// of a title that was not read in full.
///
/// # Errors
/// If there is none but the list does not prove it: a possible match was not read in full, or the list is
/// incomplete or does not reach back to `after`.
pub fn mentions<'a>(
    listing: &'a Listing,
    keyword: &str,
    after: Timestamp,
    until: Timestamp,
) -> Result<Option<&'a Item>, SourceError> {
    let keyword = folded(keyword);
    let mut found: Option<&Item> = None;
    let mut doubtful = 0_usize;
    for item in &listing.items {
        let in_time = item.is_between(after, until);
        if in_time == Some(false) {
            continue;
        }
        let title = item.title.as_deref();
        let holds = title.is_some_and(|title| holds(title, item.whole, &keyword));
        match (in_time, holds) {
            (Some(true), true) => {
                let earlier = found.is_none_or(|other| item.published_at < other.published_at);
                found = if earlier { Some(item) } else { found };
            }
            // A completely read title without it is not a match, whenever it was published.
            (_, false) if item.whole && title.is_some() => {}
            _ => doubtful += 1,
        }
    }
    if found.is_some() {
        return Ok(found);
    }
    if doubtful > 0 {
        return Err(SourceError::InDoubt { items: doubtful });
    }
    let problem = if !listing.whole {
        "is incomplete, so a missing item may still exist"
    } else if !listing.reaches_back_to(after) {
        // Feeds drop old items.
        "does not reach back to the close of bets"
    } else {
        return Ok(None);
    };
    nonsense("list of headlines", problem)
}

fn holds(title: &str, whole: bool, keyword: &str) -> bool {
    let mut title = folded(title);
    if !whole {
        title.push(char::REPLACEMENT_CHARACTER);
    }
    let goes_on = |c| of_a_word(c) || c == char::REPLACEMENT_CHARACTER;
    holds_word(&title, keyword, goes_on)
}

pub(super) fn of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_combining_mark(c)
}

/// Whether the keyword is in the title with nothing before or after it with which the word goes on.
pub(super) fn holds_word(title: &str, keyword: &str, goes_on: impl Fn(char) -> bool) -> bool {
    if keyword.is_empty() {
        return false;
    }
    // Every place, also where two overlap: "a a" in "xa a a".
    title.char_indices().any(|(at, _)| {
        let (before, rest) = title.split_at(at);
        let Some(after) = rest.strip_prefix(keyword) else {
            return false;
        };
        !before.ends_with(&goes_on) && !after.starts_with(&goes_on)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So long after noon of a day in 2026.
    fn at(seconds: i64) -> Timestamp {
        let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        noon.plus_seconds(seconds)
    }

    fn headline(title: &str, seconds: i64) -> Item {
        Item::new(title, Some(at(seconds)), None, true)
    }

    fn listing(items: Vec<Item>) -> Listing {
        Listing { items, whole: true }
    }

    /// The result of a list that reaches back.
    fn told(item: Item) -> Result<bool, SourceError> {
        let old = ["Old news", "Older news", "The oldest news"].map(|title| headline(title, 0));
        let list = listing([vec![item], old.to_vec()].concat());
        mentions(&list, "Rust", at(2), at(10)).map(|found| found.is_some())
    }

    fn mentioned(title: &str, keyword: &str) -> bool {
        let old = vec![headline("0", 0); 3];
        let list = listing([vec![headline(title, 5)], old].concat());
        mentions(&list, keyword, at(0), at(10)).unwrap().is_some()
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
            ("GPT\u{2011}5 arrives", "GPT-5"),
            ("Rasp\u{ad}berry Pi", "Raspberry Pi"),
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
        let list = listing(vec![
            headline("Rust, later", 9),
            headline("Rust, early", 3),
            headline("Rust, early too", 3),
            headline("Rust, as bets closed", 2),
            headline("Rust, before", 1),
            headline("Rust, from the future", 11),
            headline("No word of it", 2),
            headline("Nor here", 1),
            headline("Nor here", 1),
        ]);
        let between = |after, until| mentions(&list, "Rust", at(after), at(until));
        let found = between(2, 10).unwrap().unwrap();
        assert_eq!(found.title.as_deref(), Some("Rust, early"));
        // The end belongs to the window, its beginning does not.
        assert!(between(8, 9).unwrap().is_some());
        assert!(between(9, 10).unwrap().is_none());
        assert!(between(4, 8).unwrap().is_none());
        // A window the wrong way round holds nothing.
        assert!(between(10, 2).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_read_in_full_is_not_absent() {
        let doubt = Err(SourceError::InDoubt { items: 1 });
        let undated = |title: &str| Item { published_at: None, ..headline(title, 0) };
        let broken = |title: &str, seconds| Item { whole: false, ..headline(title, seconds) };
        assert_eq!(told(undated("Rust is out")), doubt);
        assert_eq!(told(undated("")), doubt);
        assert_eq!(told(headline("", 5)), doubt);
        assert_eq!(told(headline("R\u{fffd}st is out", 5)), doubt);
        assert_eq!(told(broken("Half a ti", 5)), doubt);
        // It cannot be a match.
        assert_eq!(told(undated("Go is out")), Ok(false));
        assert_eq!(told(headline("", 1)), Ok(false));
        assert_eq!(told(broken("Half a ti", 1)), Ok(false));
        // Whether the word ends there is not known.
        for title in ["Why we need Rust", "R\u{fffd} Rust\u{fffd}s it", "\u{fffd}Rust is out"] {
            assert_eq!(told(broken(title, 5)), doubt, "{title}");
        }
        // Found is found.
        assert_eq!(told(broken("Rust, and then", 5)), Ok(true));
        let both = listing(vec![undated("Rust"), headline("Rust", 5)]);
        assert!(mentions(&both, "Rust", at(2), at(10)).unwrap().is_some());
    }

    #[test]
    fn a_list_that_is_not_whole_shows_no_absence() {
        let cut = |items| Listing { items, whole: false };
        let told = |list: &Listing| mentions(list, "Rust", at(2), at(10)).map(|it| it.is_some());
        assert!(told(&cut(vec![headline("Go", 0)])).is_err());
        assert_eq!(told(&cut(vec![headline("Rust", 5)])), Ok(true));
        assert!(told(&listing(vec![headline("Go", 3)])).is_err());
        assert!(told(&listing(Vec::new())).is_err());
        assert_eq!(told(&listing(vec![headline("Go", 2)])), Ok(false));
    }

    #[test]
    fn the_end_of_the_list_shows_how_far_back_it_reaches() {
        let day = 86_400;
        let told = |seconds: &[i64]| {
            let items = seconds.iter().map(|it| headline("Go", *it)).collect();
            mentions(&listing(items), "Rust", at(2), at(10)).is_ok()
        };
        assert!(told(&[9, 8, 2, 1, 0]));
        assert!(told(&[1, 9, 2, 1, 0]), "one that is pinned does not matter");
        for seconds in [
            // Old ones are pinned before or behind what the list would have next.
            &[0, 9, 8, 7][..],
            &[9, 8, 7, 0],
            &[9, 8, 7, 1, 0],
            &[9, 8, 7, -40 * day, -41 * day, -42 * day],
            &[9, 0],
        ] {
            assert!(!told(seconds), "{seconds:?}");
        }
        // Nothing new at all.
        assert!(told(&[-40 * day, -300 * day]));
        // An item without a title, or with a date that was never set, proves nothing.
        let untitled = headline("", 0);
        let never = Item::new("Go", Timestamp::from_micros(0), None, true);
        assert_eq!(never.published_at, None);
        for odd in [untitled, never] {
            let list = listing([vec![headline("Go", 9)], vec![odd; 3]].concat());
            assert!(mentions(&list, "Rust", at(2), at(10)).is_err());
        }
    }

    #[test]
    fn the_last_change_is_no_publication() {
        let updated = |title: &str, seconds| Item {
            published_at: None,
            updated_at: Some(at(seconds)),
            ..headline(title, 0)
        };
        let doubt = Err(SourceError::InDoubt { items: 1 });
        assert_eq!(told(updated("Rust is out", 5)), doubt);
        assert_eq!(told(updated("Rust is out", 11)), doubt);
        // It was published before.
        assert_eq!(told(updated("Rust is out", 2)), Ok(false));
        assert_eq!(told(updated("Go is out", 5)), Ok(false));
        let atom = listing(vec![updated("Go", 2), updated("Rust", 1)]);
        assert_eq!(mentions(&atom, "Rust", at(2), at(10)), Ok(None));
    }
}
