//! The table of endpoints: finds the row of each request ([`crate::endpoint`]).

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::web::{ServiceConfig, resource, to};
use api_types::DRY_RUN;

use crate::cursor::Parameters;
use crate::endpoint::Endpoint;
use crate::error::{ApiError, ApiResult};
use crate::limits::Class;
use crate::openapi;

/// The endpoints by their paths. A literal comes before a name in the order of paths (`/bots/me` before
/// `/bots/{bot}`), as routes must.
pub(crate) struct Table(BTreeMap<&'static str, Vec<Arc<Endpoint>>>);

/// A request's method and path.
pub(crate) struct Target {
    /// The pattern of its path.
    pub(crate) pattern: Option<String>,
    pub(crate) class: Class,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
}

impl Table {
    pub(crate) fn new(rows: Vec<Endpoint>) -> Table {
        let mut by_path: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for mut row in rows {
            row.queries = openapi::queries(&row);
            by_path.entry(row.path).or_default().push(Arc::new(row));
        }
        Table(by_path)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.values().flatten().map(Arc::as_ref)
    }

    /// Mounts every endpoint. A path that is not in the table is a 404, a method that it does not
    /// have a 405.
    pub(crate) fn mount(&self, config: &mut ServiceConfig) {
        for (path, rows) in &self.0 {
            let mut allow = Vec::new();
            for row in rows {
                allow.push(row.method.as_str());
                if row.serves(&Method::HEAD) {
                    allow.push("HEAD");
                }
            }
            let allow = allow.join(", ");
            let refuse = move || {
                let allow = allow.clone();
                ready(ApiResult::<HttpResponse>::Err(ApiError::MethodNotAllowed(allow)))
            };
            let mounted = resource(*path).default_service(to(refuse));
            config.service(rows.iter().fold(mounted, |path, row| path.route(row.route())));
        }
        config.default_service(to(|| {
            ready(ApiResult::<HttpResponse>::Err(ApiError::not_found("such path")))
        }));
    }

    /// By the decoded path, as routes are matched: `/auth/%74oken` is a login, too.
    pub(crate) fn target(&self, req: &ServiceRequest) -> Target {
        let pattern = req.resource_map().match_pattern(req.match_info().as_str());
        let rows = pattern.as_deref().and_then(|pattern| self.0.get(pattern));
        let rows = rows.map_or(&[][..], Vec::as_slice);
        Target {
            class: match class(rows, req.method()) {
                // A dry run leaves its observation unused, so nothing else counts it.
                Class::Action if req.query_string().contains(DRY_RUN) => Class::Write,
                class => class,
            },
            endpoint: rows.iter().find(|row| row.serves(req.method())).cloned(),
            pattern,
        }
    }
}

/// All reads are counted like GET.
fn class(rows: &[Arc<Endpoint>], method: &Method) -> Class {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let method = if reads { &Method::GET } else { method };
    let row = rows.iter().find(|row| row.method == *method);
    row.map_or_else(|| Class::of(method), |row| row.class)
}

/// Refuses a query parameter that its endpoint does not take or that cannot be read: if it were ignored, the
/// client would get the answer to another request. Pages for people accept parameters that foreign links append.
pub(crate) fn takes_query(endpoint: &Endpoint, req: &ServiceRequest) -> ApiResult<()> {
    if req.query_string().is_empty() || !endpoint.is_in_contract() {
        return Ok(());
    }
    let given = Parameters::of(req.request())?;
    let taken = &endpoint.queries;
    let Some(unknown) = given.names().find(|name| !taken.iter().any(|one| one == name)) else {
        return Ok(());
    };
    let taken = match taken.as_slice() {
        [] => "takes none".to_owned(),
        taken => format!("takes `{}`", taken.join("`, `")),
    };
    let (method, path) = (&endpoint.method, endpoint.path);
    let rule = format!("is no query parameter of {method} {path}, which {taken}; nothing was done");
    Err(ApiError::invalid(unknown, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_no_read_is_refused_when_nobody_can_count() {
        let table = Table::new(crate::routes::endpoints());
        for (method, path, expected) in [
            (Method::GET, "/health", Class::Free),
            (Method::GET, "/ready", Class::Local),
            (Method::GET, "/docs", Class::Local),
            (Method::GET, "/docs/{file:.*}", Class::Local),
            (Method::HEAD, "/problems/{name}", Class::Local),
            (Method::GET, "/bots", Class::Read),
            (Method::GET, "/arena/observation", Class::Write),
            (Method::POST, "/arena/action", Class::Action),
            (Method::POST, "/auth/token", Class::Login),
            (Method::POST, "/bots/{bot}/keys", Class::Login),
            (Method::POST, "/bots", Class::Registration),
            (Method::POST, "/markets/bets", Class::Write),
            (Method::DELETE, "/bots/{bot}", Class::Write),
            (Method::POST, "/docs", Class::Write),
            (Method::POST, "/health", Class::Write),
            (Method::POST, "/no/such/path", Class::Write),
            (Method::GET, "/no/such/path", Class::Read),
        ] {
            let rows = table.0.get(path).map_or(&[][..], Vec::as_slice);
            assert_eq!(class(rows, &method), expected, "{method} {path}");
        }
    }
}
