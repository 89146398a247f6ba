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

use crate::query::{MarketQuery, PageQuery, PredictionQuery, StandingsQuery};
use crate::token::{Tokens, sensitive};
use crate::transport::{Call, ClientConfig, Proof, Retry, Transport};
use crate::{ClientError, IdempotencyKey, SetupError};

/// How a bot proves itself.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Buys tokens at `POST /auth/token`.
    ApiKey {
        /// Whose key it is.
        handle: Handle,
        /// The `api_key` of its registration, `ldk_…`.
        api_key: SecretString,
    },
    /// Goes with each call in `X-Agent-Secret`.
    ApiSecret(SecretString),
}

/// The arena as an agent sees it. Clones share connections and the token.
///
/// Every call fails as [`ClientError`] says; refusals of its own are named with it.
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
    /// When the URL cannot be the arena's; nothing is asked over the network.
    pub fn new(config: ClientConfig) -> Result<Client, SetupError> {
        let transport = Arc::new(Transport::new(config)?);
        Ok(Client {
            transport,
            identity: Arc::new(Identity::Nobody),
        })
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
        Ok(Client {
            transport: Arc::clone(&self.transport),
            identity: Arc::new(identity),
        })
    }

    /// `GET /health`: whether the arena's process answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<(), ClientError> {
        self.transport
            .exchange(&Call::get("GET /health", &[], Vec::new()), None)
            .await
            .map(drop)
    }

    /// `GET /ready`: whether the arena can work; the error names the status while it cannot.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.transport
            .exchange(&Call::get("GET /ready", &[], Vec::new()), None)
            .await
            .map(drop)
    }

    /// `POST /bots` under that key. Whoever has lost the answer asks again with the same key, from the
    /// same address.
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
        self.transport.json(&call, None).await
    }

    /// `POST /bots/{id}/keys` under that key: new credentials for the bot. This client keeps the old
    /// ones, which are good for the grace that was asked for. Whoever has lost the answer asks again
    /// with the same key, within half an hour of their end.
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
        self.keyed("POST /bots/{bot}/keys", &[&bot], request, key)
            .await
    }

    /// `GET /bots/me`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn me(&self) -> Result<MyProfile, ClientError> {
        self.as_bot(&Call::get("GET /bots/me", &[], Vec::new()))
            .await
    }

    /// `GET /arena/observation`: an observation for one action, good for a few seconds.
    ///
    /// # Errors
    /// See [`ClientError`]; [`api_types::ProblemKind::PriceStale`] while the arena is halted.
    pub async fn observation(&self) -> Result<Observation, ClientError> {
        self.as_bot(&Call::get("GET /arena/observation", &[], Vec::new()))
            .await
    }

    /// `POST /arena/action` under a key of its own, so that a lost answer is asked for again and
    /// the action is still performed once.
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

    /// Like [`Client::act`], under a key that the caller chose: of all actions under one key the
    /// arena performs one, whichever process sends them.
    ///
    /// # Errors
    /// See [`ClientError`]; [`api_types::ProblemKind::IdempotencyMismatch`] when another action
    /// was performed under this key.
    pub async fn act_once(
        &self,
        action: &ActionRequest,
        key: &IdempotencyKey,
    ) -> Result<Acceptance, ClientError> {
        self.keyed("POST /arena/action", &[], action, key).await
    }

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
    /// // A key that names the bet: whoever sends it again places no second one.
    /// let key = IdempotencyKey::named(&format!("bet:{}", market.id)).ok_or("a name")?;
    /// bot.bet_once(market.id, &bet, &key).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ClientError`]; [`api_types::ProblemKind::MarketClosed`] and
    /// [`api_types::ProblemKind::AlreadyIn`] among them.
    pub async fn bet_once(
        &self,
        market: MarketId,
        bet: &BetRequest,
        key: &IdempotencyKey,
    ) -> Result<BetsPlaced, ClientError> {
        let market = market.to_string();
        self.keyed("POST /markets/{market}/bets", &[&market], bet, key)
            .await
    }

    /// `POST /markets/bets` under that key: a few bets on as many markets, all or none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bet_all_once(
        &self,
        bets: &BetsRequest,
        key: &IdempotencyKey,
    ) -> Result<BetsPlaced, ClientError> {
        self.keyed("POST /markets/bets", &[], bets, key).await
    }

    /// `POST /markets/{id}/answers` under that key: a research answer, judged at once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn answer_once(
        &self,
        market: MarketId,
        answer: &AnswerRequest,
        key: &IdempotencyKey,
    ) -> Result<AnswerJudged, ClientError> {
        let market = market.to_string();
        self.keyed("POST /markets/{market}/answers", &[&market], answer, key)
            .await
    }

    /// `POST /metrics/usage` under that key: what was used outside of an action.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn report_usage(
        &self,
        report: &UsageReport,
        key: &IdempotencyKey,
    ) -> Result<UsageReceipt, ClientError> {
        self.keyed("POST /metrics/usage", &[], report, key).await
    }

    /// `GET /markets`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn markets(&self, query: &MarketQuery) -> Result<Page<Market>, ClientError> {
        self.as_anyone("GET /markets", &[], query.pairs()).await
    }

    /// `GET /markets/{id}`: a market with what decided it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn market(&self, market: MarketId) -> Result<Market, ClientError> {
        self.as_anyone("GET /markets/{market}", &[&market.to_string()], Vec::new())
            .await
    }

    /// `GET /markets/{id}/bets`: the bets on a market, or the answers to it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn market_bets(
        &self,
        market: MarketId,
        page: &PageQuery,
    ) -> Result<Page<Bet>, ClientError> {
        self.as_anyone(
            "GET /markets/{market}/bets",
            &[&market.to_string()],
            page.pairs(),
        )
        .await
    }

    /// `GET /bots/{handle or id}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bot(&self, handle_or_id: &str) -> Result<Bot, ClientError> {
        self.as_anyone("GET /bots/{bot}", &[handle_or_id], Vec::new())
            .await
    }

    /// `GET /bots`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bots(&self, page: &PageQuery) -> Result<Page<Bot>, ClientError> {
        self.as_anyone("GET /bots", &[], page.pairs()).await
    }

    /// `GET /economy`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn economy(&self) -> Result<Economy, ClientError> {
        self.as_anyone("GET /economy", &[], Vec::new()).await
    }

    /// `GET /economy/rules/{digest}`: a set of figures that was in force, as positions name it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rules(&self, digest: &str) -> Result<KeptRules, ClientError> {
        self.as_anyone("GET /economy/rules/{digest}", &[digest], Vec::new())
            .await
    }

    /// `GET /insights/{handle or id}`: what a bot cost, produced and faces if nobody acts.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn insights(&self, handle_or_id: &str) -> Result<Insights, ClientError> {
        self.as_anyone("GET /insights/{bot}", &[handle_or_id], Vec::new())
            .await
    }

    /// `GET /standings`: the wealthiest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn standings(&self, query: &StandingsQuery) -> Result<Standings, ClientError> {
        self.as_anyone("GET /standings", &[], query.pairs()).await
    }

    /// `GET /ticks`: tick cycles, the newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ticks(&self, page: &PageQuery) -> Result<Page<Tick>, ClientError> {
        self.as_anyone("GET /ticks", &[], page.pairs()).await
    }

    /// `GET /bots/{handle or id}/history`: how a bot stood after past ticks, in so many points at most.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn history(&self, handle_or_id: &str, points: u32) -> Result<History, ClientError> {
        let points = vec![("points", points.to_string())];
        self.as_anyone("GET /bots/{bot}/history", &[handle_or_id], points)
            .await
    }

    /// `GET /prices`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn prices(&self, page: &PageQuery) -> Result<Page<PriceSample>, ClientError> {
        self.as_anyone("GET /prices", &[], page.pairs()).await
    }

    /// `GET /predictions`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn predictions(
        &self,
        query: &PredictionQuery,
    ) -> Result<Page<Prediction>, ClientError> {
        self.as_anyone("GET /predictions", &[], query.pairs()).await
    }

    /// `GET /posts/feed`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn feed(&self, page: &PageQuery) -> Result<Page<Post>, ClientError> {
        self.as_anyone("GET /posts/feed", &[], page.pairs()).await
    }

    /// `GET /ledger`: the entries of all bots.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ledger(&self, page: &PageQuery) -> Result<Page<LedgerEntry>, ClientError> {
        self.as_anyone("GET /ledger", &[], page.pairs()).await
    }

    /// `GET /bots/{id}/ledger`: the chain of one bot.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bot_ledger(
        &self,
        bot: BotId,
        page: &PageQuery,
    ) -> Result<Page<LedgerEntry>, ClientError> {
        self.as_anyone("GET /bots/{bot}/ledger", &[&bot.to_string()], page.pairs())
            .await
    }

    /// `GET /bots/{id}/ledger/verify`: what the server finds. Whoever does not want to believe it
    /// reads [`Client::bot_ledger`] and uses `ledger_core::ChainVerifier`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn verify_ledger(&self, bot: BotId) -> Result<ChainVerification, ClientError> {
        self.as_anyone(
            "GET /bots/{bot}/ledger/verify",
            &[&bot.to_string()],
            Vec::new(),
        )
        .await
    }

    async fn as_anyone<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        names: &[&str],
        query: Vec<(&'static str, String)>,
    ) -> Result<T, ClientError> {
        let call = Call::get(operation, names, query);
        self.transport.json(&call, None).await
    }

    async fn keyed<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        names: &[&str],
        body: &impl Serialize,
        key: &IdempotencyKey,
    ) -> Result<T, ClientError> {
        self.as_bot(&Call::send(operation, names, body, Retry::Keyed(key))?)
            .await
    }

    /// A call with the bot's credential. A token that is refused is replaced once: it may have
    /// been revoked, or have met a server with another key.
    async fn as_bot<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ClientError> {
        let tokens = match &*self.identity {
            Identity::Nobody => return Err(ClientError::NoCredential),
            Identity::Secret(secret) => {
                return self.transport.json(call, Some(secret)).await;
            }
            Identity::Tokens(tokens) => tokens,
        };
        let proof = self.token_proof(tokens).await?;
        match self.transport.json(call, Some(&proof)).await {
            Err(error) if error.status() == Some(401) => tokens.forget(&proof.1).await,
            result => return result,
        }
        let proof = self.token_proof(tokens).await?;
        self.transport.json(call, Some(&proof)).await
    }

    async fn token_proof(&self, tokens: &Tokens) -> Result<Proof, ClientError> {
        Ok((AUTHORIZATION, tokens.header(&self.transport).await?))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
