//! All errors of a request, and their answers.
//!
//! [`ApiError::kind`] is the one place that decides between problem types; status, type and title
//! follow from it. The inner error of a 5xx goes only to the log.

mod refusal;

use std::borrow::Cow;
use std::fmt;

use actix_cors::CorsError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use api_types::ProblemKind::{self, *};
use api_types::{FieldProblem, PROBLEM_CONTENT_TYPE, Problem};
use cache::CacheError;
use db::DbError;
use db::error::Conflict;
use ledger_core::Refusal;
use serde_json::{Map, Value, json};

use crate::clock;
use refusal::{members, numbers, sentence};

pub(crate) type ApiResult<T = HttpResponse> = Result<T, ApiError>;

#[derive(Debug)]
pub(crate) enum ApiError {
    /// A problem with a fixed detail.
    Is(ProblemKind),
    /// A problem with a detail for this request.
    Told(ProblemKind, Cow<'static, str>),
    /// Well-formed, and a field is wrong. `problem` continues the sentence the field begins.
    InvalidField {
        field: String,
        problem: String,
    },
    MethodNotAllowed(String),
    /// A rule refused.
    Refused(Refusal),
    /// A rule refused the value of this field.
    RefusedField {
        field: String,
        refusal: Refusal,
    },
    TooManyRequests {
        detail: &'static str,
        retry_after_seconds: u64,
    },
    /// A dependency does not answer. The text is for the log.
    Unavailable(String),
    TimedOut,
    /// The commit was never answered. The text is for the log.
    OutcomeUnknown(String),
    /// Our fault. The text is for the log.
    Internal(String),
}

/// An internal error, only for the log.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Something is broken here.
    Ours(String),
    /// A dependency did not answer, or not in time.
    Dependency(String),
}

/// Seconds after which a retry of an unavailable arena makes sense.
const RETRY_AFTER_SECONDS: u64 = 2;
/// The oracle samples about once a minute.
const PRICE_RETRY_AFTER_SECONDS: u64 = 15;
/// The duration of a pause is unknown; two retries a minute cost nothing.
const PAUSE_RETRY_AFTER_SECONDS: u64 = 30;

impl ApiError {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> ApiError {
        ApiError::InvalidField { field: field.into(), problem: problem.into() }
    }

    pub(crate) fn missing(field: &str) -> ApiError {
        ApiError::invalid(field, "is required")
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> ApiError {
        ApiError::Told(NotFound, format!("There is no {what}.").into())
    }

    /// The request cannot be parsed.
    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::Told(MalformedRequest, detail.into())
    }

    /// Credentials are missing or invalid.
    pub(crate) const fn unauthorized(detail: &'static str) -> ApiError {
        ApiError::Told(Unauthorized, Cow::Borrowed(detail))
    }

    /// Proven, and not allowed.
    pub(crate) const fn forbidden(detail: &'static str) -> ApiError {
        ApiError::Told(Forbidden, Cow::Borrowed(detail))
    }

    /// The credentials that were to be rotated are not the bot's present ones.
    pub(crate) const SUPERSEDED: ApiError =
        ApiError::forbidden("These credentials were rotated. Use the present ones.");

    /// A bad field within the object `parent`.
    pub(crate) fn within(parent: &str, FieldProblem { field, problem }: FieldProblem) -> ApiError {
        ApiError::invalid(format!("{parent}.{field}"), problem)
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        match self {
            ApiError::Is(kind) | ApiError::Told(kind, _) => *kind,
            ApiError::InvalidField { .. } => InvalidField,
            ApiError::MethodNotAllowed(_) => MethodNotAllowed,
            ApiError::Refused(refusal) | ApiError::RefusedField { refusal, .. } => match refusal {
                Refusal::NotAlive { .. } => BotNotAlive,
                Refusal::ArenaPaused { .. } => ArenaPaused,
                Refusal::BotPaused { .. } => BotPaused,
                Refusal::MarketPaused { .. } => MarketPaused,
                Refusal::HouseBudget { .. } => HouseBudget,
                Refusal::InsufficientFunds { .. } | Refusal::AnswerUnaffordable { .. } => {
                    InsufficientFunds
                }
                Refusal::TooManyOpenPredictions { .. }
                | Refusal::OpenStakeLimit { .. }
                | Refusal::PoolLimit { .. }
                | Refusal::AnsweredThisTick
                | Refusal::BountyBudget { .. }
                | Refusal::BoardFull { .. } => LimitReached,
                Refusal::NotDead { .. } | Refusal::Retired => BotStatus,
                Refusal::NoSuchMarket { .. } => NotFound,
                Refusal::MarketNotOpen { .. }
                | Refusal::BetsClosed { .. }
                | Refusal::MarketSettled { .. } => MarketClosed,
                Refusal::AlreadyIn { .. } | Refusal::SubjectTaken { .. } => AlreadyIn,
                Refusal::ReviveAmount { .. }
                | Refusal::WrongKind { .. }
                | Refusal::Deadline { .. }
                | Refusal::Overflow => InvalidField,
            },
            ApiError::TooManyRequests { .. } => TooManyRequests,
            ApiError::Unavailable(_) | ApiError::TimedOut | ApiError::OutcomeUnknown(_) => {
                Unavailable
            }
            ApiError::Internal(_) => Internal,
        }
    }

    /// The log's text besides the kind; none for a client's error, because it would repeat sent
    /// data.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            _ if self.kind() == Internal => Some(Fault::Ours(self.to_string())),
            ApiError::Unavailable(_) | ApiError::TimedOut | ApiError::OutcomeUnknown(_) => {
                Some(Fault::Dependency(self.to_string()))
            }
            _ => None,
        }
    }

    /// The client's text: what went wrong in this request, and what to do next.
    fn detail(&self) -> String {
        let fixed = match self {
            ApiError::Told(_, detail) => return detail.clone().into_owned(),
            ApiError::InvalidField { field, problem } => return format!("`{field}` {problem}."),
            ApiError::Refused(refusal) | ApiError::RefusedField { refusal, .. } => {
                return sentence(refusal);
            }
            ApiError::Is(kind) => always(*kind),
            ApiError::TooManyRequests { detail, .. } => detail,
            ApiError::MethodNotAllowed(_) => "See the Allow header for the methods there are.",
            ApiError::Unavailable(_) => "A part of the arena does not answer. Try again shortly.",
            ApiError::TimedOut => {
                "The request took too long and was given up. It may have taken effect: repeat it \
                 with its Idempotency-Key, or look before you repeat it."
            }
            ApiError::OutcomeUnknown(_) => {
                "The connection was lost while this was being written down. It may have taken \
                 effect: repeat it with its Idempotency-Key, or look before you repeat it."
            }
            ApiError::Internal(_) => {
                "Something is broken on our side. It was logged; quote the request id."
            }
        };
        fixed.to_owned()
    }

    /// Further members for programs.
    fn extra(&self) -> Map<String, Value> {
        match self {
            ApiError::InvalidField { field, .. } => members(json!({ "field": field })),
            ApiError::TooManyRequests { retry_after_seconds, .. } => {
                members(json!({ "retry_after_seconds": retry_after_seconds }))
            }
            ApiError::RefusedField { field, refusal } => {
                let mut members = numbers(refusal);
                members.insert("field".to_owned(), json!(field));
                members
            }
            ApiError::Refused(refusal) => numbers(refusal),
            _ => Map::new(),
        }
    }

    /// The header that goes with it.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let seconds = match self {
            _ if self.kind() == Unauthorized => {
                let scheme = HeaderValue::from_static("Bearer realm=\"arena\"");
                return Some((header::WWW_AUTHENTICATE, scheme));
            }
            ApiError::MethodNotAllowed(allow) => {
                return Some((header::ALLOW, HeaderValue::from_str(allow).ok()?));
            }
            ApiError::TooManyRequests { retry_after_seconds, .. } => *retry_after_seconds,
            ApiError::Unavailable(_) | ApiError::TimedOut | ApiError::OutcomeUnknown(_) => {
                RETRY_AFTER_SECONDS
            }
            ApiError::Refused(refusal) | ApiError::RefusedField { refusal, .. } => match refusal {
                Refusal::ArenaPaused { .. } => PAUSE_RETRY_AFTER_SECONDS,
                Refusal::HouseBudget { opens_at, .. } => {
                    let wait = opens_at.seconds_since(clock::now()).max(0);
                    wait.unsigned_abs() + 1
                }
                _ => return None,
            },
            _ if self.kind() == PriceStale => PRICE_RETRY_AFTER_SECONDS,
            _ => return None,
        };
        Some((header::RETRY_AFTER, HeaderValue::from(seconds)))
    }

    /// The answer to a request for `path` with this `request_id`.
    pub(crate) fn problem(&self, path: &str, request_id: &str) -> Problem {
        let kind = self.kind();
        let facts = kind.facts();
        Problem {
            problem_type: kind.path(),
            title: facts.title.to_owned(),
            status: facts.status,
            detail: self.detail(),
            instance: path.to_owned(),
            request_id: request_id.to_owned(),
            extra: self.extra(),
        }
    }

    /// The answer to a request for `path` that is known as `request_id`.
    pub(crate) fn respond(&self, path: &str, request_id: &str) -> HttpResponse {
        let problem = self.problem(path, request_id);
        let mut response = HttpResponse::build(self.status_code());
        response.content_type(PROBLEM_CONTENT_TYPE);
        if let Some(header) = self.header() {
            response.insert_header(header);
        }
        response.body(serde_json::to_string(&problem).unwrap_or_default())
    }

    /// The error of a handler, or of actix itself.
    pub(crate) fn foreign(error: &actix_web::Error) -> ApiError {
        if let Some(error) = error.as_error::<CorsError>() {
            return ApiError::malformed(format!("Pages of that origin may not use this: {error}."));
        }
        match error.as_response_error().status_code() {
            StatusCode::NOT_FOUND => ApiError::not_found("such path"),
            status if status.is_client_error() => {
                ApiError::malformed("The request cannot be read.")
            }
            _ => ApiError::Internal(error.to_string()),
        }
    }
}

/// The detail of each problem with a fixed one.
const fn always(kind: ProblemKind) -> &'static str {
    match kind {
        UnsupportedMediaType => "Send the body with Content-Type: application/json.",
        PayloadTooLarge => "The body has more than 64 KiB.",
        UriTooLong => "The path and its query have more than 4 KiB.",
        UnknownHost => {
            "This arena does not go by the host that the request names. Operators list its names in \
             PUBLIC_HOSTS."
        }
        HeadersTooLarge => "There are more than 64 headers, or more than 16 KiB.",
        RegistrationClosed => {
            "Send the registration token that the operator gave you as `registration_token`."
        }
        ForeignOrigin => "Pages of this origin may not connect. The operator can allow it.",
        PositionGone => {
            "The events after this position are no longer kept. Read the lists, and begin without it."
        }
        AlreadyIn => "This bot has its one bet or answer here already.",
        HandleTaken => "This handle is taken, in this or another spelling of case.",
        ForeignTicket => "This observation was made for another bot. Ask for one of your own.",
        TicketSpent => "This observation was used, has expired, or never was. Ask for a new one.",
        PriceStale => "There is no fresh price. Observations stay unused; try again later.",
        IdempotencyMismatch => {
            "This Idempotency-Key was used with another body. Use a new key for a new request."
        }
        IdempotencyConflict => {
            "A request with this Idempotency-Key got there first. Send it again for its answer."
        }
        other => other.facts().about,
    }
}

impl fmt::Display for ApiError {
    /// For the log: the inner error of a 5xx, and the detail of every other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Unavailable(inside)
            | ApiError::OutcomeUnknown(inside)
            | ApiError::Internal(inside) => f.write_str(inside),
            other => f.write_str(&other.detail()),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind().facts().status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// A placeholder: the server replaces it by the problem, because only the server has the
    /// request.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        ApiError::Refused(refusal)
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> ApiError {
        match error {
            DbError::Refused(refusal) => ApiError::Refused(refusal),
            DbError::NotFound(what) => ApiError::not_found(format!("such {what}")),
            DbError::Conflict(Conflict::HandleTaken) => ApiError::Is(HandleTaken),
            // Two of the same bot at the same moment: the rules report all other cases.
            DbError::Conflict(Conflict::AlreadyIn) => ApiError::Is(AlreadyIn),
            DbError::Conflict(Conflict::MarketExists) => ApiError::Internal(error.to_string()),
            DbError::Conflict(Conflict::ObservationUsed) => ApiError::Is(TicketSpent),
            DbError::Conflict(Conflict::CredentialsSuperseded) => ApiError::SUPERSEDED,
            DbError::Conflict(Conflict::IdempotencyKey) => ApiError::Is(IdempotencyConflict),
            DbError::Unavailable(_)
            | DbError::Contended(_)
            | DbError::ReadOnly(_)
            | DbError::Conflict(Conflict::HouseBudget) => ApiError::Unavailable(error.to_string()),
            DbError::OutcomeUnknown(_) => ApiError::OutcomeUnknown(error.to_string()),
            DbError::Encoding(_)
            | DbError::Corrupt(_)
            | DbError::Aborted(_)
            | DbError::Unfinished
            | DbError::Query(_) => ApiError::Internal(error.to_string()),
        }
    }
}

impl From<CacheError> for ApiError {
    fn from(error: CacheError) -> ApiError {
        match error {
            CacheError::Unavailable(_)
            | CacheError::Timeout { .. }
            | CacheError::Credentials(_)
            | CacheError::WritesRefused(_)
            | CacheError::Refused(_) => ApiError::Unavailable(error.to_string()),
            CacheError::Url | CacheError::Certificate(_) | CacheError::Corrupt(_) => {
                ApiError::Internal(error.to_string())
            }
        }
    }
}
