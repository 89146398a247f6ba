//! One line in the log for each relevant request, so that an operator can find a refused request by
//! the answer's `request_id`.
//!
//! A line has the pattern of the path and not the path, and neither query, header nor body: from
//! the request it contains only the method, and only a known one. An internal error is in the same
//! line.

use std::str::FromStr;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest};
use api_types::ProblemKind;
use daemon::config::Reader;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::error::Fault;
use crate::metrics;

/// One successful request in so many is logged, unless REQUEST_LOG_SAMPLE is set.
const SAMPLE: u64 = 100;

/// A request's id, for handlers that return it.
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    pub(crate) fn of(req: &HttpRequest) -> String {
        let known = req.extensions();
        known.get::<RequestId>().map_or_else(String::new, |id| id.0.clone())
    }
}

/// Which requests get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLog {
    /// Only internal failures.
    Off,
    /// Requests answered with 4xx or 5xx.
    Errors,
    /// These, and of the others one in so many.
    Sampled(u64),
    All,
}

impl FromStr for RequestLog {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<RequestLog, Self::Err> {
        Ok(match text {
            "off" => RequestLog::Off,
            "errors" => RequestLog::Errors,
            "sampled" => RequestLog::default(),
            "all" => RequestLog::All,
            _ => return Err("must be sampled, errors, all or off"),
        })
    }
}

impl Default for RequestLog {
    fn default() -> RequestLog {
        RequestLog::Sampled(SAMPLE)
    }
}

impl RequestLog {
    pub(crate) fn read(reader: &mut Reader<'_>) -> RequestLog {
        let one_in = reader.or_within("REQUEST_LOG_SAMPLE", SAMPLE, 1..=1_000_000);
        match reader.or("REQUEST_LOG", RequestLog::default()) {
            RequestLog::Sampled(_) => RequestLog::Sampled(one_in),
            other => other,
        }
    }

    fn takes(self, request: Uuid, status: StatusCode) -> bool {
        let failed = status.is_client_error() || status.is_server_error();
        match self {
            RequestLog::Off => false,
            RequestLog::Errors => failed,
            // Ids are random: the last digits of one are a die.
            RequestLog::Sampled(one_in) => failed || request.as_u64_pair().1.is_multiple_of(one_in),
            RequestLog::All => true,
        }
    }

    /// Logs the end of a request, if it is one that is logged.
    pub(crate) fn tell(self, request: Uuid, ended: &Ended<'_>) {
        if ended.fault.is_none() && !self.takes(request, ended.status) {
            return;
        }
        let method = metrics::known_method(ended.method);
        let route = ended.route.unwrap_or(metrics::UNMATCHED);
        let status = ended.status.as_u16();
        let problem = ended.problem.map(|kind| kind.facts().name);
        let milliseconds = u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX);
        macro_rules! line {
            ($level:ident $(, $error:ident)?) => {
                $level!(request.id = %request, method, route, status, problem, milliseconds $(, $error)?, "request")
            };
        }
        match &ended.fault {
            Some(Fault::Ours(error)) => line!(error, error),
            Some(Fault::Dependency(error)) => line!(warn, error),
            None => line!(info),
        }
    }
}

/// How a request ended.
pub(crate) struct Ended<'a> {
    pub(crate) method: &'a str,
    /// The pattern of the path; `None` where there is no such path.
    pub(crate) route: Option<&'a str>,
    pub(crate) status: StatusCode,
    pub(crate) problem: Option<ProblemKind>,
    pub(crate) fault: Option<Fault>,
    pub(crate) took: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_always_and_the_rest_in_proportion() {
        let sampled = RequestLog::Sampled(10);
        let (mut told, many) = (0, 10_000);
        for _ in 0..many {
            let request = Uuid::new_v4();
            for status in [StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE] {
                assert!(
                    sampled.takes(request, status) && RequestLog::Errors.takes(request, status)
                );
                assert!(!RequestLog::Off.takes(request, status));
            }
            assert!(RequestLog::All.takes(request, StatusCode::OK));
            assert!(!RequestLog::Errors.takes(request, StatusCode::OK));
            assert!(RequestLog::Sampled(1).takes(request, StatusCode::OK));
            told += u32::from(sampled.takes(request, StatusCode::CREATED));
        }
        assert!((many / 20..many / 5).contains(&told), "{told} of {many}");
    }
}
