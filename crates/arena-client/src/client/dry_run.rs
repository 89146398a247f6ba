//! Dry runs: reports what a call would do. A refusal is in the answer.

use api_types::{ActionRequest, AnswerRequest, BetRequest, BetsRequest, DryRun};
use ledger_core::MarketId;

use super::Client;
use crate::ClientError;
use crate::calls::calls;
use crate::transport::{Call, Retry};

impl Client {
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

calls! { Client:
    /// `POST /arena/action?dry_run=true`: what [`Client::act`] would do. The observation stays unused.
    act_dry_run(action: &ActionRequest) -> DryRun = dry_run("POST /arena/action", [], action);

    /// `POST /markets/{id}/bets?dry_run=true`: what [`Client::bet_once`] would do.
    bet_dry_run(market: MarketId, bet: &BetRequest) -> DryRun
        = dry_run("POST /markets/{market}/bets", [&market.to_string()], bet);

    /// `POST /markets/bets?dry_run=true`: what [`Client::bet_all_once`] would do.
    bet_all_dry_run(bets: &BetsRequest) -> DryRun = dry_run("POST /markets/bets", [], bets);

    /// `POST /markets/{id}/answers?dry_run=true`: what [`Client::answer_once`] would cost, and never
    /// whether the answer is right.
    answer_dry_run(market: MarketId, answer: &AnswerRequest) -> DryRun
        = dry_run("POST /markets/{market}/answers", [&market.to_string()], answer);
}
