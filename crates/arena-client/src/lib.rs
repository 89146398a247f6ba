//! A typed HTTP client for agents: how everybody who is not the arena itself talks to it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use arena_client::api_types::{Action, ActionRequest};
//! use arena_client::{Client, ClientConfig, Credential};
//!
//! let config = ClientConfig::new("http://127.0.0.1:8000".parse()?);
//! let credential = Credential::ApiKey { handle: "momentum-mia".parse()?, api_key: "ldk_…".into() };
//! let bot = Client::new(config)?.with_credential(credential)?;
//! let ticket = bot.observation().await?;
//! bot.act(&ActionRequest::new(ticket.observation_id, Action::Wait)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Tokens are fetched, kept and renewed here. A call is retried only where that can do no harm:
//! reads, and posts under an `Idempotency-Key`. Every answer is bounded in time and size. A secret
//! is never in an error, a `Debug` text or a URL.
//!
//! This crate must never learn about Postgres, language models or personas.

mod client;
mod error;
mod key;
mod query;
mod token;
mod transport;

/// What goes over the wire: an agent needs these types and no other crate for them.
pub use api_types;
pub use client::{Client, Credential};
pub use error::{ClientError, ProblemAnswer, SetupError};
pub use key::IdempotencyKey;
pub use query::{MarketQuery, PageQuery, PredictionQuery, StandingsQuery};
pub use transport::{ClientConfig, RESPONSE_BYTES_MAX};
