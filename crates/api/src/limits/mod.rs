//! Rate limits of clients, and what happens if Redis cannot count.
//!
//! Before its handler runs, each request is counted in Redis under its address, its credential and,
//! where it costs a password's hash, its kind: one script counts all of them or none
//! ([`cache::limits::rate`]). Only this process counts an action: the observation that it needs was
//! counted in Redis, and one more query would cost a tenth of the wagers' throughput. While Redis
//! cannot count, this process counts reads under the same rates. Requests that move money, log in
//! or create an observation are refused with 503, because they could not be counted and most of
//! them could not be done.
//!
//! Answers show a client's state by `RateLimit-Policy` and `RateLimit` as in
//! draft-ietf-httpapi-ratelimit-headers-10: the policies that counted this request, and what is
//! left under the tightest (`r` more requests, all of its quota again in `t` seconds).

mod local;
mod redis;
mod settings;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};
use cache::Cache;
use cache::limits::rate::{Rate, Use, Verdict};
use local::LocalLimits;
use redis::SharedRedis;
pub use settings::ClientLimits;

use crate::address::{Client, Proxies, counted_as};
use crate::auth::Auth;
use crate::error::ApiError;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Lines in the log, a minute and address, about requests that no limit counts: those for another host, and
/// those that cannot be read.
const UNCOUNTED_LINES_PER_MINUTE: u32 = 60;

/// Counts requests.
pub(crate) struct Limiter {
    limits: ClientLimits,
    proxies: Proxies,
    redis: SharedRedis,
    local: LocalLimits,
}

/// How a request is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Costs nothing, and must always be answered.
    Free,
    /// Answered out of this process, or about Redis itself: counted here.
    Local,
    Read,
    /// Needs an observation, whose request was counted in Redis: counted here, because a wager must
    /// not wait for Redis twice.
    Action,
    /// Everything that is not safe without counting.
    Write,
    Login,
    Registration,
}

impl Class {
    /// The default of a method; endpoints may override it.
    pub(crate) fn of(method: &Method) -> Class {
        match *method {
            Method::GET => Class::Read,
            _ => Class::Write,
        }
    }
}

/// Where a client stands, for its answer's headers.
#[derive(Default)]
pub(crate) struct Allowance {
    policies: String,
    now: String,
}

impl Allowance {
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for (name, text) in [(RATE_LIMIT_POLICY, &self.policies), (RATE_LIMIT, &self.now)] {
            if let Ok(value) = HeaderValue::from_str(text)
                && !text.is_empty()
            {
                headers.insert(name, value);
            }
        }
    }

    fn of(counted: &[Counted], verdict: Verdict) -> Allowance {
        let (at, remaining, until) = match verdict {
            Verdict::Admitted { tightest, remaining, reset } => (tightest, remaining, reset),
            Verdict::Refused { by, retry_after } => (by, 0, retry_after),
        };
        let policy = |it: &Counted| {
            let (quota, window) = (it.rate.burst(), seconds(it.rate.window()));
            format!("\"{}\";q={quota};w={window}", it.policy)
        };
        let policies: Vec<_> = counted.iter().map(policy).collect();
        let name = counted.get(at).map_or("", |it| it.policy);
        Allowance {
            policies: policies.join(", "),
            now: format!("\"{name}\";r={remaining};t={}", seconds(until)),
        }
    }
}

/// A refusal with the headers of its answer.
pub(crate) struct OverLimit {
    pub(crate) error: ApiError,
    pub(crate) allowance: Allowance,
}

impl OverLimit {
    /// The error for a handler's answer, whose headers get the limit.
    pub(crate) fn told(self, req: &HttpRequest) -> ApiError {
        req.extensions_mut().insert(self.allowance);
        self.error
    }
}

/// One policy that counts a request.
struct Counted {
    policy: &'static str,
    name: String,
    rate: Rate,
}

impl Limiter {
    pub(crate) fn new(limits: &ClientLimits, proxies: &Proxies, cache: &Cache) -> Limiter {
        Limiter {
            limits: limits.clone(),
            proxies: proxies.clone(),
            redis: SharedRedis::new(cache),
            local: LocalLimits::new(),
        }
    }

    /// Whether Redis failed lately and has not answered since.
    pub(crate) fn is_alone(&self) -> bool {
        self.redis.is_down()
    }

    /// Finds the caller's class, and whether the request is within its limits.
    pub(crate) async fn pass(
        &self,
        req: &ServiceRequest,
        class: Class,
        auth: &Auth,
    ) -> Result<Allowance, OverLimit> {
        let Some(peer) = req.peer_addr() else {
            return Ok(Allowance::default());
        };
        let address = self.proxies.client(peer.ip(), req.headers());
        req.extensions_mut().insert(Client(address));
        let counted = self.counted(class, address, req, auth);
        if counted.is_empty() {
            return Ok(Allowance::default());
        }
        let here = || {
            let uses: Vec<_> = counted.iter().map(Counted::once).collect();
            self.local.admit(&uses)
        };
        let verdict = match class {
            Class::Local => here(),
            Class::Action if self.is_alone() => return Err(unavailable()),
            Class::Action => here(),
            _ => match self.redis.admit(&counted).await {
                Some(verdict) => Some(verdict),
                None if class == Class::Read => here(),
                None => return Err(unavailable()),
            },
        };
        judge(&counted, verdict)
    }

    /// Counts a login for a bot, which has one name here. Also by address: if all logins of a bot
    /// had one count, any client could lock it out.
    pub(crate) async fn login(
        &self,
        address: Option<IpAddr>,
        bot: &str,
    ) -> Result<Allowance, OverLimit> {
        let Some((rate, address)) = self.limits.logins_per_bot.zip(address) else {
            return Ok(Allowance::default());
        };
        let counted: Arc<[Counted]> = Arc::new([Counted {
            policy: "logins-per-bot",
            name: format!("login:{bot}:{}", counted_as(address)),
            rate,
        }]);
        let verdict = self.redis.admit(&counted).await.ok_or_else(unavailable)?;
        judge(&counted, Some(verdict))
    }

    /// Whether a request that is refused before it is counted gets its line in the log: so many of an address
    /// do, and the others none.
    pub(crate) fn is_worth_a_line(&self, req: &ServiceRequest) -> bool {
        let Some(peer) = req.peer_addr() else {
            return true;
        };
        let address = counted_as(self.proxies.client(peer.ip(), req.headers()));
        let name = format!("line:{address}");
        let line = Use {
            name: &name,
            rate: Rate::per_minute(UNCOUNTED_LINES_PER_MINUTE, UNCOUNTED_LINES_PER_MINUTE),
        };
        matches!(self.local.admit(&[line]), Some(Verdict::Admitted { .. }))
    }

    /// The policies that count this request.
    fn counted(
        &self,
        class: Class,
        address: IpAddr,
        req: &ServiceRequest,
        auth: &Auth,
    ) -> Arc<[Counted]> {
        if class == Class::Free {
            return Arc::default();
        }
        let address = counted_as(address);
        let credential = match class {
            Class::Local | Class::Login | Class::Registration => None,
            _ => self.limits.credential.and_then(|rate| {
                let whose = auth.counted_as(req)?;
                Some(("credential", whose, rate))
            }),
        };
        // Local counts of an outage must not stop agents afterwards.
        let line = match class {
            Class::Action => "action:",
            _ => "",
        };
        let own = match class {
            Class::Login => Some(("logins", self.limits.logins)),
            Class::Registration => Some(("registrations", self.limits.registrations)),
            _ => None,
        };
        let at_address = |policy: &'static str, rate: Option<Rate>| {
            rate.map(|rate| (policy, address.to_string(), rate))
        };
        at_address("address", self.limits.address)
            .into_iter()
            .chain(credential)
            .chain(own.and_then(|(policy, rate)| at_address(policy, rate)))
            .map(|(policy, whose, rate)| Counted {
                policy,
                name: format!("{line}{policy}:{whose}"),
                rate,
            })
            .collect()
    }
}

impl Counted {
    fn once(&self) -> Use<'_> {
        Use { name: &self.name, rate: self.rate }
    }
}

fn judge(counted: &[Counted], verdict: Option<Verdict>) -> Result<Allowance, OverLimit> {
    let Some(verdict) = verdict else {
        return Ok(Allowance::default());
    };
    let allowance = Allowance::of(counted, verdict);
    let Verdict::Refused { by, retry_after } = verdict else {
        return Ok(allowance);
    };
    let detail = match counted.get(by).map_or("", |it| it.policy) {
        "credential" => "This bot sends too many requests. Wait for the time in Retry-After.",
        "logins" => "Too many logins from this address. Keep a token: it lasts 30 minutes.",
        "logins-per-bot" => "Too many logins of this bot. Keep a token: it lasts 30 minutes.",
        "registrations" => "Too many registrations from this address.",
        _ => "This address sends too many requests. Wait for the time in Retry-After.",
    };
    let error = ApiError::TooManyRequests { detail, retry_after_seconds: seconds(retry_after) };
    Err(OverLimit { error, allowance })
}

fn unavailable() -> OverLimit {
    OverLimit {
        error: ApiError::Unavailable("Redis cannot count this request".to_owned()),
        allowance: Allowance::default(),
    }
}

/// Whole seconds, rounded up and at least one: a retry after that succeeds.
fn seconds(time: Duration) -> u64 {
    let part = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(part).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
    }
}
