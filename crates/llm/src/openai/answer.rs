//! A server's answer: the text, why it ended, its usage, or an error instead.
//!
//! Servers differ more than the protocol's name promises. Values are checked: figures must add up, and thinking
//! is never taken for the answer.

use serde::Deserialize;
use serde_json::Value;

use crate::{Finish, Tokens};

/// No call uses more: a larger figure is no count.
const TOKENS_MAX: u64 = 100_000_000;
const MODEL_CHARS_MAX: usize = 100;

#[derive(Deserialize)]
pub(super) struct ChatAnswer {
    model: Option<Value>,
    object: Option<Value>,
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
    code: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Message>,
    finish_reason: Option<Value>,
    error: Option<Value>,
}

/// `reasoning` and `reasoning_content` are never the answer. They show that the model has worked.
#[derive(Deserialize)]
struct Message {
    content: Option<Content>,
    refusal: Option<Value>,
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
}

impl Message {
    fn is_empty(&self) -> bool {
        let none = |value: &Option<Value>| {
            value.as_ref().is_none_or(|value| value.is_null() || value.as_str() == Some(""))
        };
        let no_content = match &self.content {
            None => true,
            Some(Content::Text(text)) => text.is_empty(),
            Some(Content::Parts(parts)) => parts.is_empty(),
        };
        no_content
            && [&self.refusal, &self.reasoning, &self.reasoning_content].into_iter().all(none)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
        text: Option<Value>,
        refusal: Option<String>,
    },
}

/// The model's text, and why it stopped.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) finish: Finish,
}

impl ChatAnswer {
    /// The error that came in place of an answer, or with one.
    pub(super) fn error(&self) -> Option<&Value> {
        let is_error = |error: &&Value| {
            !error.is_null() && error.as_bool() != Some(false) && error.as_str() != Some("")
        };
        let inner = || {
            let first = self.choices.as_ref()?.first()?;
            first.error.as_ref().filter(is_error)
        };
        let whole = || {
            let is_whole = self.object.as_ref().and_then(Value::as_str) == Some("error");
            is_whole.then_some(self.code.as_ref().unwrap_or(&Value::Null))
        };
        self.error.as_ref().filter(is_error).or_else(inner).or_else(whole)
    }

    /// Whether a model wrote anything, an answer or not.
    pub(super) fn shows_work(&self) -> bool {
        let choices = self.choices.iter().flatten();
        let mut messages = choices.filter_map(|choice| choice.message.as_ref());
        messages.any(|message| !message.is_empty())
    }

    /// The first choice; `None` when there is none, or none with a message.
    pub(super) fn said(&mut self) -> Option<Said> {
        let choices = self.choices.take()?;
        let choice = choices.into_iter().next()?;
        let message = choice.message?;
        let mut refusal = message.refusal.as_ref().and_then(Value::as_str).map(str::to_owned);
        let content = match message.content {
            None => None,
            Some(Content::Text(text)) => Some(text),
            Some(Content::Parts(parts)) => {
                let mut content = String::new();
                for (text, declined) in parts.into_iter().map(Part::sort) {
                    content.push_str(&text.unwrap_or_default());
                    refusal = refusal.or(declined);
                }
                Some(content)
            }
        };
        let refusal = refusal.filter(|refusal| !refusal.trim().is_empty());
        let reason = choice.finish_reason.as_ref().and_then(Value::as_str);
        let finish = match reason.map(str::to_ascii_lowercase).as_deref() {
            _ if refusal.is_some() => Finish::Refused,
            Some("content_filter" | "refusal" | "safety") => Finish::Refused,
            Some("length" | "max_tokens" | "max_output_tokens") => Finish::CutOff,
            Some("error") => Finish::Failed,
            _ => Finish::Complete,
        };
        let text = content.or(refusal).unwrap_or_default();
        Some(Said { text, finish })
    }

    /// The model that answered, by the name under which it has a price: `None` if the answer names none, or a
    /// dated version of the requested one, which has the same price.
    pub(super) fn served_in_place_of(&self, asked: &str) -> Option<String> {
        let name = self.model.as_ref()?.as_str()?.trim();
        let is_name = !name.is_empty()
            && name.chars().count() <= MODEL_CHARS_MAX
            && !name.chars().any(char::is_control);
        let is_the_same = || name == asked || name.strip_prefix(asked).is_some_and(is_date);
        (is_name && !is_the_same()).then(|| name.to_owned())
    }

    /// The call's usage, if the figures are plausible. `wrote`: whether there is a text.
    pub(super) fn tokens(&self, wrote: bool) -> Option<Tokens> {
        let tokens = add_up(self.usage.as_ref()?)?;
        // A prompt is never empty, and a text needs tokens: some servers send zero for "unknown".
        (tokens.input > 0 && (tokens.output > 0 || !wrote)).then_some(tokens)
    }
}

impl Part {
    /// Its text, or its refusal; not thinking, images or other parts.
    fn sort(self) -> (Option<String>, Option<String>) {
        match self {
            Part::Text(text) => (Some(text), None),
            Part::Typed { kind, text, refusal } => match kind.as_deref() {
                None | Some("text" | "output_text") => {
                    let text = text.unwrap_or_default();
                    let text = text.as_str().or_else(|| text.get("value")?.as_str());
                    (text.map(str::to_owned), None)
                }
                Some("refusal") => (None, refusal),
                Some(_) => (None, None),
            },
        }
    }
}

/// `-2025-08-07` or `-20250807`.
fn is_date(suffix: &str) -> bool {
    let Some(date) = suffix.strip_prefix(['-', '@']) else {
        return false;
    };
    let digits = date.bytes().filter(u8::is_ascii_digit).count();
    let is_split = date.len() == 10 && date.split('-').map(str::len).eq([4, 2, 2]);
    digits == 8 && (date.len() == 8 || is_split)
}

/// Where the parts contradict the total, the total decides: it is what is billed. The value of the difference
/// identifies the wrong part. Some servers leave thinking out of the output, or what was cached out of the input,
/// and some count them twice.
fn add_up(usage: &Value) -> Option<Tokens> {
    let at = |names: &[&str]| {
        names.iter().find_map(|name| {
            let found = name.split('.').try_fold(usage, |value, key| value.get(key));
            count(found?)
        })
    };
    let cached = at(&[
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "prompt_cache_hit_tokens",
        "cache_read_input_tokens",
    ])
    .unwrap_or(0);
    let reasoning = at(&[
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "reasoning_tokens",
    ])
    .unwrap_or(0);
    let input = at(&["prompt_tokens", "input_tokens"]);
    let output = at(&["completion_tokens", "output_tokens"]);
    let (input, output) = match (input, output, at(&["total_tokens"])) {
        (Some(input), Some(output), Some(total)) => {
            by_total([input, output], [cached, reasoning], total)
        }
        // Without a total, a part larger than its whole was counted in addition to it.
        (Some(input), Some(output), None) => (
            if cached > input { input + cached } else { input },
            if reasoning > output { output + reasoning } else { output },
        ),
        (Some(input), None, Some(total)) => (input, total.checked_sub(input)?),
        (None, Some(output), Some(total)) => (total.checked_sub(output)?, output),
        (Some(_), None, None) | (None, Some(_), None) | (None, None, _) => return None,
    };
    Some(Tokens { input, output, cached: cached.min(input), reasoning: reasoning.min(output) })
}

fn by_total([input, output]: [u64; 2], [cached, reasoning]: [u64; 2], total: u64) -> (u64, u64) {
    let sum = input + output;
    let both = cached + reasoning;
    if let Some(missing) = total.checked_sub(sum) {
        return if missing == cached && missing != reasoning {
            (input + missing, output)
        } else if missing == both {
            (input + cached, output + reasoning)
        } else {
            // Output is more expensive: unassigned tokens count as output.
            (input, output + missing)
        };
    }
    let surplus = sum - total;
    if surplus == reasoning && surplus <= output {
        (input, output - surplus)
    } else if surplus == cached && surplus <= input {
        (input - surplus, output)
    } else if surplus == both && cached <= input && reasoning <= output {
        (input - cached, output - reasoning)
    } else {
        let output = output.min(total);
        (total - output, output)
    }
}

/// A whole number of tokens, however it is written: `12`, `12.0` or `"12"`. Negative, invalid or absurdly large
/// values count as missing.
fn count(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let is_whole = !whole.is_empty()
        && whole.bytes().all(|byte| byte.is_ascii_digit())
        && fraction.bytes().all(|byte| byte == b'0');
    let count = is_whole.then(|| whole.parse().ok()).flatten()?;
    (count <= TOKENS_MAX).then_some(count)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ChatAnswer, add_up, count};

    fn tokens(usage: &Value) -> Option<[u64; 4]> {
        let found = add_up(usage)?;
        assert!(found.cached <= found.input && found.reasoning <= found.output, "{usage}");
        Some([found.input, found.output, found.cached, found.reasoning])
    }

    #[test]
    fn the_total_decides_where_parts_contradict_it() {
        for (input, output, cached, reasoning, total, expected) in [
            (100, 20, 40, 5, 120, [100, 20, 40, 5]),
            // Thinking in addition to the output, and the cache in addition to the input.
            (100, 20, 0, 300, 420, [100, 320, 0, 300]),
            (100, 20, 900, 0, 1020, [1000, 20, 900, 0]),
            (100, 20, 900, 300, 1320, [1000, 320, 900, 300]),
            // Counted twice.
            (100, 320, 0, 300, 120, [100, 20, 0, 20]),
            (1000, 20, 900, 0, 120, [100, 20, 100, 0]),
            (1900, 620, 900, 300, 1320, [1000, 320, 900, 300]),
            // Of unknown kind: the more expensive part.
            (100, 20, 0, 0, 150, [100, 50, 0, 0]),
            (100, 20, 0, 0, 70, [50, 20, 0, 0]),
            (100, 90, 0, 0, 70, [0, 70, 0, 0]),
            // Parts beyond their whole, though the total is right.
            (100, 20, 500, 60, 120, [100, 20, 100, 20]),
        ] {
            let usage = json!({
                "prompt_tokens": input, "completion_tokens": output, "total_tokens": total,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            });
            assert_eq!(tokens(&usage), Some(expected), "{usage}");
            let [input, output, ..] = expected;
            assert_eq!(input + output, total, "{usage}");
        }
    }

    #[test]
    fn without_a_total_the_parts_count() {
        for (usage, expected) in [
            (json!({"prompt_tokens": 7, "completion_tokens": 2}), Some([7, 2, 0, 0])),
            (json!({"input_tokens": 7, "output_tokens": 2}), Some([7, 2, 0, 0])),
            (
                json!({"prompt_tokens": 7, "completion_tokens": 2, "cache_read_input_tokens": 90,
                       "reasoning_tokens": 30}),
                Some([97, 32, 90, 30]),
            ),
            (json!({"prompt_tokens": 7, "total_tokens": 9}), Some([7, 2, 0, 0])),
            (json!({"completion_tokens": 2, "total_tokens": 9}), Some([7, 2, 0, 0])),
            (json!({"prompt_tokens": 7, "total_tokens": 6}), None),
            (json!({"total_tokens": 9}), None),
            (json!({"prompt_tokens": 7}), None),
            (json!({}), None),
            (json!("lots"), None),
            (json!([1, 2]), None),
        ] {
            assert_eq!(tokens(&usage), expected, "{usage}");
        }
    }

    #[test]
    fn counts_are_read_as_they_come_and_nonsense_is_no_count() {
        for (value, expected) in [
            (json!(12), Some(12)),
            (json!(12.0), Some(12)),
            (json!("12"), Some(12)),
            (json!(" 12.00 "), Some(12)),
            (json!(1e3), Some(1000)),
            (json!(0), Some(0)),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("-3"), None),
            (json!(""), None),
            (json!("1e999"), None),
            (json!(u64::MAX), None),
            (json!(1e30), None),
            (json!(100_000_001), None),
            (json!(null), None),
            (json!(true), None),
            (json!({"tokens": 1}), None),
        ] {
            assert_eq!(count(&value), expected, "{value}");
        }
    }

    #[test]
    fn who_answered_in_place_of_whom() {
        for (asked, answered, expected) in [
            ("gpt-5-mini", json!("gpt-5-mini"), None),
            ("gpt-5-mini", json!("gpt-5-mini-2025-08-07"), None),
            ("claude-x", json!("claude-x-20250807"), None),
            ("gpt-5", json!("gpt-5-mini"), Some("gpt-5-mini")),
            ("gpt-5", json!("gpt-5-mini-2025-08-07"), Some("gpt-5-mini-2025-08-07")),
            ("gpt-5", json!("gpt-5-12345678901"), Some("gpt-5-12345678901")),
            ("gpt-5", json!(""), None),
            ("gpt-5", json!(null), None),
            ("gpt-5", json!(5), None),
            ("gpt-5", json!("a\nb"), None),
            ("gpt-5", json!("x".repeat(101)), None),
        ] {
            let answer: ChatAnswer = serde_json::from_value(json!({"model": answered})).unwrap();
            let found = answer.served_in_place_of(asked);
            assert_eq!(found.as_deref(), expected, "{asked}: {answered}");
        }
    }
}
