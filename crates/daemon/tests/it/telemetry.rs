use daemon::telemetry::chain;

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Link {
    text: &'static str,
    source: Option<Box<Link>>,
}

fn link(text: &'static str, source: Option<Link>) -> Link {
    Link { text, source: source.map(Box::new) }
}

#[test]
fn a_chain_is_one_line_from_the_outside_in() {
    let error = link("outer", Some(link("middle", Some(link("inner", None)))));
    assert_eq!(chain(&error), "outer: middle: inner");
}

#[test]
fn what_an_outer_message_already_says_is_not_repeated() {
    let error = link("query failed: refused", Some(link("refused", Some(link("os error", None)))));
    assert_eq!(chain(&error), "query failed: refused: os error");
}
