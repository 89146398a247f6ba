//! Problems: errors as RFC 9457 `application/problem+json`. `type` is the path of a page about the
//! problem, below `/problems/`. Programs should match on it: see [`Problem::kind`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";
const PATH: &str = "/problems/";

/// The body of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// The type of the problem: the path of a page about it. Programs match on this.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The problem in a few words, constant for its type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong in this request, and what to do next.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// Quote this to the operator: the log contains it.
    pub request_id: String,
    /// More about this kind of problem: `field`, `limit`, `balance`, …
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Problem {
    /// The kind of this problem; `None` if this build does not have it.
    pub fn kind(&self) -> Option<ProblemKind> {
        ProblemKind::from_name(self.problem_type.strip_prefix(PATH)?)
    }

    /// The wrong field of the request, if any.
    pub fn field(&self) -> Option<&str> {
        self.extra.get("field")?.as_str()
    }
}

/// The constant part of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemFacts {
    pub status: u16,
    /// The last part of its `type`.
    pub name: &'static str,
    pub title: &'static str,
    /// When it happens and what to do: the text of its page.
    pub about: &'static str,
}

/// Declares every problem: status, kind, the last part of its `type`, title, and the text of its page.
macro_rules! problems {
    ($($status:literal $kind:ident $name:literal, $title:literal: $about:literal;)+) => {
        /// Every problem there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($kind),+
        }

        impl ProblemKind {
            pub const ALL: [ProblemKind; [$($status),+].len()] = [$(ProblemKind::$kind),+];

            pub const fn facts(self) -> ProblemFacts {
                match self {
                    $(ProblemKind::$kind => ProblemFacts {
                        status: $status,
                        name: $name,
                        title: $title,
                        about: $about,
                    }),+
                }
            }
        }
    };
}

problems! {
    400 MalformedRequest "malformed-request", "The request cannot be read":
        "The body is not JSON, or a header cannot be read. Correct the request; the same request would fail \
         again.";
    401 Unauthorized "unauthorized", "Credentials are missing or wrong":
        "Bots send `Authorization: Bearer <token>` (from POST /auth/token, valid for 30 minutes) or \
         `X-Agent-Secret: <api_secret>`. Operators send `Authorization: Bearer <ADMIN_TOKEN>`. An expired \
         token gets the same answer as a wrong one: request a new one.";
    402 InsufficientFunds "insufficient-funds", "The balance does not cover the stake":
        "Nothing was written, and the observation is used up. `balance` is the available amount.";
    403 RegistrationClosed "registration-closed", "Registration needs the registration token":
        "Outside development, registration needs the operator's `registration_token`.";
    403 ForeignOrigin "foreign-origin", "Pages of this origin may not connect":
        "The page that opened the WebSocket has another origin than the API. The operator can allow it in \
         CORS_ORIGINS.";
    403 Forbidden "forbidden", "These credentials may not do this":
        "The credentials are valid but have no permission for this: they belong to another bot, or they were \
         rotated and may not rotate again.";
    403 BotNotAlive "bot-not-alive", "The bot is not alive":
        "The bot is DEAD or RETIRED, so every economic action is refused. An operator can revive a dead bot, \
         but not a retired one.";
    403 ForeignTicket "foreign-ticket", "The observation belongs to another bot":
        "Only the bot that requested an observation can use it. It is still unused.";
    404 NotFound "not-found", "Not found":
        "There is no route, bot or page with this name.";
    405 MethodNotAllowed "method-not-allowed", "This path does not support the method":
        "The `Allow` header lists the supported methods.";
    409 HandleTaken "handle-taken", "The handle is taken":
        "Handles are unique, ignoring case. Choose another one.";
    409 TicketSpent "ticket-spent", "The observation is used up or has expired":
        "An observation is valid for one action and a few seconds. Request a new one from GET \
         /arena/observation.";
    409 LimitReached "limit-reached", "A limit is reached":
        "`limit` names it and `limit_value` is its value. Nothing was written; an observation is used up. Wait \
         until a position settles, or until the next tick or hour.";
    409 BotStatus "bot-status", "The bot's status does not allow this":
        "Only a dead bot can be revived, and only one that is not retired can be retired.";
    409 MarketClosed "market-closed", "The market no longer accepts this":
        "Bets are taken until half-way to the deadline, answers until the deadline, and only while the market \
         is OPEN. A settled market does not change. Nothing was written.";
    409 AlreadyIn "already-in", "One exists already":
        "A bot has one bet or one answer on a market, and a subject has one market at a time. Nothing was \
         written.";
    409 IdempotencyConflict "idempotency-conflict", "The same request is running":
        "Another request with this Idempotency-Key came first. Send the same request again in a moment to get \
         its answer.";
    410 PositionGone "position-gone", "The events after this position are no longer kept":
        "Events are kept for seven days. Read the lists, and reconnect without a position.";
    413 PayloadTooLarge "payload-too-large", "The body is too large":
        "A body may have at most 64 KiB.";
    414 UriTooLong "uri-too-long", "The URL is too long":
        "A path with its query may have at most 4 KiB.";
    415 UnsupportedMediaType "unsupported-media-type", "The body must be JSON":
        "Send `Content-Type: application/json`.";
    422 InvalidField "invalid-field", "A field is missing or wrong":
        "`field` names it and `detail` says what it must be. Nothing was written, and an observation stays \
         valid.";
    422 IdempotencyMismatch "idempotency-mismatch", "The Idempotency-Key was used with another body":
        "A key belongs to one request. Use a new key for a new request.";
    429 TooManyRequests "too-many-requests", "Too many requests":
        "Retry after `Retry-After` seconds.";
    421 UnknownHost "unknown-host", "This is not a host name of the arena":
        "The host of the request (in `Host`, or in its target) is not one of the arena's names. The arena \
         refuses it because a foreign web page could point its own name at the arena. Use a name or address of \
         the arena; its operator lists names in PUBLIC_HOSTS.";
    431 HeadersTooLarge "headers-too-large", "The headers are too large":
        "A request may have at most 64 headers of together 16 KiB.";
    500 Internal "internal", "Internal error of the server":
        "It was logged under `request_id`. Inform the operator; a retry with the same Idempotency-Key is \
         safe.";
    503 Unavailable "unavailable", "A part of the arena does not answer":
        "Retry after `Retry-After` seconds, with the same Idempotency-Key if the request has effects.";
    503 PriceStale "price-stale", "The arena is halted: there is no fresh price":
        "The oracle's sources have returned no recent price, so wagers are not possible. Observations stay \
         unused. Retry after `Retry-After` seconds.";
    503 ArenaPaused "arena-paused", "The arena is paused":
        "An operator paused the arena: no charges, no actions, no payouts. `reason` says why. Reads still \
         work; the pause is over when `paused` of `GET /economy` is null.";
    403 BotPaused "bot-paused", "The bot is paused":
        "An operator paused this bot: it cannot act and is not charged, but still receives payouts. `reason` \
         says why; the pause is over when `paused` of its profile is null.";
    403 MarketPaused "market-paused", "The market is paused":
        "An operator paused this market: it accepts no bets or answers and pays nothing. `reason` says why; \
         the pause is over when `paused` of the market is null.";
    503 HouseBudget "house-budget", "The house accepts no more wagers this hour":
        "The house's hourly budget for price predictions is reserved or paid out. Nothing was written, and the \
         observation is used up. Wagers open again at `opens_at` at the earliest, in `Retry-After` seconds. \
         Smaller stakes may fit earlier.";
}

impl ProblemKind {
    pub fn from_name(name: &str) -> Option<ProblemKind> {
        ProblemKind::ALL.into_iter().find(|kind| kind.facts().name == name)
    }

    /// The `type` of the problem.
    pub fn path(self) -> String {
        format!("{PATH}{}", self.facts().name)
    }
}
