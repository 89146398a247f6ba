//! A typed HTTP client of the arena, for agents.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use arena_client::api_types::{Action, ActionRequest};
//! use arena_client::{Client, ClientConfig, Credential};
//!
//! let config = ClientConfig::new("http://127.0.0.1:8000".parse()?);
//! let credential = Credential::ApiKey { handle: "momentum-mia".parse()?, api_key: "ldk_…".into() };
//! let bot = Client::new(config)?.with_credential(credential)?;
//! let observation = bot.observation().await?;
//! bot.act(&ActionRequest::new(observation.observation_id, Action::Wait)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/agent.rs` of the repository is a whole agent. [`Operator`] has operators' calls, and
//! [`Client::events`] returns live events.
//!
//! Tokens are fetched, kept and renewed here. A call is made up to three times, but only if that is safe: reads,
//! posts with an `Idempotency-Key` (with the same key and body), and calls refused by a rate limit. `Retry-After`
//! is kept to within [`ClientConfig::patience`]. Every answer is bounded in time and size; of a stream, each
//! event and each silence are. A secret is never in an error, a `Debug` text or a URL.
//!
//! This crate must never learn about Postgres, language models or personas.
#![warn(clippy::missing_errors_doc)]
#![warn(missing_docs)]

mod calls;
mod client;
mod error;
mod event_source;
mod key;
mod logins;
mod operator;
mod query;
mod token;
mod transport;

/// The types on the wire, so that an agent needs no other crate for them.
pub use api_types;
pub use client::{Client, Credential, Events};
pub use error::{ClientError, ProblemAnswer, SetupError};
pub use key::IdempotencyKey;
/// Money, ids, handles: the types of their fields.
pub use ledger_core;
pub use operator::Operator;
pub use query::{EventQuery, MarketQuery, PageQuery, PredictionQuery, StandingsQuery};
pub use transport::{ClientConfig, RESPONSE_BYTES_MAX};
