//! The HTTP server: how it starts and stops, and what happens around every request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpMessage, HttpResponse, HttpServer};
use api_types::ProblemKind;
use cache::presence::Announcement;
use daemon::process::Failure;
use daemon::shutdown::Shutdown;
use daemon::traces;
use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span, field, info, info_span};
use uuid::Uuid;

use crate::app::App;
use crate::auth;
use crate::config::ApiConfig;
use crate::connections::Doorman;
use crate::endpoint::Endpoint;
use crate::error::{ApiError, ApiResult, Fault};
use crate::limits::{Allowance, OverLimit};
use crate::request_log::{Ended, RequestId, RequestLog};
use crate::table::{Table, Target, takes_query};
use crate::{headers, metrics, routes, secrets, shape, streams};

const WORKERS: usize = 2;
/// The longest answer there is, streams aside: a page of 200 of the longest things that can be kept.
pub const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long it may take from a request's head to its answer's, the request's body included. An
/// answer that has begun may continue: an event stream never ends, and the kernel disconnects a
/// client that reads nothing of it ([`crate::connections`]).
const REQUEST_SECONDS: u64 = 10;
/// How long a client may take to send a request's head.
const HEAD_SECONDS: u64 = 5;
/// How long an idle connection is kept.
const KEEP_ALIVE_SECONDS: u64 = 75;

/// A running server.
pub struct Running {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
    announcement: Announcement,
}

impl Running {
    /// The address it listens on; for port 0 the assigned port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns once the shutdown has stopped it: new connections are refused, requests finish.
    ///
    /// # Errors
    /// When the server ended for any other reason.
    pub async fn stopped(self) -> io::Result<()> {
        let ended = self.task.await.map_err(io::Error::other)?;
        self.announcement.leave().await;
        ended
    }
}

/// Connects to Postgres and Redis, listens, and answers until the shutdown.
///
/// # Errors
/// When a dependency cannot be reached, the schema does not fit, or the port is taken.
pub async fn start(config: ApiConfig, shutdown: Shutdown) -> Result<Running, Failure> {
    start_with(config, shutdown, |_| ()).await
}

/// The same with the caller's routes after the API's, inside the same layers.
///
/// # Errors
/// As for [`start`].
pub async fn start_with(
    config: ApiConfig,
    shutdown: Shutdown,
    more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<Running, Failure> {
    let app = Data::new(App::open(&config).await?);
    let announcement = app.cache.announce("api");
    // Until the drain is over: requests still need the present credentials.
    let closing = Shutdown::manual();
    if config.follows_settings {
        app.stores().follow(&config.postgres, &config.redis, &closing)?;
        secrets::follow(&app.secrets, &app.cache, config.secrets.clone(), &closing)?;
    }
    let wanted = SocketAddr::new(config.host, config.port);
    let shared = Data::clone(&app);
    let table = Data::new(Table::new(routes::endpoints()));
    metrics::watch(&app.database);
    let upkeep = (Arc::clone(&app.auth), closing.clone());
    streams::start(&app.streams, &app.cache, &closing);
    config.connections.make_room();
    let doorman = Doorman::new(config.connections, &config.proxies);
    let origins = config.origins.clone();
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(Data::clone(&shared))
            .app_data(Data::from(Arc::clone(&shared.streams)))
            .app_data(Data::clone(&table))
            .configure(|config| table.mount(config))
            .configure(more.clone())
            .wrap(from_fn(within_limits))
            .wrap(Condition::new(origins.are_any(), origins.cors()))
            .wrap(from_fn(around))
    })
    .workers(WORKERS)
    .max_connections(config.connections.total.div_ceil(WORKERS))
    .on_connect(move |connection, extensions| {
        if let Some(connection) = connection.downcast_ref() {
            doorman.meet(connection, extensions);
            shape::note_address(connection, extensions);
        }
    })
    .keep_alive(Duration::from_secs(KEEP_ALIVE_SECONDS))
    .client_request_timeout(Duration::from_secs(HEAD_SECONDS))
    .client_disconnect_timeout(Duration::from_secs(1))
    .tcp_nodelay(true)
    .shutdown_signal(drained(Data::clone(&app), config.drain, shutdown, closing))
    .shutdown_timeout(REQUEST_SECONDS)
    .bind(wanted)
    .map_err(|error| {
        let hint = "choose another API_HOST or API_PORT, or stop who listens there";
        io::Error::new(error.kind(), format!("cannot listen on {wanted}: {error} ({hint})"))
    })?;
    let address = server.addrs().first().copied().unwrap_or(wanted);
    let task = tokio::spawn(auth::alongside(server.run(), upkeep.0, upkeep.1));
    let registration = app.registration.admission.as_str();
    config.hosts.warn_if_nameless("api", address.ip());
    info!(%address, registration, mode = %config.rules.enforcement, "the API listens");
    Ok(Running { address, task, announcement })
}

/// Returns when the server shall stop: some time after the request, so that balancers notice it and
/// send no more requests. Until then everything is served as before.
async fn drained(app: Data<App>, drain: Duration, asked: Shutdown, closing: Shutdown) {
    asked.wait().await;
    app.readiness.drain();
    if !drain.is_zero() {
        info!(seconds = drain.as_secs(), "stopping: still serving requests");
        tokio::time::sleep(drain).await;
    }
    closing.request();
}

/// A request as far as answers and logs want to know it.
struct ServedRequest {
    id: Uuid,
    log: RequestLog,
    method: String,
    path: String,
    /// The pattern of the path. The request may be gone when its answer is there.
    route: Option<String>,
    began: Instant,
    /// A balancer is to come with a new connection, to another process.
    is_last: bool,
}

/// Gives each request an id, each answer its headers and each error its problem.
async fn around(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let target = req.app_data::<Data<Table>>().map(|table| table.target(&req));
    let app = req.app_data::<Data<App>>();
    let asked = ServedRequest {
        id: Uuid::new_v4(),
        log: app.map_or_else(RequestLog::default, |app| app.request_log),
        method: req.method().to_string(),
        path: req.path().to_owned(),
        route: target.as_ref().and_then(|target| target.pattern.clone()),
        began: Instant::now(),
        is_last: app.is_some_and(|app| app.readiness.is_draining()),
    };
    req.extensions_mut().insert(RequestId(asked.id.to_string()));
    if let Some(target) = target {
        req.extensions_mut().insert(target);
    }
    let _active = metrics::active();
    let span = asked.span();
    match next.call(req).instrument(span.clone()).await {
        Ok(response) => Ok(asked.conclude(response.map_into_boxed_body(), &span)),
        // Without a response there is no request left to attach one to.
        Err(error) => Err(asked.orphan(&error, &span)),
    }
}

/// Marks a request that gets no line in the log.
struct Unlogged;

/// An answer to a request that no limit counts.
fn uncounted(req: ServiceRequest, app: &App, error: ApiError) -> ServiceResponse<BoxBody> {
    if !app.limiter.is_worth_a_line(&req) {
        req.extensions_mut().insert(Unlogged);
    }
    req.error_response(error)
}

/// The problem for an error, and its text for the log.
struct ProblemAnswer {
    kind: ProblemKind,
    fault: Option<Fault>,
    response: HttpResponse,
}

/// Lets a request in that has a shape, is for us, and whose client has room, for so long.
async fn within_limits(
    req: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let served = async {
        let app = req.app_data::<Data<App>>().cloned();
        let target = req.extensions_mut().remove::<Target>();
        let Some((app, target)) = app.zip(target) else {
            return Err(ApiError::Internal("no application data".to_owned()).into());
        };
        let (class, endpoint) = (target.class, target.endpoint);
        let has_any_name = endpoint.as_ref().is_some_and(|one| one.has_any_name);
        let ours = shape::check(&req).and_then(|()| match has_any_name {
            // Balancers use any address, and these paths show only public data.
            true => Ok(()),
            false => shape::must_be_for_us(&req, &app.hosts),
        });
        if let Err(error) = ours {
            return Ok(uncounted(req, &app, error));
        }
        let allowance = match app.limiter.pass(&req, class, &app.auth).await {
            Ok(allowance) => allowance,
            Err(OverLimit { error, allowance }) => {
                let mut response = req.error_response(error);
                allowance.write(response.headers_mut());
                return Ok(response);
            }
        };
        let admitted = match endpoint {
            Some(endpoint) => admit(&app, endpoint, &req).await,
            None => Ok(()),
        };
        let mut response = match admitted {
            Ok(()) => next.call(req).await?,
            Err(error) => req.error_response(error),
        };
        let closer = response.request().extensions_mut().remove::<Allowance>();
        let allowance = closer.unwrap_or(allowance);
        allowance.write(response.headers_mut());
        Ok(response)
    };
    tokio::time::timeout(Duration::from_secs(REQUEST_SECONDS), served)
        .await
        .unwrap_or_else(|_| Err(ApiError::TimedOut.into()))
}

/// Holds a request against the row of its endpoint, which its handler finds there.
async fn admit(app: &App, endpoint: Arc<Endpoint>, req: &ServiceRequest) -> ApiResult<()> {
    takes_query(&endpoint, req)?;
    app.auth.admit(req.request(), endpoint.who).await?;
    req.extensions_mut().insert(endpoint);
    Ok(())
}

impl ServedRequest {
    /// The span of all work for the request. Each line of the log within it has its id.
    fn span(&self) -> Span {
        info_span!(
            "request",
            otel.kind = "server",
            otel.status_code = field::Empty,
            request.id = %self.id,
            http.request.method = self.method,
            http.route = field::Empty,
            http.response.status_code = field::Empty,
        )
    }

    fn conclude(
        &self,
        response: ServiceResponse<BoxBody>,
        span: &Span,
    ) -> ServiceResponse<BoxBody> {
        let mut told = response.response().error().map(|error| self.told(error));
        let is_logged = !response.request().extensions().contains::<Unlogged>();
        // Each handler limits its body; this is the highest limit.
        if let BodySize::Sized(bytes) = response.response().body().size()
            && usize::try_from(bytes).is_ok_and(|bytes| bytes > ANSWER_MAX_BYTES)
        {
            let error = ApiError::Internal(format!("an answer of {bytes} bytes"));
            told = Some(self.problem(&error));
        }
        let (mut response, problem) = match told {
            Some(mut told) => {
                carry_over(response.headers(), told.response.headers_mut());
                let problem = Some((told.kind, told.fault));
                (response.into_response(told.response), problem)
            }
            None => (response, None),
        };
        self.complete(response.headers_mut());
        if self.is_last {
            let head = response.response_mut().head_mut();
            head.set_connection_type(ConnectionType::Close);
        }
        self.ended(response.status(), problem, is_logged, span);
        response
    }

    /// The problem that a handler's, a layer's or actix's own error is.
    fn told(&self, error: &actix_web::Error) -> ProblemAnswer {
        match error.as_error::<ApiError>() {
            Some(error) => self.problem(error),
            None => self.problem(&ApiError::foreign(error)),
        }
    }

    /// Reports every request to metrics, trace and log, however it ended.
    fn ended(
        &self,
        status: StatusCode,
        problem: Option<(ProblemKind, Option<Fault>)>,
        is_logged: bool,
        span: &Span,
    ) {
        let (route, took) = (self.route.as_deref(), self.began.elapsed());
        metrics::answered(&self.method, route, status, took);
        if let Some(route) = route {
            traces::rename(span, || format!("{} {route}", self.method));
            span.record("http.route", route);
        }
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        if !is_logged {
            return;
        }
        let (problem, fault) = problem.unzip();
        let ended =
            Ended { method: &self.method, route, status, problem, fault: fault.flatten(), took };
        self.log.tell(self.id, &ended);
    }

    /// The problem that is answered.
    fn problem(&self, error: &ApiError) -> ProblemAnswer {
        metrics::refused(error.kind());
        ProblemAnswer {
            kind: error.kind(),
            fault: error.fault(),
            response: error.respond(&self.path, &self.id.to_string()),
        }
    }

    /// An answer for when the request itself is gone.
    fn orphan(&self, error: &actix_web::Error, span: &Span) -> actix_web::Error {
        let told = self.told(error);
        let (problem, mut response) = (Some((told.kind, told.fault)), told.response);
        self.ended(response.status(), problem, true, span);
        carry_over(error.error_response().headers(), response.headers_mut());
        self.complete(response.headers_mut());
        InternalError::from_response(error.to_string(), response).into()
    }

    fn complete(&self, headers: &mut HeaderMap) {
        let id =
            HeaderValue::from_str(&self.id.to_string()).unwrap_or(HeaderValue::from_static(""));
        headers.insert(HeaderName::from_static("x-request-id"), id);
        headers::complete(headers);
    }
}

/// Keeps what the layers wrote onto an answer that a problem takes the place of.
fn carry_over(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        if !to.contains_key(name) {
            to.append(name.clone(), value.clone());
        }
    }
}
