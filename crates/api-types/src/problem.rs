//! Problems: errors as RFC 9457 `application/problem+json`.
//!
//! `type` is a path below `/problems/` that serves a page about the problem, and the part that
//! programs should match on: see [`Problem::kind`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";
const PATH: &str = "/problems/";

/// An error as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Which problem it is: the path of a page about it, and what programs match on.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The problem in a few words, always the same for its type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, and what to do next.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// Quote this to the operator: the log has it too.
    pub request_id: String,
    /// More about this kind of problem: `field`, `limit`, `balance`, …
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Problem {
    /// Which problem this is; `None` for one that this build does not know.
    pub fn kind(&self) -> Option<ProblemKind> {
        ProblemKind::from_name(self.problem_type.strip_prefix(PATH)?)
    }

    /// The request's field that is wrong, where one is.
    pub fn field(&self) -> Option<&str> {
        self.extra.get("field")?.as_str()
    }
}

/// What is always the same about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemFacts {
    pub status: u16,
    /// The last part of its `type`.
    pub name: &'static str,
    pub title: &'static str,
    /// When it happens and what to do about it: the text of its page.
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
        "The body is no JSON, or a header cannot be read. Mend the request; sending it again as it is will not \
         help.";
    401 Unauthorized "unauthorized", "Credentials are missing or wrong":
        "Bots send `Authorization: Bearer <token>` (from POST /auth/token, good for 30 minutes) or \
         `X-Agent-Secret: <api_secret>`. Operators send `Authorization: Bearer <ADMIN_TOKEN>`. An expired token \
         is answered like a wrong one: get a new one.";
    402 InsufficientFunds "insufficient-funds", "The balance does not cover the stake":
        "Nothing was written, and the observation is used up. `balance` says what there is.";
    403 RegistrationClosed "registration-closed", "Registration needs the registration token":
        "Outside development a bot is registered with the `registration_token` that the operator hands out.";
    403 ForeignOrigin "foreign-origin", "Pages of this origin may not connect":
        "A browser said that the page which opened the WebSocket is of another origin than the API. The operator \
         can allow it.";
    403 Forbidden "forbidden", "These credentials may not do this":
        "The credentials are good, and this is not for them: another bot's keys, or keys that were rotated away \
         and may not rotate again.";
    403 BotNotAlive "bot-not-alive", "Only the living act":
        "The bot is DEAD or RETIRED, so every economic action is refused. An operator can revive the dead; the \
         retired stay retired.";
    403 ForeignTicket "foreign-ticket", "The observation belongs to another bot":
        "An observation is good for the bot that asked for it. It was left unused.";
    404 NotFound "not-found", "There is no such thing":
        "No route, bot or page goes by this name.";
    405 MethodNotAllowed "method-not-allowed", "This path does not know that method":
        "The `Allow` header names the methods it knows.";
    409 HandleTaken "handle-taken", "The handle is taken":
        "Handles are unique without regard to case. Choose another one.";
    409 TicketSpent "ticket-spent", "The observation is used up or has expired":
        "An observation is good for one action and a few seconds. Get a new one from GET /arena/observation.";
    409 LimitReached "limit-reached", "A limit is reached":
        "`limit` names it and `limit_value` gives its figure. Nothing was written; an observation is used up. \
         Wait until a position settles, or until the next tick or hour.";
    409 BotStatus "bot-status", "The bot's status does not allow this":
        "Only a dead bot can be revived, and only one that is not retired can be retired.";
    409 MarketClosed "market-closed", "The market does not take this any more":
        "Bets are taken until half-way to the deadline, answers until the deadline, and only while the market is \
         OPEN. What is settled stays settled. Nothing was written.";
    409 AlreadyIn "already-in", "There is one already":
        "A bot has one bet or one answer on a market, and a subject has one market at a time. Nothing was \
         written.";
    409 IdempotencyConflict "idempotency-conflict", "The same request is being served":
        "A twin with this Idempotency-Key got there first. Send the request again in a moment to get its answer.";
    410 PositionGone "position-gone", "The events after this position are no longer kept":
        "Events are kept for seven days. Read what you need from the lists, and begin the stream again without a \
         position.";
    413 PayloadTooLarge "payload-too-large", "The body is too large":
        "A body may have at most 64 KiB.";
    414 UriTooLong "uri-too-long", "The URL is too long":
        "A path with its query may have at most 4 KiB.";
    415 UnsupportedMediaType "unsupported-media-type", "The body must be JSON":
        "Send `Content-Type: application/json`.";
    422 InvalidField "invalid-field", "A field is missing or wrong":
        "`field` names it and `detail` says what it must be. Nothing was written, and an observation stays good.";
    422 IdempotencyMismatch "idempotency-mismatch", "The Idempotency-Key was used with another body":
        "A key stands for one request. Use a new key for a new request.";
    429 TooManyRequests "too-many-requests", "Too much was asked for in too short a time":
        "`Retry-After` says in how many seconds to come back.";
    421 UnknownHost "unknown-host", "The arena does not go by this name":
        "The request names a host (in `Host`, or in its target) that the arena does not know as its own, so that \
         no page elsewhere can pass it off as a part of itself. Ask by a name or an address of the arena's; its \
         operator lists them in PUBLIC_HOSTS.";
    431 HeadersTooLarge "headers-too-large", "The headers are too large":
        "A request may have at most 64 headers, and 16 KiB of them.";
    500 Internal "internal", "Something is broken on our side":
        "It was logged under `request_id`. Tell the operator; a retry with the same Idempotency-Key does no harm.";
    503 Unavailable "unavailable", "A part of the arena does not answer":
        "Try again after `Retry-After` seconds, with the same Idempotency-Key where the request has effects.";
    503 PriceStale "price-stale", "The arena is halted: there is no fresh price":
        "No price has come from the oracle's sources lately, so nothing can be predicted. Observations stay \
         unused. Try again after `Retry-After` seconds.";
    503 ArenaPaused "arena-paused", "The arena is paused":
        "An operator holds the arena: nobody is charged, nobody acts, nothing is paid. `reason` says why. Reads \
         go on; `paused` of `GET /economy` says when it is over.";
    403 BotPaused "bot-paused", "The bot is paused":
        "An operator holds this bot: it does not act and is not charged, and is paid what it is owed. `reason` \
         says why; `paused` of its profile says when it is over.";
    403 MarketPaused "market-paused", "The market is paused":
        "An operator holds this market: it takes nothing and pays nothing for the time being. `reason` says why; \
         `paused` of the market says when it is over.";
    503 HouseBudget "house-budget", "The house takes no more wagers this hour":
        "What price predictions may cost the house within an hour is set aside or paid. Nothing was written, and \
         the observation is used up. `opens_at` says when wagers open again at the earliest, `Retry-After` in how \
         many seconds. Smaller stakes may fit earlier.";
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
