//! Everything that can go wrong with a request, and what is answered.
//!
//! [`ApiError::kind`] is the one place that decides between problem types; status, type and title
//! follow from it. What a 5xx keeps inside is for the log alone.

use std::fmt;

use actix_cors::CorsError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use api_types::{FieldProblem, PROBLEM_CONTENT_TYPE, Problem, ProblemKind};
use cache::CacheError;
use db::DbError;
use db::error::Conflict;
use ledger_core::Refusal;
use serde_json::{Map, Value, json};

use crate::clock;

pub(crate) type ApiResult<T = HttpResponse> = Result<T, ApiError>;

#[derive(Debug)]
pub(crate) enum ApiError {
    /// The request cannot be read at all.
    MalformedRequest {
        detail: String,
    },
    /// Well-formed, and a field is wrong. `problem` continues the sentence the field begins.
    InvalidField {
        field: String,
        problem: String,
    },
    UnsupportedMediaType,
    PayloadTooLarge,
    UriTooLong,
    /// It asks for a host that this is not.
    UnknownHost,
    HeadersTooLarge,
    Unauthorized {
        detail: &'static str,
    },
    RegistrationClosed,
    /// A page of somebody else's asked, in a browser.
    ForeignOrigin,
    /// Proven, and not allowed.
    Forbidden {
        detail: &'static str,
    },
    /// The credentials that were to be rotated are not the bot's present ones.
    CredentialsSuperseded,
    NotFound {
        what: String,
    },
    MethodNotAllowed {
        allow: &'static str,
    },
    /// A rule said no.
    Refused(Refusal),
    /// A rule said no to what this field asks for.
    RefusedField {
        field: String,
        refusal: Refusal,
    },
    HandleTaken,
    AlreadyIn,
    ForeignTicket,
    TicketSpent,
    /// No fresh price: the arena is halted.
    PriceStale,
    IdempotencyMismatch,
    /// What came after this place in the event log is forgotten.
    PositionGone,
    IdempotencyConflict,
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

/// What went wrong on our side, for the log alone.
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
/// How long an operator takes nobody knows; asking twice a minute costs nothing.
const PAUSE_RETRY_AFTER_SECONDS: u64 = 30;

impl ApiError {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> ApiError {
        ApiError::InvalidField {
            field: field.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn missing(field: &str) -> ApiError {
        ApiError::invalid(field, "is required")
    }

    pub(crate) fn not_found(what: impl Into<String>) -> ApiError {
        ApiError::NotFound { what: what.into() }
    }

    /// A bad field within the object `parent`.
    pub(crate) fn within(parent: &str, FieldProblem { field, problem }: FieldProblem) -> ApiError {
        ApiError::invalid(format!("{parent}.{field}"), problem)
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        match self {
            ApiError::MalformedRequest { .. } => ProblemKind::MalformedRequest,
            ApiError::InvalidField { .. } => ProblemKind::InvalidField,
            ApiError::UnsupportedMediaType => ProblemKind::UnsupportedMediaType,
            ApiError::PayloadTooLarge => ProblemKind::PayloadTooLarge,
            ApiError::UriTooLong => ProblemKind::UriTooLong,
            ApiError::UnknownHost => ProblemKind::UnknownHost,
            ApiError::HeadersTooLarge => ProblemKind::HeadersTooLarge,
            ApiError::Unauthorized { .. } => ProblemKind::Unauthorized,
            ApiError::RegistrationClosed => ProblemKind::RegistrationClosed,
            ApiError::ForeignOrigin => ProblemKind::ForeignOrigin,
            ApiError::Forbidden { .. } | ApiError::CredentialsSuperseded => ProblemKind::Forbidden,
            ApiError::PositionGone => ProblemKind::PositionGone,
            ApiError::NotFound { .. } => ProblemKind::NotFound,
            ApiError::MethodNotAllowed { .. } => ProblemKind::MethodNotAllowed,
            ApiError::Refused(refusal) | ApiError::RefusedField { refusal, .. } => match refusal {
                Refusal::NotAlive { .. } => ProblemKind::BotNotAlive,
                Refusal::ArenaPaused { .. } => ProblemKind::ArenaPaused,
                Refusal::BotPaused { .. } => ProblemKind::BotPaused,
                Refusal::MarketPaused { .. } => ProblemKind::MarketPaused,
                Refusal::HouseBudget { .. } => ProblemKind::HouseBudget,
                Refusal::InsufficientFunds { .. } | Refusal::AnswerUnaffordable { .. } => {
                    ProblemKind::InsufficientFunds
                }
                Refusal::TooManyOpenPredictions { .. }
                | Refusal::OpenStakeLimit { .. }
                | Refusal::PoolLimit { .. }
                | Refusal::AnsweredThisTick
                | Refusal::BountyBudget { .. }
                | Refusal::BoardFull { .. } => ProblemKind::LimitReached,
                Refusal::NotDead { .. } | Refusal::Retired => ProblemKind::BotStatus,
                Refusal::NoSuchMarket { .. } => ProblemKind::NotFound,
                Refusal::MarketNotOpen { .. }
                | Refusal::BetsClosed { .. }
                | Refusal::MarketSettled { .. } => ProblemKind::MarketClosed,
                Refusal::AlreadyIn { .. } | Refusal::SubjectTaken { .. } => ProblemKind::AlreadyIn,
                Refusal::ReviveAmount { .. }
                | Refusal::WrongKind { .. }
                | Refusal::Deadline { .. }
                | Refusal::Overflow => ProblemKind::InvalidField,
            },
            ApiError::HandleTaken => ProblemKind::HandleTaken,
            ApiError::AlreadyIn => ProblemKind::AlreadyIn,
            ApiError::ForeignTicket => ProblemKind::ForeignTicket,
            ApiError::TicketSpent => ProblemKind::TicketSpent,
            ApiError::PriceStale => ProblemKind::PriceStale,
            ApiError::IdempotencyMismatch => ProblemKind::IdempotencyMismatch,
            ApiError::IdempotencyConflict => ProblemKind::IdempotencyConflict,
            ApiError::TooManyRequests { .. } => ProblemKind::TooManyRequests,
            ApiError::Unavailable(_) | ApiError::TimedOut | ApiError::OutcomeUnknown(_) => {
                ProblemKind::Unavailable
            }
            ApiError::Internal(_) => ProblemKind::Internal,
        }
    }

    /// What the log says beside the kind. Of an error that is the asker's it says no more: that would
    /// repeat what was sent.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            ApiError::Internal(_) => Some(Fault::Ours(self.to_string())),
            ApiError::Unavailable(_) | ApiError::TimedOut | ApiError::OutcomeUnknown(_) => {
                Some(Fault::Dependency(self.to_string()))
            }
            _ => None,
        }
    }

    /// What is told to whoever asked: what went wrong this time, and what to do next.
    fn detail(&self) -> String {
        let fixed = match self {
            ApiError::MalformedRequest { detail } => return detail.clone(),
            ApiError::InvalidField { field, problem } => return format!("`{field}` {problem}."),
            ApiError::NotFound { what } => return format!("There is no {what}."),
            ApiError::Refused(refusal) | ApiError::RefusedField { refusal, .. } => {
                return sentence(refusal);
            }
            ApiError::Unauthorized { detail }
            | ApiError::Forbidden { detail }
            | ApiError::TooManyRequests { detail, .. } => detail,
            ApiError::CredentialsSuperseded => {
                "These credentials were rotated away. Rotate with the present ones."
            }
            ApiError::UnsupportedMediaType => "Send the body with Content-Type: application/json.",
            ApiError::PayloadTooLarge => "The body has more than 64 KiB.",
            ApiError::UriTooLong => "The path and its query have more than 4 KiB.",
            ApiError::UnknownHost => {
                "This arena does not go by the host that the request names. Operators list its names in \
                 PUBLIC_HOSTS."
            }
            ApiError::HeadersTooLarge => "There are more than 64 headers, or more than 16 KiB.",
            ApiError::RegistrationClosed => {
                "Send the registration token that the operator gave you as `registration_token`."
            }
            ApiError::ForeignOrigin => {
                "Pages of this origin may not connect. The operator can allow it."
            }
            ApiError::PositionGone => {
                "What came after this position is no longer kept. Read the lists, and begin without it."
            }
            ApiError::MethodNotAllowed { .. } => "See the Allow header for the methods there are.",
            ApiError::AlreadyIn => "This bot has its one bet or answer here already.",
            ApiError::HandleTaken => "This handle is taken, in this or another spelling of case.",
            ApiError::ForeignTicket => {
                "This observation was made for another bot. Ask for one of your own."
            }
            ApiError::TicketSpent => {
                "This observation was used, has expired, or never was. Ask for a new one."
            }
            ApiError::PriceStale => {
                "There is no fresh price. Tickets stay unused; try again later."
            }
            ApiError::IdempotencyMismatch => {
                "This Idempotency-Key was used with another body. Use a new key for a new request."
            }
            ApiError::IdempotencyConflict => {
                "A request with this Idempotency-Key got there first. Send it again for its answer."
            }
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

    /// What a program may want to know beyond the type.
    fn extra(&self) -> Map<String, Value> {
        let value = match self {
            ApiError::InvalidField { field, .. } => json!({ "field": field }),
            ApiError::TooManyRequests {
                retry_after_seconds,
                ..
            } => {
                json!({ "retry_after_seconds": retry_after_seconds })
            }
            ApiError::RefusedField { field, refusal } => {
                let mut members = numbers(refusal);
                members.insert("field".to_owned(), json!(field));
                return members;
            }
            ApiError::Refused(refusal) => return numbers(refusal),
            _ => return Map::new(),
        };
        match value {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            ApiError::Unauthorized { .. } => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"arena\""),
            )),
            ApiError::MethodNotAllowed { allow } => {
                Some((header::ALLOW, HeaderValue::from_static(allow)))
            }
            ApiError::TooManyRequests {
                retry_after_seconds,
                ..
            } => Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds))),
            ApiError::Unavailable(_) | ApiError::TimedOut | ApiError::OutcomeUnknown(_) => {
                Some((header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)))
            }
            ApiError::Refused(Refusal::ArenaPaused { .. })
            | ApiError::RefusedField {
                refusal: Refusal::ArenaPaused { .. },
                ..
            } => Some((
                header::RETRY_AFTER,
                HeaderValue::from(PAUSE_RETRY_AFTER_SECONDS),
            )),
            ApiError::Refused(Refusal::HouseBudget { opens_at, .. }) => Some((
                header::RETRY_AFTER,
                HeaderValue::from(opens_at.seconds_since(clock::now()).max(0) + 1),
            )),
            ApiError::PriceStale => Some((
                header::RETRY_AFTER,
                HeaderValue::from(PRICE_RETRY_AFTER_SECONDS),
            )),
            _ => None,
        }
    }

    /// What is told of it, to a request for `path` that is known as `request_id`.
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

    /// What a handler's or actix's own error means.
    pub(crate) fn foreign(error: &actix_web::Error) -> ApiError {
        if let Some(error) = error.as_error::<CorsError>() {
            return ApiError::MalformedRequest {
                detail: format!("No page of that origin may ask this: {error}."),
            };
        }
        match error.as_response_error().status_code() {
            StatusCode::NOT_FOUND => ApiError::not_found("such path"),
            status if status.is_client_error() => ApiError::MalformedRequest {
                detail: "The request cannot be read.".to_owned(),
            },
            _ => ApiError::Internal(error.to_string()),
        }
    }
}

/// The numbers that a refusal carries.
fn numbers(refusal: &Refusal) -> Map<String, Value> {
    let value = match refusal {
        Refusal::NotAlive { status } | Refusal::NotDead { status } => {
            json!({ "bot_status": status })
        }
        Refusal::ArenaPaused { pause } | Refusal::BotPaused { pause } => {
            json!({ "reason": pause.reason, "since": pause.since })
        }
        Refusal::MarketPaused { market, pause } => {
            json!({ "market_id": market, "reason": pause.reason, "since": pause.since })
        }
        Refusal::Retired => json!({ "bot_status": ledger_core::BotStatus::Retired }),
        Refusal::InsufficientFunds { stake, balance } => {
            json!({ "stake": stake.money(), "balance": balance })
        }
        Refusal::TooManyOpenPredictions { open, limit } => {
            json!({ "limit": "open_predictions_max", "limit_value": limit, "open": open })
        }
        Refusal::OpenStakeLimit { open, stake, limit } => json!({
            "limit": "open_stake_max",
            "limit_value": limit,
            "open": open,
            "stake": stake.money(),
        }),
        Refusal::ReviveAmount { .. } | Refusal::Overflow => json!({ "field": "amount" }),
        Refusal::HouseBudget { limit, opens_at } => json!({
            "limit": "house_loss_budget_per_hour",
            "limit_value": limit,
            "opens_at": opens_at,
        }),
        other => of_market(other),
    };
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// What a refusal that has to do with markets adds: the field at fault, and its numbers.
fn of_market(refusal: &Refusal) -> Value {
    match refusal {
        Refusal::AnswerUnaffordable { cost, balance } => {
            json!({ "field": "answer", "cost": cost, "balance": balance })
        }
        Refusal::PoolLimit { pool, stake, limit } => json!({
            "field": "stake",
            "limit": "pool_max",
            "limit_value": limit,
            "pool": pool,
            "stake": stake.money(),
        }),
        Refusal::AnsweredThisTick => {
            json!({ "field": "answer", "limit": "answers_per_tick", "limit_value": 1 })
        }
        Refusal::BountyBudget { spent, limit } => json!({
            "field": "bounty",
            "limit": "bounty_budget_per_hour",
            "limit_value": limit,
            "spent": spent,
        }),
        Refusal::BoardFull { places } => json!({ "limit": "places", "limit_value": places }),
        Refusal::NoSuchMarket { market } | Refusal::AlreadyIn { market } => {
            json!({ "field": "market_id", "market_id": market })
        }
        Refusal::MarketNotOpen { market, status } | Refusal::MarketSettled { market, status } => {
            json!({ "field": "market_id", "market_id": market, "market_status": status })
        }
        Refusal::BetsClosed { market, closed_at } => {
            json!({ "field": "market_id", "market_id": market, "closed_at": closed_at })
        }
        Refusal::WrongKind {
            market,
            source_kind,
            ..
        } => {
            json!({ "field": "market_id", "market_id": market, "source": source_kind })
        }
        Refusal::SubjectTaken { subject, until } => {
            json!({ "field": "criteria", "subject": subject, "until": until })
        }
        Refusal::Deadline { .. } => json!({ "field": "deadline" }),
        _ => Value::Null,
    }
}

/// A refusal with a capital letter and a full stop.
fn sentence(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    format!(
        "{}{}.",
        first.map(String::from).unwrap_or_default(),
        letters.as_str()
    )
}

impl fmt::Display for ApiError {
    /// For the log: what a 5xx keeps inside, and what everything else says anyway.
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

    /// A stand-in: the server puts the problem in its place, because only it knows the request.
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
            DbError::Conflict(Conflict::HandleTaken) => ApiError::HandleTaken,
            // Two of the same bot at the same moment: the rules tell all the others.
            DbError::Conflict(Conflict::AlreadyIn) => ApiError::AlreadyIn,
            DbError::Conflict(Conflict::MarketExists) => ApiError::Internal(error.to_string()),
            DbError::Conflict(Conflict::ObservationUsed) => ApiError::TicketSpent,
            DbError::Conflict(Conflict::CredentialsSuperseded) => ApiError::CredentialsSuperseded,
            DbError::Conflict(Conflict::IdempotencyKey) => ApiError::IdempotencyConflict,
            DbError::Unavailable(_)
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
