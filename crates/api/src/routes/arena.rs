//! The arena gateway: observations, and one action for each.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use api_types::ProblemKind::*;
use api_types::{ActionRequest, ActionType, Observation};
use cache::observations::Redemption;
use db::DbError;
use db::actions::{Wager, Wait};
use db::bots::BotRef;
use db::error::Conflict;
use ledger_core::post::POST_MAX_CHARS;
use ledger_core::{BotId, ObservationId, Refusal};
use tracing::debug;
use uuid::Uuid;

use super::prelude::*;
use crate::dry_run::{self, Run};
use crate::idempotency::{Contents, Retry, hook, keeper};
use crate::routes::bots::open_positions;
use crate::routes::common::{line, ok};
use crate::wagers::{self, Order, Unplaced};
use crate::{clock, usage, views};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/arena/observation", observe)
            .named("observe", "agents", "An observation, with data for a decision")
            // It creates data in Redis, and HEAD would lose it.
            .counted(Class::Write)
            .without_head()
            .about("An observation is valid for one action of this bot, for a few seconds.")
            .by(Who::Bot)
            .refuses(&[BotNotAlive, BotPaused, ArenaPaused, PriceStale])
            .answers::<Observation>(200, "An observation."),
        post("/arena/action", act)
            .named("act", "agents", "One action for an observation: a wager on the price, or waiting")
            .counted(Class::Action)
            .about("PREDICT stakes on the price going UP or DOWN over the prediction horizon. WAIT does \
                nothing, and reports the reason. A malformed action leaves the observation unused; any other \
                one uses it up.")
            .by(Who::Bot)
            .tried()
            .once()
            .takes::<ActionRequest>()
            .refuses(&[
                BotNotAlive, BotPaused, ArenaPaused, ForeignTicket, TicketSpent, LimitReached, InsufficientFunds, PriceStale,
                HouseBudget,
            ])
            .answers::<api_types::Acceptance>(200, "Done, and committed."),
    ]
}

/// Shows the arena to a living bot and makes it an observation.
async fn observe(bot: AuthenticatedBot, app: Data<App>) -> ApiResult {
    let (seen, price) = tokio::join!(look(&app, bot.id), app.fresh_price());
    let (open_positions, tick) = seen?;
    let price = price?.ok_or(ApiError::Is(PriceStale))?;
    let observation_id = ObservationId(Uuid::new_v4());
    let seconds = app.rules.ticket_ttl_seconds;
    // Read before the observation is created, so that it never expires earlier than announced.
    let server_time = clock::now();
    let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    app.cache.issue_observation(bot.id, observation_id, ttl).await?;
    ok(&Observation {
        observation_id,
        server_time,
        valid_until: server_time.plus_seconds(seconds),
        price_snapshot: price.price.money(),
        price_source: price.source,
        price_at: price.provider_at,
        open_positions,
        tick,
    })
}

type Seen = (Vec<api_types::Prediction>, ledger_core::TickNumber);

async fn look(app: &App, bot: BotId) -> Result<Seen, ApiError> {
    let mut conn = app.database.get().await?;
    let profile = acting(&mut conn, bot).await?;
    let open = match profile.open_predictions {
        0 => Vec::new(),
        _ => open_positions(&mut conn, bot).await?,
    };
    Ok((open, db::ticks::latest(&mut conn).await?))
}

/// Takes a bot's action. A malformed one leaves the observation unused; any other one uses it up.
async fn act(bot: AuthenticatedBot, mut call: Call) -> ApiResult {
    let run = Run::of(&call.req)?;
    let action = Action::read(bot.id, call.body().await?, &call.app)?;
    let claimed = call.claim(&bot.scope(), "")?;
    if run == Run::Dry {
        return dry_run::action(claimed.app, action).await?.answer(&claimed.req);
    }
    claimed.finish(move |app, retry| async move { carry_out(&app, action, retry).await }).await
}

async fn carry_out(app: &App, action: Action, retry: Option<Arc<Retry>>) -> ApiResult {
    let (bot_id, observation_id) = action.whose();
    let may_be_repeated = retry.is_some();
    let accepted = match action {
        Action::Predict(wager) => match app.wagers.place(Order { wager, retry }).await {
            Ok(accepted) => Ok(accepted),
            Err(Unplaced::Observation(redemption)) => {
                return Err(unredeemed(app, bot_id, redemption).await);
            }
            Err(Unplaced::Busy) => {
                return Err(ApiError::Unavailable("too many wagers wait".to_owned()));
            }
            Err(Unplaced::BotBusy) => {
                return Err(ApiError::TooManyRequests {
                    detail: "Too many of this bot's wagers wait already. The observation is unused.",
                    retry_after_seconds: 1,
                });
            }
            Err(Unplaced::Cache(error)) => return Err(error.into()),
            Err(Unplaced::Db(error)) => Err(error),
        },
        Action::Wait(wait) => {
            let render =
                keeper(retry.as_deref(), StatusCode::OK, views::acceptance, |_| Contents::Plain);
            let hook = hook(retry.as_deref(), render.as_ref());
            let handed = wagers::handed(bot_id, observation_id, retry.as_deref());
            match app.cache.redeem_observation(handed).await? {
                Redemption::Redeemed => {}
                other => return Err(unredeemed(app, bot_id, other).await),
            }
            let mut conn = app.database.get().await?;
            db::actions::wait(&mut conn, &wait, &app.rules, hook.as_ref()).await
        }
    };
    if may_be_repeated && let Err(error) = &accepted {
        forget(app, observation_id, error).await;
    }
    let accepted = AuthenticatedBot::or_unknown(accepted)?;
    app.cache.wake_soon();
    ok(&views::acceptance(&accepted))
}

/// A request that came to nothing and is sent again must find its observation used, and not itself under
/// way.
async fn forget(app: &App, observation_id: ObservationId, error: &DbError) {
    let perhaps_done =
        matches!(error, DbError::OutcomeUnknown(_) | DbError::Conflict(Conflict::IdempotencyKey));
    if !perhaps_done && let Err(error) = app.cache.forget_observation(observation_id).await {
        debug!(%error, "a used observation keeps its request until it expires");
    }
}

/// Why an observation is invalid. A bot that may not act at all (dead, paused, or any during a
/// pause of the arena) gets that answer, whatever its observation. Only failing requests are looked
/// up here; others are judged under the wallet's lock.
async fn unredeemed(app: &App, bot: BotId, redemption: Redemption) -> ApiError {
    let error = dry_run::bad_observation(redemption).unwrap_or(ApiError::Is(TicketSpent));
    if matches!(error, ApiError::Is(IdempotencyConflict)) {
        return error;
    }
    let looked_up = async {
        let mut conn = app.database.get().await?;
        acting(&mut conn, bot).await
    };
    match looked_up.await {
        Ok(_) => error,
        Err(may_not_act) => may_not_act,
    }
}

/// A bot that may act: it is alive, and neither it nor the arena is paused.
pub(crate) async fn acting(
    conn: &mut db::Connection,
    bot: BotId,
) -> ApiResult<db::bots::BotProfile> {
    let found = db::bots::find(conn, &BotRef::Id(bot)).await;
    let profile = AuthenticatedBot::or_unknown(found)?;
    AuthenticatedBot::must_live(profile.status)?;
    if let Some(pause) = profile.pause {
        return Err(Refusal::BotPaused { pause }.into());
    }
    match db::pauses::arena(conn).await? {
        Some(pause) => Err(Refusal::ArenaPaused { pause }.into()),
        None => Ok(profile),
    }
}

/// An action that makes sense: every field was checked.
pub(crate) enum Action {
    Predict(Wager),
    Wait(Wait),
}

impl Action {
    /// The bot that acts, and its observation.
    pub(crate) const fn whose(&self) -> (BotId, ObservationId) {
        match self {
            Action::Predict(wager) => (wager.bot_id, wager.observation_id),
            Action::Wait(wait) => (wait.bot_id, wait.observation_id),
        }
    }

    fn read(bot_id: BotId, request: ActionRequest, app: &App) -> Result<Action, ApiError> {
        let missing = ApiError::missing;
        let position = match request.action_type {
            ActionType::Wait => None,
            ActionType::Predict => {
                let wager_amount = request.wager_amount.ok_or_else(|| missing("wager_amount"))?;
                let direction = request.direction.ok_or_else(|| missing("direction"))?;
                let stake = app.rules.stake(wager_amount);
                let stake =
                    stake.map_err(|rule| ApiError::invalid("wager_amount", rule.to_string()))?;
                let confidence = request.confidence.ok_or_else(|| missing("confidence"))?;
                Some((direction, stake, confidence))
            }
        };
        let reasoning = request.reasoning.as_deref().unwrap_or_default();
        let reasoning = line("reasoning", reasoning, POST_MAX_CHARS)?;
        let usage = usage::read_any(request.usage, &app.price_book)?;
        let observation_id = request.observation_id;
        Ok(match position {
            Some((direction, stake, confidence)) => Action::Predict(Wager {
                bot_id,
                observation_id,
                direction,
                stake,
                confidence,
                reasoning,
                usage,
            }),
            None => Action::Wait(Wait { bot_id, observation_id, reasoning, usage }),
        })
    }
}
