//! `?dry_run=true`: what a wager, a bet or an answer would do, said without doing it.
//!
//! A dry run is parsed and judged by what the real request is, on a plain read: it locks nothing,
//! keeps no answer and tells nobody. A refusal is what it was asked for, and no error.

use actix_web::{HttpRequest, HttpResponse};
use api_types::{DRY_RUN, DryRun, Verdict};
use cache::observations::Redemption;
use db::dry_run::DryRefusal;
use ledger_core::{BotId, ObservationId, Refusal, Stake};

use crate::app::App;
use crate::auth::AuthenticatedBot;
use crate::cursor::Parameters;
use crate::error::{ApiError, ApiResult};
use crate::server::RequestId;
use crate::wagers;

/// Whether a request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Real,
    Dry,
}

impl Run {
    /// What the query string says.
    pub(crate) fn of(req: &HttpRequest) -> Result<Run, ApiError> {
        Ok(match Parameters::of(req)?.flag(DRY_RUN)? {
            true => Run::Dry,
            false => Run::Real,
        })
    }
}

/// What would become of an action with this ticket; without a stake it is a WAIT.
pub(crate) async fn action(
    app: &App,
    bot_id: BotId,
    observation_id: ObservationId,
    stake: Option<Stake>,
) -> ApiResult<Told> {
    let handed = wagers::handed(bot_id, observation_id, None);
    let ticket = app.cache.look_at_observation(handed).await?;
    let mut conn = app.database.get().await?;
    let told = match stake {
        Some(stake) => {
            db::dry_run::wager(&mut conn, bot_id, observation_id, stake, &app.rules).await
        }
        None => db::dry_run::wait(&mut conn, bot_id, observation_id).await,
    };
    let mut told = AuthenticatedBot::or_unknown(told).map(Told::from)?;
    // A ticket is looked at before the wallet, except that whoever may not act at all is told that.
    let may_not_act = matches!(
        told.refusal,
        Some(ApiError::Refused(
            Refusal::NotAlive { .. } | Refusal::BotPaused { .. } | Refusal::ArenaPaused { .. }
        ))
    );
    if let Some(bad) = bad_observation(ticket)
        && !may_not_act
    {
        told.refusal = Some(bad);
    }
    Ok(told)
}

/// Why a ticket is not good, if it is not.
pub(crate) const fn bad_observation(redemption: Redemption) -> Option<ApiError> {
    match redemption {
        Redemption::Redeemed => None,
        Redemption::Foreign => Some(ApiError::ForeignTicket),
        Redemption::Gone => Some(ApiError::TicketSpent),
        Redemption::Twin => Some(ApiError::IdempotencyConflict),
        Redemption::Halted => Some(ApiError::PriceStale),
    }
}

/// What would become of these bets.
pub(crate) async fn bets(app: &App, slip: &db::markets::Slip) -> ApiResult<Told> {
    let mut conn = app.database.get().await?;
    let told = db::markets::place_dry_run(&mut conn, slip, &app.rules).await;
    AuthenticatedBot::or_unknown(told).map(Told::from)
}

/// What would become of this answer, whether it is right or wrong.
pub(crate) async fn answer(app: &App, new: &db::markets::NewAnswer) -> ApiResult<Told> {
    let mut conn = app.database.get().await?;
    let told = db::markets::answer_dry_run(&mut conn, new, &app.rules).await;
    AuthenticatedBot::or_unknown(told).map(Told::from)
}

/// What is told of a request that was not carried out.
pub(crate) struct Told {
    run: db::dry_run::DryRun,
    refusal: Option<ApiError>,
}

impl From<db::dry_run::DryRun> for Told {
    fn from(run: db::dry_run::DryRun) -> Told {
        let refusal = run.refusal.clone().map(|refusal| match refusal {
            DryRefusal::Rule(refusal) => ApiError::Refused(refusal),
            DryRefusal::ObservationUsed => ApiError::TicketSpent,
        });
        Told { run, refusal }
    }
}

impl Told {
    /// The refusal as the real request would word it.
    pub(crate) fn worded(mut self, word: impl FnOnce(ApiError) -> ApiError) -> Told {
        self.refusal = self.refusal.map(word);
        self
    }

    pub(crate) fn answer(self, req: &HttpRequest) -> ApiResult {
        let balance_after = match self.refusal {
            None => self.run.balance_after(),
            Some(_) => self.run.balance,
        };
        Ok(HttpResponse::Ok().json(DryRun {
            dry_run: true,
            would: match self.refusal {
                None => Verdict::Accept,
                Some(_) => Verdict::Refuse,
            },
            cost: self.run.cost,
            balance_after,
            refusal: self
                .refusal
                .map(|refusal| refusal.problem(req.path(), &RequestId::of(req))),
        }))
    }
}
