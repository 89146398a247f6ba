use ledger_core::subject::{Keyword, KeywordError, Repository, RepositoryError};

#[test]
fn repositories() {
    for text in ["rust-lang/rust", "a/b", "torvalds/linux", "o_corp/x.y-z_1", "a/.github"] {
        assert_eq!(text.parse::<Repository>().unwrap().to_string(), text);
    }
    let long = format!("{}/x", "a".repeat(40));
    let long_name = format!("a/{}", "x".repeat(101));
    for (text, error) in [
        ("", RepositoryError::Form),
        ("rust", RepositoryError::Form),
        ("https://github.com/rust-lang/rust", RepositoryError::Form),
        ("a/b/c", RepositoryError::Form),
        ("/b", RepositoryError::Owner),
        ("-a/b", RepositoryError::Owner),
        ("ä/b", RepositoryError::Owner),
        ("a.b/c", RepositoryError::Owner),
        (long.as_str(), RepositoryError::Owner),
        ("a/", RepositoryError::Name),
        ("a/..", RepositoryError::Name),
        ("a/.", RepositoryError::Name),
        ("a/b.git", RepositoryError::Name),
        ("a/b?c", RepositoryError::Name),
        ("a/b c", RepositoryError::Name),
        (long_name.as_str(), RepositoryError::Name),
    ] {
        assert_eq!(text.parse::<Repository>(), Err(error), "{text}");
    }
}

#[test]
fn keywords() {
    for text in ["Rust", "C++", ".NET", "Raspberry Pi", "Künstliche Intelligenz", "GPT-5", "人"] {
        assert_eq!(text.parse::<Keyword>().unwrap().as_str(), text);
    }
    let long = "x".repeat(51);
    for (text, error) in [
        ("", KeywordError::Length),
        (long.as_str(), KeywordError::Length),
        ("+++", KeywordError::NoWord),
        (" Rust", KeywordError::Spacing),
        ("Raspberry  Pi", KeywordError::Spacing),
        ("a\nb", KeywordError::Spacing),
        ("a\u{a0}b", KeywordError::Spacing),
        ("a\0b", KeywordError::Spacing),
    ] {
        assert_eq!(text.parse::<Keyword>(), Err(error), "{text:?}");
    }
}

#[test]
fn subjects_are_strings_in_json_and_checked_on_the_way_in() {
    assert!(serde_json::from_str::<Repository>("\"rust\"").is_err());
    assert!(serde_json::from_str::<Keyword>("7").is_err());
}
