//! The arena gateway: a ticket to look at, and one action for it.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use api_types::{Acceptance, ActionRequest, ActionStatus, ActionType, Observation};
use bus::tickets::Redemption;
use db::bots::BotRef;
use db::idempotency::Remember;
use db::metrics::Usage;
use db::predictions::{Accepted, Wager};
use ledger_core::post::{POST_MAX_CHARS, one_line};
use ledger_core::prediction::Direction;
use ledger_core::{BotId, Confidence, EconomyRules, ObservationId, Stake};
use uuid::Uuid;

use crate::app::App;
use crate::auth::AuthenticatedBot;
use crate::body::Body;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{Contents, Retry, once};
use crate::routes::bots::open_positions;
use crate::{clock, routes, views};

/// Shows the arena to a living bot and makes it a ticket.
pub(super) async fn observe(bot: AuthenticatedBot, app: Data<App>) -> ApiResult {
    let (seen, price) = tokio::join!(look(&app, bot.id), app.bus.price());
    let (open_positions, tick) = seen?;
    let price = price?.ok_or(ApiError::PriceStale)?;
    let observation_id = ObservationId(Uuid::new_v4());
    let seconds = app.rules.ticket_ttl_seconds;
    // Read before the ticket is made, so that it never ends earlier than it says.
    let server_time = clock::now();
    let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    app.bus.issue_ticket(bot.id, observation_id, ttl).await?;
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
    let found = db::bots::find(&mut conn, &BotRef::Id(bot)).await;
    let profile = AuthenticatedBot::or_unknown(found)?;
    AuthenticatedBot::must_live(profile.status)?;
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
    let body = Body::read(&req, payload).await?;
    let intent = Intent::read(body.parse()?, &app.rules)?;
    let retry = Retry::of(
        &app,
        req.headers(),
        &bot.scope(),
        "POST /arena/action",
        &body,
    )?;
    once(
        &app,
        retry.as_ref(),
        carry_out(&app, bot.id, intent, retry.as_ref()),
    )
    .await
}

async fn carry_out(app: &App, bot: BotId, intent: Intent, retry: Option<&Retry>) -> ApiResult {
    redeem(app, bot, intent.observation_id).await?;
    let render = retry.map(|retry| {
        |accepted: &Accepted| retry.keep(StatusCode::OK, &acceptance(accepted), Contents::Plain)
    });
    let hook = retry.zip(render.as_ref()).map(|(retry, render)| Remember {
        claim: retry.claim,
        render,
    });
    let mut conn = app.database.get().await?;
    let Intent {
        observation_id,
        choice,
        reasoning,
        usage,
    } = intent;
    let accepted = match choice {
        Choice::Predict {
            direction,
            stake,
            confidence,
        } => {
            let wager = Wager {
                bot_id: bot,
                observation_id,
                direction,
                stake,
                confidence,
                reasoning,
                usage,
            };
            db::predictions::place(&mut conn, &wager, &app.rules, hook.as_ref()).await
        }
        Choice::Wait => {
            let (usage, hook) = (usage.as_ref(), hook.as_ref());
            let (reason, rules) = (reasoning.as_str(), &app.rules);
            db::predictions::wait(&mut conn, bot, observation_id, reason, usage, rules, hook).await
        }
    };
    let accepted = AuthenticatedBot::or_unknown(accepted)?;
    app.bus.wake_soon();
    routes::ok(&acceptance(&accepted))
}

fn acceptance(accepted: &Accepted) -> Acceptance {
    Acceptance {
        status: ActionStatus::Accepted,
        action_id: accepted.action_id,
        prediction_id: accepted.prediction_id,
        new_balance: accepted.new_balance,
    }
}

/// Uses the ticket up, or says why not. The dead are told that they are dead, whatever their ticket:
/// only who fails here is looked up, and who does not is judged under the wallet's lock.
async fn redeem(app: &App, bot: BotId, observation: ObservationId) -> Result<(), ApiError> {
    let error = match app.bus.redeem_ticket(bot, observation).await? {
        Redemption::Redeemed => return Ok(()),
        Redemption::Foreign => ApiError::ForeignTicket,
        Redemption::Gone => ApiError::TicketSpent,
        Redemption::Halted => ApiError::PriceStale,
    };
    let mut conn = app.database.get().await?;
    let found = db::bots::find(&mut conn, &BotRef::Id(bot)).await;
    AuthenticatedBot::must_live(AuthenticatedBot::or_unknown(found)?.status)?;
    Err(error)
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

impl Intent {
    fn read(request: ActionRequest, rules: &EconomyRules) -> Result<Intent, ApiError> {
        let choice = match request.action_type {
            ActionType::Wait => Choice::Wait,
            ActionType::Predict => {
                let missing = ApiError::missing;
                let amount = request
                    .wager_amount
                    .ok_or_else(|| missing("wager_amount"))?;
                Choice::Predict {
                    direction: request.direction.ok_or_else(|| missing("direction"))?,
                    stake: rules
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
        if let Some(usage) = &request.usage {
            usage
                .check()
                .map_err(|problem| ApiError::within("usage", problem))?;
        }
        Ok(Intent {
            observation_id: request.observation_id,
            choice,
            reasoning: one_line(reasoning),
            usage: request.usage.map(views::usage),
        })
    }
}
