//! Pauses by an operator: of the arena, one bot or one market.

use api_types::ProblemKind::MarketClosed;
use api_types::{ArenaState, PauseRequest, ResumeRequest};
use db::bots::{BotProfile, BotRef};
use db::markets::Market;
use db::pauses::{self, PauseChange, Wanted};

use super::prelude::*;
use crate::openapi::examples;
use crate::routes::common::{id_of, market_of, reason, required_reason};
use crate::views;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let pausing = |row: Endpoint| row.by(Who::Operator).once().takes::<PauseRequest>();
    let resuming = |row: Endpoint| row.by(Who::Operator).once().may_take::<ResumeRequest>();
    vec![
        pausing(post("/arena/pause", arena))
            .named("pauseArena", "operators", "Holds the arena: no money moves and no time passes")
            .about(
                "Once this has answered, nothing moves. Reads and operators' acts still work. Told \
                again, the first reason stands.",
            )
            .answers::<ArenaState>(200, "Paused.")
            .such_as(examples::paused()),
        resuming(post("/arena/resume", arena))
            .named("resumeArena", "operators", "Resumes the arena")
            .about("Ticks that did not begin meanwhile are not made up for.")
            .answers::<ArenaState>(200, "Running."),
        pausing(post("/bots/{bot}/pause", bot))
            .named("pauseBot", "operators", "Holds one bot: it neither acts nor pays for time")
            .with(&["bot"])
            .answers::<api_types::Bot>(200, "The bot, paused."),
        resuming(post("/bots/{bot}/resume", bot))
            .named("resumeBot", "operators", "Resumes a bot")
            .with(&["bot"])
            .answers::<api_types::Bot>(200, "The bot."),
        pausing(post("/markets/{market}/pause", market))
            .named(
                "pauseMarket",
                "operators",
                "Holds one market: it takes nothing and pays nothing",
            )
            .with(&["market"])
            .refuses(&[MarketClosed])
            .answers::<api_types::Market>(200, "The market, paused."),
        resuming(post("/markets/{market}/resume", market))
            .named("resumeMarket", "operators", "Resumes a market")
            .with(&["market"])
            .answers::<api_types::Market>(200, "The market."),
    ]
}

/// The request, and its reason. A pause needs a reason, which refused callers get; a resumption may
/// have one.
async fn read(call: &mut Call) -> ApiResult<(Wanted, String)> {
    if Endpoint::of(&call.req)?.path.ends_with("/pause") {
        let request: PauseRequest = call.body().await?;
        Ok((Wanted::Paused, required_reason(&request.reason)?))
    } else {
        let request: ResumeRequest = call.optional_body().await?;
        Ok((Wanted::Running, reason(&request.reason)?))
    }
}

/// Pauses all money and time until the arena is resumed, or resumes it.
async fn arena(operator: AuthenticatedOperator, mut call: Call) -> ApiResult {
    let (wanted, reason) = read(&mut call).await?;
    let claimed = call.claim(&operator.scope(), "")?;
    let shown = |change: &PauseChange<()>| ArenaState { paused: change.pause.clone() };
    claimed
        .once(shown, async move |_, conn, hook| {
            let who = &operator.0;
            Ok(match wanted {
                Wanted::Paused => pauses::pause_arena(conn, who, &reason, hook).await?,
                Wanted::Running => pauses::resume_arena(conn, who, &reason, hook).await?,
            })
        })
        .await
}

async fn bot(operator: AuthenticatedOperator, bot: Path<String>, mut call: Call) -> ApiResult {
    let (wanted, reason) = read(&mut call).await?;
    let id = id_of(&call.app, &bot).await?;
    let claimed = call.claim(&operator.scope(), id)?;
    let shown = |change: &PauseChange<BotProfile>| views::bot(change.subject.clone());
    claimed
        .once(shown, async move |_, conn, hook| {
            let (bot, who) = (BotRef::Id(id), &operator.0);
            Ok(pauses::set_bot(conn, &bot, wanted, who, &reason, hook).await?)
        })
        .await
}

async fn market(
    operator: AuthenticatedOperator,
    market: Path<String>,
    mut call: Call,
) -> ApiResult {
    let id = market_of(&market)?;
    let (wanted, reason) = read(&mut call).await?;
    let claimed = call.claim(&operator.scope(), id)?;
    let shown = |change: &PauseChange<Market>| views::market(change.subject.clone(), Vec::new());
    claimed
        .once(shown, async move |_, conn, hook| {
            Ok(pauses::set_market(conn, id, wanted, &operator.0, &reason, hook).await?)
        })
        .await
}
