//! Wrong values in well-formed bodies, and texts with tricky content.

use api_types::ProblemKind;
use serde_json::json;

use super::{refused, targets};
use crate::service::{Service, wager};
use crate::state::State;

/// Wrong values for a field, as raw JSON.
const VALUES: [&str; 30] = [
    "7",
    "-0",
    "0.1",
    "1e400",
    "1e999999999",
    "-1E+99999999999999999999",
    "99999999999999999999999999999999999999999",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[[[[[[[]]]]]]]]]]",
    "\"\"",
    "\"1e5\"",
    "\"NaN\"",
    "\"Infinity\"",
    "\" 1\"",
    "\"1 \"",
    "\"+1\"",
    "\"0x10\"",
    "\"1_000\"",
    "\"1,5\"",
    "\"\u{ff11}\"",
    "\"0.123456789\"",
    "\"99999999999999999999\"",
    "\"nul\\u0000\"",
    "\"'; DROP TABLE bots; --\"",
    "\"' OR '1'='1\"",
    "\"$1) RETURNING (1\"",
    "\"a\\r\\nSet-Cookie: a=b\"",
];

#[tokio::test]
async fn a_wrong_value_is_named_in_every_field() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    let many = format!("\"{}\"", "x".repeat(5_000));
    for target in &targets {
        for place in target.places() {
            let optional = ["persona", "reasoning", "note", "cost_usd", "usage", "reason"];
            for value in VALUES.into_iter().chain([many.as_str()]) {
                // A text field takes texts, and what may be missing may be null.
                if target.is_free(&place) && value.starts_with('"')
                    || value == "null" && optional.iter().any(|name| place.ends_with(name))
                    || value == "7" && place.ends_with("_tokens")
                    || value == "7" && place.ends_with("llm_calls")
                    || value == "true" && place.ends_with("used_lookup")
                    || place == "/handle" && ["\"NaN\"", "\"Infinity\""].contains(&value)
                {
                    continue;
                }
                let what = format!("{} {place} {value:.60}", target.path);
                let answer = target.send(&service, target.with(&place, value)).await;
                let kind = refused(&answer, &bot, &what);
                let named = [
                    ProblemKind::InvalidField,
                    // Of a number that no type holds, where no number belongs.
                    ProblemKind::MalformedRequest,
                    ProblemKind::Unauthorized,
                    ProblemKind::NotFound,
                    ProblemKind::InsufficientFunds,
                ];
                assert!(named.contains(&kind), "{what}: {}", answer.text());
            }
            let lone = target.send(&service, target.with(&place, "\"\\ud800\"")).await;
            let what = format!("{} {place} lone surrogate", target.path);
            assert_eq!(refused(&lone, &bot, &what), ProblemKind::MalformedRequest);
            let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
            let deep = target.send(&service, target.with(&place, &deep)).await;
            refused(&deep, &bot, &format!("{} {place} deep", target.path));
        }
    }
    let after = State::of(&service.arena).await;
    after.rows_must_be(&before, "wrong values");
}

/// Text is text: fragments of SQL are stored unchanged, and invisible characters are refused.
#[tokio::test]
async fn free_text_is_taken_at_its_word() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    for text in [
        "'; DROP TABLE bots; --",
        "\\'; SELECT pg_sleep(9) --",
        "$1 %s {} \\x00 ${jndi:ldap://x}",
        "<script>alert(1)</script>",
    ] {
        let mut body = wager(&service.observe(&bot).await, "0.50");
        body["reasoning"] = json!(text);
        service.act(&bot, &body).await.json();
        let shown = service.get("/predictions?limit=1").await.json();
        assert_eq!(shown["items"][0]["reasoning"], text);
    }
    let mut body = wager(&service.observe(&bot).await, "0.50");
    body["reasoning"] = json!("nul\0, \u{200b}zero\u{202e} width\r\nSet-Cookie: a=b");
    service.act(&bot, &body).await.json();
    let shown = service.get("/predictions?limit=1").await.json();
    let kept = shown["items"][0]["reasoning"].as_str().unwrap();
    assert_eq!(kept, "nul , zero width Set-Cookie: a=b");
    service.arena.assert_sound().await;
}

/// Text fields that are stored and shown refuse or clean what Postgres cannot keep; none is a 5xx.
#[tokio::test]
async fn no_text_breaks_a_field_that_takes_texts() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    for target in &targets {
        for place in target.places() {
            if !target.is_free(&place) {
                continue;
            }
            for text in
                ["\"nul\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\u202e\\u200b\"", "\"\\u001b[2J\""]
            {
                let what = format!("{} {place} {text}", target.path);
                let answer = target.send(&service, target.with(&place, text)).await;
                if !answer.status.is_success() {
                    refused(&answer, &bot, &what);
                }
            }
        }
    }
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn handles_that_deceive_the_eye_are_refused() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    let before = State::of(&service.arena).await;
    for handle in [
        "Mi\u{0430}",
        "\u{041c}ia",
        "M\u{0131}a",
        "Mia\u{200b}",
        "\u{feff}Mia",
        "Mi\u{0301}a",
        "M\u{fb01}a",
        "\u{ff2d}ia",
        "\u{202e}aiM",
        "Mia\u{0}",
        "Mia\n",
        "\tMia",
        "Mia\u{7f}",
        " Mia",
        "Mia ",
        "Mi a",
        "Mi/a",
        "Mia'--",
        "7Mia",
        "_Mia",
        "M",
        "",
    ] {
        let answer = service.post("/bots", &json!({ "handle": handle })).await;
        refused(&answer, &bot, handle);
        answer.refuses_field("handle");
        let name: String = handle.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = service.get(&format!("/bots/{name}/ledger")).await;
        assert_eq!(refused(&found, &bot, handle), ProblemKind::NotFound, "{handle:?}");
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "handles");
}
