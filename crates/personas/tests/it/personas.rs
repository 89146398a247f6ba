//! Faults of a persona are reported by file, line and field.

use std::fs;

use ledger_core::Decimal8;
use personas::{Fraction, Persona, Roster, key_name, parse};
use proptest::prelude::*;

const GOOD: &str = r#"handle: momentum-mia
name: Momentum Mia
description: Rides what moves.
temperament: bold
system_prompt: You trade momentum.
strategy:
  aggression: "0.70"
  contrarian: "0.05"
  patience: "0"
interval_seconds: 45
max_stake_fraction: "0.06"
min_confidence: "0.56"
llm:
  model: gpt-5-mini
  temperature: "0.7"
  max_output_tokens: 300
"#;

/// The good text with one line changed.
fn with(line: usize, text: &str) -> String {
    let mut lines: Vec<&str> = GOOD.lines().collect();
    lines[line - 1] = text;
    lines.join("\n")
}

/// The faults of a text, as they are shown.
fn faults(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn good() -> Persona {
    parse(GOOD).unwrap()
}

#[test]
fn a_good_file_is_read_as_it_is_written() {
    let persona = good();
    assert_eq!(persona.handle.as_str(), "momentum-mia");
    assert_eq!(persona.name, "Momentum Mia");
    assert_eq!(persona.strategy.aggression.to_string(), "0.70");
    assert_eq!(persona.interval_seconds, 45);
    assert_eq!(persona.max_stake_fraction.decimal(), Decimal8::hundredths(6));
    assert_eq!(persona.min_confidence.decimal(), Decimal8::hundredths(56));
    assert_eq!(persona.llm.model.as_deref(), Some("gpt-5-mini"));
    assert_eq!(persona.llm.temperature.unwrap().to_string(), "0.70");
    assert_eq!(persona.llm.max_output_tokens, 300);
}

#[test]
fn the_models_settings_may_be_left_out() {
    let text = GOOD.split("llm:").next().unwrap();
    let persona = parse(text).unwrap();
    assert_eq!(persona.llm.model, None);
    assert_eq!(persona.llm.temperature, None);
}

#[test]
#[allow(clippy::too_many_lines)] // It is a table.
fn each_field_has_its_bounds() {
    for (line, text, fault) in [
        (1, "handle: momentum mia", "line 1: handle must be a letter followed by"),
        (1, "handle: 7th", "line 1: handle must be a letter"),
        (2, "name: 12", "line 2: name must be text, not a number; put it in quotes"),
        (2, "name: \"\"", "line 2: name must have 1 to 80 characters, not 0"),
        (3, "description: \"two\\nlines\"", "line 3: description must be one line"),
        (4, "temperament: [bold]", "line 4: temperament must be text, not a list"),
        (5, "system_prompt:", "line 5: system_prompt must be text, not nothing"),
        (7, "  aggression: \"1.01\"", "line 7: strategy.aggression must be a decimal in quotes"),
        (7, "  aggression: 0.5", "line 7: strategy.aggression must be text, not a number; put"),
        (8, "  contrarian: \"-0.1\"", "line 8: strategy.contrarian must be a decimal in quotes"),
        (9, "  patience: \"NaN\"", "line 9: strategy.patience must be a decimal in quotes"),
        (10, "interval_seconds: 9", "line 10: interval_seconds must be a whole number from 10"),
        (10, "interval_seconds: 1e3", "line 10: interval_seconds must be a whole number"),
        (10, "interval_seconds: \"45\"", "line 10: interval_seconds must be a whole number"),
        (11, "max_stake_fraction: \"0.21\"", "line 11: max_stake_fraction must be a decimal"),
        (11, "max_stake_fraction: \"0\"", "line 11: max_stake_fraction must be a decimal"),
        (12, "min_confidence: \"1\"", "line 12: min_confidence must be between"),
        (12, "min_confidence: yes", "line 12: min_confidence must be text, not true or false"),
        (14, "  model: two words", "line 14: llm.model must be a model's name"),
        (15, "  temperature: \"2.5\"", "line 15: llm.temperature must be a number from 0.00"),
        (16, "  max_output_tokens: 10", "line 16: llm.max_output_tokens must be a whole number"),
    ] {
        let found = faults(&with(line, text));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(fault), "{text}: {found:?}");
    }
}

#[test]
fn an_unknown_field_is_refused_wherever_it_is() {
    let found = faults(&with(10, "interval_second: 45"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&"line 1: interval_seconds is missing".to_owned()), "{found:?}");
    assert!(
        found[1].starts_with("line 10: interval_second is not a field here; known are handle,")
    );
    let found = faults(&with(9, "  patience: \"0\"\n  greed: \"1\""));
    assert!(found[0].starts_with("line 10: strategy.greed is not a field here"), "{found:?}");
    let found = faults(&with(16, "  max_tokens: 300"));
    assert!(found[0].starts_with("line 16: llm.max_tokens is not a field here"), "{found:?}");
}

#[test]
fn a_field_given_twice_is_refused() {
    let found = faults(&with(16, "  max_output_tokens: 300\nname: Other"));
    assert_eq!(found, ["line 17: name is given twice"]);
}

#[test]
fn every_fault_of_a_file_is_reported_at_once() {
    let text = with(1, "handle: x").replace("\"0.06\"", "\"0.6\"").replace("name: M", "nam: M");
    let found = faults(&text);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn what_is_no_mapping_is_no_persona() {
    for text in ["", "just text", "- a\n- b", "42", "null"] {
        let found = faults(text);
        assert!(found[0].contains("a persona is a mapping"), "{text:?}: {found:?}");
    }
    for text in ["a: [1\nb: 2", "a: 1\n---\nb: 2", "x: &a {<<: *b}", "\t- :"] {
        let found = faults(text);
        assert!(found[0].contains("is not YAML"), "{text:?}: {found:?}");
    }
}

#[test]
fn a_refused_file_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("a.yaml", &with(10, "interval_seconds: 1"));
    write("b.yaml", GOOD);
    write("c.yaml", &GOOD.replace("momentum-mia", "MOMENTUM_MIA"));
    write("d.yaml", &"#".repeat(70_000));
    write(".e.yaml", "hidden");
    write("notes.txt", "not a persona");
    fs::write(dir.path().join("f.yaml"), [0xff, 0xfe]).unwrap();

    let roster = Roster::load(dir.path()).unwrap();

    let found: Vec<&Persona> = roster.personas.iter().map(|filed| &filed.persona).collect();
    assert_eq!(found, [&good()]);
    let shown: Vec<String> = (roster.refused.iter())
        .map(|refused| format!("{}, {}", refused.file.display(), refused.faults[0]))
        .collect();
    assert_eq!(shown.len(), 4, "{shown:?}");
    let path = |name: &str| dir.path().join(name).display().to_string();
    assert!(shown[0].starts_with(&format!("{}, line 10: interval_seconds", path("a.yaml"))));
    assert!(shown[1].contains("clashes with momentum-mia of"), "{}", shown[1]);
    assert!(shown[1].contains(&path("b.yaml")), "{}", shown[1]);
    assert!(shown[2].contains("larger than"), "{}", shown[2]);
    assert!(shown[3].contains("not UTF-8"), "{}", shown[3]);
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Roster::load(&dir.path().join("nowhere")).is_err());
}

#[test]
fn a_handle_has_one_key() {
    assert_eq!(key_name("Momentum-Mia"), "MOMENTUM_MIA_API_KEY");
    assert_eq!(key_name("ox_7"), "OX_7_API_KEY");
}

#[test]
fn fractions_are_shown_short_and_exact() {
    for (text, shown) in [("0", "0.00"), ("1", "1.00"), ("0.5", "0.50"), ("0.125", "0.125")] {
        assert_eq!(text.parse::<Fraction>().unwrap().to_string(), shown);
    }
}

/// The good text with a stretch of it replaced.
fn damaged() -> impl Strategy<Value = String> {
    let stretch = prop_oneof![
        "[-:{}\\[\\],&*#?|>!%@`\"'\\\\ \n\ta-z0-9.]{0,12}",
        "\\PC{0,12}",
        Just("&a [*a, *a]".to_owned()),
        Just("<<: *x".to_owned()),
        Just("!!binary ".to_owned()),
        Just("\n---\n".to_owned()),
    ];
    let place = any::<prop::sample::Index>();
    (place, 0..30_usize, stretch).prop_map(|(start, length, stretch)| {
        let start = start.index(GOOD.len());
        let end = (start + length).min(GOOD.len());
        format!("{}{stretch}{}", &GOOD[..start], &GOOD[end..])
    })
}

/// An accepted file is within all limits, and a refused one has a reason.
fn is_answered(text: &str) {
    match parse(text) {
        Ok(persona) => {
            assert!((1..=80).contains(&persona.name.chars().count()));
            assert!((1..=8_000).contains(&persona.system_prompt.chars().count()));
            assert!(persona.max_stake_fraction.decimal() > Decimal8::ZERO);
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            let lines = u64::try_from(text.lines().count()).unwrap();
            assert!(faults.iter().all(|fault| fault.line <= lines + 1), "{faults:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_damage_makes_it_panic(text in damaged()) {
        is_answered(&text);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        is_answered(&text);
    }
}

#[test]
fn deep_nesting_and_aliases_that_grow_are_faults() {
    let deep = format!("name: {}", "[".repeat(100_000));
    assert!(parse(&deep).is_err());
    let mut laughs = "a0: &a0 [lol, lol]\n".to_owned();
    for level in 1..30 {
        let below = level - 1;
        laughs += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]\n");
    }
    assert!(parse(&laughs).is_err());
}
