//! Prices of language models, each from a date on.
//!
//! A price holds for a model from its date until the next one, so that a call is priced by the day
//! on which it was made, however often prices change later. A model is found by its exact name or
//! one of its exact aliases, never by how a name begins: `gpt-4o-mini` is not `gpt-4o`. A model
//! that is not in the book has no price, which is not a price of zero.
//!
//! Prices are US dollars per million tokens, as exact decimals. No float comes near them.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{NaiveDate, NaiveTime};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::money::{MAX_UNITS, Money};
use crate::time::Timestamp;

const TOKENS_PER_PRICE: i128 = 1_000_000;

/// The prices of all models that are known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Listing")]
pub struct PriceBook {
    models: Vec<ModelPrices>,
}

/// One model and what it has cost since when.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ModelListing")]
pub struct ModelPrices(ModelListing);

/// A model as it is written. Without a provider the prices apply to every provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelListing {
    provider: Option<String>,
    model: String,
    #[serde(default)]
    aliases: Vec<String>,
    /// Oldest first, once they are checked; at least one.
    prices: Vec<TokenPrices>,
}

/// The price of a million tokens in US dollars, from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrices {
    /// A day, which begins at midnight UTC, or an exact time.
    #[serde(deserialize_with = "moment")]
    pub from: Timestamp,
    #[serde(deserialize_with = "input")]
    pub input: Money,
    /// Of those input tokens that came from the provider's cache.
    #[serde(deserialize_with = "cached_input")]
    pub cached_input: Money,
    /// Reasoning tokens are output tokens.
    #[serde(deserialize_with = "output")]
    pub output: Money,
}

/// Why a list of prices is no price book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceBookError {
    #[error("{model}: `{field}` must not be empty")]
    Empty { model: String, field: &'static str },
    #[error("{model}: `{field}` must not be negative in the prices from {from}")]
    Negative { model: String, field: &'static str, from: Timestamp },
    #[error("{model}: two prices have the same `from`, {from}")]
    SameMoment { model: String, from: Timestamp },
    #[error("{model}: `{field}` is {name}, which names another entry or this one twice")]
    TakenName { model: String, field: &'static str, name: String },
}

impl TryFrom<Listing> for PriceBook {
    type Error = PriceBookError;

    /// # Errors
    /// If two entries of the same provider have one name.
    fn try_from(Listing { models }: Listing) -> Result<PriceBook, PriceBookError> {
        let mut names = BTreeSet::new();
        for ModelPrices(entry) in &models {
            for (field, name) in entry.names() {
                let key = (entry.provider.as_deref(), name);
                if !names.insert(key) {
                    return Err(PriceBookError::TakenName {
                        model: entry.to_string(),
                        field,
                        name: name.to_owned(),
                    });
                }
            }
        }
        drop(names);
        Ok(PriceBook { models })
    }
}

impl PriceBook {
    /// The cost of a call at that time; `None` if the book has no price for the model then: the
    /// cost is unknown.
    ///
    /// Cached tokens are a part of the input tokens and are counted once; reasoning tokens are a
    /// part of the output tokens. The sum is rounded up to the next 0.00000001, once, and a cost
    /// beyond the range of money is its largest amount.
    pub fn cost(
        &self,
        provider: &str,
        model: &str,
        at: Timestamp,
        input: u64,
        cached_input: u64,
        output: u64,
    ) -> Option<Money> {
        let prices = self.prices(provider, model, at)?;
        let cached = cached_input.min(input);
        // Three products of at most 2⁶⁴ × 10¹⁸ each: inside an i128.
        let product = |tokens: u64, price: Money| i128::from(tokens) * i128::from(price.units());
        let sum = product(input - cached, prices.input)
            + product(cached, prices.cached_input)
            + product(output, prices.output);
        let units = (sum + TOKENS_PER_PRICE - 1) / TOKENS_PER_PRICE;
        let units = i64::try_from(units).unwrap_or(MAX_UNITS).min(MAX_UNITS);
        Money::from_units(units)
    }

    /// The prices that hold at that time. An entry with the provider takes precedence over one for
    /// every provider.
    pub fn prices(&self, provider: &str, model: &str, at: Timestamp) -> Option<&TokenPrices> {
        let by = |wanted: Option<&str>| {
            self.models
                .iter()
                .map(|ModelPrices(entry)| entry)
                .find(|entry| entry.provider.as_deref() == wanted && entry.is_called(model))
        };
        by(Some(provider)).or_else(|| by(None))?.at(at)
    }
}

impl TryFrom<ModelListing> for ModelPrices {
    type Error = PriceBookError;

    /// # Errors
    /// The first fault, by the model's name and the field.
    fn try_from(mut entry: ModelListing) -> Result<ModelPrices, PriceBookError> {
        entry.prices.sort_by_key(|price| price.from);
        entry.check().map(|()| ModelPrices(entry))
    }
}

impl ModelListing {
    fn check(&self) -> Result<(), PriceBookError> {
        let model = || self.to_string();
        let is_blank = |text: &String| text.trim().is_empty();
        let blanks = [
            ("provider", self.provider.as_ref().is_some_and(is_blank)),
            ("model", is_blank(&self.model)),
            ("aliases", self.aliases.iter().any(is_blank)),
            ("prices", self.prices.is_empty()),
        ];
        if let Some((field, _)) = blanks.into_iter().find(|(_, is_empty)| *is_empty) {
            return Err(PriceBookError::Empty { model: model(), field });
        }
        for price in &self.prices {
            let figures = [
                ("input", price.input),
                ("cached_input", price.cached_input),
                ("output", price.output),
            ];
            if let Some((field, _)) = figures.into_iter().find(|(_, it)| it.is_negative()) {
                return Err(PriceBookError::Negative { model: model(), field, from: price.from });
            }
        }
        for pair in self.prices.windows(2) {
            if let [one, other] = pair
                && one.from == other.from
            {
                return Err(PriceBookError::SameMoment { model: model(), from: one.from });
            }
        }
        Ok(())
    }

    /// Every name, and the field it is in.
    fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let aliases = self.aliases.iter().map(|alias| ("aliases", alias.as_str()));
        std::iter::once(("model", self.model.as_str())).chain(aliases)
    }

    fn is_called(&self, name: &str) -> bool {
        self.names().any(|(_, known)| known == name)
    }

    fn at(&self, at: Timestamp) -> Option<&TokenPrices> {
        self.prices.iter().rev().find(|price| price.from <= at)
    }
}

impl fmt::Display for ModelListing {
    /// `openai/gpt-5-mini`, or the model's name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "{provider}/{}", self.model),
            None => f.write_str(&self.model),
        }
    }
}

/// A price book as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    models: Vec<ModelPrices>,
}

/// Reads a text by `parse`, whose complaint follows the field's name.
struct Field<T> {
    name: &'static str,
    wanted: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Field<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` as {}", self.name, self.wanted)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text)
            .ok_or_else(|| E::custom(format_args!("`{}` must be {}", self.name, self.wanted)))
    }
}

fn price<'de, D: Deserializer<'de>>(name: &'static str, from: D) -> Result<Money, D::Error> {
    from.deserialize_str(Field {
        name,
        wanted: "US dollars per million tokens such as \"0.25\", with at most 8 decimals",
        parse: |text| text.parse().ok(),
    })
}

fn input<'de, D: Deserializer<'de>>(from: D) -> Result<Money, D::Error> {
    price("input", from)
}

fn cached_input<'de, D: Deserializer<'de>>(from: D) -> Result<Money, D::Error> {
    price("cached_input", from)
}

fn output<'de, D: Deserializer<'de>>(from: D) -> Result<Money, D::Error> {
    price("output", from)
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    from.deserialize_str(Field {
        name: "from",
        wanted: "a day such as \"2026-02-16\" or an RFC 3339 time",
        parse: |text| match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(day) => Some(Timestamp::from(day.and_time(NaiveTime::MIN).and_utc())),
            Err(_) => text.parse().ok(),
        },
    })
}
