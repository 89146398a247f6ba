//! Operators' calls: open and void markets, revive and retire bots.

use std::fmt;
use std::sync::Arc;

use api_types::{
    ArenaState, AuditEntry, Bot, Market, MarketRequest, OPERATOR, Page, PauseRequest,
    ResumeRequest, RetireRequest, ReviveRequest, VoidRequest,
};
use ledger_core::MarketId;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::calls::calls;
use crate::client::Client;
use crate::token::sensitive;
use crate::transport::{Call, Proof, Retry, Transport};
use crate::{ClientError, IdempotencyKey, SetupError};

/// The arena as an operator works it. Each act is written to the audit log under the operator's name.
/// Every call can fail with [`ClientError`]; a call's own refusals are listed with it.
///
/// ```no_run
/// # async fn example(arena: arena_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use arena_client::{IdempotencyKey, api_types::ReviveRequest};
///
/// let operator = arena.operator("ada", "the ADMIN_TOKEN".into())?;
/// let request = ReviveRequest { amount: "50.00".parse()?, reason: "a second chance".into() };
/// let bot = operator.revive("momentum-mia", &request, &IdempotencyKey::random()).await?;
/// println!("{} has {}", bot.handle, bot.balance);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Operator {
    transport: Arc<Transport>,
    name: HeaderValue,
    token: HeaderValue,
}

impl Client {
    /// A client of the same connections that acts for an operator with the arena's `ADMIN_TOKEN`.
    /// `name` is the operator's name, for the ledger and the audit log.
    ///
    /// # Errors
    /// When name or token do not fit a header.
    pub fn operator(&self, name: &str, admin_token: SecretString) -> Result<Operator, SetupError> {
        let bearer = format!("Bearer {}", admin_token.expose_secret());
        Ok(Operator {
            transport: Arc::clone(&self.transport),
            name: HeaderValue::from_str(name).map_err(|_| SetupError::Credential)?,
            token: sensitive(&SecretString::from(bearer))?,
        })
    }
}

impl Operator {
    /// `DELETE /bots/{handle or id}`: retires a bot permanently, without a confirmation. Never repeated
    /// automatically. If the answer is lost, [`Client::bot`] shows whether it is retired.
    ///
    /// # Errors
    /// See [`ClientError`]; [`api_types::ProblemKind::BotStatus`] when it is retired already.
    pub async fn retire(&self, handle_or_id: &str, reason: &str) -> Result<Bot, ClientError> {
        let body = RetireRequest { reason: reason.to_owned() };
        let names = [handle_or_id];
        self.act(Call::send("DELETE /bots/{bot}", &names, &body, Retry::Never)?).await
    }

    /// `GET /audit`: the newest lines of the audit log.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn audit(&self) -> Result<Page<AuditEntry>, ClientError> {
        self.act(Call::get("GET /audit", &[], Vec::new())).await
    }

    async fn keyed<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        names: &[&str],
        body: &impl Serialize,
        key: &IdempotencyKey,
    ) -> Result<T, ClientError> {
        self.act(Call::send(operation, names, body, Retry::Keyed(key))?).await
    }

    async fn act<T: DeserializeOwned>(&self, mut call: Call<'_>) -> Result<T, ClientError> {
        call.headers.push((OPERATOR, self.name.clone()));
        let proof: Proof = (AUTHORIZATION, self.token.clone());
        self.transport.ask(&call, Some(&proof)).json().await
    }
}

calls! { Operator:
    /// `POST /markets` under that key: opens a market. Criteria, bounty (credits) and deadline are
    /// checked as its source demands.
    ///
    /// [`api_types::ProblemKind::InvalidField`] names the wrong field, and [`api_types::ProblemKind::AlreadyIn`]
    /// means that the subject already has a market.
    open_market(market: &MarketRequest, key: &IdempotencyKey) -> Market
        = keyed("POST /markets", [], market, key);

    /// `POST /markets/{id}/void` under that key: calls an unsettled market off; the living get their
    /// stakes back.
    ///
    /// Refused as [`api_types::ProblemKind::MarketClosed`] when it is settled already.
    void_market(market: MarketId, reason: &str, key: &IdempotencyKey) -> Market
        = keyed("POST /markets/{market}/void", [&market.to_string()], &VoidRequest { reason: reason.to_owned() }, key);

    /// `POST /bots/{handle or id}/revive` under that key: brings a dead bot back with `amount`
    /// credits.
    ///
    /// Refused as [`api_types::ProblemKind::BotStatus`] when it is not dead.
    revive(handle_or_id: &str, request: &ReviveRequest, key: &IdempotencyKey) -> Bot
        = keyed("POST /bots/{bot}/revive", [handle_or_id], request, key);

    /// `POST /arena/pause` under that key: nothing moves once this has answered.
    pause_arena(reason: &str, key: &IdempotencyKey) -> ArenaState
        = keyed("POST /arena/pause", [], &PauseRequest { reason: reason.to_owned() }, key);

    /// `POST /arena/resume` under that key.
    resume_arena(reason: &str, key: &IdempotencyKey) -> ArenaState
        = keyed("POST /arena/resume", [], &ResumeRequest { reason: reason.to_owned() }, key);

    /// `POST /bots/{handle or id}/pause` under that key.
    pause_bot(handle_or_id: &str, reason: &str, key: &IdempotencyKey) -> Bot
        = keyed("POST /bots/{bot}/pause", [handle_or_id], &PauseRequest { reason: reason.to_owned() }, key);

    /// `POST /bots/{handle or id}/resume` under that key.
    resume_bot(handle_or_id: &str, reason: &str, key: &IdempotencyKey) -> Bot
        = keyed("POST /bots/{bot}/resume", [handle_or_id], &ResumeRequest { reason: reason.to_owned() }, key);

    /// `POST /markets/{id}/pause` under that key.
    ///
    /// Refused as [`api_types::ProblemKind::MarketClosed`] when it is settled.
    pause_market(market: MarketId, reason: &str, key: &IdempotencyKey) -> Market
        = keyed("POST /markets/{market}/pause", [&market.to_string()], &PauseRequest { reason: reason.to_owned() }, key);

    /// `POST /markets/{id}/resume` under that key.
    resume_market(market: MarketId, reason: &str, key: &IdempotencyKey) -> Market
        = keyed("POST /markets/{market}/resume", [&market.to_string()], &ResumeRequest { reason: reason.to_owned() }, key);
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator")
            .field("transport", &self.transport)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
