//! The board: places, subjects and a budget.

use super::*;

#[tokio::test]
async fn the_board_has_places_one_subject_each_and_a_budget() {
    let arena = Arena::new().await;
    let rules = arena.rules();
    let mut conn = arena.conn().await;
    let operator = "ops".parse().unwrap();
    let first = new_market(MarketSource::News);
    markets::open(&mut conn, &first, rules, None).await.unwrap();
    let same = NewMarket {
        id: MarketId(uuid::Uuid::new_v4()),
        criteria: first.criteria.clone(),
        ..new_market(MarketSource::News)
    };
    let twice = markets::open(&mut conn, &same, rules, None).await;
    assert!(matches!(twice, Err(DbError::Refused(Refusal::SubjectTaken { .. }))), "{twice:?}");
    let again = NewMarket {
        criteria: new_market(MarketSource::News).criteria,
        ..new_market(MarketSource::News)
    };
    let again = NewMarket { id: first.id, ..again };
    let exists = markets::open(&mut conn, &again, rules, None).await;
    assert!(matches!(exists, Err(DbError::Conflict(Conflict::MarketExists))), "{exists:?}");
    for _ in 1..6 {
        markets::open(&mut conn, &new_market(MarketSource::Github), rules, None).await.unwrap();
    }
    let full = markets::open(&mut conn, &new_market(MarketSource::Github), rules, None).await;
    assert!(matches!(full, Err(DbError::Refused(Refusal::BoardFull { places: 6 }))), "{full:?}");
    // An operator is not bound by places, but by the budget: 30 are out, 500 may be.
    let by = Opener::Operator(&operator);
    let dear = NewMarket {
        opener: by,
        bounty: "470.01".parse().unwrap(),
        ..new_market(MarketSource::Github)
    };
    let broke = markets::open(&mut conn, &dear, rules, None).await;
    assert!(matches!(broke, Err(DbError::Refused(Refusal::BountyBudget { .. }))), "{broke:?}");
    let fits = NewMarket {
        opener: by,
        bounty: "470.00".parse().unwrap(),
        words: Some("Ours"),
        ..new_market(MarketSource::Github)
    };
    let opened = markets::open(&mut conn, &fits, rules, None).await.unwrap();
    assert!(opened.description.starts_with("Ours — Will test/"), "{}", opened.description);
    // Solved early, its place stays taken until its deadline.
    let board = markets::board(&mut conn).await.unwrap();
    assert_eq!((board.taken, board.bounties.to_string()), (7, "500.00000000".to_owned()));
    arena.age_market(first.id, 3_601).await;
    assert_eq!(markets::board(&mut conn).await.unwrap().taken, 6);
    let short = NewMarket {
        opener: by,
        bounty: Money::ZERO,
        deadline: Deadline::In(1_799),
        ..new_market(MarketSource::Weather)
    };
    let short = markets::open(&mut conn, &short, rules, None).await;
    assert!(matches!(short, Err(DbError::Refused(Refusal::Deadline { .. }))), "{short:?}");
    let filter = MarketFilter {
        status: Some(MarketStatus::Open),
        source: Some(MarketSource::Github),
        bets: markets::BetsFilter::All,
    };
    assert_eq!(markets::page(&mut conn, filter, None, 200).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_market_solved_early_keeps_its_place_until_its_deadline() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::Research).await;
    let mut conn = arena.conn().await;
    markets::answer(&mut conn, &new_answer(bot, market.id, RIGHT_ANSWER), arena.rules(), None)
        .await
        .unwrap();
    let board = markets::board(&mut conn).await.unwrap();
    assert_eq!(board.taken, 1);
    assert_eq!(board.subjects, [(MarketSource::Research, market.criteria.subject())]);
}

#[tokio::test]
async fn no_number_of_markets_takes_bounties_out_of_the_budget() {
    let arena = Arena::new().await;
    let operator = "ops".parse().unwrap();
    let by = Opener::Operator(&operator);
    let mut conn = arena.conn().await;
    let dear = NewMarket {
        opener: by,
        bounty: "499.00".parse().unwrap(),
        ..new_market(MarketSource::Github)
    };
    markets::open(&mut conn, &dear, arena.rules(), None).await.unwrap();
    let owner = arena.owner_client().await;
    let more = async |bounty: &str, count: i64| {
        let fill = format!(
            "INSERT INTO markets OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(NULL::markets, to_jsonb(m) || jsonb_build_object( \
                'id', gen_random_uuid(), 'bounty', {bounty}, 'subject', gen_random_uuid(), \
                'number', (SELECT min(number) FROM markets) - g, 'opens_at', clock_timestamp()))).* \
               FROM (SELECT * FROM markets ORDER BY number LIMIT 1) m, generate_series(1, {count}) g"
        );
        owner.batch_execute(&fill).await.unwrap();
    };
    // A thousand newer ones that cost nothing hide none that costs something.
    more("0", 1_000).await;
    let asks = |bounty: &str| NewMarket {
        opener: by,
        bounty: bounty.parse().unwrap(),
        ..new_market(MarketSource::Github)
    };
    let broke = markets::open(&mut conn, &asks("1.01"), arena.rules(), None).await;
    assert!(matches!(broke, Err(DbError::Refused(Refusal::BountyBudget { .. }))), "{broke:?}");
    // At most this many bounties are added up, so no more markets are opened.
    more("0.00000001", 1_000).await;
    let full = markets::open(&mut conn, &asks("1.01"), arena.rules(), None).await;
    assert!(
        matches!(full, Err(DbError::Refused(Refusal::BoardFull { places: 1_000 }))),
        "{full:?}"
    );
    markets::open(&mut conn, &asks("0.00"), arena.rules(), None).await.unwrap();
}
