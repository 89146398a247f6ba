//! Reads single fields of a model's output: exact, tolerant of form, never guessing.

use ledger_core::{Confidence, Decimal8, Money, post};
use serde_json::Value;

use crate::persona::Fraction;

const UNITS_PER_ONE: i128 = 100_000_000;
/// Digits after the point that count; further ones are cut off, never rounded.
const DECIMALS: usize = 8;

/// A text or a number as it was written.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A decimal from 0 to 1, written as a string or as a JSON number. The number's shortest text is
/// read, so `0.07` means 0.07.
pub(crate) fn decimal(value: &Value) -> Option<Fraction> {
    let text = text(value)?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let cut = match text.split_once('.') {
        Some((whole, decimals)) if decimals.len() > DECIMALS && is_digits(decimals) => {
            format!("{whole}.{}", decimals.get(..DECIMALS)?)
        }
        _ => text,
    };
    cut.parse().ok()
}

/// A decimal as a confidence. Models like to be certain; the arena takes nothing beyond 0.01 and
/// 0.99.
pub(crate) fn confidence(value: &Value) -> Option<Confidence> {
    let value = decimal(value)?.decimal();
    Confidence::new(value.clamp(Confidence::MIN, Confidence::MAX)).ok()
}

pub(crate) fn is_word(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|text| {
        let text = text.trim();
        words.iter().any(|word| text.eq_ignore_ascii_case(word))
    })
}

/// The model's reasoning as the arena takes it: one line, not too long, nothing invisible.
pub(crate) fn reasoning(value: &Value) -> Option<String> {
    let line = post::one_line(value.as_str()?);
    (!line.is_empty()).then_some(line)
}

/// `amount × fraction`, rounded down to a whole unit; nothing of a debt.
pub(crate) fn share(amount: Money, fraction: Decimal8) -> Money {
    if !amount.is_positive() {
        return Money::ZERO;
    }
    // At most 10^18 × 10^8: far inside an i128.
    let units = i128::from(amount.units()) * i128::from(fraction.units());
    i64::try_from(units / UNITS_PER_ONE).ok().and_then(Money::from_units).unwrap_or(Money::ZERO)
}
