//! Markets: shown to anyone, bet on and answered by bots, opened and called off by operators.

use std::str::FromStr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, ContentType, LOCATION};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use api_types::{
    AnswerJudged, AnswerRequest, BetOn, BetRequest, BetsPlaced, BetsRequest, DESCRIPTION_MAX_CHARS,
    MarketRequest, REASON_MAX_CHARS, REASONING_MAX_CHARS, VoidRequest,
};
use db::markets::{
    BetsFilter, Deadline, MarketFilter, NewAnswer, NewBet, NewMarket, Opener, SettledMarket, Slip,
    VoidBy,
};
use ledger_core::criteria::Criteria;
use ledger_core::economy::Lookup;
use ledger_core::market::{MarketSource, MarketStatus};
use ledger_core::post::one_line;
use ledger_core::research::{Answer, Nonce};
use ledger_core::{BetId, EconomyRules, MarketId};
use uuid::Uuid;

use crate::answers::{self, Question};
use crate::app::App;
use crate::auth::{AuthenticatedBot, AuthenticatedOperator};
use crate::body::{self, Body};
use crate::cursor::{List, Parameters};
use crate::dry_run::{self, Run};
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{Retry, finish, hook, keeper, location};
use crate::views::Secrecy;
use crate::{routes, usage, views};

/// Evidence that is shown with its market; a market that is read for as long as patience lasts has
/// some thirty.
const EVIDENCE_SHOWN: i64 = 20;

/// `?status=`, `?source=` and `?taking_bets=` filter.
pub(super) async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let parameters = Parameters::of(&req)?;
    let page = parameters.page(List::Markets, &app.secrets.now().keys.cursor)?;
    let filter = MarketFilter {
        status: labelled::<MarketStatus>(&parameters, "status")?,
        source: labelled::<MarketSource>(&parameters, "source")?,
        bets: match parameters.flag("taking_bets")? {
            true => BetsFilter::Taken,
            false => BetsFilter::All,
        },
    };
    let before = page.after.map(|[number]| number);
    let limit = page.limit();
    let question = before.is_none().then_some(Question::Markets {
        status: filter.status,
        source: filter.source,
        bets: filter.bets,
        limit,
    });
    let shared = Data::clone(&app);
    let read = async move {
        let mut conn = shared.database.get().await?;
        let rows = db::markets::page(&mut conn, filter, before, limit).await?;
        answers::render(&page.answer(
            rows,
            &shared.secrets.now().keys.cursor,
            |market| [market.number],
            |market| views::market(market, Vec::new()),
        ))
    };
    app.answers.get(question, read).await
}

fn labelled<T: FromStr>(parameters: &Parameters, name: &str) -> Result<Option<T>, ApiError>
where
    T::Err: std::fmt::Display,
{
    let parsed = parameters
        .get(name)
        .map(|text| text.to_ascii_uppercase().parse());
    parsed
        .transpose()
        .map_err(|rule: T::Err| ApiError::invalid(name, rule.to_string()))
}

/// The market that a path names. A name that no market can have is none's.
pub(super) fn market_of(path: &str) -> Result<MarketId, ApiError> {
    let id = Uuid::try_parse(path).map_err(|_| ApiError::not_found("such market"))?;
    Ok(MarketId(id))
}

pub(super) async fn show(market: Path<String>, app: Data<App>) -> ApiResult {
    let id = market_of(&market)?;
    let mut conn = app.database.get().await?;
    let market = db::markets::find(&mut conn, id).await?;
    let evidence = db::markets::evidence_shown(&mut conn, id, EVIDENCE_SHOWN).await?;
    routes::ok(&views::market(market, evidence))
}

/// The evidence of a market, with the first bytes of each body. Of open research there is none to be
/// seen.
pub(super) async fn evidence(market: Path<String>, req: HttpRequest, app: Data<App>) -> ApiResult {
    let id = market_of(&market)?;
    let page = Parameters::of(&req)?.page(List::Evidence, &app.secrets.now().keys.cursor)?;
    let before = page.after.map(|[id]| id);
    let mut conn = app.database.get().await?;
    let market = db::markets::find(&mut conn, id).await?;
    let rows = match views::evidence_secrecy(&market) {
        Secrecy::Closed => db::markets::evidence_page(&mut conn, id, before, page.limit()).await?,
        Secrecy::Open => Vec::new(),
    };
    routes::ok(&page.answer(
        rows,
        &app.secrets.now().keys.cursor,
        |head| [head.evidence.id],
        views::evidence,
    ))
}

/// The body of one fetch, byte by byte as it is kept. Strangers wrote it: no browser is to show it.
pub(super) async fn evidence_body(path: Path<(String, String)>, app: Data<App>) -> ApiResult {
    let (market, evidence) = path.into_inner();
    let id = market_of(&market)?;
    let evidence: i64 = evidence
        .parse()
        .map_err(|_| ApiError::not_found("such evidence"))?;
    let mut conn = app.database.get().await?;
    let market = db::markets::find(&mut conn, id).await?;
    if views::evidence_secrecy(&market) == Secrecy::Open {
        return Err(ApiError::not_found("such evidence"));
    }
    let body = db::markets::evidence_body(&mut conn, id, evidence).await?;
    Ok(HttpResponse::Ok()
        .content_type(ContentType::octet_stream())
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"evidence-{evidence}\""),
        ))
        .body(body))
}

pub(super) async fn bets(market: Path<String>, req: HttpRequest, app: Data<App>) -> ApiResult {
    let id = market_of(&market)?;
    let page = Parameters::of(&req)?.page(List::Bets, &app.secrets.now().keys.cursor)?;
    let before = page.after.map(|[id]| BetId(id));
    let mut conn = app.database.get().await?;
    let secrecy = Secrecy::of(db::markets::find(&mut conn, id).await?.status);
    let rows = db::markets::bets_page(&mut conn, id, before, page.limit()).await?;
    routes::ok(&page.answer(
        rows,
        &app.secrets.now().keys.cursor,
        |bet| [bet.id.0],
        |bet| views::bet(bet, secrecy),
    ))
}

/// Places one bet.
pub(super) async fn bet(
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
    let route = format!("POST /markets/{market_id}/bets");
    let retry = Retry::of(&app, req.headers(), &bot.scope(), &route, &body)?;
    if run == Run::Dry {
        let told = dry_run::bets(&app, &slip).await?;
        let word = |error| at_place(error, "stake", |_| String::new());
        return told.worded(word).answer(&req);
    }
    finish(app, retry, move |app, retry| async move {
        place(&app, slip, retry, |_| String::new()).await
    })
    .await
}

/// Places several bets, all or none.
pub(super) async fn bet_on_several(
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
    let retry = Retry::of(
        &app,
        req.headers(),
        &bot.scope(),
        "POST /markets/bets",
        &body,
    )?;
    let place_of = move |market: MarketId| {
        let place = ids.iter().position(|id| *id == market);
        place.map_or_else(String::new, |place| format!("bets[{place}]."))
    };
    if run == Run::Dry {
        let told = dry_run::bets(&app, &slip).await?;
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
pub(super) async fn answer(
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
    let route = format!("POST /markets/{market_id}/answers");
    let retry = Retry::of(&app, req.headers(), &bot.scope(), &route, &body)?;
    if run == Run::Dry {
        let told = dry_run::answer(&app, &new).await?;
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
    routes::ok(&answer(&judged))
}

/// Opens a market in an operator's name.
pub(super) async fn create(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let body = Body::read(&req, payload).await?;
    let request: MarketRequest = body.parse()?;
    let criteria = body::parse_value("criteria", request.criteria, |json| {
        Criteria::deserialize(request.source, json)
    })?;
    criteria
        .check()
        .map_err(|error| ApiError::invalid(format!("criteria.{}", error.field), error.problem))?;
    let most = app.rules.markets.pool_max;
    if request.bounty.is_negative() || request.bounty > most {
        return Err(ApiError::invalid(
            "bounty",
            format!("must be from 0 to {most}"),
        ));
    }
    if request.description.chars().count() > DESCRIPTION_MAX_CHARS {
        let rule = format!("must have at most {DESCRIPTION_MAX_CHARS} characters");
        return Err(ApiError::invalid("description", rule));
    }
    let secret = secret(request.source, request.answer.as_deref())?;
    let opening = Opening {
        id: MarketId(Uuid::new_v4()),
        criteria,
        words: one_line(&request.description),
        bounty: request.bounty,
        deadline: Deadline::At(request.deadline),
        secret,
        operator,
    };
    let scope = opening.operator.scope();
    let retry = Retry::of(&app, req.headers(), &scope, "POST /markets", &body)?
        .map(|retry| retry.making("/markets"));
    finish(app, retry, move |app, retry| async move {
        open(&app, opening, retry).await
    })
    .await
}

/// What an operator opens.
struct Opening {
    id: MarketId,
    criteria: Criteria,
    words: String,
    bounty: ledger_core::Money,
    deadline: Deadline,
    secret: Option<(Nonce, Answer)>,
    operator: AuthenticatedOperator,
}

/// Research has an answer, which is committed to with a fresh nonce; nothing else has one.
fn secret(source: MarketSource, answer: Option<&str>) -> ApiResult<Option<(Nonce, Answer)>> {
    match (source, answer) {
        (MarketSource::Research, None) => {
            Err(ApiError::invalid("answer", "is required for RESEARCH"))
        }
        (MarketSource::Research, Some(text)) => {
            let answer: Answer =
                text.parse()
                    .map_err(|rule: ledger_core::research::AnswerError| {
                        ApiError::invalid("answer", rule.to_string())
                    })?;
            let mut nonce = [0; 32];
            getrandom::fill(&mut nonce)
                .map_err(|error| ApiError::Internal(format!("no random bytes: {error}")))?;
            Ok(Some((Nonce(nonce), answer)))
        }
        (_, Some(_)) => Err(ApiError::invalid("answer", "is for RESEARCH alone")),
        (_, None) => Ok(None),
    }
}

async fn open(app: &App, opening: Opening, retry: Option<Arc<Retry>>) -> ApiResult {
    let new = NewMarket {
        id: opening.id,
        criteria: opening.criteria,
        words: Some(&opening.words),
        bounty: opening.bounty,
        deadline: opening.deadline,
        secret: opening.secret,
        evidence: &[],
        opener: Opener::Operator(&opening.operator.0),
    };
    let answer = |market: &db::markets::Market| views::market(market.clone(), Vec::new());
    let render = keeper(retry.as_deref(), StatusCode::CREATED, answer);
    let hook = hook(retry.as_deref(), render.as_ref());
    let mut conn = app.database.get().await?;
    let market = db::markets::open(&mut conn, &new, &app.rules, hook.as_ref()).await?;
    app.cache.wake_soon();
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location("/markets", market.id)))
        .json(answer(&market)))
}

/// Calls an unsettled market off, with a reason.
pub(super) async fn void(
    operator: AuthenticatedOperator,
    market: Path<String>,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let id = market_of(&market)?;
    let body = Body::read(&req, payload).await?;
    let request: VoidRequest = body.parse()?;
    if request.reason.chars().count() > REASON_MAX_CHARS {
        let rule = format!("must have at most {REASON_MAX_CHARS} characters");
        return Err(ApiError::invalid("reason", rule));
    }
    let reason = one_line(&request.reason);
    if reason.is_empty() {
        return Err(ApiError::missing("reason"));
    }
    let route = format!("POST /markets/{id}/void");
    let scope = operator.scope();
    let retry = Retry::of(&app, req.headers(), &scope, &route, &body)?;
    finish(app, retry, move |app, retry| async move {
        let answer = |void: &SettledMarket| views::market(void.market.clone(), Vec::new());
        let render = keeper(retry.as_deref(), StatusCode::OK, answer);
        let hook = hook(retry.as_deref(), render.as_ref());
        let by = VoidBy::Operator(&operator.0);
        let mut conn = app.database.get().await?;
        let void = db::markets::void(&mut conn, id, &reason, by, hook.as_ref()).await?;
        app.cache.wake_soon();
        routes::ok(&answer(&void))
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_research_has_an_answer_and_every_nonce_is_fresh() {
        let secret_of = |source, answer| secret(source, answer);
        assert!(secret_of(MarketSource::Research, None).is_err());
        assert!(secret_of(MarketSource::News, Some("736")).is_err());
        assert!(secret_of(MarketSource::News, None).unwrap().is_none());
        let (first, answer) = secret_of(MarketSource::Research, Some(" 736\n"))
            .unwrap()
            .unwrap();
        let (second, _) = secret_of(MarketSource::Research, Some("736"))
            .unwrap()
            .unwrap();
        assert_eq!(answer.as_str(), "736");
        assert!(first != second);
    }
}
