use std::collections::{HashMap, HashSet};

use llm::mock::Mock;
use llm::output::{clean, parse_object};
use llm::{Finish, LlmError, Model, ModelConfig, Prompt};
use serde::Deserialize;

use crate::prompt;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    action: String,
    direction: String,
    stake_fraction: String,
    confidence: String,
    reasoning: String,
}

fn decide(mock: &Mock, persona: &str, question: &str) -> Decision {
    let completion = mock.answer(&prompt(persona, question));
    parse_object(&completion.text).unwrap_or_else(|error| panic!("{error}: {}", completion.text))
}

/// The hundredths of `0.05`.
fn hundredths(text: &str) -> u32 {
    let digits = text.strip_prefix("0.").expect("a fraction below one");
    assert_eq!(digits.len(), 2, "{text}");
    digits.parse().unwrap()
}

fn questions() -> impl Iterator<Item = String> {
    (0..400).map(|step| format!("BTC is at {}.", 60_000 + step * 37))
}

#[test]
fn the_same_seed_and_prompt_give_the_same_answer() {
    for question in questions().take(50) {
        let question = prompt("You are calm.", &question);
        assert_eq!(Mock::new(7).answer(&question), Mock::new(7).answer(&question));
    }
    // Pinned, so that a change of the algorithm is a decision and not an accident.
    let decision = decide(&Mock::new(1), "You are calm.", "BTC is at 64000.");
    let seen = [decision.action, decision.direction, decision.stake_fraction, decision.confidence];
    assert_eq!(seen, PINNED);
}

const PINNED: [&str; 4] = ["WAIT", "UP", "0.03", "0.57"];

#[test]
fn seeds_personas_and_questions_all_matter() {
    let mut answers = HashSet::new();
    for seed in 0..3 {
        for persona in ["You are calm.", "You are loud."] {
            for question in ["BTC is at 64000.", "BTC is at 64001."] {
                answers.insert(Mock::new(seed).answer(&prompt(persona, question)).text);
            }
        }
    }
    assert!(answers.len() >= 10, "only {} different answers of 12", answers.len());
    let split = |a: &str, b: &str| Mock::new(0).answer(&prompt(a, b)).text;
    assert_ne!(split("ab", "c"), split("a", "bc"), "where the texts part matters too");
}

#[test]
fn every_decision_is_one_that_the_arena_understands() {
    let mock = Mock::new(42);
    for question in questions() {
        let decision = decide(&mock, "You are calm.", &question);
        assert!(["WAGER", "WAIT"].contains(&decision.action.as_str()));
        assert!(["UP", "DOWN"].contains(&decision.direction.as_str()));
        assert!((1..=15).contains(&hundredths(&decision.stake_fraction)));
        assert!((51..=90).contains(&hundredths(&decision.confidence)));
        assert!(decision.reasoning.starts_with("Mock model"), "nobody takes it for thought");
        assert!(decision.reasoning.chars().count() <= 280);
    }
}

#[test]
fn some_answers_need_cleaning_and_most_do_not() {
    let mock = Mock::new(42);
    let texts: Vec<String> =
        questions().map(|question| mock.answer(&prompt("You are calm.", &question)).text).collect();
    let plain = texts.iter().filter(|text| clean(text).unwrap() == text.as_str()).count();
    assert!(plain > texts.len() / 3 && plain < texts.len(), "{plain} plain of {}", texts.len());
    for mark in ["```json", "Here is my decision", ",}", "<think>"] {
        assert!(texts.iter().any(|text| text.contains(mark)), "{mark} never comes");
    }
}

#[test]
fn temperaments_show() {
    let count = |persona: &str, wanted: fn(&Decision) -> bool| {
        questions().filter(|question| wanted(&decide(&Mock::new(3), persona, question))).count()
    };
    let wagers: fn(&Decision) -> bool = |decision| decision.action == "WAGER";
    let ups: fn(&Decision) -> bool = |decision| decision.direction == "UP";
    let large: fn(&Decision) -> bool = |decision| hundredths(&decision.stake_fraction) > 8;
    assert!(count("A cautious fund.", wagers) + 80 < count("A RECKLESS gambler.", wagers));
    assert!(count("A bearish voice.", ups) + 80 < count("A bullish voice.", ups));
    assert!(count("A cautious fund.", large) == 0 && count("A bold one.", large) > 80);
}

#[tokio::test]
async fn it_is_a_provider_like_any_other() {
    let model = Model::from_config(ModelConfig::Mock { seed: 7 }).unwrap();
    assert_eq!((model.provider_name(), model.model_name()), ("mock", "mock"));
    let question = prompt("You are calm.", "BTC is at 64000.");
    let completion = model.complete(&question).await.unwrap();
    assert_eq!(completion, Mock::new(7).answer(&question));
    let tokens = completion.usage.tokens.unwrap();
    assert_eq!(tokens.input, 4 + 4);
    assert!(tokens.output > 10);

    let short = Prompt { max_output_tokens: 3, ..question };
    let cut = Mock::new(7).answer(&short);
    assert_eq!((cut.text.chars().count(), cut.finish), (12, Finish::CutOff));
    assert_eq!(cut.usage.tokens.unwrap().output, 3);
    let told = model.complete(&short).await;
    assert!(matches!(told, Err(LlmError::CutOff { max_output_tokens: 3 })), "{told:?}");
}

#[test]
fn providers_are_chosen_by_name() {
    use llm::ProviderKind;
    let kinds: HashMap<&str, Option<ProviderKind>> = ["mock", "openai", "OpenAI", ""]
        .into_iter()
        .map(|name| (name, name.parse().ok()))
        .collect();
    assert_eq!(kinds["mock"], Some(ProviderKind::Mock));
    assert_eq!(kinds["openai"], Some(ProviderKind::OpenAi));
    assert_eq!((kinds["OpenAI"], kinds[""]), (None, None));
}

const STRATEGY: &str = "Answer: {\"strategy\": \"RESEARCH\" or \"PORTFOLIO\" or \"WAGER\" or \"WAIT\", \
    \"direction\": \"UP\" or \"DOWN\", \"reasoning\": \"one sentence\"}";

fn answer_to(question: &str) -> serde_json::Value {
    let completion = Mock::new(42).answer(&prompt("You are calm.", question));
    parse_object(&completion.text).unwrap_or_else(|error| panic!("{error}: {}", completion.text))
}

fn chosen(form: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for question in questions() {
        let decision = answer_to(&format!("{question}\n{form}"));
        let strategy = decision["strategy"].as_str().unwrap().to_owned();
        if strategy == "WAGER" {
            assert!(decision["stake_fraction"].is_string() && decision["direction"].is_string());
        }
        *counts.entry(strategy).or_default() += 1;
    }
    counts
}

#[test]
fn it_lives_on_all_that_there_is_to_choose_from_and_on_nothing_else() {
    let counts = chosen(STRATEGY);
    assert_eq!(counts.len(), 4, "{counts:?}");
    assert!(counts.values().all(|count| *count > 20), "{counts:?}");
    let counts = chosen(&STRATEGY.replace("\"RESEARCH\" or ", "").replace("\"WAGER\" or ", ""));
    let mut names: Vec<_> = counts.into_keys().collect();
    names.sort();
    assert_eq!(names, ["PORTFOLIO", "WAIT"]);
}

#[test]
fn it_is_unsure_of_an_answer_until_it_is_told() {
    let form = "Answer: {\"answer\": \"the answer alone\", \"confidence\": \"0.65\"}";
    for question in questions().take(50) {
        let question = format!("What is the page id of '{question}'?");
        let guess = answer_to(&format!("{question}\n{form}"));
        assert!(hundredths(guess["confidence"].as_str().unwrap()) < 10);
        assert_eq!(guess["lookup"], "YES");
        let found = "The lookup tool found the article 'x' with page id 25039021. It begins";
        let told = answer_to(&format!("{question}\n{found}\n{form}"));
        assert_eq!(told["answer"], "25039021");
        assert!(hundredths(told["confidence"].as_str().unwrap()) > 80);
    }
}

#[test]
fn it_bets_on_markets_that_it_was_shown() {
    let form = "Answer: {\"bets\": [{\"market\": 1}]}";
    let mut sure = 0;
    let mut sides = HashSet::new();
    for question in questions() {
        let markets = "[1] Will it rain?\n[2] Will it snow?\n[3] Will it hail?\n[4] Fog?";
        let answer = answer_to(&format!("{question}\n{markets}\n{form}"));
        let bets = answer["bets"].as_array().unwrap();
        let numbers: HashSet<u64> = bets.iter().map(|it| it["market"].as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), 3, "one bet a market: {answer}");
        assert!(numbers.iter().all(|number| (1..=4).contains(number)));
        for bet in bets {
            let confidence = hundredths(bet["confidence"].as_str().unwrap());
            assert!((50..=80).contains(&confidence));
            sure += usize::from(confidence > 65);
            sides.insert(bet["side"].as_str().unwrap().to_owned());
        }
    }
    assert!(sure > 300, "only {sure} of 1200 are sure");
    assert_eq!(sides.len(), 2);
    assert_eq!(answer_to(form)["bets"].as_array().unwrap().len(), 0);
}
