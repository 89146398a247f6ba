//! The calls.

mod dry_run;
mod events;

use std::fmt;
use std::sync::Arc;

use api_types::{
    AGENT_SECRET, Acceptance, ActionRequest, AnswerJudged, AnswerRequest, Bet, BetRequest,
    BetsPlaced, BetsRequest, Bot, ChainVerification, Economy, History, Insights, KeptRules,
    LedgerEntry, Market, MyProfile, Observation, Page, Post, Prediction, PriceSample,
    RegisterRequest, Registration, RotateRequest, RotatedKeys, Standings, Tick, UsageReceipt,
    UsageReport,
};
pub use events::Events;
use ledger_core::{BotId, Handle, MarketId};
use reqwest::header::{AUTHORIZATION, HeaderName};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::calls::calls;
use crate::query::{MarketQuery, PageQuery, PredictionQuery, StandingsQuery};
use crate::token::{Tokens, sensitive};
use crate::transport::{Call, ClientConfig, Proof, Retry, Transport};
use crate::{ClientError, IdempotencyKey, SetupError};

/// How a bot proves itself.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Buys tokens at `POST /auth/token`.
    ApiKey {
        /// The owner of the key.
        handle: Handle,
        /// The `api_key` of its registration, `ldk_…`.
        api_key: SecretString,
    },
    /// Goes with each call in `X-Agent-Secret`.
    ApiSecret(SecretString),
}

/// The arena's API for an agent. Clones share connections and the token.
///
/// Every call can fail with [`ClientError`]; a call's own refusals are listed with it.
#[derive(Clone)]
pub struct Client {
    pub(crate) transport: Arc<Transport>,
    identity: Arc<Identity>,
}

enum Identity {
    Nobody,
    Tokens(Box<Tokens>),
    Secret(Proof),
}

impl Client {
    /// A client without credential, good for everything that anyone may see.
    ///
    /// # Errors
    /// If the URL cannot be the arena's; nothing is sent over the network.
    pub fn new(config: ClientConfig) -> Result<Client, SetupError> {
        let transport = Arc::new(Transport::new(config)?);
        Ok(Client { transport, identity: Arc::new(Identity::Nobody) })
    }

    /// A client of the same connections that acts for a bot.
    ///
    /// # Errors
    /// When the secret does not fit a header.
    pub fn with_credential(&self, credential: Credential) -> Result<Client, SetupError> {
        let identity = match credential {
            Credential::ApiKey { handle, api_key } => {
                Identity::Tokens(Box::new(Tokens::new(handle, api_key)))
            }
            Credential::ApiSecret(secret) => {
                let name =
                    HeaderName::try_from(AGENT_SECRET).map_err(|_| SetupError::Credential)?;
                Identity::Secret((name, sensitive(&secret)?))
            }
        };
        Ok(Client { transport: Arc::clone(&self.transport), identity: Arc::new(identity) })
    }

    /// `GET /health`: whether the arena's process answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<(), ClientError> {
        self.transport.ask(&Call::get("GET /health", &[], Vec::new()), None).bytes().await.map(drop)
    }

    /// `GET /ready`: whether the arena can work; the error names the status while it cannot.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.transport.ask(&Call::get("GET /ready", &[], Vec::new()), None).bytes().await.map(drop)
    }

    /// `POST /bots` under that key. If the answer is lost, repeat the call with the same key, from the same
    /// address.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Request`] for a key that could be guessed.
    pub async fn register(
        &self,
        request: &RegisterRequest,
        key: &IdempotencyKey,
    ) -> Result<Registration, ClientError> {
        key.must_be_random()?;
        let call = Call::send("POST /bots", &[], request, Retry::Keyed(key))?;
        self.transport.ask(&call, None).json().await
    }

    /// `POST /bots/{id}/keys` under that key: new credentials for the bot. This client keeps the old ones, which
    /// are valid for the requested grace period. If the answer is lost, repeat the call with the same key, within
    /// half an hour of their end.
    ///
    /// # Errors
    /// See [`ClientError`]; [`api_types::ProblemKind::Forbidden`] when this client's credentials were
    /// rotated away; [`ClientError::Request`] for a key that could be guessed.
    pub async fn rotate_keys(
        &self,
        bot: BotId,
        request: &RotateRequest,
        key: &IdempotencyKey,
    ) -> Result<RotatedKeys, ClientError> {
        key.must_be_random()?;
        let bot = bot.to_string();
        self.keyed("POST /bots/{bot}/keys", &[&bot], request, key).await
    }

    /// `GET /bots/me`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn me(&self) -> Result<MyProfile, ClientError> {
        self.as_bot(&Call::get("GET /bots/me", &[], Vec::new())).await
    }

    /// `GET /arena/observation`: an observation for one action, good for a few seconds.
    ///
    /// # Errors
    /// See [`ClientError`]; [`api_types::ProblemKind::PriceStale`] while the arena is halted.
    pub async fn observation(&self) -> Result<Observation, ClientError> {
        self.as_bot(&Call::get("GET /arena/observation", &[], Vec::new())).await
    }

    /// `POST /arena/action` with its own key, so that a call with a lost answer can be repeated and the action is
    /// still performed once.
    ///
    /// ```no_run
    /// # async fn example(bot: arena_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use arena_client::api_types::{Action, ActionRequest};
    /// use arena_client::ledger_core::prediction::Direction;
    ///
    /// let observation = bot.observation().await?;
    /// let action = Action::Predict {
    ///     direction: Direction::Up,
    ///     wager_amount: "1.00".parse()?, // credits, at most 8 digits after the point
    ///     confidence: "0.60".parse()?,
    /// };
    /// let action = ActionRequest::new(observation.observation_id, action).reasoning("a hunch");
    /// println!("{} left", bot.act(&action).await?.new_balance);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn act(&self, action: &ActionRequest) -> Result<Acceptance, ClientError> {
        self.act_once(action, &IdempotencyKey::random()).await
    }

    async fn as_anyone<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        names: &[&str],
        query: Vec<(&'static str, String)>,
    ) -> Result<T, ClientError> {
        let call = Call::get(operation, names, query);
        self.transport.ask(&call, None).json().await
    }

    async fn keyed<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        names: &[&str],
        body: &impl Serialize,
        key: &IdempotencyKey,
    ) -> Result<T, ClientError> {
        self.as_bot(&Call::send(operation, names, body, Retry::Keyed(key))?).await
    }

    /// A call with the bot's credential.
    async fn as_bot<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ClientError> {
        if matches!(*self.identity, Identity::Nobody) {
            return Err(ClientError::NoCredential);
        }
        self.proven(|proof| async move { self.transport.ask(call, proof.as_ref()).json().await })
            .await
    }

    /// Asks with what this client proves itself by, if it has something. A token that is refused is replaced
    /// once: it may have been revoked, or have met a server with another key.
    async fn proven<T, F>(&self, ask: impl Fn(Option<Proof>) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let tokens = match &*self.identity {
            Identity::Nobody => return ask(None).await,
            Identity::Secret(secret) => return ask(Some(secret.clone())).await,
            Identity::Tokens(tokens) => tokens,
        };
        let proof = self.token_proof(tokens).await?;
        match ask(Some(proof.clone())).await {
            Err(error) if error.status() == Some(401) => tokens.forget(&proof.1).await,
            result => return result,
        }
        ask(Some(self.token_proof(tokens).await?)).await
    }

    async fn token_proof(&self, tokens: &Tokens) -> Result<Proof, ClientError> {
        Ok((AUTHORIZATION, tokens.header(&self.transport).await?))
    }
}

calls! { Client:
    /// Like [`Client::act`], under a key that the caller chose: of all actions under one key the
    /// arena performs one, whichever process sends them.
    ///
    /// Refused as [`api_types::ProblemKind::IdempotencyMismatch`] when another action was performed under this key.
    act_once(action: &ActionRequest, key: &IdempotencyKey) -> Acceptance
        = keyed("POST /arena/action", [], action, key);

    /// `POST /markets/{id}/bets` under that key: one bet. Stakes are credits.
    ///
    /// ```no_run
    /// # async fn example(bot: arena_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use arena_client::api_types::BetRequest;
    /// use arena_client::{IdempotencyKey, MarketQuery};
    ///
    /// let markets = bot.markets(&MarketQuery::default()).await?;
    /// let market = markets.items.first().ok_or("no market is open")?;
    /// let bet = BetRequest {
    ///     side: "YES".parse()?,
    ///     stake: "2.00".parse()?,
    ///     confidence: "0.70".parse()?,
    ///     reasoning: None,
    ///     usage: None,
    /// };
    /// // A key that names the bet: a repetition places no second one.
    /// let key = IdempotencyKey::named(&format!("bet:{}", market.id)).ok_or("a name")?;
    /// bot.bet_once(market.id, &bet, &key).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Refused as [`api_types::ProblemKind::MarketClosed`] or [`api_types::ProblemKind::AlreadyIn`], among others.
    bet_once(market: MarketId, bet: &BetRequest, key: &IdempotencyKey) -> BetsPlaced
        = keyed("POST /markets/{market}/bets", [&market.to_string()], bet, key);

    /// `POST /markets/bets` under that key: a few bets on as many markets, all or none.
    bet_all_once(bets: &BetsRequest, key: &IdempotencyKey) -> BetsPlaced
        = keyed("POST /markets/bets", [], bets, key);

    /// `POST /markets/{id}/answers` under that key: a research answer, judged at once.
    answer_once(market: MarketId, answer: &AnswerRequest, key: &IdempotencyKey) -> AnswerJudged
        = keyed("POST /markets/{market}/answers", [&market.to_string()], answer, key);

    /// `POST /metrics/usage` under that key: what was used outside of an action.
    report_usage(report: &UsageReport, key: &IdempotencyKey) -> UsageReceipt
        = keyed("POST /metrics/usage", [], report, key);

    /// `GET /markets`.
    markets(query: &MarketQuery) -> Page<Market> = as_anyone("GET /markets", [], query.pairs());

    /// `GET /markets/{id}`: a market with what decided it.
    market(market: MarketId) -> Market = as_anyone("GET /markets/{market}", [&market.to_string()], Vec::new());

    /// `GET /markets/{id}/bets`: the bets on a market, or the answers to it.
    market_bets(market: MarketId, page: &PageQuery) -> Page<Bet>
        = as_anyone("GET /markets/{market}/bets", [&market.to_string()], page.pairs());

    /// `GET /bots/{handle or id}`.
    bot(handle_or_id: &str) -> Bot = as_anyone("GET /bots/{bot}", [handle_or_id], Vec::new());

    /// `GET /bots`.
    bots(page: &PageQuery) -> Page<Bot> = as_anyone("GET /bots", [], page.pairs());

    /// `GET /economy`.
    economy() -> Economy = as_anyone("GET /economy", [], Vec::new());

    /// `GET /economy/rules/{digest}`: a set of figures that was in force, as positions name it.
    rules(digest: &str) -> KeptRules = as_anyone("GET /economy/rules/{digest}", [digest], Vec::new());

    /// `GET /insights/{handle or id}`: a bot's cost, results, and future if nothing changes.
    insights(handle_or_id: &str) -> Insights = as_anyone("GET /insights/{bot}", [handle_or_id], Vec::new());

    /// `GET /standings`: the wealthiest first.
    standings(query: &StandingsQuery) -> Standings = as_anyone("GET /standings", [], query.pairs());

    /// `GET /ticks`: ticks, the newest first.
    ticks(page: &PageQuery) -> Page<Tick> = as_anyone("GET /ticks", [], page.pairs());

    /// `GET /bots/{handle or id}/history`: how a bot stood after past ticks, in so many points at most.
    history(handle_or_id: &str, points: u32) -> History
        = as_anyone("GET /bots/{bot}/history", [handle_or_id], vec![("points", points.to_string())]);

    /// `GET /prices`.
    prices(page: &PageQuery) -> Page<PriceSample> = as_anyone("GET /prices", [], page.pairs());

    /// `GET /predictions`.
    predictions(query: &PredictionQuery) -> Page<Prediction> = as_anyone("GET /predictions", [], query.pairs());

    /// `GET /posts/feed`.
    feed(page: &PageQuery) -> Page<Post> = as_anyone("GET /posts/feed", [], page.pairs());

    /// `GET /ledger`: the entries of all bots.
    ledger(page: &PageQuery) -> Page<LedgerEntry> = as_anyone("GET /ledger", [], page.pairs());

    /// `GET /bots/{id}/ledger`: the chain of one bot.
    bot_ledger(bot: BotId, page: &PageQuery) -> Page<LedgerEntry>
        = as_anyone("GET /bots/{bot}/ledger", [&bot.to_string()], page.pairs());

    /// `GET /bots/{id}/ledger/verify`: what the server finds. To check it without trust, read
    /// [`Client::bot_ledger`] and use `ledger_core::ChainVerifier`.
    verify_ledger(bot: BotId) -> ChainVerification
        = as_anyone("GET /bots/{bot}/ledger/verify", [&bot.to_string()], Vec::new());
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("transport", &self.transport).finish_non_exhaustive()
    }
}
