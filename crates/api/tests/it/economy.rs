use api_types::{Economy, KeptRules, ProblemKind};
use ledger_core::economy::Enforcement;
use ledger_core::{EconomyRules, Money};
use serde_json::json;

use crate::service::Service;

#[tokio::test]
async fn the_economy_shows_its_figures_and_the_books_balance() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    service.arena.bot().dead().create().await;
    service.wager(&bot, "2").await.json();
    let economy = service.get("/economy").await;
    let shown = economy.json();
    assert_eq!(
        (&shown["mode"], &shown["tick"], &shown["tick_rate_seconds"]),
        (&json!("observe"), &json!(1), &json!(10))
    );
    assert_eq!(shown["bots"], json!({ "alive": 1, "dead": 1 }));
    assert_eq!(shown["price"]["value"], "50000.00000000");
    assert_eq!(shown["price"]["source"], "simulated");
    assert!(shown["price"]["age_seconds"].as_i64().unwrap() < 60);
    assert_eq!(shown["parameters"]["genesis_grant"], "1000.00000000");
    let life = json!({ "first_fee": "0.50000000", "ticks": 356 });
    assert_eq!(shown["idle_life"], life);
    let economy: Economy = economy.ok();
    let figure = |text: &str| text.parse::<Money>().unwrap().units();
    let supply = &economy.supply;
    assert_eq!(supply.escrow, "2.00000000");
    assert_eq!(
        figure(&supply.minted) - figure(&supply.burned) - figure(&supply.escrow),
        figure(&supply.circulating)
    );
}

#[tokio::test]
async fn an_empty_arena_without_a_price_has_an_economy() {
    let service = Service::new().await;
    service.take_price_away().await;
    let shown = service.get("/economy").await.json();
    assert_eq!((&shown["price"], &shown["tick"]), (&json!(null), &json!(0)));
    assert_eq!(shown["bots"], json!({ "alive": 0, "dead": 0 }));
    assert_eq!(shown["supply"]["minted"], "0.00000000");
}

#[tokio::test]
async fn the_census_is_remembered_and_the_tick_is_not() {
    let service = Service::new().await;
    let before: Economy = service.get("/economy").await.ok();
    service.arena.bot().create().await;
    service.arena.tick(Enforcement::Observe).await;
    let after: Economy = service.get("/economy").await.ok();
    assert_eq!(after.tick.0, before.tick.0 + 1);
    // It is not counted again within ten seconds; a slow machine may have taken longer.
    if after.as_of == before.as_of {
        assert_eq!(after.bots, before.bots);
    } else {
        assert!(after.as_of.seconds_since(before.as_of) >= 9);
    }
}

#[tokio::test]
async fn the_figures_that_a_position_names_can_be_read_by_their_digest() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    service.wager(&bot, "2").await.json();
    let listed = service.get("/predictions").await.json();
    let digest = listed["items"][0]["rules"].as_str().unwrap();
    let kept: KeptRules = service.get(&format!("/economy/rules/{digest}")).await.ok();
    assert_eq!(kept.digest, digest);
    let rules = EconomyRules::from_canonical(&kept.rules).unwrap();
    assert_eq!(rules.digest().to_string(), digest);
    assert_eq!(rules.ticket_ttl_seconds, 60);
    assert!(kept.first_used_at <= service.arena.now().await);
    for unknown in [&"ab".repeat(32), &digest.to_uppercase(), "x"] {
        service.get(&format!("/economy/rules/{unknown}")).await.problem(ProblemKind::NotFound);
    }
}
