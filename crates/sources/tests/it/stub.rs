//! A service with fixed answers, and its client.

use std::ops::Deref;
use std::time::Duration;

pub(crate) use http_stub::{Reply, Request};
use sources::{Http, HttpConfig};

pub(crate) const CONTACT: &str = "mailto:ops@example.org";

pub(crate) fn ok(body: impl AsRef<[u8]>) -> Reply {
    status(200, body)
}

pub(crate) fn status(status: u16, body: impl AsRef<[u8]>) -> Reply {
    with_headers(status, "", body)
}

pub(crate) fn with_headers(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    Reply::Raw(http_stub::http(status, headers, body))
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

    /// The one request that was made, after the checks that each must pass.
    pub(crate) fn only_request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        let request = requests.into_iter().next().unwrap();
        assert_eq!(request.method, "GET");
        let agent = request.header("user-agent").unwrap();
        assert!(agent.starts_with("ledgerdome/"), "{agent}");
        assert!(agent.ends_with(&format!(" (+{CONTACT})")), "{agent}");
        request
    }
}

pub(crate) fn http() -> Http {
    patient_for(Duration::from_secs(10))
}

pub(crate) fn patient_for(timeout: Duration) -> Http {
    let contact = CONTACT.to_owned();
    Http::new(&HttpConfig { contact, timeout }).unwrap()
}
