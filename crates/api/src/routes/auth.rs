//! An API key for a short-lived token.

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};
use api_types::{Secret, TokenAnswer, TokenRequest, TokenType};
use db::bots::BotRef;

use crate::app::App;
use crate::auth::TOKEN_SECONDS;
use crate::body::Body;
use crate::error::{ApiError, ApiResult};
use crate::{address, routes};

/// A wrong key and an unknown bot get the same answer, in the same time.
pub(super) async fn token(req: HttpRequest, payload: Payload, app: Data<App>) -> ApiResult {
    let request: TokenRequest = Body::read(&req, payload).await?.parse()?;
    let bot = match (request.bot_id, request.handle) {
        (Some(id), None) => BotRef::Id(id),
        (None, Some(handle)) => BotRef::Handle(handle),
        (None, None) => return Err(ApiError::invalid("handle", "or `bot_id` is required")),
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "bot_id",
                "and `handle` cannot both be given",
            ));
        }
    };
    if let Err(refused) = app.limiter.login(address::of(&req), &bot).await {
        return Err(refused.told(&req));
    }
    let known = {
        let mut conn = app.database.get().await?;
        db::bots::api_key_hash(&mut conn, &bot).await?
    };
    let stored = known.as_ref().map(|(_, hash)| hash.as_str());
    let proven = app
        .passwords
        .verify(request.api_key.expose(), stored)
        .await?;
    let Some((id, _)) = known.filter(|_| proven) else {
        return Err(ApiError::Unauthorized {
            detail: "There is no bot with this API key.",
        });
    };
    routes::ok(&TokenAnswer {
        access_token: Secret::new(app.tokens.issue(id)?),
        token_type: TokenType::Bearer,
        expires_in: TOKEN_SECONDS,
    })
}
