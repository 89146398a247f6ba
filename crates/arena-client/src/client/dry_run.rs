//! What would happen, without doing it.

use api_types::{ActionRequest, AnswerRequest, BetRequest, BetsRequest, DryRun};
use ledger_core::MarketId;

use super::Client;
use crate::ClientError;
use crate::transport::{Call, Retry};

impl Client {
    /// `POST /arena/action?dry_run=true`: what [`Client::act`] would do. The observation stays unused.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal is in the answer.
    pub async fn act_dry_run(&self, action: &ActionRequest) -> Result<DryRun, ClientError> {
        self.dry_run("POST /arena/action", &[], action).await
    }

    /// `POST /markets/{id}/bets?dry_run=true`: what [`Client::bet_once`] would do.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal is in the answer.
    pub async fn bet_dry_run(
        &self,
        market: MarketId,
        bet: &BetRequest,
    ) -> Result<DryRun, ClientError> {
        let market = market.to_string();
        self.dry_run("POST /markets/{market}/bets", &[&market], bet)
            .await
    }

    /// `POST /markets/bets?dry_run=true`: what [`Client::bet_all_once`] would do.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal is in the answer.
    pub async fn bet_all_dry_run(&self, bets: &BetsRequest) -> Result<DryRun, ClientError> {
        self.dry_run("POST /markets/bets", &[], bets).await
    }

    /// `POST /markets/{id}/answers?dry_run=true`: what [`Client::answer_once`] would cost, and never
    /// whether the answer is right.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal is in the answer.
    pub async fn answer_dry_run(
        &self,
        market: MarketId,
        answer: &AnswerRequest,
    ) -> Result<DryRun, ClientError> {
        let market = market.to_string();
        self.dry_run("POST /markets/{market}/answers", &[&market], answer)
            .await
    }

    async fn dry_run<T: serde::Serialize>(
        &self,
        operation: &'static str,
        names: &[&str],
        body: &T,
    ) -> Result<DryRun, ClientError> {
        let call = Call::send(operation, names, body, Retry::Reads)?;
        self.as_bot(&call.dry()).await
    }
}
