//! Cursors of other lists, and cursors that were tampered with.

use ledger_core::market::{MarketSource, Side};

use super::refused;
use crate::service::{Answer, Service};
use crate::state::State;

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_alone() {
    let service = Service::new().await;
    let arena = &service.arena;
    let [bot, other] = [arena.bot().create().await, arena.bot().create().await];
    let [market, second] =
        [arena.market(MarketSource::News).await.id, arena.market(MarketSource::News).await.id];
    for market in [market, second] {
        arena.bet(bot.id, market, Side::Yes, "1").await;
    }
    arena.price("50000", ledger_core::prediction::PriceSource::Simulated, 0).await;
    service.wager(&bot, "1").await.json();
    let lists = [
        "/bots".to_owned(),
        "/predictions".to_owned(),
        "/prices".to_owned(),
        "/posts/feed".to_owned(),
        "/ledger".to_owned(),
        "/markets".to_owned(),
        "/standings".to_owned(),
        format!("/bots/{}/ledger", bot.id),
        format!("/bots/{}/ledger", other.id),
        format!("/markets/{market}/bets"),
        format!("/markets/{second}/bets"),
    ];
    let before = State::of(&service.arena).await;
    let mut cursors = Vec::new();
    for list in &lists {
        let page = service.get(&format!("{list}?limit=1")).await.json();
        let cursor = page["next_cursor"].as_str();
        cursors.push(cursor.unwrap_or_else(|| panic!("{list}: {page}")).to_owned());
    }
    let asked = async |list: &str, cursor: &str| {
        let mut address = reqwest::Url::parse(&format!("{}{list}", service.base)).unwrap();
        address.query_pairs_mut().append_pair("cursor", cursor);
        Answer::of(service.http.get(address)).await
    };
    for (at, list) in lists.iter().enumerate() {
        for (from, cursor) in cursors.iter().enumerate() {
            let answer = asked(list, cursor).await;
            if at == from {
                assert_eq!(answer.status, 200, "{list}: {}", answer.text());
            } else {
                answer.refuses_field("cursor");
                refused(&answer, &bot, list);
            }
        }
        let own = &cursors[at];
        let flipped = |place: usize| {
            let mut digits = own.clone().into_bytes();
            digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
            String::from_utf8(digits).unwrap()
        };
        for spoilt in [
            String::new(),
            flipped(0),
            flipped(own.len() / 2),
            flipped(own.len() - 1),
            own[..own.len() - 2].to_owned(),
            format!("{own}00"),
            own.to_uppercase() + "A",
            format!("{own}\0"),
            "' OR 1=1 --".to_owned(),
            "\u{ff11}".repeat(40),
            "f".repeat(3_000),
        ] {
            asked(list, &spoilt).await.refuses_field("cursor");
        }
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "cursors");
}
