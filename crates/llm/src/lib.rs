//! Language models behind one trait, for hosted personas.
//!
//! A [`Model`] answers a [`Prompt`] by way of a [`Provider`]: [`mock::Mock`], which is a pure function and costs
//! nothing, or [`openai::OpenAi`], which speaks the protocol that OpenAI, Groq, xAI, Ollama and vLLM share.
//! [`usage::collect`] adds up the usage of a turn's calls, and [`output`] parses a model's text.
//!
//! This crate has nothing about bots, money or the arena, and does not read the environment: it gets all settings
//! as arguments. A model's text is never trusted here, and the key is never in an error or a log.

pub mod mock;
pub mod openai;
pub mod output;
pub mod usage;

mod error;
mod model;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

pub use error::{LlmError, SetupError};
pub use model::{Model, ModelConfig, ProviderKind};

/// One question to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The model's role; may be empty.
    pub system: String,
    pub user: String,
    /// The longest answer to pay for, in tokens.
    pub max_output_tokens: u32,
    /// `None` leaves it to the model; some models accept nothing else.
    pub temperature: Option<Temperature>,
}

/// A sampling temperature from 0.00 to 2.00, in whole hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Temperature(u16);

impl Temperature {
    const HUNDREDTHS_MAX: u16 = 200;

    /// `None` above 2.00.
    pub const fn from_hundredths(hundredths: u16) -> Option<Self> {
        if hundredths <= Self::HUNDREDTHS_MAX { Some(Self(hundredths)) } else { None }
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl FromStr for Temperature {
    type Err = InvalidTemperature;

    /// `0`, `0.7` or `1.25`: at most two digits after the point.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let has_form = whole.len() == 1 && matches!(fraction.len(), 1 | 2);
        if !has_form || !is_digits(whole) || !is_digits(fraction) {
            return Err(InvalidTemperature);
        }
        let hundredths = format!("{whole}{fraction:0<2}").parse().ok();
        hundredths.and_then(Self::from_hundredths).ok_or(InvalidTemperature)
    }
}

/// The text is no number from 0.00 to 2.00 with at most two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0.00 to 2.00 with at most two digits after the point")]
pub struct InvalidTemperature;

/// A model's answer and its usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As the model wrote it; see [`output`].
    pub text: String,
    pub finish: Finish,
    pub usage: CallUsage,
}

/// Why a model stopped writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Complete,
    /// `max_output_tokens` was reached. Where the text ends before its answer does, [`Model`] makes
    /// [`LlmError::CutOff`] of it, after recording what it cost.
    CutOff,
    /// The model or its provider declined. [`Model`] makes [`LlmError::Refused`] of it, after
    /// recording what it cost.
    Refused,
    /// The provider returned an error with billed usage. [`Model`] makes [`LlmError::Failed`] of
    /// it, after recording that.
    Failed,
}

impl Finish {
    /// As OpenTelemetry's conventions for language models call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Finish::Complete => "stop",
            Finish::CutOff => "length",
            Finish::Refused => "content_filter",
            Finish::Failed => "error",
        }
    }
}

/// The answering model of a call, and its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallUsage {
    pub provider: Arc<str>,
    /// The answering model, which is not always the requested one.
    pub model: Arc<str>,
    /// `None` if the provider did not report plausible usage.
    pub tokens: Option<Tokens>,
}

/// How much a model read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    /// The part of the input that came from the provider's cache.
    pub cached: u64,
    /// The part of the output that was thinking.
    pub reasoning: u64,
}

/// The result of [`Provider::complete`].
pub type ProviderFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Completion, LlmError>> + Send + 'a>>;

/// Something that answers prompts. Callers use a [`Model`], which wraps one and records usage, so that no
/// provider has to.
pub trait Provider: fmt::Debug + Send + Sync {
    /// The name for usage and logs, e.g. `openai`.
    fn name(&self) -> &str;

    /// The model's name for usage and logs, e.g. `gpt-5-mini`.
    fn model(&self) -> &str;

    /// One call, without retries.
    fn complete<'a>(&'a self, request: &'a Prompt) -> ProviderFuture<'a>;
}
