//! `?dry_run=true`: reports what a wager, a bet or an answer would do, without doing it.
//!
//! The code of the real request parses and executes a dry run, and then rolls it back: it stores no
//! answer and sends no event. A refusal is a result here, not an error.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use api_types::ProblemKind::{ForeignTicket, IdempotencyConflict, PriceStale, TicketSpent};
use api_types::{DRY_RUN, DryRun, Verdict};
use cache::observations::Redemption;
use db::bots::BotRef;
use db::dry_run::DryRefusal;
use ledger_core::Money;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::app::App;
use crate::auth::AuthenticatedBot;
use crate::cursor::Parameters;
use crate::error::{ApiError, ApiResult};
use crate::request_log::RequestId;
use crate::routes::arena::{Action, acting};
use crate::wagers;

/// Whether a request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Real,
    Dry,
}

impl Run {
    /// The query string.
    pub(crate) fn of(req: &HttpRequest) -> Result<Run, ApiError> {
        Ok(match Parameters::of(req)?.flag(DRY_RUN)? {
            true => Run::Dry,
            false => Run::Real,
        })
    }
}

/// Dry runs that one process carries out at once: they take the locks of real requests.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// Runs one in its own task: a client that disconnects breaks no connection to Postgres.
pub(crate) async fn of<W>(app: Data<App>, work: W) -> ApiResult<Told>
where
    W: AsyncFnOnce(&App, &mut db::Connection) -> db::DbResult<db::dry_run::DryRun> + 'static,
{
    let acting = async move {
        let _turn = AT_ONCE.acquire().await;
        let mut conn = app.database.get().await?;
        let told = work(&app, &mut conn).await;
        AuthenticatedBot::or_unknown(told).map(Told::from)
    };
    actix_web::rt::spawn(acting.in_current_span())
        .await
        .map_err(|error| ApiError::Internal(format!("a dry run ended early: {error}")))?
}

/// The result that an action would have.
pub(crate) async fn action(app: Data<App>, action: Action) -> ApiResult<Told> {
    let (bot_id, observation_id) = action.whose();
    let handed = wagers::handed(bot_id, observation_id, None);
    let observation = app.cache.look_at_observation(handed).await?;
    if let Some(bad) = bad_observation(observation) {
        return without_observation(&app, &action, bad).await;
    }
    of(app, async move |app, conn| match &action {
        Action::Predict(wager) => db::dry_run::wager(conn, wager, &app.rules).await,
        Action::Wait(wait) => db::dry_run::wait(conn, wait, &app.rules).await,
    })
    .await
}

/// The observation is checked before the wallet, except for a bot that may not act at all.
async fn without_observation(app: &App, action: &Action, bad: ApiError) -> ApiResult<Told> {
    let (bot_id, _) = action.whose();
    let mut conn = app.database.get().await?;
    let profile = db::bots::find(&mut conn, &BotRef::Id(bot_id)).await;
    let profile = AuthenticatedBot::or_unknown(profile)?;
    let cost = match action {
        Action::Predict(wager) => wager.stake.money(),
        Action::Wait(_) => Money::ZERO,
    };
    let run = db::dry_run::DryRun { cost, balance: profile.balance, refusal: None };
    let refusal = match acting(&mut conn, bot_id).await {
        Ok(_) => bad,
        Err(may_not_act) => may_not_act,
    };
    Ok(Told { run, refusal: Some(refusal) })
}

/// Why an observation is invalid, if it is.
pub(crate) const fn bad_observation(redemption: Redemption) -> Option<ApiError> {
    match redemption {
        Redemption::Redeemed => None,
        Redemption::Foreign => Some(ApiError::Is(ForeignTicket)),
        Redemption::Gone => Some(ApiError::Is(TicketSpent)),
        Redemption::Twin => Some(ApiError::Is(IdempotencyConflict)),
        Redemption::Halted => Some(ApiError::Is(PriceStale)),
    }
}

/// The answer to a request that was not executed.
pub(crate) struct Told {
    run: db::dry_run::DryRun,
    refusal: Option<ApiError>,
}

impl From<db::dry_run::DryRun> for Told {
    fn from(run: db::dry_run::DryRun) -> Told {
        let refusal = run.refusal.clone().map(|refusal| match refusal {
            DryRefusal::Rule(refusal) => ApiError::Refused(refusal),
            DryRefusal::ObservationUsed => ApiError::Is(TicketSpent),
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
            refusal: self.refusal.map(|refusal| refusal.problem(req.path(), &RequestId::of(req))),
        }))
    }
}
