#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mock;
mod openai;
mod output;
mod temperature;
mod usage;

use llm::Prompt;

fn prompt(system: &str, user: &str) -> Prompt {
    Prompt {
        system: system.to_owned(),
        user: user.to_owned(),
        max_output_tokens: 400,
        temperature: None,
    }
}
