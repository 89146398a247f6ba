//! Markets: shown to anyone, bet on and answered by bots, opened and called off by operators.

use actix_web::http::header::{CONTENT_DISPOSITION, ContentType};
use api_types::ProblemKind::{AlreadyIn, LimitReached, MarketClosed};
use api_types::{DESCRIPTION_MAX_CHARS, Market, MarketRequest, VoidRequest};
use db::markets::{BetsFilter, Deadline, MarketFilter, NewMarket, Opener, SettledMarket, VoidBy};
use ledger_core::MarketId;
use ledger_core::criteria::Criteria;
use ledger_core::market::MarketSource;
use ledger_core::research::{Answer, Nonce};
use uuid::Uuid;

use super::prelude::*;
use crate::answers::{self, Question};
use crate::body;
use crate::routes::common::{labelled, line, market_of, ok, parsed, required_reason};
use crate::views;
use crate::views::Secrecy;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/markets", list)
            .named("listMarkets", "markets", "Markets, without their evidence")
        .listed::<Market>(&["marketStatus", "marketSource", "takingBets"]),
        post("/markets", create)
            .named("openMarket", "operators", "Opens a market")
            .by(Who::Operator)
            .once()
            .takes::<MarketRequest>()
            .refuses(&[LimitReached, AlreadyIn])
            .answers::<Market>(201, "The market, open.")
            .located()
            .then("market", &[
                ("the market", "showMarket"),
                ("its bets", "listMarketBets"),
                ("a bet on it", "bet"),
                ("an answer to it", "answer"),
                ("calling it off", "voidMarket"),
            ]),
        get("/markets/{market}", show)
            .named("showMarket", "markets", "A market with its evidence")
        .with(&["market"])
        .answers::<Market>(200, "The market."),
        get("/markets/{market}/evidence", evidence)
            .named("listMarketEvidence", "markets", "Every fetch that opened a market, decided it or failed to")
        .about(
            "With the digest and the first KiB of each body. Empty for research until it has closed.",
        )
        .listed::<api_types::Evidence>(&["market"]),
        get("/markets/{market}/evidence/{evidence}", evidence_body)
            .named("showEvidence", "markets", "The body of one fetch as it is kept")
        .about("At most 64 KiB; its SHA-256 is the digest that the evidence names.")
        .with(&["market", "evidence"])
        .answers_text("application/octet-stream", "The bytes."),
        post("/markets/{market}/void", void)
            .named("voidMarket", "operators", "Calls an unsettled market off, and refunds")
        .by(Who::Operator)
        .with(&["market"])
        .once()
        .takes::<VoidRequest>()
        .refuses(&[MarketClosed])
        .answers::<Market>(200, "The market, void."),
    ]
}

/// Evidence that is shown with its market; a market that is read for as long as patience lasts has
/// some thirty.
const EVIDENCE_SHOWN: i64 = 20;

/// `?status=`, `?source=` and `?taking_bets=` filter.
async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let parameters = Parameters::of(&req)?;
    let page = parameters.page(List::Markets, &app.secrets)?;
    let filter = MarketFilter {
        status: labelled(&parameters, "status")?,
        source: labelled(&parameters, "source")?,
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
            |market| [market.number],
            |market| views::market(market, Vec::new()),
        ))
    };
    app.answers.get(question, read).await
}

async fn show(market: Path<String>, app: Data<App>) -> ApiResult {
    let id = market_of(&market)?;
    let mut conn = app.database.get().await?;
    let market = db::markets::find(&mut conn, id).await?;
    let evidence = db::markets::evidence_shown(&mut conn, id, EVIDENCE_SHOWN).await?;
    ok(&views::market(market, evidence))
}

/// The evidence of a market, with the first bytes of each body. Open research shows none.
async fn evidence(market: Path<String>, req: HttpRequest, app: Data<App>) -> ApiResult {
    let id = market_of(&market)?;
    let page = Parameters::of(&req)?.page(List::Evidence, &app.secrets)?;
    let before = page.after.map(|[id]| id);
    let mut conn = app.database.get().await?;
    let market = db::markets::find(&mut conn, id).await?;
    let rows = match views::evidence_secrecy(&market) {
        Secrecy::Closed => db::markets::evidence_page(&mut conn, id, before, page.limit()).await?,
        Secrecy::Open => Vec::new(),
    };
    ok(&page.answer(rows, |head| [head.evidence.id], views::evidence))
}

/// The body of one fetch, byte by byte as it is kept. Strangers wrote it: no browser is to show it.
async fn evidence_body(path: Path<(String, String)>, app: Data<App>) -> ApiResult {
    let (market, evidence) = path.into_inner();
    let id = market_of(&market)?;
    let evidence: i64 = evidence.parse().map_err(|_| ApiError::not_found("such evidence"))?;
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

/// Opens a market in an operator's name.
async fn create(operator: AuthenticatedOperator, mut call: Call) -> ApiResult {
    let request: MarketRequest = call.body().await?;
    let criteria = body::parse_value("criteria", request.criteria, |json| {
        Criteria::deserialize(request.source, json)
    })?;
    criteria
        .check()
        .map_err(|error| ApiError::invalid(format!("criteria.{}", error.field), error.problem))?;
    let most = call.app.rules.markets.pool_max;
    if request.bounty.is_negative() || request.bounty > most {
        let rule = format!("must be from 0 to {most}");
        return Err(ApiError::invalid("bounty", rule));
    }
    let words = line("description", &request.description, DESCRIPTION_MAX_CHARS)?;
    let secret = secret(request.source, request.answer.as_deref())?;
    let claimed = call.claim(&operator.scope(), "")?;
    claimed
        .once(bare, async move |app, conn, hook| {
            let new = NewMarket {
                id: MarketId(Uuid::new_v4()),
                criteria,
                words: Some(&words),
                bounty: request.bounty,
                deadline: Deadline::At(request.deadline),
                secret,
                evidence: &[],
                opener: Opener::Operator(&operator.0),
            };
            Ok(db::markets::open(conn, &new, &app.rules, hook).await?)
        })
        .await
}

/// A market without its evidence.
fn bare(market: &db::markets::Market) -> Market {
    views::market(market.clone(), Vec::new())
}

/// Research has an answer, which is committed to with a fresh nonce; nothing else has one.
fn secret(source: MarketSource, answer: Option<&str>) -> ApiResult<Option<(Nonce, Answer)>> {
    match (source, answer) {
        (MarketSource::Research, None) => {
            Err(ApiError::invalid("answer", "is required for RESEARCH"))
        }
        (MarketSource::Research, Some(text)) => {
            let answer = parsed("answer", text)?;
            let mut nonce = [0; 32];
            getrandom::fill(&mut nonce)
                .map_err(|error| ApiError::Internal(format!("no random bytes: {error}")))?;
            Ok(Some((Nonce(nonce), answer)))
        }
        (_, Some(_)) => Err(ApiError::invalid("answer", "is for RESEARCH alone")),
        (_, None) => Ok(None),
    }
}

/// Calls an unsettled market off, with a reason.
async fn void(operator: AuthenticatedOperator, market: Path<String>, mut call: Call) -> ApiResult {
    let id = market_of(&market)?;
    let request: VoidRequest = call.body().await?;
    let reason = required_reason(&request.reason)?;
    let claimed = call.claim(&operator.scope(), id)?;
    let shown = |void: &SettledMarket| bare(&void.market);
    claimed
        .once(shown, async move |_, conn, hook| {
            let by = VoidBy::Operator(&operator.0);
            Ok(db::markets::void(conn, id, &reason, by, hook).await?)
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
        let (first, answer) = secret_of(MarketSource::Research, Some(" 736\n")).unwrap().unwrap();
        let (second, _) = secret_of(MarketSource::Research, Some("736")).unwrap().unwrap();
        assert_eq!(answer.as_str(), "736");
        assert!(first != second);
    }
}
