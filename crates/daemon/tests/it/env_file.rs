use std::path::Path;

use daemon::config::env_file::{EnvFile, parse};
use proptest::prelude::*;

fn value(line: &str) -> String {
    let pairs = parse(line);
    assert_eq!(pairs.len(), 1, "{line:?} is one assignment");
    pairs[0].1.clone()
}

#[test]
fn blank_lines_and_comments_are_skipped() {
    assert_eq!(parse("\n  \n# A=1\n   # B=2\nC=3\n"), [("C".to_owned(), "3".to_owned())]);
}

#[test]
fn an_export_prefix_is_stripped_but_a_name_that_begins_with_it_is_kept() {
    assert_eq!(parse("export A=1")[0].0, "A");
    assert_eq!(parse("export\t  B = 2"), [("B".to_owned(), "2".to_owned())]);
    assert_eq!(parse("exported=3")[0].0, "exported");
    assert_eq!(parse("export=4")[0].0, "export");
}

#[test]
fn one_pair_of_equal_quotes_is_stripped() {
    assert_eq!(value(r#"A="two words""#), "two words");
    assert_eq!(value("A='two words'"), "two words");
    assert_eq!(value(r#"A="'inner'""#), "'inner'");
    assert_eq!(value(r#"A="""#), "");
    assert_eq!(value(r#"A="  kept  ""#), "  kept  ");
}

#[test]
fn quotes_that_do_not_match_are_literal() {
    assert_eq!(value(r#"A="half"#), r#""half"#);
    assert_eq!(value(r#"A=half""#), r#"half""#);
    assert_eq!(value(r#"A="mixed'"#), r#""mixed'"#);
    assert_eq!(value(r#"A=""#), "\"");
    assert_eq!(value(r#"A="x" y"#), r#""x" y"#);
}

#[test]
fn special_characters_mean_themselves() {
    assert_eq!(value(r"A=p!a$s#s\n${HOME} `id` $(id) %20"), r"p!a$s#s\n${HOME} `id` $(id) %20");
    assert_eq!(value(r#"A="p!a$s#s\" w""#), r#"p!a$s#s\" w"#);
    assert_eq!(value("A=x # no comment"), "x # no comment");
    assert_eq!(value("A=postgres://u:p=w@h/d?a=b"), "postgres://u:p=w@h/d?a=b");
    assert_eq!(value("A=schlüssel✓"), "schlüssel✓");
}

#[test]
fn keys_and_values_are_trimmed() {
    assert_eq!(parse("  A  =   x y  "), [("A".to_owned(), "x y".to_owned())]);
    assert_eq!(value("A="), "");
}

#[test]
fn files_from_windows_are_read_too() {
    let pairs = parse("\u{feff}A=1\r\nB=\"2\"\r\n");
    assert_eq!(pairs, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
}

#[test]
fn order_and_repetition_are_kept() {
    let values: Vec<String> = parse("A=1\nB=2\nA=3").into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["1", "2", "3"]);
}

#[test]
fn lines_that_are_no_assignment_are_named_by_number() {
    let text = "A=1\nnonsense\n\n# comment\n=5\ntwo words=6\nB=7";
    assert_eq!(faulty_lines(text), [2, 5, 6]);
    assert_eq!(parse(text).len(), 2);
}

fn faulty_lines(text: &str) -> Vec<usize> {
    let faults = EnvFile::parse(text.as_bytes()).faults;
    faults.iter().map(|fault| fault.line).collect()
}

#[test]
fn the_table_of_cases_is_kept() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env_cases.tsv");
    let table = std::fs::read_to_string(table).unwrap();
    let cases: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(cases.len() > 20, "the table is there");
    for case in cases {
        let mut fields = case.split('\t');
        let (what, text) = (fields.next().unwrap(), fields.next().unwrap());
        let EnvFile { pairs, faults } = EnvFile::parse(&unescaped(text));
        let expected: Vec<&str> = fields.collect();
        if let [expected] = expected[..]
            && expected.starts_with("line ")
        {
            assert_eq!(faults[0].to_string(), expected, "{what}");
            continue;
        }
        assert_eq!(faults, [], "{what}");
        for expected in &expected {
            let expected = String::from_utf8(unescaped(expected)).unwrap();
            let (key, value) = expected.split_once('=').unwrap();
            let found = pairs.iter().rfind(|(name, _)| name == key);
            assert_eq!(found.map(|(_, found)| &found[..]), Some(value), "{what}");
        }
        let names: std::collections::BTreeSet<_> = pairs.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), expected.len(), "{what}");
    }
}

/// The result of Bash's `printf %b`, as far as the table needs it.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("no escape of the table: {}", char::from(other)),
        });
    }
    bytes
}

/// Lines as people and programs write them, and wrong ones.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z_]{1,8} ?= ?[ -~]{0,20}",
        "export [A-Z_]{1,8}=[\"']?[ -~]{0,20}[\"']?",
        "#[ -~]{0,20}",
        "\\PC{0,30}",
        Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_line_is_an_assignment_or_named(lines in prop::collection::vec(any_line(), 0..8)) {
        let text = lines.join("\n");
        let EnvFile { pairs, faults } = EnvFile::parse(text.as_bytes());
        let blank = |c: char| matches!(c, ' ' | '\t'..='\r');
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let meant = text.split('\n').map(|line| line.trim_matches(blank));
        let meant = meant.filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        prop_assert_eq!(pairs.len() + faults.len(), meant);
        for (key, value) in pairs {
            prop_assert!(!key.is_empty() && !key.contains(char::is_whitespace));
            // Every value that is read was written.
            prop_assert!(text.contains(&key) && text.contains(&value));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        let EnvFile { pairs, faults } = EnvFile::parse(&bytes);
        prop_assert!(pairs.len() + faults.len() <= bytes.len());
    }

    #[test]
    fn a_quoted_value_comes_through_unharmed(secret in "[^\0\r\n]{0,60}") {
        prop_assert_eq!(value(&format!("SECRET='{secret}'")), secret);
    }
}
