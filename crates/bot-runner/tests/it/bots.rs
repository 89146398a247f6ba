//! The personas that come with the project.

use std::collections::BTreeSet;
use std::path::Path;

use bot_runner::persona::{Filed, Persona, Roster};

fn shipped() -> Roster {
    Roster::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bots")).unwrap()
}

#[test]
fn every_persona_is_valid() {
    let roster = shipped();
    assert_eq!(roster.refused, []);
    assert!(roster.personas.len() >= 8, "{} personas", roster.personas.len());
}

#[test]
fn no_two_are_alike() {
    let filed = shipped().personas;
    let personas: Vec<&Persona> = filed.iter().map(|filed| &filed.persona).collect();
    let distinct = |texts: Vec<String>| texts.into_iter().collect::<BTreeSet<_>>().len();
    let count = personas.len();
    assert_eq!(distinct(personas.iter().map(|it| it.temperament.clone()).collect()), count);
    assert_eq!(distinct(personas.iter().map(|it| it.system_prompt.clone()).collect()), count);
    assert_eq!(distinct(personas.iter().map(|it| format!("{:?}", it.strategy)).collect()), count);
    assert_eq!(
        distinct(personas.iter().map(|it| it.interval_seconds.to_string()).collect()),
        count
    );
    assert!(personas.iter().all(|it| (20..=180).contains(&it.interval_seconds)));
}

#[test]
fn a_file_is_named_for_its_bot() {
    for Filed { persona, .. } in shipped().personas {
        let file = format!("../../bots/{}.yaml", persona.handle);
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).exists(), "{file}");
    }
}
