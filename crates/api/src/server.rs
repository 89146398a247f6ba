//! The HTTP server: how it starts and stops, and what happens around every request.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpResponse, HttpServer};
use daemon::process::Failure;
use daemon::shutdown::Shutdown;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::app::App;
use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::routes;

const WORKERS: usize = 2;
/// How long a request may take, its body included.
const REQUEST_SECONDS: u64 = 10;
/// How long a client may take to send a request's head.
const HEAD_SECONDS: u64 = 5;
/// How long an idle connection is kept.
const KEEP_ALIVE_SECONDS: u64 = 75;
/// A connection beyond these waits until another one ends.
const CONNECTIONS_MAX_A_WORKER: usize = 2_000;

/// A running server.
pub struct Running {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Where it listens; with port 0 asked for, the port that was given.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns once the shutdown has stopped it: new connections are refused, requests finish.
    ///
    /// # Errors
    /// When the server ended for any other reason.
    pub async fn stopped(self) -> io::Result<()> {
        self.task.await.map_err(io::Error::other)?
    }
}

/// Connects to Postgres and Redis, listens, and answers until the shutdown.
///
/// # Errors
/// When a dependency cannot be reached, the schema does not fit, or the port is taken.
pub async fn start(config: ApiConfig, shutdown: Shutdown) -> Result<Running, Failure> {
    start_with(config, shutdown, |_| ()).await
}

/// The same with routes of the caller's behind the API's, under all that happens around a request.
///
/// # Errors
/// As for [`start`].
pub async fn start_with(
    config: ApiConfig,
    shutdown: Shutdown,
    more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<Running, Failure> {
    let app = Data::new(App::open(&config).await?);
    let wanted = SocketAddr::new(config.host, config.port);
    let shared = Data::clone(&app);
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(Data::clone(&shared))
            .configure(routes::all)
            .configure(more.clone())
            .wrap(from_fn(around))
    })
    .workers(WORKERS)
    .max_connections(CONNECTIONS_MAX_A_WORKER)
    .keep_alive(Duration::from_secs(KEEP_ALIVE_SECONDS))
    .client_request_timeout(Duration::from_secs(HEAD_SECONDS))
    .client_disconnect_timeout(Duration::from_secs(1))
    .tcp_nodelay(true)
    .shutdown_signal(async move { shutdown.wait().await })
    .shutdown_timeout(REQUEST_SECONDS)
    .bind(wanted)
    .map_err(|error| {
        let hint = "choose another API_HOST or API_PORT, or stop who listens there";
        io::Error::new(
            error.kind(),
            format!("cannot listen on {wanted}: {error} ({hint})"),
        )
    })?;
    let address = server.addrs().first().copied().unwrap_or(wanted);
    let task = tokio::spawn(server.run());
    let registration = app.registration.admission.as_str();
    info!(%address, registration, mode = %config.rules.enforcement, "the API listens");
    Ok(Running { address, task })
}

/// A request as far as answers and logs want to know it.
struct Asked {
    id: String,
    method: String,
    path: String,
    began: Instant,
}

/// Gives each request an id and a time limit, and each error its problem.
async fn around(
    req: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let asked = Asked {
        id: Uuid::new_v4().to_string(),
        method: req.method().to_string(),
        path: req.path().to_owned(),
        began: Instant::now(),
    };
    let limit = Duration::from_secs(REQUEST_SECONDS);
    match tokio::time::timeout(limit, next.call(req)).await {
        Ok(Ok(response)) => Ok(asked.conclude(response)),
        // Without a response there is no request left to attach one to.
        Ok(Err(error)) => Err(asked.orphan(&ApiError::foreign(&error))),
        Err(_) => Err(asked.orphan(&ApiError::TimedOut)),
    }
}

impl Asked {
    fn conclude(&self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let problem = response
            .response()
            .error()
            .map(|error| match error.as_error() {
                Some(error) => self.problem(error),
                None => self.problem(&ApiError::foreign(error)),
            });
        let mut response = match problem {
            Some(problem) => response.into_response(problem),
            None => response,
        };
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, value);
        }
        debug!(
            request.id = self.id,
            method = self.method,
            path = self.path,
            status = response.status().as_u16(),
            micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            "request"
        );
        response
    }

    /// The problem that is answered; whatever is our fault or our dependencies' is logged here.
    fn problem(&self, error: &ApiError) -> HttpResponse {
        let (id, path) = (&self.id, &self.path);
        match error {
            ApiError::Internal(_) => error!(request.id = id, path, %error, "request failed"),
            ApiError::Unavailable(_) | ApiError::TimedOut | ApiError::OutcomeUnknown(_) => {
                warn!(request.id = id, path, %error, "request could not be served");
            }
            _ => debug!(request.id = id, path, %error, "request refused"),
        }
        error.respond(path, id)
    }

    /// An answer for when the request itself is gone.
    fn orphan(&self, error: &ApiError) -> actix_web::Error {
        let mut response = self.problem(error);
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, value);
        }
        InternalError::from_response(error.to_string(), response).into()
    }

    fn headers(&self) -> [(HeaderName, HeaderValue); 3] {
        let id = HeaderValue::from_str(&self.id).unwrap_or(HeaderValue::from_static(""));
        [
            (HeaderName::from_static("x-request-id"), id),
            // Balances, prices and tokens are old as soon as they are answered.
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ]
    }
}
