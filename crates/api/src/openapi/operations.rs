//! Every operation: who may ask, what it takes, what it answers, what can go wrong.

mod table;

use std::collections::BTreeMap;

use api_types::ProblemKind::{self, *};
use serde_json::{Value, json};

use super::examples;
use super::parts::schema_ref;

pub(super) use table::all;

pub(super) const TAGS: [(&str, &str); 8] = [
    (
        "agents",
        "What an agent does: look, wager, answer for its costs.",
    ),
    (
        "markets",
        "Questions about the outside world, and bets on them.",
    ),
    ("bots", "Who is there, and how they come and go."),
    ("ledger", "Every unit, with all that its hash covers."),
    ("arena", "Figures in force, prices, standings, the feed."),
    ("streams", "The same as it happens."),
    (
        "operators",
        "What only the operator may do; each act leaves an audit row.",
    ),
    ("service", "Whether all is well, and what an error means."),
];

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    Bot,
    Operator,
    BotOrOperator,
    /// A credential is asked for in some arenas only.
    AnyoneOrBot,
    /// The token for metrics is asked for in some arenas only.
    AnyoneOrScraper,
}

pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) who: Who,
    pub(super) parameters: Vec<&'static str>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    problems: Vec<ProblemKind>,
    /// Whether it counts to a limit of requests.
    pub(super) is_limited: bool,
    can_be_dry: bool,
}

pub(super) struct Body {
    pub(super) schema: &'static str,
    pub(super) required: bool,
    pub(super) examples: Vec<(&'static str, Value)>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    media_type: &'static str,
    /// Of the components; none for what is no JSON.
    schema: Option<&'static str>,
    example: Option<Value>,
    pub(super) links: Vec<(String, Value)>,
    pub(super) has_location: bool,
    /// Whether a dry run is answered under the same status.
    or_dry_run: bool,
}

impl Answer {
    fn shape(&self) -> Value {
        match self.schema {
            // Any bytes: what strangers wrote may be JSON as well.
            None if self.media_type == "application/octet-stream" => json!({}),
            None => json!({ "type": "string" }),
            Some(name) if self.or_dry_run => {
                json!({ "oneOf": [schema_ref(name), schema_ref("DryRun")] })
            }
            Some(name) => schema_ref(name),
        }
    }

    pub(super) fn content(&self) -> Option<Value> {
        let mut media = json!({
            "schema": self.shape(),
        });
        if let (Some(example), Value::Object(members)) = (&self.example, &mut media) {
            members.insert("example".to_owned(), example.clone());
        }
        (!self.media_type.is_empty()).then(|| json!({ (self.media_type): media }))
    }
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Operation {
        Operation {
            method,
            path,
            id,
            tag,
            summary,
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
            is_limited: true,
            can_be_dry: false,
        }
    }

    fn about(mut self, description: &'static str) -> Operation {
        self.description = description;
        self
    }

    fn by(mut self, who: Who) -> Operation {
        self.who = who;
        if who == Who::Operator || who == Who::BotOrOperator {
            self.parameters.push("operatorName");
        }
        if who != Who::Anyone {
            self.problems.push(Unauthorized);
        }
        self
    }

    fn with(mut self, parameters: &[&'static str]) -> Operation {
        if parameters
            .iter()
            .any(|name| matches!(*name, "bot" | "market" | "evidence" | "problem" | "digest"))
        {
            self.problems.push(NotFound);
        }
        self.parameters.extend(parameters);
        self
    }

    /// A list of `schema`, with its filters.
    fn listed(self, schema: &'static str, filters: &[&'static str], item: Value) -> Operation {
        self.with(filters).with(&["limit", "cursor"]).answers(
            200,
            schema,
            "A page, newest first.",
            examples::page(item),
        )
    }

    fn takes(mut self, schema: &'static str, examples: Vec<(&'static str, Value)>) -> Operation {
        self.body = Some(Body {
            schema,
            required: true,
            examples,
        });
        self.problems.push(UnsupportedMediaType);
        self
    }

    fn may_take(mut self, schema: &'static str, examples: Vec<(&'static str, Value)>) -> Operation {
        self = self.takes(schema, examples);
        if let Some(body) = &mut self.body {
            body.required = false;
        }
        self
    }

    /// Repeated under an `Idempotency-Key`, it has its effects once.
    fn once(mut self) -> Operation {
        self.parameters.push("idempotencyKey");
        self.problems
            .extend([IdempotencyConflict, IdempotencyMismatch]);
        self
    }

    /// The same for an answer with secrets, which asks for a key that nobody guesses.
    fn once_in_secret(mut self) -> Operation {
        self = self.once();
        if let Some(key) = self.parameters.last_mut() {
            *key = "secretIdempotencyKey";
        }
        self
    }

    /// Whether it takes an `Idempotency-Key`.
    pub(super) fn is_kept(&self) -> bool {
        let is_key = |name: &&str| matches!(*name, "idempotencyKey" | "secretIdempotencyKey");
        self.parameters.iter().any(is_key)
    }

    /// With `?dry_run=true` it only says what would happen.
    fn tried(mut self) -> Operation {
        self.parameters.push("dryRun");
        self.can_be_dry = true;
        self
    }

    fn answers(
        mut self,
        status: u16,
        schema: &'static str,
        about: &'static str,
        example: Value,
    ) -> Operation {
        self.answers.push(Answer {
            status,
            about,
            media_type: "application/json",
            schema: Some(schema),
            example: Some(example),
            links: Vec::new(),
            has_location: false,
            or_dry_run: false,
        });
        self
    }

    /// A dry run is answered with 200, beside what the real request is answered with.
    fn told_dry(mut self) -> Operation {
        if !self.can_be_dry {
            return self;
        }
        match self.answers.iter_mut().find(|answer| answer.status == 200) {
            Some(answer) => answer.or_dry_run = true,
            None => {
                let about = "What a dry run would have done.";
                self = self.answers(200, "DryRun", about, examples::dry_run());
            }
        }
        self
    }

    fn answers_text(mut self, media_type: &'static str, about: &'static str) -> Operation {
        self.answers.push(Answer {
            status: 200,
            about,
            media_type,
            schema: None,
            example: None,
            links: Vec::new(),
            has_location: false,
            or_dry_run: false,
        });
        self
    }

    /// Answers with another protocol.
    fn switches(mut self, about: &'static str) -> Operation {
        self.answers.push(Answer {
            status: 101,
            about,
            media_type: "",
            schema: None,
            example: None,
            links: Vec::new(),
            has_location: false,
            or_dry_run: false,
        });
        self
    }

    /// The schema of what is no plain text after all.
    fn shaped(mut self, schema: &'static str) -> Operation {
        if let Some(answer) = self.answers.last_mut() {
            answer.schema = Some(schema);
        }
        self
    }

    fn located(mut self) -> Operation {
        if let Some(answer) = self.answers.last_mut() {
            answer.has_location = true;
        }
        self
    }

    /// What can be asked next, with what was answered.
    fn then(mut self, links: &[(&'static str, &'static str, Value)]) -> Operation {
        if let Some(answer) = self.answers.last_mut() {
            answer
                .links
                .extend(links.iter().map(|(name, operation, with)| {
                    (
                        (*name).to_owned(),
                        json!({ "operationId": operation, "parameters": with }),
                    )
                }));
        }
        self
    }

    fn refuses(mut self, problems: &[ProblemKind]) -> Operation {
        self.problems.extend(problems);
        self
    }

    /// Always answered: a probe must not be turned away.
    fn unlimited(mut self) -> Operation {
        self.is_limited = false;
        self.problems.retain(|kind| *kind != TooManyRequests);
        self
    }

    /// Whatever name it is asked by: balancers have their own.
    fn under_any_name(mut self) -> Operation {
        self.problems.retain(|kind| *kind != UnknownHost);
        self
    }

    fn touches_nothing(mut self) -> Operation {
        self.problems.retain(|kind| *kind != Unavailable);
        self
    }

    pub(super) fn problems_by_status(&self) -> BTreeMap<u16, Vec<ProblemKind>> {
        let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
        for kind in ProblemKind::ALL
            .into_iter()
            .filter(|kind| self.problems.contains(kind))
        {
            by_status.entry(kind.facts().status).or_default().push(kind);
        }
        by_status
    }
}

fn get(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new("get", path, id, tag, summary)
}

fn post(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new("post", path, id, tag, summary)
}
