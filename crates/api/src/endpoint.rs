//! An endpoint, declared once, beside its handler: method and path, permission, limit, idempotency,
//! and its part of the contract.
//!
//! Routes and their 405s, the class for limits, the required credential, the handling of an
//! `Idempotency-Key`, the accepted query parameters and the OpenAPI document all follow from its
//! row ([`crate::table`]).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::guard::{Any, Get, Head};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, HttpMessage, HttpRequest, Responder, Route, web};
use api_types::DryRun;
use api_types::ProblemKind::{self, *};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::auth::Who;
use crate::error::{ApiError, ApiResult};
use crate::limits::Class;
use crate::openapi::{Shapes, examples};

/// Whether a request that is repeated under its `Idempotency-Key` has its effects once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// It has no effects worth the name.
    Nothing,
    Answer,
    /// Its answer contains secrets: its key must be unguessable.
    Secrets,
}

/// A row of the table of endpoints.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) who: Who,
    pub(crate) parameters: Vec<&'static str>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    problems: Vec<ProblemKind>,
    pub(crate) class: Class,
    pub(crate) keeps: Keeps,
    /// Whether it supports `?dry_run=true`.
    pub(crate) can_be_dry: bool,
    /// Whether it answers under every host name.
    pub(crate) has_any_name: bool,
    /// HEAD is GET without the body, which the server omits automatically.
    pub(crate) answers_head: bool,
    /// The names of the query parameters among `parameters`.
    pub(crate) queries: Vec<String>,
    /// Adds what it takes and answers to the shapes of the contract.
    pub(crate) shapes: Vec<fn(&mut Shapes)>,
    handler: Arc<dyn Fn() -> Route + Send + Sync>,
}

pub(crate) struct Body {
    pub(crate) schema: Cow<'static, str>,
    pub(crate) required: bool,
    pub(crate) examples: Vec<(&'static str, Value)>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    pub(crate) media_type: &'static str,
    /// A component; none if the body is not JSON.
    pub(crate) schema: Option<Cow<'static, str>>,
    pub(crate) example: Option<Value>,
    pub(crate) links: Vec<(String, Value)>,
    pub(crate) has_location: bool,
    pub(crate) to: AnswersTo,
}

/// The runs of a request that an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswersTo {
    Real,
    /// Both, under the same status.
    Any,
    Dry,
}

impl Endpoint {
    pub(crate) fn new<F, Args>(method: Method, path: &'static str, handler: F) -> Endpoint
    where
        F: Handler<Args> + Send + Sync,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let is_get = method == Method::GET;
        Endpoint {
            class: Class::of(&method),
            method,
            path,
            id: "",
            tag: "",
            summary: "",
            description: "",
            who: Who::Anyone,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: vec![
                MalformedRequest,
                // A query parameter that the operation does not take.
                InvalidField,
                PayloadTooLarge,
                UriTooLong,
                TooManyRequests,
                HeadersTooLarge,
                UnknownHost,
                Unavailable,
            ],
            keeps: Keeps::Nothing,
            can_be_dry: false,
            has_any_name: false,
            answers_head: is_get,
            queries: Vec::new(),
            shapes: Vec::new(),
            handler: Arc::new(move || web::route().to(handler.clone())),
        }
    }

    /// Its name, heading and purpose in the contract.
    pub(crate) fn named(
        mut self,
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Endpoint {
        (self.id, self.tag, self.summary) = (id, tag, summary);
        self
    }

    /// Whether it is for programs; pages for people have no name in the contract.
    pub(crate) const fn is_in_contract(&self) -> bool {
        !self.id.is_empty()
    }

    /// The row by which this request is served.
    pub(crate) fn of(req: &HttpRequest) -> ApiResult<Arc<Endpoint>> {
        let known = req.extensions().get::<Arc<Endpoint>>().cloned();
        known.ok_or_else(|| ApiError::Internal("a request without an endpoint".to_owned()))
    }

    /// As it is mounted.
    pub(crate) fn route(&self) -> Route {
        let route = (self.handler)();
        match self.method {
            Method::GET if self.answers_head => route.guard(Any(Get()).or(Head())),
            _ => route.method(self.method.clone()),
        }
    }

    /// Whether it serves requests of this method.
    pub(crate) fn serves(&self, method: &Method) -> bool {
        *method == self.method || (self.answers_head && *method == Method::HEAD)
    }

    /// A request for `subject`, as idempotency keys are scoped to it: `POST /bots/7/revive`.
    pub(crate) fn on(&self, subject: &str) -> String {
        let path = match (self.path.split_once('{'), self.path.split_once('}')) {
            (Some((before, _)), Some((_, after))) => format!("{before}{subject}{after}"),
            _ => self.path.to_owned(),
        };
        format!("{} {path}", self.method)
    }

    /// The status of a successful answer to the real request.
    ///
    /// # Errors
    /// If the row does not declare exactly one such answer.
    pub(crate) fn status(&self) -> ApiResult<StatusCode> {
        let is_success = |answer: &&Answer| answer.to != AnswersTo::Dry && answer.status < 400;
        let mut successes = self.answers.iter().filter(is_success);
        let one = match (successes.next(), successes.next()) {
            (Some(one), None) => StatusCode::from_u16(one.status).ok(),
            _ => None,
        };
        one.ok_or_else(|| ApiError::Internal(format!("{} needs exactly one success", self.id)))
    }

    /// The collection of the new resource in its `Location`.
    pub(crate) fn collection(&self) -> Option<&'static str> {
        let has_location = self.answers.iter().any(|answer| answer.has_location);
        has_location.then_some(self.path)
    }

    /// The limits that count it, if they differ from its method's.
    pub(crate) fn counted(mut self, class: Class) -> Endpoint {
        self.class = class;
        self
    }

    /// Only for GET: HEAD would lose the created data.
    pub(crate) fn without_head(mut self) -> Endpoint {
        self.answers_head = false;
        self
    }

    pub(crate) fn about(mut self, description: &'static str) -> Endpoint {
        self.description = description;
        self
    }

    pub(crate) fn by(mut self, who: Who) -> Endpoint {
        self.who = who;
        if who == Who::Operator || who == Who::BotOrOperator {
            self.parameters.push("operatorName");
        }
        if who != Who::Anyone {
            self.problems.push(Unauthorized);
        }
        self
    }

    pub(crate) fn with(mut self, parameters: &[&'static str]) -> Endpoint {
        if parameters
            .iter()
            .any(|name| matches!(*name, "bot" | "market" | "evidence" | "problem" | "digest"))
        {
            self.problems.push(NotFound);
        }
        self.parameters.extend(parameters);
        self
    }

    /// A list of `T`, with its filters.
    pub(crate) fn listed<T: ToSchema>(mut self, filters: &[&'static str]) -> Endpoint {
        self.shapes.push(Shapes::add_page::<T>);
        self.with(filters)
            .with(&["limit", "cursor"])
            .answers_as(200, format!("{}Page", T::name()), "A page, newest first.")
            .such_as(examples::page(examples::of(&T::name())))
    }

    pub(crate) fn takes<T: ToSchema>(mut self) -> Endpoint {
        self.shapes.push(Shapes::add::<T>);
        self.body =
            Some(Body { schema: T::name(), required: true, examples: examples::sent(&T::name()) });
        self.problems.push(UnsupportedMediaType);
        self
    }

    pub(crate) fn may_take<T: ToSchema>(self) -> Endpoint {
        let mut row = self.takes::<T>();
        if let Some(body) = &mut row.body {
            body.required = false;
        }
        row
    }

    /// Repeated under an `Idempotency-Key`, it has its effects once.
    pub(crate) fn once(self) -> Endpoint {
        self.keeping(Keeps::Answer, "idempotencyKey")
    }

    /// The same for an answer with secrets, which requires an unguessable key.
    pub(crate) fn once_in_secret(self) -> Endpoint {
        self.keeping(Keeps::Secrets, "secretIdempotencyKey")
    }

    fn keeping(mut self, keeps: Keeps, parameter: &'static str) -> Endpoint {
        self.keeps = keeps;
        self.parameters.push(parameter);
        self.problems.extend([IdempotencyConflict, IdempotencyMismatch]);
        self
    }

    /// With `?dry_run=true` it only reports what would happen.
    pub(crate) fn tried(mut self) -> Endpoint {
        self.parameters.push("dryRun");
        self.can_be_dry = true;
        self
    }

    pub(crate) fn answers<T: ToSchema>(mut self, status: u16, about: &'static str) -> Endpoint {
        self.shapes.push(Shapes::add::<T>);
        self.answers_as(status, T::name(), about)
    }

    /// The same in a shape that no type of ours has.
    pub(crate) fn answers_as(
        self,
        status: u16,
        schema: impl Into<Cow<'static, str>>,
        about: &'static str,
    ) -> Endpoint {
        self.answering(status, about, "application/json", Some(schema.into()))
    }

    /// With another example than its shape has.
    pub(crate) fn such_as(self, example: Value) -> Endpoint {
        self.answered(|answer| answer.example = Some(example))
    }

    /// Changes the answer that was declared last.
    fn answered(mut self, change: impl FnOnce(&mut Answer)) -> Endpoint {
        if let Some(answer) = self.answers.last_mut() {
            change(answer);
        }
        self
    }

    fn answering(
        mut self,
        status: u16,
        about: &'static str,
        media_type: &'static str,
        schema: Option<Cow<'static, str>>,
    ) -> Endpoint {
        self.answers.push(Answer {
            status,
            about,
            media_type,
            example: schema.as_deref().and_then(examples::of),
            schema,
            links: Vec::new(),
            has_location: false,
            to: AnswersTo::Real,
        });
        self
    }

    /// A dry run is answered with 200, in addition to the real request's answers.
    pub(crate) fn told_dry(mut self) -> Endpoint {
        if !self.can_be_dry {
            return self;
        }
        match self.answers.iter_mut().find(|answer| answer.status == 200) {
            Some(answer) => {
                answer.to = AnswersTo::Any;
                self.shapes.push(Shapes::add::<DryRun>);
            }
            None => {
                self = self
                    .answers::<DryRun>(200, "The result of the real request.")
                    .answered(|answer| answer.to = AnswersTo::Dry);
            }
        }
        self
    }

    pub(crate) fn answers_text(self, media_type: &'static str, about: &'static str) -> Endpoint {
        self.answering(200, about, media_type, None)
    }

    /// Answers with another protocol.
    pub(crate) fn switches(self, about: &'static str) -> Endpoint {
        self.answering(101, about, "", None)
    }

    /// The schema of a body that is not plain text.
    pub(crate) fn shaped(self, schema: &'static str) -> Endpoint {
        self.answered(|answer| answer.schema = Some(schema.into()))
    }

    pub(crate) fn located(self) -> Endpoint {
        self.answered(|answer| answer.has_location = true)
    }

    /// Possible next operations, with the answered id as this parameter.
    pub(crate) fn then(self, parameter: &str, links: &[(&'static str, &'static str)]) -> Endpoint {
        let with = json!({ parameter: "$response.body#/id" });
        let links = links.iter().map(|(name, operation)| {
            let link = json!({ "operationId": operation, "parameters": with });
            ((*name).to_owned(), link)
        });
        self.answered(|answer| answer.links.extend(links))
    }

    pub(crate) fn refuses(mut self, problems: &[ProblemKind]) -> Endpoint {
        self.problems.extend(problems);
        self
    }

    /// Always answered: a probe must not be turned away.
    pub(crate) fn unlimited(mut self) -> Endpoint {
        self.class = Class::Free;
        self.problems.retain(|kind| *kind != TooManyRequests);
        self
    }

    /// Under every host name: balancers use their own.
    pub(crate) fn under_any_name(mut self) -> Endpoint {
        self.has_any_name = true;
        self.problems.retain(|kind| *kind != UnknownHost);
        self
    }

    pub(crate) fn touches_nothing(mut self) -> Endpoint {
        self.problems.retain(|kind| *kind != Unavailable);
        self
    }

    pub(crate) fn problems_by_status(&self) -> BTreeMap<u16, Vec<ProblemKind>> {
        let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
        for kind in ProblemKind::ALL.into_iter().filter(|kind| self.problems.contains(kind)) {
            by_status.entry(kind.facts().status).or_default().push(kind);
        }
        by_status
    }
}

pub(crate) fn get<F, Args>(path: &'static str, handler: F) -> Endpoint
where
    F: Handler<Args> + Send + Sync,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Endpoint::new(Method::GET, path, handler)
}

pub(crate) fn post<F, Args>(path: &'static str, handler: F) -> Endpoint
where
    F: Handler<Args> + Send + Sync,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Endpoint::new(Method::POST, path, handler)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_row_of_the_contract_has_one_success() {
        for row in crate::routes::endpoints().iter().filter(|row| row.is_in_contract()) {
            let status = row.status().unwrap();
            assert!(row.answers.iter().any(|answer| answer.status == status.as_u16()));
        }
    }

    #[test]
    fn the_success_does_not_follow_from_the_order_of_answers() {
        let row = || post("/", || async { "" }).named("act", "agents", "");
        let text = |row: Endpoint, status| row.answers_as(status, "Text", "");
        let made = text(text(row().tried(), 503), 201).told_dry();
        assert_eq!(made.status().unwrap(), StatusCode::CREATED);
        let done = text(text(row().tried(), 200), 503).told_dry();
        assert_eq!(done.status().unwrap(), StatusCode::OK);
        row().status().unwrap_err();
        text(text(row(), 200), 201).status().unwrap_err();
    }
}
