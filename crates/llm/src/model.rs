//! The edge between callers and providers, where usage is recorded.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::{Instrument as _, debug, field, info_span};

use crate::mock::Mock;
use crate::openai::{OpenAi, OpenAiConfig};
use crate::{Completion, Finish, LlmError, Prompt, Provider, SetupError, output, usage};

/// A configured provider; clones share it.
#[derive(Clone, Debug)]
pub struct Model {
    provider: Arc<dyn Provider>,
    /// Until when the provider wants no calls, and its error.
    quiet: Arc<Mutex<Option<(Instant, LlmError)>>>,
}

impl Model {
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, quiet: Arc::default() }
    }

    /// Whether the provider has requested a wait, in this call or another one: a call would only be refused
    /// again.
    ///
    /// # Errors
    /// Its error, with the remaining wait.
    pub fn is_open(&self) -> Result<(), LlmError> {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        quiet.take_if(|(opens_at, _)| *opens_at <= now);
        match &*quiet {
            None => Ok(()),
            Some((opens_at, error)) => Err(error.with_wait(opens_at.duration_since(now))),
        }
    }

    /// # Errors
    /// If the configuration cannot work; nothing is sent over the network.
    pub fn from_config(config: ModelConfig) -> Result<Self, SetupError> {
        Ok(match config {
            ModelConfig::Mock { seed } => Self::new(Arc::new(Mock::new(seed))),
            ModelConfig::OpenAi(config) => Self::new(Arc::new(OpenAi::new(config)?)),
        })
    }

    pub fn provider_name(&self) -> &str {
        self.provider.name()
    }

    pub fn model_name(&self) -> &str {
        self.provider.model()
    }

    /// Makes one call, and adds its usage to the surrounding [`usage::collect`], if there is one.
    /// An answer that is a refusal has been paid for too.
    ///
    /// # Errors
    /// See [`LlmError`].
    pub async fn complete(&self, request: &Prompt) -> Result<Completion, LlmError> {
        self.is_open()?;
        let span = info_span!(
            "chat",
            otel.name = format!("chat {}", self.provider.model()),
            otel.kind = "client",
            otel.status_code = field::Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = self.provider.name(),
            gen_ai.request.model = self.provider.model(),
            gen_ai.request.max_tokens = request.max_output_tokens,
            gen_ai.response.finish_reasons = field::Empty,
            gen_ai.response.model = field::Empty,
            gen_ai.usage.input_tokens = field::Empty,
            gen_ai.usage.output_tokens = field::Empty,
            error.type = field::Empty,
        );
        let result = self.provider.complete(request).instrument(span.clone()).await;
        match &result {
            Ok(completion) => {
                let used = &completion.usage;
                span.record("gen_ai.response.model", &*used.model);
                // An unknown count is not a count of zero.
                if let Some(tokens) = used.tokens {
                    span.record("gen_ai.usage.input_tokens", tokens.input);
                    span.record("gen_ai.usage.output_tokens", tokens.output);
                }
                let reason = completion.finish.as_str();
                span.record("gen_ai.response.finish_reasons", reason);
                usage::record(used);
            }
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", error.kind());
                if let Some(wait) = error.retry_after() {
                    let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
                    *quiet = Some((Instant::now() + wait, *error));
                }
            }
        }
        let completion = result?;
        let tokens = completion.usage.tokens;
        debug!(
            provider = self.provider.name(),
            model = &*completion.usage.model,
            usage = %if tokens.is_some() { "Reported" } else { "Unreported" },
            input_tokens = tokens.unwrap_or_default().input,
            output_tokens = tokens.unwrap_or_default().output,
            finish = ?completion.finish,
            "model answered"
        );
        match completion.finish {
            // Callers always request an object here.
            Finish::CutOff if output::ends_early(&completion.text) => {
                Err(LlmError::CutOff { max_output_tokens: request.max_output_tokens })
            }
            Finish::Complete | Finish::CutOff => Ok(completion),
            Finish::Refused => Err(LlmError::Refused),
            Finish::Failed => Err(LlmError::Failed),
        }
    }
}

/// The provider, and its settings.
#[derive(Clone, Debug)]
pub enum ModelConfig {
    Mock { seed: u64 },
    OpenAi(OpenAiConfig),
}

/// The value of `LLM_PROVIDER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    Mock,
    OpenAi,
}

impl FromStr for ProviderKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "mock" => Ok(Self::Mock),
            "openai" => Ok(Self::OpenAi),
            _ => Err("must be mock or openai"),
        }
    }
}
