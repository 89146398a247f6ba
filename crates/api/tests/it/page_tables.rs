//! The page's copy of the rules' tables is a file that this module writes, and a test compares them.

use std::fmt::Write as _;
use std::path::Path;

use ledger_core::EntryType;
use ledger_core::entry_types::{SignRule, Total};

/// `web/entry_types.js`.
fn entry_types() -> String {
    let mut text = String::from(
        "// Written by `UPDATE_PAGE=1 cargo test -p api --test it page_tables` from crates/ledger-core/src/entry_types.rs.\n\n\
         /**\n * @typedef {\"ALIVE\" | \"DEAD\" | \"RETIRED\"} Status\n \
         * @typedef {{ amount: \"positive\" | \"negative\" | \"zero\" | \"not positive\", allowed: Status[], becomes: Status | null, total: \"none\" | \"granted\" | \"fees\" | \"lookup fees\", words: string }} Declaration\n \
         * @typedef {",
    );
    let labels: Vec<String> = EntryType::ALL.map(|it| format!("{:?}", it.as_str())).into();
    let _ = write!(text, "{}", labels.join(" | "));
    text.push_str("} EntryType\n */\n\n/** @type {Record<EntryType, Declaration>} */\nexport const ENTRY_TYPES = {\n");
    for entry_type in EntryType::ALL {
        let declared = entry_type.declaration();
        let amount = match declared.sign {
            SignRule::Positive => "positive",
            SignRule::Negative => "negative",
            SignRule::Zero => "zero",
            SignRule::NotPositive => "not positive",
        };
        let allowed: Vec<String> =
            declared.allowed.iter().map(|it| format!("{:?}", it.as_str())).collect();
        let becomes = declared.becomes.map_or("null".to_owned(), |it| format!("{:?}", it.as_str()));
        let total = match declared.total {
            Total::None => "none",
            Total::Granted => "granted",
            Total::Fees => "fees",
            Total::LookupFees => "lookup fees",
        };
        let _ = writeln!(
            text,
            "  {}: {{ amount: {amount:?}, allowed: [{}], becomes: {becomes}, total: {total:?}, words: {:?} }},",
            declared.label,
            allowed.join(", "),
            declared.words
        );
    }
    text.push_str("};\n");
    text
}

#[test]
#[allow(clippy::disallowed_methods, reason = "whoever renews the file says so in the environment")]
fn the_page_knows_the_entry_types() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/entry_types.js");
    let current = entry_types();
    if std::env::var_os("UPDATE_PAGE").is_some() {
        std::fs::write(&place, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&place).unwrap_or_default();
    assert!(
        committed == current,
        "crates/api/web/entry_types.js is old: UPDATE_PAGE=1 cargo test -p api --test it page_tables"
    );
}
