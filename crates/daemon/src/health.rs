//! `/health`, `/ready` and `/metrics` on their own port, for services that have no other server.
//!
//! `/health` checks nothing: it says that the process is alive, and must stay 200 while the database is down, or
//! a supervisor would restart a service that only has to wait. `/ready` runs the service's probe, at most once a
//! second, for any number of requests. `/metrics` does too.
//!
//! Balancers and supervisors request the first two by any address, so every `Host` is accepted there, and they
//! show only public data. `/metrics` requires one of the service's own names ([`crate::hosts`]).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::config::Reader;
use crate::hosts::Hosts;
use crate::metrics::{self, Declared, IntGaugeVec};
use crate::shutdown::Shutdown;

/// A probe waits so long for each dependency.
pub const LOOK_SECONDS: u64 = 3;
/// A request gets an answer within this time, even if a dependency hangs.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// A client that connects and sends nothing is disconnected after this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer of the probe counts for so long.
const PROBE_AGE_MAX: Duration = Duration::from_secs(1);
const CONNECTIONS_MAX: usize = 64;
const JSON: &str = "application/json";
/// So that a failing `accept` (no file descriptors left) does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    Ok,
    /// Worth knowing, but the service does its work: does not fail readiness.
    Degraded,
    Failed,
}

/// The state of one thing the service depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: String,
    pub state: CheckState,
    /// One sentence for the operator, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, state: CheckState, detail: Option<String>) -> Self {
        let name = name.into();
        Self { name, state, detail }
    }

    pub fn ok(name: impl Into<String>) -> Self {
        Self::new(name, CheckState::Ok, None)
    }

    pub fn degraded(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, CheckState::Degraded, Some(detail.into()))
    }

    pub fn failed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, CheckState::Failed, Some(detail.into()))
    }

    /// Failed where something is wrong.
    pub fn of<T>(name: impl Into<String>, looked: Result<T, String>) -> Self {
        match looked {
            Ok(_) => Self::ok(name),
            Err(detail) => Self::failed(name, detail),
        }
    }
}

/// Checks a dependency, for [`LOOK_SECONDS`] at most, and returns the public text of a failure. `/ready` is
/// public, and an error's text may have addresses, roles and a server's message: it goes to the log. `shown`
/// returns the error's constant public text, if it has one.
///
/// # Errors
/// What may be shown.
pub async fn look<T, E: fmt::Display>(
    dependency: &str,
    probe: impl Future<Output = Result<T, E>>,
    shown: impl FnOnce(&E) -> Option<String>,
) -> Result<T, String> {
    let error = match tokio::time::timeout(Duration::from_secs(LOOK_SECONDS), probe).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => error,
        Err(_) => {
            let detail = format!("no answer within {LOOK_SECONDS} seconds");
            warn!(dependency, detail, "a dependency is not ready");
            return Err(detail);
        }
    };
    warn!(dependency, %error, "a dependency is not ready");
    Err(shown(&error).unwrap_or_else(|| format!("{dependency} does not answer; see the log")))
}

/// Says how the things are that the service depends on: `arena_check_ok`.
pub fn tell_checks(checks: &[Check]) {
    static CHECKS: Declared<IntGaugeVec> =
        metrics::gauges("arena_check_ok", "0 while a check of /ready fails, else 1.", &["check"]);
    for check in checks {
        let is_ok = check.state != CheckState::Failed;
        CHECKS.with_label_values(&[check.name.as_str()]).set(i64::from(is_ok));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadinessStatus {
    Ready,
    Unavailable,
}

/// The answer of `/ready`: 200 if ready, 503 if not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub status: ReadinessStatus,
    pub checks: Vec<Check>,
}

impl From<Vec<Check>> for Readiness {
    fn from(checks: Vec<Check>) -> Self {
        let has_failed = checks.iter().any(|check| check.state == CheckState::Failed);
        let status = if has_failed { ReadinessStatus::Unavailable } else { ReadinessStatus::Ready };
        Self { status, checks }
    }
}

/// A running health server. Dropping the handle does not stop it; the shutdown does.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl HealthServer {
    /// The address it listens on; for port 0 the assigned port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns once the shutdown has stopped it.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            warn!(%error, "health server ended badly");
        }
    }
}

/// Where a service shall listen: `HEALTH_HOST`, and the setting of its own port.
pub fn address(reader: &mut Reader<'_>, port_setting: &str, default_port: u16) -> SocketAddr {
    let host = reader.or("HEALTH_HOST", IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(host, reader.or(port_setting, default_port))
}

type ProbeFuture = Pin<Box<dyn Future<Output = Vec<Check>> + Send>>;

/// The service's probe, and its last result.
struct Probe {
    ask: Box<dyn Fn() -> ProbeFuture + Send + Sync>,
    seen: Seen,
}

/// The result of the last check, for any number of requests.
#[derive(Default)]
pub struct Seen(Mutex<Option<(Instant, Vec<Check>)>>);

impl Seen {
    /// Looks again if the last look is more than a second old.
    pub async fn or_look(&self, look: impl Future<Output = Vec<Check>>) -> Vec<Check> {
        let mut seen = self.0.lock().await;
        if let Some((at, checks)) = seen.as_ref()
            && at.elapsed() < PROBE_AGE_MAX
        {
            return checks.clone();
        }
        let checks = look.await;
        *seen = Some((Instant::now(), checks.clone()));
        checks
    }
}

/// Listens on the address and answers until the shutdown, with metrics for requests under one of `hosts`.
/// `probe` is called for each `/ready`.
///
/// # Errors
/// When the address cannot be bound; the error names it.
pub async fn serve<P, F>(
    address: SocketAddr,
    hosts: Hosts,
    service: &str,
    probe: P,
    shutdown: Shutdown,
) -> io::Result<HealthServer>
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Vec<Check>> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let text = format!("cannot listen on {address} for the health of {service}: {error}");
        io::Error::new(error.kind(), text)
    })?;
    let address = listener.local_addr()?;
    let probe = Arc::new(Probe { ask: Box::new(move || Box::pin(probe())), seen: Seen::default() });
    info!(service, %address, "health server listens");
    hosts.warn_if_nameless(service, address.ip());
    Ok(HealthServer { address, task: tokio::spawn(accept(listener, hosts, probe, shutdown)) })
}

async fn accept(listener: TcpListener, hosts: Hosts, probe: Arc<Probe>, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "health server could not accept a connection");
                shutdown.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // More than this at once is no supervisor: close, rather than queue.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (hosts, probe) = (hosts.clone(), Arc::clone(&probe));
        let came_to = stream.local_addr().ok().map(|address| address.ip());
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let (hosts, probe) = (hosts.clone(), Arc::clone(&probe));
                async move {
                    if is_for_another(&request, &hosts, came_to) {
                        let words =
                            "this service does not go by that name; its operator sets PUBLIC_HOSTS";
                        return Ok::<_, Infallible>(status(StatusCode::MISDIRECTED_REQUEST, words));
                    }
                    Ok(respond(&request, &probe).await)
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                debug!(%error, "health connection ended early");
            }
            drop(place);
        });
    }
}

async fn respond(request: &Request<Incoming>, probe: &Arc<Probe>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/health" | "/ready" | "/metrics") {
        return status(StatusCode::NOT_FOUND, "not found");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = status(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    if path == "/health" {
        return status(StatusCode::OK, "ok");
    }
    let checks = probe.seen.or_look(ask(probe)).await;
    if path == "/metrics" {
        tell_checks(&checks);
        return told();
    }
    ready(Readiness::from(checks))
}

fn is_for_another(request: &Request<Incoming>, hosts: &Hosts, came_to: Option<IpAddr>) -> bool {
    let target = request.uri().authority().map(|authority| authority.as_str());
    let named = request.headers().get_all(HOST).into_iter();
    !matches!(request.uri().path(), "/health" | "/ready")
        && hosts.admit(target, named.map(HeaderValue::as_bytes), came_to).is_err()
}

fn told() -> Response<Full<Bytes>> {
    match metrics::text() {
        Ok(text) => answer(StatusCode::OK, metrics::CONTENT_TYPE, text),
        Err(error) => {
            warn!(error, "the metrics cannot be written");
            let words = "the metrics cannot be written; see the log";
            status(StatusCode::INTERNAL_SERVER_ERROR, words)
        }
    }
}

/// The probe's answer; a probe that hangs or panics is a failed check, not a dead connection.
async fn ask(probe: &Arc<Probe>) -> Vec<Check> {
    let probe = Arc::clone(probe);
    let mut task = tokio::spawn(async move { (probe.ask)().await });
    match tokio::time::timeout(PROBE_TIMEOUT, &mut task).await {
        Ok(Ok(checks)) => checks,
        Ok(Err(_)) => vec![Check::failed("probe", "the readiness probe panicked; see the log")],
        Err(_) => {
            task.abort();
            vec![Check::failed("probe", format!("no answer within {PROBE_TIMEOUT:?}"))]
        }
    }
}

fn ready(readiness: Readiness) -> Response<Full<Bytes>> {
    let status = match readiness.status {
        ReadinessStatus::Ready => StatusCode::OK,
        ReadinessStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    match serde_json::to_string(&readiness) {
        Ok(body) => answer(status, JSON, body),
        Err(error) => {
            warn!(%error, "readiness could not be written as JSON");
            self::status(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
    }
}

/// Says no more than this.
fn status(code: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    answer(code, JSON, format!(r#"{{"status":"{words}"}}"#))
}

fn answer(status: StatusCode, format: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
