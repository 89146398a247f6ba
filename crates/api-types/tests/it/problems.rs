use std::collections::HashSet;

use api_types::{Problem, ProblemKind};
use serde_json::json;

#[test]
fn every_kind_has_its_own_name_an_error_status_and_a_page() {
    let mut names = HashSet::new();
    for kind in ProblemKind::ALL {
        let facts = kind.facts();
        assert!(names.insert(facts.name), "{} is used twice", facts.name);
        assert!((400..600).contains(&facts.status), "{}", facts.name);
        assert!(facts.about.len() > 20 && facts.title.len() > 5, "{}", facts.name);
        assert_eq!(ProblemKind::from_name(facts.name), Some(kind));
        assert!(!facts.about.contains("  "), "{} has a broken line", facts.name);
    }
}

#[test]
fn a_problem_keeps_what_it_does_not_know() {
    let wire = json!({
        "type": "/problems/insufficient-funds",
        "title": "t",
        "status": 402,
        "detail": "d",
        "instance": "/arena/action",
        "request_id": "r",
        "balance": "1.00000000",
        "field": "wager_amount",
    });
    let problem: Problem = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(problem.kind(), Some(ProblemKind::InsufficientFunds));
    assert_eq!(problem.field(), Some("wager_amount"));
    assert_eq!(problem.extra["balance"], "1.00000000");
    assert_eq!(serde_json::to_value(&problem).unwrap(), wire);
}

#[test]
fn a_type_from_elsewhere_is_no_kind() {
    let mut problem: Problem = serde_json::from_value(json!({
        "type": "about:blank", "title": "", "status": 404, "detail": "", "instance": "/",
        "request_id": "",
    }))
    .unwrap();
    assert_eq!(problem.kind(), None);
    problem.problem_type = "/problems/of-tomorrow".to_owned();
    assert_eq!(problem.kind(), None);
}
