//! The errors of a model. Closed enums without free text: a provider's error text may quote the key.

use std::time::Duration;

/// A call that brought no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    #[error("the model did not answer in time; raise LLM_TIMEOUT_SECONDS or use a faster model")]
    Timeout,
    /// 429. `retry_after` is the wait that the provider requested, if any.
    #[error("the provider limits the rate of calls; make fewer calls or raise the quota")]
    RateLimited { retry_after: Option<Duration> },
    /// The model or the provider's filter declined to answer.
    #[error("the model refused to answer")]
    Refused,
    /// The provider's filter refused the prompt before the model ran.
    #[error("the provider's filter refused the prompt")]
    Filtered,
    /// The answer ended at the limit of output tokens before it was whole, or before it began:
    /// thinking counts too.
    #[error(
        "the model reached its limit of {max_output_tokens} output tokens before it had answered \
         (its thinking counts too); raise the persona's llm.max_output_tokens or use a model that \
         thinks less"
    )]
    CutOff { max_output_tokens: u32 },
    /// The answer has the status of a success and is an error, for which work may be billed.
    #[error("the provider answered with an error instead of a text")]
    Failed,
    /// There was no connection, so nothing was sent.
    #[error("the provider cannot be reached; check LLM_BASE_URL and the network")]
    Unreachable,
    /// 503 or 529. `retry_after` is the wait that the provider requested, if any.
    #[error("the provider is overloaded; it may answer later")]
    Overloaded { retry_after: Option<Duration> },
    /// The connection broke, or a gateway could not reach the server.
    #[error("the provider did not answer; check LLM_BASE_URL and the network")]
    Unavailable,
    /// Any other status that is not a success.
    #[error("the provider answered with status {0}{hint}", hint = status_hint(*.0))]
    Status(u16),
    #[error("the provider's answer is not of the OpenAI form; check LLM_BASE_URL")]
    Malformed,
    #[error("the provider's answer is larger than {} bytes", crate::openai::RESPONSE_BYTES_MAX)]
    TooLarge,
}

impl LlmError {
    /// One word for metrics and traces.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited { .. } => "rate_limited",
            Self::Refused => "refused",
            Self::Filtered => "filtered",
            Self::CutOff { .. } => "cut_off",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Status(_) => "status",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }

    /// The wait that the provider requested, if any.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Overloaded { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// The same with another wait, for a later caller.
    pub(crate) const fn with_wait(self, left: Duration) -> Self {
        let retry_after = Some(left);
        match self {
            Self::RateLimited { .. } => Self::RateLimited { retry_after },
            Self::Overloaded { .. } => Self::Overloaded { retry_after },
            other => other,
        }
    }

    /// Whether the provider certainly did no work for the call, so that it is not charged: nothing was sent, or
    /// the prompt was refused. After a time-out this is unknown. An error that comes with a text, in an answer
    /// with the status of a success, is [`LlmError::Failed`].
    pub const fn is_unserved(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::Filtered => true,
            Self::Status(status) => matches!(*status, 400..=499),
            Self::Timeout
            | Self::Refused
            | Self::CutOff { .. }
            | Self::Failed
            | Self::Unavailable
            | Self::Malformed
            | Self::TooLarge => false,
        }
    }
}

const fn status_hint(status: u16) -> &'static str {
    match status {
        400 | 422 => "; check that LLM_MODEL accepts the persona's temperature and token limit",
        401 | 403 => "; check LLM_API_KEY",
        402 => "; the account has no credit",
        404 => "; check LLM_BASE_URL and LLM_MODEL",
        _ => "",
    }
}

/// A model that cannot be set up from its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error(
        "LLM_BASE_URL must be an http or https URL without user, password, query or fragment, \
         e.g. https://api.openai.com/v1"
    )]
    BaseUrl,
    #[error("LLM_API_KEY has characters that are not allowed in an HTTP header")]
    ApiKey,
    #[error("LLM_MODEL is empty")]
    Model,
    #[error("the HTTP client cannot be set up; are the system's certificates installed?")]
    Client,
}
