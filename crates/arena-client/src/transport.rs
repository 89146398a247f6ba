//! One exchange with the arena: bounded in time and size, retried where that can do no harm.

use std::fmt;
use std::time::{Duration, SystemTime};

use api_types::{DRY_RUN, IDEMPOTENCY_KEY, Problem, ProblemKind};
use http_client::Unread;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client as Http, Method, Response};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use crate::logins::LoginQueue;
use crate::query::Pairs;
use crate::{ClientError, IdempotencyKey, ProblemAnswer, SetupError};

/// The largest answer that is read: many times a page of 200 entries.
pub const RESPONSE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A little more than the arena takes for a request before it gives up itself.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(12);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pauses before the second and the third attempt; there is no fourth.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
const PATIENCE_DEFAULT: Duration = Duration::from_secs(15);
/// Three of the arena's signs of life in a row.
const SILENCE_DEFAULT: Duration = Duration::from_secs(45);

/// Where the arena is and how long it may take.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// E.g. `http://127.0.0.1:8000`; may have a path in front of the arena's own.
    pub base_url: Url,
    /// For one attempt, from the connection to the last byte.
    pub timeout: Duration,
    /// No new attempt begins when this much time has passed since the first. If `Retry-After` is longer than the
    /// remaining time, there is no further attempt; the error has the requested wait.
    pub patience: Duration,
    /// A stream of events that brings nothing for this long is taken for cut. The arena sends a sign of
    /// life every 15 seconds.
    pub silence: Duration,
}

impl ClientConfig {
    /// With a time-out of 12 s, which outlasts the arena's own, a patience of 15 s, and streams that may
    /// be silent for 45 s.
    pub const fn new(base_url: Url) -> ClientConfig {
        ClientConfig {
            base_url,
            timeout: TIMEOUT_DEFAULT,
            patience: PATIENCE_DEFAULT,
            silence: SILENCE_DEFAULT,
        }
    }
}

/// One request, without its credential.
pub(crate) struct Call<'a> {
    /// As `docs/openapi.json` has it: `GET /bots/{bot}/ledger`.
    pub(crate) operation: &'static str,
    /// The values for the names in its path, in their order, not yet escaped.
    pub(crate) names: &'a [&'a str],
    pub(crate) query: Pairs,
    /// JSON.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) retry: Retry<'a>,
    /// An operator's own name, or the position of a stream of events.
    pub(crate) headers: Vec<(&'static str, HeaderValue)>,
}

/// Why a repetition is safe.
#[derive(Clone, Copy)]
pub(crate) enum Retry<'a> {
    /// The call reads only, or has no effect worth the name.
    Reads,
    /// The arena performs what comes under this key once.
    Keyed(&'a IdempotencyKey),
    /// Nothing does.
    Never,
}

impl<'a> Call<'a> {
    pub(crate) const fn get(
        operation: &'static str,
        names: &'a [&'a str],
        query: Pairs,
    ) -> Call<'a> {
        Call { operation, names, query, body: None, retry: Retry::Reads, headers: Vec::new() }
    }

    pub(crate) fn send<T: serde::Serialize>(
        operation: &'static str,
        names: &'a [&'a str],
        body: &T,
        retry: Retry<'a>,
    ) -> Result<Call<'a>, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|_| ClientError::Request("the body cannot be written as JSON"))?;
        Ok(Call { body: Some(body), retry, ..Call::get(operation, names, Vec::new()) })
    }

    /// The same call as a dry run.
    pub(crate) fn dry(mut self) -> Self {
        self.query.push((DRY_RUN, "true".to_owned()));
        self
    }

    fn method(&self) -> &'static str {
        self.operation.split(' ').next().unwrap_or_default()
    }

    /// The path's segments.
    fn path(&self) -> impl Iterator<Item = &str> {
        let mut names = self.names.iter();
        let segments = self.operation.split('/').skip(1);
        segments.map(move |segment| match segment.starts_with('{') {
            true => names.next().copied().unwrap_or(segment),
            false => segment,
        })
    }
}

/// A credential in the header where it belongs, marked sensitive.
pub(crate) type Proof = (HeaderName, HeaderValue);

pub(crate) struct Transport {
    http: Http,
    base_url: Url,
    pub(crate) timeout: Duration,
    pub(crate) patience: Duration,
    pub(crate) silence: Duration,
    pub(crate) logins: LoginQueue,
}

impl Transport {
    pub(crate) fn new(config: ClientConfig) -> Result<Transport, SetupError> {
        let ClientConfig { base_url, timeout, patience, silence } = config;
        if !http_client::is_plain(&base_url) || base_url.query().is_some() {
            return Err(SetupError::BaseUrl);
        }
        let http = http_client::builder(&base_url)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            // Repetitions are decided here, where it is known what may be repeated.
            .retry(reqwest::retry::never())
            .user_agent(concat!("ledgerdome-arena-client/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| SetupError::Http)?;
        Ok(Transport { http, base_url, timeout, patience, silence, logins: LoginQueue::new() })
    }

    pub(crate) const fn ask<'a>(
        &'a self,
        call: &'a Call<'a>,
        proof: Option<&'a Proof>,
    ) -> Exchange<'a> {
        Exchange { transport: self, call, proof }
    }
}

/// A call with its credential, on its way.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    transport: &'a Transport,
    call: &'a Call<'a>,
    proof: Option<&'a Proof>,
}

impl Exchange<'_> {
    /// Exchanges and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let body = self.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| self.malformed(&error))
    }

    /// Sends the request and leaves the answer's body to the caller, which must limit it.
    pub(crate) async fn open(self) -> Result<Response, ClientError> {
        let attempt = || self.in_time(self.answer());
        self.repeat(attempt).await
    }

    /// Attempts the call until it is answered, or until another attempt makes no sense.
    pub(crate) async fn bytes(self) -> Result<Vec<u8>, ClientError> {
        let attempt = || self.in_time(self.whole_answer());
        self.repeat(attempt).await
    }

    async fn repeat<T, F>(self, attempt: impl Fn() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let began = Instant::now();
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = pauses.next().and_then(|pause| self.call.retry.pause(&error, pause));
            match pause {
                Some(pause) if began.elapsed() + pause < self.transport.patience => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn in_time<T>(
        self,
        attempt: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(self.transport.timeout, attempt)
            .await
            .unwrap_or_else(|_| Err(ClientError::Timeout { endpoint: self.endpoint() }))
    }

    async fn whole_answer(self) -> Result<Vec<u8>, ClientError> {
        let response = self.answer().await?;
        self.read_bounded(response).await
    }

    /// One attempt, up to the head of a success or the end of a refusal.
    async fn answer(self) -> Result<Response, ClientError> {
        let response = self.request()?.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = http_client::retry_after(response.headers(), SystemTime::now());
        let body = self.read_bounded(response).await;
        Err(self.refusal(status.as_u16(), retry_after, body.ok().as_deref()))
    }

    fn request(self) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut url = self.transport.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(self.call.path());
        }
        let method = Method::from_bytes(self.call.method().as_bytes())
            .map_err(|_| ClientError::Request("the method is none"))?;
        let mut request = self.transport.http.request(method, url);
        if !self.call.query.is_empty() {
            request = request.query(&self.call.query);
        }
        if let Some(body) = &self.call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        if let Retry::Keyed(key) = self.call.retry {
            let value = http_client::sensitive(key.as_str())
                .map_err(|_| ClientError::Request("the idempotency key does not fit a header"))?;
            request = request.header(IDEMPOTENCY_KEY, value);
        }
        for (name, value) in &self.call.headers {
            request = request.header(*name, value);
        }
        if let Some((name, value)) = self.proof {
            request = request.header(name, value);
        }
        Ok(request)
    }

    async fn read_bounded(self, response: Response) -> Result<Vec<u8>, ClientError> {
        let body = http_client::read_up_to(response, RESPONSE_BYTES_MAX).await;
        body.map_err(|unread| match unread {
            Unread::Broken(error) => self.broken(&error),
            Unread::TooLarge => ClientError::TooLarge { endpoint: self.endpoint() },
        })
    }

    fn refusal(
        self,
        status: u16,
        retry_after: Option<Duration>,
        body: Option<&[u8]>,
    ) -> ClientError {
        match body.and_then(|body| serde_json::from_slice::<Problem>(body).ok()) {
            Some(problem) => {
                ClientError::Problem(Box::new(ProblemAnswer::new(problem, status, retry_after)))
            }
            None => ClientError::Status { endpoint: self.endpoint(), status, retry_after },
        }
    }

    /// Only where it broke: serde's own words quote the body, and the body may be a credential.
    pub(crate) fn malformed(self, error: &serde_json::Error) -> ClientError {
        ClientError::Malformed {
            endpoint: self.endpoint(),
            what: match error.classify() {
                serde_json::error::Category::Data => "a field is missing or of another kind",
                serde_json::error::Category::Eof => "the answer ends early",
                serde_json::error::Category::Io | serde_json::error::Category::Syntax => {
                    "the answer is not JSON"
                }
            },
            line: error.line(),
            column: error.column(),
        }
    }

    fn broken(self, error: &reqwest::Error) -> ClientError {
        let endpoint = self.endpoint();
        if error.is_timeout() && !error.is_connect() {
            ClientError::Timeout { endpoint }
        } else {
            ClientError::Unreachable { endpoint }
        }
    }

    /// The request, for messages: `GET http://127.0.0.1:8000/bots/me`.
    pub(crate) fn endpoint(self) -> String {
        let base = self.transport.base_url.as_str().trim_end_matches('/');
        let path: Vec<&str> = self.call.path().collect();
        format!("{} {base}/{}", self.call.method(), path.join("/"))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("base_url", &self.base_url.as_str())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Retry<'_> {
    /// How long to wait before the next attempt; `None` when there should be none.
    fn pause(self, error: &ClientError, pause: Duration) -> Option<Duration> {
        if matches!(self, Retry::Never) {
            return None;
        }
        let is_keyed = matches!(self, Retry::Keyed(_));
        let asked = error.retry_after();
        let may_help = match error {
            ClientError::Unreachable { .. } => true,
            // The answer is lost or late. A call with a key can be repeated; a read that took this long is not
            // repeated.
            ClientError::Timeout { .. } => is_keyed,
            ClientError::Problem(problem) => match problem.kind {
                Some(
                    ProblemKind::PriceStale | ProblemKind::ArenaPaused | ProblemKind::HouseBudget,
                ) => false,
                Some(ProblemKind::IdempotencyConflict | ProblemKind::Internal) => is_keyed,
                // Nothing was done, so even a refused call without a key may be repeated; without `Retry-After`
                // it would only be refused again.
                Some(ProblemKind::TooManyRequests) => problem.retry_after.is_some(),
                _ => matches!(problem.status, 502..=504),
            },
            ClientError::Status { status: 429, .. } => asked.is_some(),
            ClientError::Status { status, .. } => matches!(status, 502..=504),
            ClientError::TooLarge { .. }
            | ClientError::Malformed { .. }
            | ClientError::NoCredential
            | ClientError::Request(_) => false,
        };
        may_help.then(|| pause.max(asked.unwrap_or_default()))
    }
}
