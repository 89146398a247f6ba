//! Every path there is, one file for each noun.

mod arena;
mod audit;
mod auth;
mod bots;
mod docs;
mod economy;
mod health;
mod insights;
mod keys;
mod ledger;
mod markets;
mod pauses;
mod posts;
mod predictions;
mod prices;
mod problems;
mod standings;
mod ticks;
mod usage;
mod web;

use std::future::ready;

use actix_web::guard::{Any, Get, Head};
use actix_web::web::{ServiceConfig, delete, post, to};
use actix_web::{HttpResponse, Resource, Route};
use db::bots::BotRef;
use serde::Serialize;

use crate::error::{ApiError, ApiResult};
use crate::{metrics, streams};

/// The table of routes. What is not in it is a 404; a method that a path does not know is a 405.
pub(crate) fn all(config: &mut ServiceConfig) {
    const READ: &str = "GET, HEAD";
    config
        .service(path("/", READ).route(get().to(web::page)))
        .service(path("/web/{file:.*}", READ).route(get().to(web::file)))
        .service(path("/health", READ).route(get().to(health::health)))
        .service(path("/ready", READ).route(get().to(health::ready)))
        .service(
            path("/bots", "GET, HEAD, POST")
                .route(get().to(bots::list))
                .route(post().to(bots::create)),
        )
        .service(path("/metrics", READ).route(get().to(metrics::show)))
        .service(path("/bots/me", READ).route(get().to(bots::me)))
        .service(
            path("/bots/{bot}", "GET, HEAD, DELETE")
                .route(get().to(bots::show))
                .route(delete().to(bots::retire)),
        )
        .service(path("/bots/{bot}/revive", "POST").route(post().to(bots::revive)))
        .service(path("/bots/{bot}/pause", "POST").route(post().to(pauses::pause_bot)))
        .service(path("/bots/{bot}/resume", "POST").route(post().to(pauses::resume_bot)))
        .service(path("/bots/{bot}/keys", "POST").route(post().to(keys::rotate)))
        .service(path("/bots/{bot}/ledger", READ).route(get().to(ledger::chain)))
        .service(path("/bots/{bot}/ledger/verify", READ).route(get().to(ledger::verify)))
        .service(path("/auth/token", "POST").route(post().to(auth::token)))
        .service(path("/arena/observation", "GET").route(actix_web::web::get().to(arena::observe)))
        .service(path("/arena/pause", "POST").route(post().to(pauses::pause_arena)))
        .service(path("/arena/resume", "POST").route(post().to(pauses::resume_arena)))
        .service(path("/arena/action", "POST").route(post().to(arena::act)))
        .service(
            path("/markets", "GET, HEAD, POST")
                .route(get().to(markets::list))
                .route(post().to(markets::create)),
        )
        .service(path("/markets/bets", "POST").route(post().to(markets::bet_on_several)))
        .service(path("/markets/{market}", READ).route(get().to(markets::show)))
        .service(path("/markets/{market}/evidence", READ).route(get().to(markets::evidence)))
        .service(
            path("/markets/{market}/evidence/{evidence}", READ)
                .route(get().to(markets::evidence_body)),
        )
        .service(
            path("/markets/{market}/bets", "GET, HEAD, POST")
                .route(get().to(markets::bets))
                .route(post().to(markets::bet)),
        )
        .service(path("/markets/{market}/answers", "POST").route(post().to(markets::answer)))
        .service(path("/markets/{market}/void", "POST").route(post().to(markets::void)))
        .service(path("/markets/{market}/pause", "POST").route(post().to(pauses::pause_market)))
        .service(path("/markets/{market}/resume", "POST").route(post().to(pauses::resume_market)))
        .service(path("/audit", READ).route(get().to(audit::list)))
        .service(path("/predictions", READ).route(get().to(predictions::list)))
        .service(path("/prices", READ).route(get().to(prices::list)))
        .service(path("/posts/feed", READ).route(get().to(posts::feed)))
        .service(path("/ledger", READ).route(get().to(ledger::journal)))
        .service(path("/ticks", READ).route(get().to(ticks::list)))
        .service(path("/bots/{bot}/history", READ).route(get().to(ticks::history)))
        .service(path("/economy", READ).route(get().to(economy::show)))
        .service(path("/economy/rules/{digest}", READ).route(get().to(economy::rules)))
        .service(path("/insights/{bot}", READ).route(get().to(insights::show)))
        .service(path("/standings", READ).route(get().to(standings::list)))
        .service(path("/events", "GET").route(actix_web::web::get().to(streams::events)))
        .service(path("/ws/stream", "GET").route(actix_web::web::get().to(streams::stream)))
        .service(path("/metrics/usage", "POST").route(post().to(usage::report)))
        .service(path("/problems/{name}", READ).route(get().to(problems::page)))
        .service(path("/openapi.json", READ).route(get().to(docs::document)))
        .service(path("/docs", READ).route(get().to(docs::start)))
        .service(path("/docs/{file:.*}", READ).route(get().to(docs::file)))
        .default_service(to(nowhere));
}

/// A path with the methods it knows, for whoever asks for another one.
fn path(pattern: &str, allow: &'static str) -> Resource {
    let refuse = move || {
        ready(ApiResult::<HttpResponse>::Err(ApiError::MethodNotAllowed {
            allow,
        }))
    };
    actix_web::web::resource(pattern).default_service(to(refuse))
}

/// HEAD is GET without the body, which the server leaves out by itself.
fn get() -> Route {
    actix_web::web::route().guard(Any(Get()).or(Head()))
}

async fn nowhere() -> ApiResult {
    Err(ApiError::not_found("such path"))
}

/// An id or a handle; digits alone are an id, since handles start with a letter.
fn bot_ref(text: &str) -> Option<BotRef> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(BotRef::Id);
    }
    text.parse().ok().map(BotRef::Handle)
}

/// The bot that a path names. A name that nobody can have is nobody's.
fn bot_of(path: &str) -> Result<BotRef, ApiError> {
    bot_ref(path).ok_or_else(|| ApiError::not_found("such bot"))
}

fn ok<T: Serialize>(answer: &T) -> ApiResult {
    Ok(HttpResponse::Ok().json(answer))
}
