//! A request with effects: its body is read, it is claimed for the caller, and then it is executed
//! once, in its own task.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use db::Connection;
use db::idempotency::Remember;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::app::App;
use crate::body::Body;
use crate::endpoint::Endpoint;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{Contents, Retry, hook, id_in, keeper, location};

/// The parts of such a request for a handler.
pub(crate) struct Call {
    pub(crate) req: HttpRequest,
    pub(crate) app: Data<App>,
    payload: Payload,
    /// None before it was read.
    body: Option<Body>,
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Ready<ApiResult<Call>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let app = req.app_data::<Data<App>>().cloned();
        let app = app.ok_or_else(|| ApiError::Internal("no application data".to_owned()));
        ready(app.map(|app| Call { req: req.clone(), app, payload: payload.take(), body: None }))
    }
}

impl Call {
    /// Reads the body.
    pub(crate) async fn body<T: DeserializeOwned>(&mut self) -> ApiResult<T> {
        let body = Body::read(&self.req, &mut self.payload).await?;
        self.body.insert(body).parse()
    }

    /// Reads a body that may be missing.
    pub(crate) async fn optional_body<T: DeserializeOwned + Default>(&mut self) -> ApiResult<T> {
        let body = Body::read_optional(&self.req, &mut self.payload).await?;
        self.body.insert(body).parse_or_default()
    }

    /// Claims the request for `asker`, on what its path names, if it may be repeated.
    pub(crate) fn claim(self, asker: &str, subject: impl fmt::Display) -> ApiResult<Claimed> {
        let Call { req, app, body, .. } = self;
        let endpoint = Endpoint::of(&req)?;
        let body = body_of_claim(&endpoint, body)?;
        let retry = app.retries.claim(&req, asker, subject, &body)?;
        Ok(Claimed {
            status: endpoint.status()?,
            collection: endpoint.collection(),
            req,
            app,
            retry,
        })
    }
}

/// The body that the claim covers. Without it, a request with another body would count as the same.
fn body_of_claim(endpoint: &Endpoint, read: Option<Body>) -> ApiResult<Body> {
    match read {
        None if endpoint.body.is_some() => {
            Err(ApiError::Internal("a request was claimed before its body was read".to_owned()))
        }
        read => Ok(read.unwrap_or_default()),
    }
}

/// A request that is ready to be carried out.
pub(crate) struct Claimed {
    pub(crate) req: HttpRequest,
    pub(crate) app: Data<App>,
    pub(crate) retry: Option<Retry>,
    status: StatusCode,
    collection: Option<&'static str>,
}

impl Claimed {
    /// Runs work with effects in its own task: a client that disconnects cannot stop it halfway and
    /// let a retry in.
    pub(crate) async fn finish<W, F>(self, work: W) -> ApiResult
    where
        W: FnOnce(Data<App>, Option<Arc<Retry>>) -> F + 'static,
        F: Future<Output = ApiResult> + 'static,
    {
        let Claimed { app, retry, .. } = self;
        let acting = async move {
            let retry = retry.map(Arc::new);
            let run = work(app.clone(), retry.clone());
            app.retries.once(retry.as_deref(), run).await
        };
        actix_web::rt::spawn(acting.in_current_span())
            .await
            .map_err(|error| ApiError::Internal(format!("a request ended early: {error}")))?
    }

    /// Does the `work` of one transaction, and answers with `shown` of its outcome: with the status
    /// of the endpoint's row, and as the transaction stores it for a retry.
    pub(crate) async fn once<T: 'static, A: Serialize + 'static>(
        self,
        shown: impl Fn(&T) -> A + Send + Sync + 'static,
        work: impl AsyncFnOnce(&App, &mut Connection, Option<&Remember<'_, T>>) -> ApiResult<T>
        + 'static,
    ) -> ApiResult {
        let (status, collection) = (self.status, self.collection);
        self.finish(move |app, retry| async move {
            let render = keeper(retry.as_deref(), status, &shown, |_| Contents::Plain);
            let hook = hook(retry.as_deref(), render.as_ref());
            let mut conn = app.database.get().await?;
            let done = work(&app, &mut conn, hook.as_ref()).await?;
            app.cache.wake_soon();
            let body = serde_json::to_vec(&shown(&done))
                .map_err(|error| ApiError::Internal(error.to_string()))?;
            let mut answer = HttpResponse::build(status);
            if let Some(collection) = collection {
                answer.insert_header((LOCATION, location(collection, id_in(&body)?)));
            }
            Ok(answer.content_type("application/json").body(body))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use api_types::ActionRequest;

    use super::*;
    use crate::endpoint::post;

    #[test]
    fn what_takes_a_body_is_not_claimed_before_that_was_read() {
        let row = || post("/", || async { "" });
        let takes = row().takes::<ActionRequest>();
        let may_take = row().may_take::<ActionRequest>();
        for row in [&takes, &may_take] {
            assert!(matches!(body_of_claim(row, None), Err(ApiError::Internal(_))));
            assert!(body_of_claim(row, Some(Body::default())).is_ok());
        }
        assert!(body_of_claim(&row(), None).is_ok());
    }
}
