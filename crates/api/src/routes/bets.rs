//! Bets on markets, and answers to research questions.

use api_types::ProblemKind::{self, *};
use api_types::{
    AnswerJudged, AnswerRequest, BetOn, BetRequest, BetsPlaced, BetsRequest, REASONING_MAX_CHARS,
    told,
};
use db::markets::{NewAnswer, NewBet, Slip};
use ledger_core::economy::Lookup;
use ledger_core::{BetId, EconomyRules, MarketId};

use super::prelude::*;
use crate::call::Claimed;
use crate::dry_run::{self, Run};
use crate::routes::common::{line, market_of, ok, parsed};
use crate::views::Secrecy;
use crate::{usage, views};

/// The possible refusals of a stake on a market.
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
            .named("listMarketBets", "markets", "The bets on a market, or the answers to it")
            .listed::<api_types::Bet>(&["market"]),
        post("/markets/{market}/bets", bet)
            .named("bet", "markets", "One bet")
            .by(Who::Bot)
            .with(&["market"])
            .tried()
            .once()
            .takes::<BetRequest>()
            .refuses(&STAKING)
            .answers::<BetsPlaced>(201, "Placed, and committed."),
        post("/markets/bets", bet_on_several)
            .named("betOnSeveral", "markets", "Up to three bets in one transaction: all or none")
            .by(Who::Bot)
            .tried()
            .once()
            .takes::<BetsRequest>()
            .refuses(&STAKING)
            .refuses(&[NotFound])
            .answers::<BetsPlaced>(201, "Placed, and committed."),
        post("/markets/{market}/answers", answer)
            .named("answer", "markets", "An answer to a research question, judged at once")
            .about(
                "The first right answer gets stake and bounty, and closes the market. One answer a \
                market, and one a tick.",
            )
            .by(Who::Bot)
            .with(&["market"])
            .tried()
            .once()
            .takes::<AnswerRequest>()
            .refuses(&STAKING)
            .answers::<AnswerJudged>(200, "Right or wrong."),
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
async fn bet(bot: AuthenticatedBot, market: Path<String>, mut call: Call) -> ApiResult {
    let run = Run::of(&call.req)?;
    let market_id = market_of(&market)?;
    let request: BetRequest = call.body().await?;
    let one = told!(BetOn of request {
        side, stake, confidence, reasoning;
        market_id,
    });
    let slip = Slip {
        bot_id: bot.id,
        bets: vec![read_bet(one, &call.app.rules, str::to_owned)?],
        usage: usage::read_any(request.usage, &call.app.price_book)?,
    };
    let claimed = call.claim(&bot.scope(), market_id)?;
    place(claimed, run, slip, |_| String::new()).await
}

/// Places several bets, all or none.
async fn bet_on_several(bot: AuthenticatedBot, mut call: Call) -> ApiResult {
    let run = Run::of(&call.req)?;
    let request: BetsRequest = call.body().await?;
    let most = call.app.rules.markets.bets_per_request_max;
    let count = i64::try_from(request.bets.len()).unwrap_or(i64::MAX);
    if !(1..=most).contains(&count) {
        let rule = format!("must contain 1 to {most} bets");
        return Err(ApiError::invalid("bets", rule));
    }
    let mut bets: Vec<NewBet> = Vec::with_capacity(request.bets.len());
    for (place, one) in request.bets.into_iter().enumerate() {
        let within = |field: &str| format!("bets[{place}].{field}");
        if bets.iter().any(|other| other.market_id == one.market_id) {
            let rule = "names a market that another bet of this request names too";
            return Err(ApiError::invalid(within("market_id"), rule));
        }
        bets.push(read_bet(one, &call.app.rules, within)?);
    }
    let ids: Vec<MarketId> = bets.iter().map(|bet| bet.market_id).collect();
    let slip =
        Slip { bot_id: bot.id, bets, usage: usage::read_any(request.usage, &call.app.price_book)? };
    let claimed = call.claim(&bot.scope(), "")?;
    let place_of = move |market: MarketId| {
        let place = ids.iter().position(|id| *id == market);
        place.map_or_else(String::new, |place| format!("bets[{place}]."))
    };
    place(claimed, run, slip, place_of).await
}

async fn place(
    claimed: Claimed,
    run: Run,
    slip: Slip,
    place_of: impl Fn(MarketId) -> String + 'static,
) -> ApiResult {
    let word = move |error| at_place(error, "stake", place_of);
    if run == Run::Dry {
        let told = dry_run::of(claimed.app, async move |app, conn| {
            db::dry_run::bets(conn, &slip, &app.rules).await
        });
        return told.await?.worded(word).answer(&claimed.req);
    }
    let answer = |placed: &db::markets::BetsPlaced| BetsPlaced {
        action_id: placed.action_id,
        bets: placed.bets.iter().map(|bet| views::bet(bet.clone(), Secrecy::Closed)).collect(),
        new_balance: placed.new_balance,
    };
    claimed
        .once(answer, async move |app, conn, hook| {
            let placed = db::markets::place(conn, &slip, &app.rules, hook).await;
            AuthenticatedBot::or_unknown(placed).map_err(word)
        })
        .await
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

/// A bet that makes sense, or the field at fault, by the name that it has `within` the request.
fn read_bet(
    bet: BetOn,
    rules: &EconomyRules,
    within: impl Fn(&str) -> String,
) -> ApiResult<NewBet> {
    let stake = rules
        .stake(bet.stake)
        .map_err(|rule| ApiError::invalid(within("stake"), rule.to_string()))?;
    Ok(NewBet {
        market_id: bet.market_id,
        side: bet.side,
        stake,
        confidence: bet.confidence,
        reasoning: reasoning(&within("reasoning"), bet.reasoning.as_deref())?,
    })
}

fn reasoning(field: &str, text: Option<&str>) -> ApiResult<String> {
    line(field, text.unwrap_or_default(), REASONING_MAX_CHARS)
}

/// Takes an answer to a research question.
async fn answer(bot: AuthenticatedBot, market: Path<String>, mut call: Call) -> ApiResult {
    let run = Run::of(&call.req)?;
    let market_id = market_of(&market)?;
    let request: AnswerRequest = call.body().await?;
    let new = NewAnswer {
        bot_id: bot.id,
        market_id,
        answer: parsed("answer", &request.answer)?,
        lookup: if request.used_lookup { Lookup::Used } else { Lookup::NotUsed },
        confidence: request.confidence,
        reasoning: reasoning("reasoning", request.reasoning.as_deref())?,
        usage: usage::read_any(request.usage, &call.app.price_book)?,
    };
    let claimed = call.claim(&bot.scope(), market_id)?;
    let word = |error| at_place(error, "answer", |_| String::new());
    if run == Run::Dry {
        let told = dry_run::of(claimed.app, async move |app, conn| {
            db::dry_run::answer(conn, &new, &app.rules).await
        });
        return told.await?.worded(word).answer(&claimed.req);
    }
    let answer = |judged: &db::markets::Judged| {
        told!(AnswerJudged of judged {
            action_id, result, payout, new_balance
        })
    };
    claimed
        .once(answer, async move |app, conn, hook| {
            let judged = db::markets::answer(conn, &new, &app.rules, hook).await;
            AuthenticatedBot::or_unknown(judged).map_err(word)
        })
        .await
}
