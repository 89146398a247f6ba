//! The arena gateway: a ticket to look at, and one action for it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};
use api_types::{ActionRequest, ActionType, Observation};
use cache::observations::Redemption;
use db::DbError;
use db::actions::Wager;
use db::bots::BotRef;
use db::error::Conflict;
use db::usage::Usage;
use ledger_core::post::{POST_MAX_CHARS, one_line};
use ledger_core::prediction::Direction;
use ledger_core::{BotId, Confidence, ObservationId, Refusal, Stake};
use tracing::debug;
use uuid::Uuid;

use crate::app::App;
use crate::auth::AuthenticatedBot;
use crate::body::Body;
use crate::dry_run::{self, Run};
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{Retry, finish};
use crate::routes::bots::open_positions;
use crate::wagers::{self, Order, Unplaced};
use crate::{clock, routes, usage, views};

/// Shows the arena to a living bot and makes it a ticket.
pub(super) async fn observe(bot: AuthenticatedBot, app: Data<App>) -> ApiResult {
    let (seen, price) = tokio::join!(look(&app, bot.id), app.fresh_price());
    let (open_positions, tick) = seen?;
    let price = price?.ok_or(ApiError::PriceStale)?;
    let observation_id = ObservationId(Uuid::new_v4());
    let seconds = app.rules.ticket_ttl_seconds;
    // Read before the ticket is made, so that it never ends earlier than it says.
    let server_time = clock::now();
    let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    app.cache
        .issue_observation(bot.id, observation_id, ttl)
        .await?;
    routes::ok(&Observation {
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

type Seen = (Vec<api_types::Prediction>, ledger_core::CycleNumber);

async fn look(app: &App, bot: BotId) -> Result<Seen, ApiError> {
    let mut conn = app.database.get().await?;
    let profile = acting(&mut conn, bot).await?;
    let open = match profile.open_predictions {
        0 => Vec::new(),
        _ => open_positions(&mut conn, bot).await?,
    };
    Ok((open, db::ticks::latest(&mut conn).await?))
}

/// Takes a bot's action. A malformed one leaves the ticket unused; any other one uses it up.
pub(super) async fn act(
    bot: AuthenticatedBot,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let run = Run::of(&req)?;
    let body = Body::read(&req, payload).await?;
    let intent = Intent::read(body.parse()?, &app)?;
    let retry = Retry::of(
        &app,
        req.headers(),
        &bot.scope(),
        "POST /arena/action",
        &body,
    )?;
    if run == Run::Dry {
        let stake = intent.choice.stake();
        let told = dry_run::action(&app, bot.id, intent.observation_id, stake).await?;
        return told.answer(&req);
    }
    finish(app, retry, move |app, retry| async move {
        carry_out(&app, bot.id, intent, retry).await
    })
    .await
}

async fn carry_out(
    app: &App,
    bot_id: BotId,
    intent: Intent,
    retry: Option<Arc<Retry>>,
) -> ApiResult {
    let Intent {
        observation_id,
        choice,
        reasoning,
        usage,
    } = intent;
    let may_be_repeated = retry.is_some();
    let accepted = match choice {
        Choice::Predict {
            direction,
            stake,
            confidence,
        } => {
            let wager = Wager {
                bot_id,
                observation_id,
                direction,
                stake,
                confidence,
                reasoning,
                usage,
            };
            match app.wagers.place(Order { wager, retry }).await {
                Ok(accepted) => Ok(accepted),
                Err(Unplaced::Ticket(redemption)) => {
                    return Err(unredeemed(app, bot_id, redemption).await);
                }
                Err(Unplaced::Busy) => {
                    return Err(ApiError::Unavailable("too many wagers wait".to_owned()));
                }
                Err(Unplaced::BotBusy) => {
                    return Err(ApiError::TooManyRequests {
                        detail: "Too many of this bot's wagers wait already. The ticket is unused.",
                        retry_after_seconds: 1,
                    });
                }
                Err(Unplaced::Cache(error)) => return Err(error.into()),
                Err(Unplaced::Db(error)) => Err(error),
            }
        }
        Choice::Wait => {
            let render = retry.as_ref().map(wagers::keeper);
            let hook = wagers::hook(retry.as_ref(), render.as_ref());
            let (reason, rules) = (reasoning.as_str(), &app.rules);
            let handed = wagers::handed(bot_id, observation_id, retry.as_deref());
            match app.cache.redeem_observation(handed).await? {
                Redemption::Redeemed => {}
                other => return Err(unredeemed(app, bot_id, other).await),
            }
            let mut conn = app.database.get().await?;
            db::actions::wait(
                &mut conn,
                bot_id,
                observation_id,
                reason,
                usage.as_ref(),
                rules,
                hook.as_ref(),
            )
            .await
        }
    };
    if may_be_repeated && let Err(error) = &accepted {
        forget(app, observation_id, error).await;
    }
    let accepted = AuthenticatedBot::or_unknown(accepted)?;
    app.cache.wake_soon();
    routes::ok(&views::acceptance(&accepted))
}

/// A request that came to nothing and is sent again must find its ticket used, and not itself under
/// way.
async fn forget(app: &App, observation_id: ObservationId, error: &DbError) {
    let perhaps_done = matches!(
        error,
        DbError::OutcomeUnknown(_) | DbError::Conflict(Conflict::IdempotencyKey)
    );
    if !perhaps_done && let Err(error) = app.cache.forget_observation(observation_id).await {
        debug!(%error, "a used ticket remembers its request until it expires");
    }
}

/// Why a ticket is not good. Whoever may not act at all is told that, whatever their ticket: the dead, the
/// paused, and everybody while the arena is paused. Only who fails here is looked up; who does not is
/// judged under the wallet's lock.
async fn unredeemed(app: &App, bot: BotId, redemption: Redemption) -> ApiError {
    let error = dry_run::bad_observation(redemption).unwrap_or(ApiError::TicketSpent);
    if matches!(error, ApiError::IdempotencyConflict) {
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

/// A bot that may act: it lives, and no operator holds it or the arena.
async fn acting(conn: &mut db::Connection, bot: BotId) -> ApiResult<db::bots::BotProfile> {
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
struct Intent {
    observation_id: ObservationId,
    choice: Choice,
    /// One clean line.
    reasoning: String,
    usage: Option<Usage>,
}

enum Choice {
    Predict {
        direction: Direction,
        stake: Stake,
        confidence: Confidence,
    },
    Wait,
}

impl Choice {
    const fn stake(&self) -> Option<Stake> {
        match self {
            Choice::Predict { stake, .. } => Some(*stake),
            Choice::Wait => None,
        }
    }
}

impl Intent {
    fn read(request: ActionRequest, app: &App) -> Result<Intent, ApiError> {
        let choice = match request.action_type {
            ActionType::Wait => Choice::Wait,
            ActionType::Predict => {
                let missing = ApiError::missing;
                let amount = request
                    .wager_amount
                    .ok_or_else(|| missing("wager_amount"))?;
                Choice::Predict {
                    direction: request.direction.ok_or_else(|| missing("direction"))?,
                    stake: app
                        .rules
                        .stake(amount)
                        .map_err(|rule| ApiError::invalid("wager_amount", rule.to_string()))?,
                    confidence: request.confidence.ok_or_else(|| missing("confidence"))?,
                }
            }
        };
        let reasoning = request.reasoning.as_deref().unwrap_or_default();
        if reasoning.chars().count() > POST_MAX_CHARS {
            let rule = format!("must have at most {POST_MAX_CHARS} characters");
            return Err(ApiError::invalid("reasoning", rule));
        }
        let usage = request
            .usage
            .map(|reported| usage::read(reported, &app.price_book))
            .transpose()?;
        Ok(Intent {
            observation_id: request.observation_id,
            choice,
            reasoning: one_line(reasoning),
            usage,
        })
    }
}
