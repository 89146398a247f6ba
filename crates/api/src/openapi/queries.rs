//! Which query parameters each operation takes: those that the contract lists, and no other. Whoever asks
//! with one that is not read would believe an answer to another question.

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use serde_json::Value;

use super::{operations, parts};
use crate::cursor::Parameters;
use crate::error::ApiError;

/// By method and pattern of the path.
static TAKEN: LazyLock<HashMap<(&str, &str), Vec<String>>> = LazyLock::new(|| {
    let parameters = parts::parameters();
    let in_query = |name: &&str| {
        let Value::Object(parameter) = &parameters[*name] else {
            return None;
        };
        (parameter["in"] == "query").then(|| parameter["name"].as_str().map(str::to_owned))?
    };
    let operations = operations::all().into_iter().map(|operation| {
        let taken = operation.parameters.iter().filter_map(in_query).collect();
        ((operation.method, operation.path), taken)
    });
    operations.collect()
});

/// Refuses a request with a query parameter that its operation does not take, or that cannot be read.
/// Pages for people, which are not in the contract, take what links of others append to them.
pub(crate) fn takes_query(req: &ServiceRequest) -> Result<(), ApiError> {
    if req.query_string().is_empty() {
        return Ok(());
    }
    // By the decoded path, as routes are matched.
    let Some(pattern) = req.resource_map().match_pattern(req.match_info().as_str()) else {
        return Ok(());
    };
    let method = match *req.method() {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    let name = method.as_str().to_ascii_lowercase();
    let Some(taken) = TAKEN.get(&(name.as_str(), pattern.as_str())) else {
        return Ok(());
    };
    let given = Parameters::of(req.request())?;
    match given
        .names()
        .find(|name| !taken.iter().any(|one| one == name))
    {
        None => Ok(()),
        Some(unknown) => Err(ApiError::invalid(unknown, rule(&method, &pattern, taken))),
    }
}

fn rule(method: &Method, pattern: &str, taken: &[String]) -> String {
    let taken = match taken {
        [] => "takes none".to_owned(),
        taken => format!("takes `{}`", taken.join("`, `")),
    };
    format!("is no query parameter of {method} {pattern}, which {taken}; nothing was done")
}
