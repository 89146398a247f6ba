//! An arena of canned answers, and clients of it.

use std::ops::Deref;
use std::time::Duration;

use arena_client::{Client, ClientConfig, Credential};
pub(crate) use http_stub::{Reply, Request, http};
use serde_json::{Value, json};

pub(crate) const API_KEY: &str = "ldk_hunter2-0123456789";

/// A problem as the arena would answer it.
pub(crate) fn problem(status: u16, name: &str) -> Reply {
    Reply::Json(status, problem_body(status, name))
}

pub(crate) fn problem_body(status: u16, name: &str) -> Value {
    json!({
        "type": format!("/problems/{name}"), "title": "A title", "status": status,
        "detail": "a detail", "instance": "/x", "request_id": "req-1",
    })
}

/// The answer of `POST /auth/token`.
pub(crate) fn token(text: &str, expires_in: i64) -> Reply {
    let body = json!({"access_token": text, "token_type": "bearer", "expires_in": expires_in});
    Reply::Json(200, body)
}

pub(crate) struct Stub(http_stub::Stub);

impl Deref for Stub {
    type Target = http_stub::Stub;

    fn deref(&self) -> &http_stub::Stub {
        &self.0
    }
}

impl Stub {
    /// `answer` is given each request and how many came before it.
    pub(crate) async fn start(
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Stub {
        Stub(http_stub::Stub::start(answer).await)
    }

    pub(crate) fn count(&self, method: &str, target: &str) -> usize {
        let requests = self.requests().into_iter();
        requests.filter(|request| request.is(method, target)).count()
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.url());
        config.timeout = Duration::from_secs(10);
        config
    }

    /// A client that has no credential.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }

    /// A client that acts for a bot.
    pub(crate) fn bot(&self) -> Client {
        let handle = "momentum-mia".parse().unwrap();
        let credential = Credential::ApiKey { handle, api_key: API_KEY.into() };
        self.client().with_credential(credential).unwrap()
    }
}
