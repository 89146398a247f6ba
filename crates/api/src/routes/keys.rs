//! New keys for a bot.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use api_types::ProblemKind::{BotStatus, Forbidden};
use api_types::{GRACE_SECONDS_MAX, RotateRequest, RotatedKeys};
use db::bots::BotRef;
use db::credentials::{RecentRotation, Rotated, Rotation, Rotator};
use db::idempotency::Pair;
use ledger_core::BotId;

use super::prelude::*;
use crate::address;
use crate::auth::{Asker, Issued, KeyHolder};
use crate::idempotency::{Contents, Retry, hook, keeper};
use crate::routes::common::{bot_of, ok};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/bots/{bot}/keys", rotate)
            .named("rotateKeys", "bots", "New credentials for a bot")
            .about("Of the bot itself, with its present credentials, or of an operator. The old ones end \
                after `grace_seconds`, at once without any. A lost answer is repeated under the old \
                credentials and the same Idempotency-Key, for half an hour after their end. Key and secret \
                are shown only once.")
            .by(Who::BotOrOperator)
            .with(&["bot"])
            // It hashes like a login, and would otherwise delay all logins.
            .counted(Class::Login)
            .once_in_secret()
            .may_take::<RotateRequest>()
            .refuses(&[Forbidden, BotStatus])
            .answers::<RotatedKeys>(200, "The new credentials."),
    ]
}

/// Rotates a bot's credentials. Dead bots may too: their keys can also be stolen.
async fn rotate(holder: KeyHolder, bot: Path<String>, mut call: Call) -> ApiResult {
    let request: RotateRequest = call.optional_body().await?;
    if request.grace_seconds > GRACE_SECONDS_MAX {
        let rule = format!("must be a whole number from 0 to {GRACE_SECONDS_MAX}");
        return Err(ApiError::invalid("grace_seconds", rule));
    }
    let bot = owned(&call.app, &holder, &bot_of(&bot)?).await?;
    let grace = Duration::from_secs(request.grace_seconds.into());
    // The caller is already authenticated here, without a hash.
    let asker = Asker { address: address::of(&call.req), proven: Some(bot) };
    let claimed = call.claim(&holder.scope(), bot)?;
    claimed
        .finish(
            move |app, retry| async move { replace(&app, bot, &holder, grace, asker, retry).await },
        )
        .await
}

/// The bot that the path names, which a bot must itself be.
async fn owned(app: &App, holder: &KeyHolder, named: &BotRef) -> ApiResult<BotId> {
    const OTHERS: ApiError = ApiError::forbidden("A bot can rotate only its own keys.");
    let found = match named {
        BotRef::Id(id) if matches!(holder, KeyHolder::Bot(_)) => Ok(*id),
        named => {
            let mut conn = app.database.get().await?;
            db::bots::find(&mut conn, named).await.map(|found| found.id)
        }
    };
    match (holder, found) {
        (KeyHolder::Bot(owner), Ok(id)) if id == owner.bot => Ok(id),
        (KeyHolder::Bot(_), Ok(_) | Err(db::DbError::NotFound(_))) => Err(OTHERS),
        (_, found) => Ok(found?),
    }
}

async fn replace(
    app: &App,
    bot: BotId,
    holder: &KeyHolder,
    grace: Duration,
    asker: Asker,
    retry: Option<Arc<Retry>>,
) -> ApiResult {
    holder.must_be_current()?;
    let present = {
        let mut conn = app.database.get().await?;
        db::credentials::login(&mut conn, &BotRef::Id(bot)).await?
    };
    let present = present.map(|present| present.api_key_hash);
    let issued = Issued::draw(&app.auth.passwords, asker, present.as_deref()).await?;
    let answer = |rotated: &Rotated| RotatedKeys {
        id: rotated.bot,
        api_key: issued.api_key.clone(),
        api_secret: issued.api_secret.clone(),
        old_valid_until: rotated.old_valid_until,
    };
    let retry = retry.as_deref();
    let whose =
        |rotated: &Rotated| Contents::Secret(Pair { bot: rotated.bot, version: rotated.version });
    let render = keeper(retry, StatusCode::OK, &answer, whose);
    let hook = hook(retry, render.as_ref());
    let rotation = Rotation {
        bot: &BotRef::Id(bot),
        rotator: match holder {
            KeyHolder::Operator(name) => Rotator::Operator(name),
            KeyHolder::Bot(owner) => Rotator::Bot { version: owner.version },
        },
        credentials: &issued.stored,
        grace,
    };
    let mut conn = app.database.get().await?;
    let rotated = db::credentials::rotate(&mut conn, &rotation, hook.as_ref()).await?;
    app.auth.rotations.learn(&[RecentRotation {
        bot,
        version: rotated.version,
        old_remaining: grace,
    }]);
    ok(&answer(&rotated))
}
