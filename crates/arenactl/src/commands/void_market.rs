//! `arenactl void-market MARKET --reason R`: calls an unsettled market off.

use std::fmt;

use daemon::config::Sources;
use daemon::process::Failure;
use db::markets::{self, SettledMarket, VoidBy};
use ledger_core::MarketId;
use ledger_core::economy::Operator;
use ledger_core::market::MarketStatus;
use serde::Serialize;

use super::{market_failure, services_database};
use crate::arguments;
use crate::output::counted;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The market's id
    #[arg(value_parser = arguments::market_id)]
    market: MarketId,
    /// Why; it is shown with the market and kept in the audit log
    #[arg(long, value_parser = arguments::reason)]
    reason: String,
}

/// A market that was called off.
#[derive(Debug, Serialize)]
pub(crate) struct Voided {
    market_id: MarketId,
    status: MarketStatus,
    bets: usize,
}

impl fmt::Display for Voided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bets = counted(self.bets, "bet");
        write!(
            f,
            "market {} is now {}; {bets} called off, the stakes of the living came back",
            self.market_id, self.status
        )
    }
}

pub(crate) async fn run(sources: &Sources, args: &Args, who: &Operator) -> Result<Voided, Failure> {
    let postgres = services_database(sources).await?;
    let mut conn = postgres.connection().await?;
    let market = args.market;
    markets::void(&mut conn, market, &args.reason, VoidBy::Operator(who), None)
        .await
        .map(|SettledMarket { market, bets, .. }| Voided {
            market_id: market.id,
            status: market.status,
            bets,
        })
        .map_err(|error| market_failure(&postgres, error, "void", market))
}
