//! Texts of headlines: without markup, and comparison by appearance.

use caseless::default_case_fold_str;
use quick_xml::escape::resolve_html5_entity;
use unicode_normalization::UnicodeNormalization as _;

/// How often entities are taken for escaped: feeds escape twice, and some three times.
const ROUNDS: usize = 3;
/// The longest entity's name that there is.
const ENTITY_MAX_BYTES: usize = 32;

/// A title as people read it: entities decoded, tags gone, spaces single.
pub(super) fn shown(raw: &str) -> String {
    let plain = without_tags(&decoded(raw));
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ")
}

/// `raw` with its entities decoded, also those of entities. Other text stays unchanged.
pub(super) fn decoded(raw: &str) -> String {
    (0..ROUNDS).fold(raw.to_owned(), |text, _| decoded_once(&text))
}

fn decoded_once(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let near = from.bytes().skip(1).take(ENTITY_MAX_BYTES + 1);
        let name =
            near.enumerate().find(|(_, byte)| *byte == b';').and_then(|(end, _)| from.get(1..=end));
        match name {
            Some(name) if resolve(name, &mut out) => {
                rest = from.get(name.len() + 2..).unwrap_or_default();
            }
            _ => {
                out.push('&');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether `name` is an HTML entity, or a number.
pub(super) fn is_entity(name: &str) -> bool {
    resolve(name, &mut String::new())
}

/// Whether `name` is an entity, whose text it then adds.
fn resolve(name: &str, out: &mut String) -> bool {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        };
        let Some(code) = code else {
            return false;
        };
        // 0 and invalid characters are unreadable.
        let letter = Some(code).filter(|it| *it != 0).and_then(char::from_u32);
        out.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
        return true;
    }
    let text = resolve_html5_entity(name);
    out.push_str(text.unwrap_or_default());
    text.is_some()
}

/// `text` without what looks like tags of HTML.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let inner = from.get(1..).unwrap_or_default();
        let name = inner.strip_prefix('/').unwrap_or(inner);
        let end = inner.find(['<', '>']).filter(|end| inner.as_bytes().get(*end) == Some(&b'>'));
        match end {
            Some(end) if name.starts_with(|c: char| c.is_ascii_alphabetic()) && is_html(name) => {
                // Words on two lines are two.
                if breaks_line(name) {
                    out.push(' ');
                }
                rest = inner.get(end + 1..).unwrap_or_default();
            }
            _ => {
                out.push('<');
                rest = inner;
            }
        }
    }
    out.push_str(rest);
    out
}

fn tag_name(text: &str) -> String {
    text.chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(12)
        .collect::<String>()
        .to_ascii_lowercase()
}

fn breaks_line(tag: &str) -> bool {
    matches!(tag_name(tag).as_str(), "br" | "p" | "div" | "li" | "hr" | "h1" | "h2" | "h3")
}

/// Whether a title may hold such a tag; `<again>` is a word between angles.
fn is_html(tag: &str) -> bool {
    const INLINE: [&str; 22] = [
        "a", "abbr", "b", "big", "cite", "code", "del", "em", "font", "i", "img", "ins", "mark",
        "q", "s", "small", "span", "strong", "sub", "sup", "tt", "u",
    ];
    breaks_line(tag) || INLINE.contains(&tag_name(tag).as_str())
}

/// The form in which texts are compared: NFKC under Unicode's case folding, with hyphens, quotes and
/// spaces of one kind, and without invisible characters.
pub(super) fn folded(text: &str) -> String {
    let alike: String = text.chars().filter(|c| !is_invisible(*c)).map(alike).collect();
    let folded = default_case_fold_str(&alike.nfkc().collect::<String>());
    // Folding and composing can each make work for the other.
    let folded: String = folded.nfkc().filter(|c| !is_invisible(*c)).map(self::alike).collect();
    let words: Vec<&str> = folded.split_whitespace().collect();
    words.join(" ")
}

/// Soft hyphens, joiners, marks of direction, variation selectors and the like.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

const fn alike(c: char) -> char {
    match c {
        // Hyphens, dashes and the minus.
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}' => '-',
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{2bc}' | '`' | '\u{b4}' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{ab}' | '\u{bb}' => '"',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_decoded_however_often_they_were_escaped() {
        for (raw, title) in [
            ("AT&T", "AT&T"),
            ("AT&amp;T", "AT&T"),
            ("AT&amp;amp;T", "AT&T"),
            ("AT&amp;amp;amp;T", "AT&T"),
            ("Rust&#8217;s", "Rust’s"),
            ("Rust&amp;#x2019;s", "Rust’s"),
            ("Rust&rsquo;s", "Rust’s"),
            ("a&nbsp;b", "a b"),
            ("Raspberry&amp;nbsp;Pi", "Raspberry Pi"),
            ("a &bomb; b", "a &bomb; b"),
            ("a & b; c", "a & b; c"),
            ("&#xzz; &#; &;", "&#xzz; &#; &;"),
            ("&#0;", "\u{fffd}"),
            ("&#x110000;", "\u{fffd}"),
            ("A &lt;em&gt;quiet&lt;/em&gt; Pi", "A quiet Pi"),
            ("R<b>us</b>t", "Rust"),
            ("one<br/>two", "one two"),
            ("the cafés <again>", "the cafés <again>"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("a <b", "a <b"),
        ] {
            assert_eq!(shown(raw), title, "{raw}");
        }
    }

    #[test]
    fn what_looks_alike_is_alike() {
        for (one, other) in [
            ("GPT\u{2011}5", "gpt-5"),
            ("GPT\u{2013}5", "GPT-5"),
            ("GPT\u{2212}5", "GPT-5"),
            ("Rasp\u{ad}berry\u{a0}Pi", "raspberry pi"),
            ("Open\u{200b}AI", "OpenAI"),
            ("O\u{2019}Reilly", "O'Reilly"),
            ("“AI”", "\"ai\""),
            ("Cafe\u{301}", "CAFÉ"),
            ("STRASSE", "straße"),
            ("Ｏｐｅｎ\u{3000}ＡＩ", "Open AI"),
            ("ΟΔΥΣΣΕΎΣ", "Οδυσσεύς"),
            ("ﬁrewall", "FIREWALL"),
        ] {
            assert_eq!(folded(one), folded(other), "{one}");
        }
        assert_ne!(folded("cafe"), folded("café"));
        assert_ne!(folded("GPT 5"), folded("GPT-5"));
    }
}
