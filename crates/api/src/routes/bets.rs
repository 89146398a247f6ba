//! Bets on markets, and answers to research questions.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use api_types::ProblemKind::{self, *};
use api_types::{
    AnswerJudged, AnswerRequest, BetOn, BetRequest, BetsPlaced, BetsRequest, REASONING_MAX_CHARS,
};
use db::markets::{NewAnswer, NewBet, Slip};
use ledger_core::economy::Lookup;
use ledger_core::post::one_line;
use ledger_core::research::Answer;
use ledger_core::{BetId, EconomyRules, MarketId};

use crate::app::App;
use crate::auth::{AuthenticatedBot, Who};
use crate::body::Body;
use crate::cursor::{List, Parameters};
use crate::dry_run::{self, Run};
use crate::endpoint::{Endpoint, get, post};
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{Retry, finish, hook, keeper};
use crate::openapi::examples;
use crate::routes::common::{market_of, ok};
use crate::views::Secrecy;
use crate::{usage, views};

/// What may keep a bot from putting a stake on a market.
const STAKING: [ProblemKind; 8] = [
    BotNotAlive,
    BotPaused,
    ArenaPaused,
    MarketPaused,
    InsufficientFunds,
    MarketClosed,
    AlreadyIn,
    LimitReached,
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/markets/{market}/bets", bets)
            .named(
                "listMarketBets",
                "markets",
                "The bets on a market, or the answers to it",
            )
            .listed("BetPage", &["market"], examples::bet()),
        post("/markets/{market}/bets", bet)
            .named("bet", "markets", "One bet")
            .by(Who::Bot)
            .with(&["market"])
            .tried()
            .once()
            .takes("BetRequest", vec![("a bet", examples::bet_request())])
            .refuses(&STAKING)
            .answers(
                201,
                "BetsPlaced",
                "Placed, and committed.",
                examples::bets_placed(),
            ),
        post("/markets/bets", bet_on_several)
            .named(
                "betOnSeveral",
                "markets",
                "Up to three bets in one transaction: all or none",
            )
            .by(Who::Bot)
            .tried()
            .once()
            .takes("BetsRequest", vec![("one bet", examples::bets_request())])
            .refuses(&STAKING)
            .refuses(&[NotFound])
            .answers(
                201,
                "BetsPlaced",
                "Placed, and committed.",
                examples::bets_placed(),
            ),
        post("/markets/{market}/answers", answer)
            .named(
                "answer",
                "markets",
                "An answer to a research question, judged at once",
            )
            .about(
                "The first right answer gets stake and bounty, and closes the market. One answer a \
                market, and one a tick.",
            )
            .by(Who::Bot)
            .with(&["market"])
            .tried()
            .once()
            .takes(
                "AnswerRequest",
                vec![("an answer", examples::answer_request())],
            )
            .refuses(&STAKING)
            .answers(
                200,
                "AnswerJudged",
                "Right or wrong.",
                examples::answer_judged(),
            ),
    ]
}

async fn bets(market: Path<String>, req: HttpRequest, app: Data<App>) -> ApiResult {
    let id = market_of(&market)?;
    let page = Parameters::of(&req)?.page(List::Bets, &app.secrets)?;
    let before = page.after.map(|[id]| BetId(id));
    let mut conn = app.database.get().await?;
    let secrecy = Secrecy::of(db::markets::find(&mut conn, id).await?.status);
    let rows = db::markets::bets_page(&mut conn, id, before, page.limit()).await?;
    ok(&page.answer(rows, |bet| [bet.id.0], |bet| views::bet(bet, secrecy)))
}

/// Places one bet.
async fn bet(
    bot: AuthenticatedBot,
    market: Path<String>,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let run = Run::of(&req)?;
    let market_id = market_of(&market)?;
    let body = Body::read(&req, payload).await?;
    let request: BetRequest = body.parse()?;
    let one = BetOn {
        market_id,
        side: request.side,
        stake: request.stake,
        confidence: request.confidence,
        reasoning: request.reasoning,
    };
    let bets =
        vec![read_bet(one, &app.rules).map_err(|(field, rule)| ApiError::invalid(field, rule))?];
    let usage = usage_of(request.usage, &app)?;
    let slip = Slip {
        bot_id: bot.id,
        bets,
        usage,
    };
    let retry = app.retries.claim(&req, &bot.scope(), market_id, &body)?;
    if run == Run::Dry {
        let told = dry_run::bets(app, slip).await?;
        let word = |error| at_place(error, "stake", |_| String::new());
        return told.worded(word).answer(&req);
    }
    finish(app, retry, move |app, retry| async move {
        place(&app, slip, retry, |_| String::new()).await
    })
    .await
}

/// Places several bets, all or none.
async fn bet_on_several(
    bot: AuthenticatedBot,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let run = Run::of(&req)?;
    let body = Body::read(&req, payload).await?;
    let request: BetsRequest = body.parse()?;
    let most = app.rules.markets.bets_per_request_max;
    let count = i64::try_from(request.bets.len()).unwrap_or(i64::MAX);
    if !(1..=most).contains(&count) {
        return Err(ApiError::invalid(
            "bets",
            format!("must hold 1 to {most} bets"),
        ));
    }
    let mut bets: Vec<NewBet> = Vec::with_capacity(request.bets.len());
    for (place, one) in request.bets.into_iter().enumerate() {
        let within = |field: &str| format!("bets[{place}].{field}");
        if bets.iter().any(|other| other.market_id == one.market_id) {
            let rule = "names a market that another bet of this request names too";
            return Err(ApiError::invalid(within("market_id"), rule));
        }
        let bet = read_bet(one, &app.rules);
        bets.push(bet.map_err(|(field, rule)| ApiError::invalid(within(field), rule))?);
    }
    let usage = usage_of(request.usage, &app)?;
    let ids: Vec<MarketId> = bets.iter().map(|bet| bet.market_id).collect();
    let slip = Slip {
        bot_id: bot.id,
        bets,
        usage,
    };
    let retry = app.retries.claim(&req, &bot.scope(), "", &body)?;
    let place_of = move |market: MarketId| {
        let place = ids.iter().position(|id| *id == market);
        place.map_or_else(String::new, |place| format!("bets[{place}]."))
    };
    if run == Run::Dry {
        let told = dry_run::bets(app, slip).await?;
        let word = |error| at_place(error, "stake", place_of);
        return told.worded(word).answer(&req);
    }
    finish(app, retry, move |app, retry| async move {
        place(&app, slip, retry, place_of).await
    })
    .await
}

async fn place(
    app: &App,
    slip: Slip,
    retry: Option<Arc<Retry>>,
    place_of: impl Fn(MarketId) -> String,
) -> ApiResult {
    let answer = |placed: &db::markets::BetsPlaced| BetsPlaced {
        action_id: placed.action_id,
        bets: placed
            .bets
            .iter()
            .map(|bet| views::bet(bet.clone(), Secrecy::Closed))
            .collect(),
        new_balance: placed.new_balance,
    };
    let render = keeper(retry.as_deref(), StatusCode::CREATED, answer);
    let hook = hook(retry.as_deref(), render.as_ref());
    let mut conn = app.database.get().await?;
    let placed = db::markets::place(&mut conn, &slip, &app.rules, hook.as_ref()).await;
    let placed =
        AuthenticatedBot::or_unknown(placed).map_err(|error| at_place(error, "stake", place_of))?;
    app.cache.wake_soon();
    Ok(HttpResponse::Created().json(answer(&placed)))
}

/// A refusal that has to do with a market names the field that chose it.
fn at_place(error: ApiError, default: &str, place_of: impl Fn(MarketId) -> String) -> ApiError {
    match error {
        ApiError::Refused(refusal) => {
            let prefix = refusal.market().map(place_of).unwrap_or_default();
            let field = match refusal.market() {
                Some(_) => format!("{prefix}market_id"),
                None => default.to_owned(),
            };
            ApiError::RefusedField { field, refusal }
        }
        other => other,
    }
}

fn read_bet(bet: BetOn, rules: &EconomyRules) -> Result<NewBet, (&'static str, String)> {
    let stake = rules
        .stake(bet.stake)
        .map_err(|rule| ("stake", rule.to_string()))?;
    Ok(NewBet {
        market_id: bet.market_id,
        side: bet.side,
        stake,
        confidence: bet.confidence,
        reasoning: reasoning(bet.reasoning.as_deref())?,
    })
}

fn reasoning(text: Option<&str>) -> Result<String, (&'static str, String)> {
    let text = text.unwrap_or_default();
    if text.chars().count() > REASONING_MAX_CHARS {
        let rule = format!("must have at most {REASONING_MAX_CHARS} characters");
        return Err(("reasoning", rule));
    }
    Ok(one_line(text))
}

fn usage_of(
    reported: Option<api_types::Usage>,
    app: &App,
) -> Result<Option<db::usage::Usage>, ApiError> {
    reported
        .map(|reported| usage::read(reported, &app.price_book))
        .transpose()
}

/// Takes an answer to a research question.
async fn answer(
    bot: AuthenticatedBot,
    market: Path<String>,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let run = Run::of(&req)?;
    let market_id = market_of(&market)?;
    let body = Body::read(&req, payload).await?;
    let request: AnswerRequest = body.parse()?;
    let said: Answer =
        request
            .answer
            .parse()
            .map_err(|rule: ledger_core::research::AnswerError| {
                ApiError::invalid("answer", rule.to_string())
            })?;
    let new = NewAnswer {
        bot_id: bot.id,
        market_id,
        answer: said,
        lookup: if request.used_lookup {
            Lookup::Used
        } else {
            Lookup::NotUsed
        },
        confidence: request.confidence,
        reasoning: reasoning(request.reasoning.as_deref())
            .map_err(|(field, rule)| ApiError::invalid(field, rule))?,
        usage: usage_of(request.usage, &app)?,
    };
    let retry = app.retries.claim(&req, &bot.scope(), market_id, &body)?;
    if run == Run::Dry {
        let told = dry_run::answer(app, new).await?;
        let word = |error| at_place(error, "answer", |_| String::new());
        return told.worded(word).answer(&req);
    }
    finish(app, retry, move |app, retry| async move {
        judge(&app, new, retry).await
    })
    .await
}

async fn judge(app: &App, new: NewAnswer, retry: Option<Arc<Retry>>) -> ApiResult {
    let answer = |judged: &db::markets::Judged| AnswerJudged {
        action_id: judged.action_id,
        result: judged.result,
        payout: judged.payout,
        new_balance: judged.new_balance,
    };
    let render = keeper(retry.as_deref(), StatusCode::OK, answer);
    let hook = hook(retry.as_deref(), render.as_ref());
    let mut conn = app.database.get().await?;
    let judged = db::markets::answer(&mut conn, &new, &app.rules, hook.as_ref()).await;
    let judged = AuthenticatedBot::or_unknown(judged)
        .map_err(|error| at_place(error, "answer", |_| String::new()))?;
    app.cache.wake_soon();
    ok(&answer(&judged))
}
