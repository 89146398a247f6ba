//! Any server that speaks OpenAI's `/chat/completions`: OpenAI itself, Groq, xAI, Ollama, vLLM.
//!
//! One request, no retries: the caller knows a turn's time limit. The key is sent in one header, marked
//! sensitive, and is never in an error or a log line. Answers are bounded in time and size.

mod answer;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_client::Unread;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use tracing::{debug, warn};
use url::Url;

use self::answer::{ChatAnswer, Said};
use crate::{
    CallUsage, Completion, Finish, LlmError, Prompt, Provider, ProviderFuture, SetupError,
};

/// A chat answer is a few kilobytes; a longer one is an error.
pub const RESPONSE_BYTES_MAX: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ERROR_CODE_CHARS_MAX: usize = 64;

/// The model's address and parameters.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// Up to and without `/chat/completions`, e.g. `https://api.openai.com/v1`.
    pub base_url: Url,
    /// Local servers need none.
    pub api_key: Option<SecretString>,
    pub model: String,
    /// For the whole exchange, from the connection to the last byte.
    pub timeout: Duration,
}

pub struct OpenAi {
    client: Client,
    endpoint: Url,
    authorization: Option<HeaderValue>,
    name: Arc<str>,
    model: Arc<str>,
    timeout: Duration,
    token_limit: TokenLimit,
}

/// A server's name of the limit of output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenLimit {
    /// OpenAI's reasoning models accept no other.
    MaxCompletionTokens,
    /// All others know at least this.
    MaxTokens,
}

impl OpenAi {
    /// # Errors
    /// If the configuration cannot work; nothing is sent over the network.
    pub fn new(config: OpenAiConfig) -> Result<Self, SetupError> {
        let OpenAiConfig { base_url, api_key, model, timeout } = config;
        if model.trim().is_empty() {
            return Err(SetupError::Model);
        }
        let endpoint = endpoint(&base_url)?;
        let authorization = api_key.as_ref().map(authorization).transpose()?;
        let is_plain = endpoint.scheme() == "http" && !http_client::is_loopback(&endpoint);
        if authorization.is_some() && is_plain {
            warn!("LLM_BASE_URL is http: the key crosses the network unencrypted");
        }
        let client = http_client::builder(&endpoint)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .build()
            .map_err(|_| SetupError::Client)?;
        let name = provider_name(&endpoint);
        let token_limit = match &*name {
            "openai" => TokenLimit::MaxCompletionTokens,
            _ => TokenLimit::MaxTokens,
        };
        let model = Arc::from(model.trim());
        Ok(Self { client, endpoint, authorization, name, model, timeout, token_limit })
    }

    async fn ask(&self, request: &Prompt) -> Result<Completion, LlmError> {
        let mut call = self.client.post(self.endpoint.clone()).json(&self.body(request));
        if let Some(authorization) = &self.authorization {
            call = call.header(AUTHORIZATION, authorization.clone());
        }
        let response = call.send().await.map_err(|error| transport_error(&error))?;
        let status = response.status();
        let retry_after = http_client::retry_after(response.headers(), SystemTime::now());
        let body = http_client::read_up_to(response, RESPONSE_BYTES_MAX).await;
        let body = body.map_err(|unread| match unread {
            Unread::Broken(error) => transport_error(&error),
            Unread::TooLarge => LlmError::TooLarge,
        });
        if status.is_success() {
            return self.completion(&body?);
        }
        // If the body of an error is unreadable too, the status is enough.
        let code = body.ok().and_then(|body| error_code(&body));
        warn!(
            provider = &*self.name,
            status = status.as_u16(),
            code = code.as_deref(),
            "model provider answered with an error"
        );
        Err(status_error(status.as_u16(), retry_after, code.as_deref()))
    }

    fn body<'a>(&'a self, request: &'a Prompt) -> ChatRequest<'a> {
        let system = Message { role: "system", content: &request.system };
        let user = Message { role: "user", content: &request.user };
        let messages = if request.system.is_empty() { vec![user] } else { vec![system, user] };
        let limit = Some(request.max_output_tokens);
        let (max_tokens, max_completion_tokens) = match self.token_limit {
            TokenLimit::MaxTokens => (limit, None),
            TokenLimit::MaxCompletionTokens => (None, limit),
        };
        // As text into a JSON number: 0.7 stays 0.7.
        let temperature = request.temperature.and_then(|value| value.to_string().parse().ok());
        let model = &*self.model;
        ChatRequest {
            model,
            messages,
            max_tokens,
            max_completion_tokens,
            temperature,
            stream: false,
        }
    }

    fn completion(&self, body: &[u8]) -> Result<Completion, LlmError> {
        let mut answer: ChatAnswer = serde_json::from_slice(body).map_err(|error| {
            debug!(%error, "model provider's answer is not of the OpenAI form");
            LlmError::Malformed
        })?;
        if let Some(error) = answer.error() {
            let (failure, code) = inner_error(error);
            warn!(
                provider = &*self.name,
                code = code.as_deref(),
                "model provider answered with an error in a success"
            );
            let usage = self.usage(&answer, Wrote::Nothing);
            if usage.tokens.is_none() && !answer.shows_work() {
                return Err(failure);
            }
            // It did work, and bills it.
            return Ok(Completion { text: String::new(), finish: Finish::Failed, usage });
        }
        let Said { text, finish } = answer.said().ok_or(LlmError::Malformed)?;
        let wrote = if text.is_empty() { Wrote::Nothing } else { Wrote::Text };
        Ok(Completion { usage: self.usage(&answer, wrote), text, finish })
    }

    /// Usage that is missing or cannot be true is no reason to lose the answer: it counts as not
    /// reported.
    fn usage(&self, answer: &ChatAnswer, wrote: Wrote) -> CallUsage {
        let model = answer
            .served_in_place_of(&self.model)
            .map_or_else(|| Arc::clone(&self.model), Arc::from);
        let tokens = answer.tokens(wrote == Wrote::Text);
        CallUsage { provider: Arc::clone(&self.name), model, tokens }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Text,
    Nothing,
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn complete<'a>(&'a self, request: &'a Prompt) -> ProviderFuture<'a> {
        Box::pin(async move {
            tokio::time::timeout(self.timeout, self.ask(request))
                .await
                .unwrap_or(Err(LlmError::Timeout))
        })
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("endpoint", &self.endpoint.as_str())
            .field("model", &self.model)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn endpoint(base_url: &Url) -> Result<Url, SetupError> {
    if !http_client::is_plain(base_url) || base_url.query().is_some() {
        return Err(SetupError::BaseUrl);
    }
    let mut url = base_url.clone();
    let path = format!("{}/chat/completions", base_url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn authorization(key: &SecretString) -> Result<HeaderValue, SetupError> {
    let text = SecretString::from(format!("Bearer {}", key.expose_secret()));
    http_client::sensitive(text.expose_secret()).map_err(|_| SetupError::ApiKey)
}

/// The name under which the server's tokens are counted and priced.
fn provider_name(url: &Url) -> Arc<str> {
    const OLLAMA_PORT: u16 = 11_434;
    Arc::from(match url.host_str().unwrap_or_default() {
        "api.openai.com" => "openai",
        "api.anthropic.com" => "anthropic",
        "api.groq.com" => "groq",
        "api.x.ai" => "xai",
        _ if url.port() == Some(OLLAMA_PORT) => "ollama",
        host => host,
    })
}

fn transport_error(error: &reqwest::Error) -> LlmError {
    if error.is_connect() {
        // Before a time-out: with one during connecting, nothing was sent either.
        LlmError::Unreachable
    } else if error.is_timeout() {
        LlmError::Timeout
    } else {
        LlmError::Unavailable
    }
}

fn status_error(status: u16, retry_after: Option<Duration>, code: Option<&str>) -> LlmError {
    match (status, code) {
        (429, _) => LlmError::RateLimited { retry_after },
        (400, Some("content_filter" | "content_policy_violation")) => LlmError::Filtered,
        (408, _) => LlmError::Timeout,
        // Some overloaded providers answer 529.
        (503 | 529, _) => LlmError::Overloaded { retry_after },
        (502 | 504, _) => LlmError::Unavailable,
        (other, _) => LlmError::Status(other),
    }
}

/// The meaning of an error with a success status, and its code for the log.
fn inner_error(error: &Value) -> (LlmError, Option<String>) {
    let code = code_of(error);
    let number = [error.get("code"), error.get("status"), Some(error)]
        .into_iter()
        .flatten()
        .find_map(|value| match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
        .and_then(|number| u16::try_from(number).ok())
        .filter(|status| (400..600).contains(status));
    let failure = match (number, code.as_deref()) {
        // The filter may have read what the model wrote.
        (_, Some("content_filter" | "content_policy_violation")) => LlmError::Refused,
        (Some(status), code) => status_error(status, None, code),
        (None, Some("rate_limit_exceeded")) => LlmError::RateLimited { retry_after: None },
        (None, _) => LlmError::Failed,
    };
    (failure, code)
}

/// The machine-readable code of an error answer. Its message is left alone: it may quote the key.
fn error_code(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    code_of(value.get("error")?)
}

fn code_of(error: &Value) -> Option<String> {
    let code = error.get("code").filter(|code| code.is_string()).or_else(|| error.get("type"))?;
    let code = code.as_str()?;
    let is_code = code.len() <= ERROR_CODE_CHARS_MAX
        && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_code.then(|| code.to_owned())
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<serde_json::Number>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}
