use db::events::{self, Event, PRUNE_MAX, Position, Unresumable};
use proptest::prelude::*;
use test_kit::Arena;

async fn now(arena: &Arena) -> Position {
    events::bounds(&mut *arena.conn().await).await.unwrap().now
}

async fn write(client: &impl tokio_postgres::GenericClient, count: i64) {
    let insert = "INSERT INTO events (kind, data) \
                  SELECT 'price', jsonb_build_object('n', n) FROM generate_series(1, $1::bigint) AS n";
    client.execute(insert, &[&count]).await.unwrap();
}

/// All events after `position`, once there are `count`: other tests' transactions hold them back.
async fn all(arena: &Arena, position: Position, count: usize) -> Vec<Event> {
    test_kit::eventually("the events are complete", || async {
        let mut conn = arena.conn().await;
        let page = events::after(&mut conn, position, 1_000).await.unwrap();
        (page.events.len() >= count).then_some(page.events)
    })
    .await
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended() {
    let arena = Arena::new().await;
    let begin = now(&arena).await;
    let owner = arena.owner_client().await;
    for _ in 0..3 {
        write(&owner, 3).await;
    }
    let all = all(&arena, begin, 9).await;
    assert!(all.is_sorted_by(|a, b| a.position < b.position));
    let mut conn = arena.conn().await;
    let (mut position, mut paged) = (begin, Vec::new());
    for full in [true, true, false] {
        let page = events::after(&mut conn, position, 4).await.unwrap();
        assert_eq!(page.events.len() == 4, full);
        if full {
            assert_eq!(page.until, page.events.last().unwrap().position);
        } else {
            assert!(page.until >= page.bounds.now);
        }
        position = page.until;
        paged.extend(page.events);
    }
    assert_eq!(paged, all);
    let rest = events::after(&mut conn, position, 4).await.unwrap();
    assert_eq!(rest.events, []);
}

#[tokio::test]
async fn what_is_behind_an_open_transaction_is_not_read() {
    let arena = Arena::new().await;
    let begin = now(&arena).await;
    let mut first = arena.owner_client().await;
    let second = arena.owner_client().await;
    let open = first.transaction().await.unwrap();
    write(&open, 1).await;
    write(&second, 1).await;
    let mut conn = arena.conn().await;
    let page = events::after(&mut conn, begin, 10).await.unwrap();
    assert_eq!(page.events, []);
    open.commit().await.unwrap();
    let told = all(&arena, begin, 2).await;
    assert_eq!(told.len(), 2);
    // A reader that stopped at that time continues with both.
    let after_look = events::after(&mut conn, page.until, 10).await.unwrap();
    assert_eq!(after_look.events, told);
}

#[tokio::test]
async fn old_events_are_forgotten_and_the_log_remembers_how_far() {
    let arena = Arena::new().await;
    let begin = now(&arena).await;
    let owner = arena.owner_client().await;
    write(&owner, 3).await;
    let old = all(&arena, begin, 3).await;
    let cut = arena.now().await;
    write(&owner, 2).await;
    let kept = all(&arena, old[2].position, 2).await;
    let mut conn = arena.conn().await;
    assert_eq!(events::prune(&mut conn, cut).await.unwrap(), 3);
    assert_eq!(events::prune(&mut conn, cut).await.unwrap(), 0);
    let bounds = events::bounds(&mut conn).await.unwrap();
    for gone in [begin, old[0].position, old[1].position] {
        assert_eq!(bounds.admit(gone), Err(Unresumable::Forgotten));
    }
    for sound in [old[2].position, kept[0].position, bounds.now] {
        assert_eq!(bounds.admit(sound), Ok(()));
    }
    let page = events::after(&mut conn, old[2].position, 10).await.unwrap();
    assert_eq!(page.events, kept);
    let foreign: Position = format!("{}-0", u64::MAX).parse().unwrap();
    assert_eq!(bounds.admit(foreign), Err(Unresumable::Foreign));
}

#[tokio::test]
async fn much_is_forgotten_bit_by_bit() {
    let arena = Arena::new().await;
    let begin = now(&arena).await;
    let owner = arena.owner_client().await;
    write(&owner, PRUNE_MAX + 1).await;
    all(&arena, begin, 1).await;
    let later = arena.now().await.plus_seconds(60);
    let mut conn = arena.conn().await;
    for forgotten in [PRUNE_MAX, 1, 0] {
        assert_eq!(events::prune(&mut conn, later).await.unwrap(), forgotten);
    }
}

#[tokio::test]
async fn a_younger_event_keeps_what_is_behind_it() {
    let arena = Arena::new().await;
    let begin = now(&arena).await;
    let owner = arena.owner_client().await;
    write(&owner, 3).await;
    let written = all(&arena, begin, 3).await;
    // As when a clock was set back between two events.
    let middle = written[1].position.to_string();
    let (xid, id) = middle.split_once('-').unwrap();
    let later =
        format!("UPDATE events SET at = at + interval '1 hour' WHERE xid = '{xid}' AND id = {id}");
    owner.batch_execute(&later).await.unwrap();
    let cut = arena.now().await.plus_seconds(60);
    let mut conn = arena.conn().await;
    assert_eq!(events::prune(&mut conn, cut).await.unwrap(), 1);
    assert_eq!(all(&arena, written[0].position, 2).await.len(), 2);
}

proptest! {
    #[test]
    fn a_position_survives_its_text(xid: u64, id in 0..=i64::MAX) {
        let text = format!("{xid}-{id}");
        let position: Position = text.parse().unwrap();
        prop_assert_eq!(position.to_string(), text);
    }

    #[test]
    fn what_is_read_has_one_spelling(text in "[ +0-9-]{0,24}") {
        if let Ok(position) = text.parse::<Position>() {
            prop_assert_eq!(position.to_string(), text);
        }
    }

    #[test]
    fn no_text_is_too_strange(text: String) {
        if let Ok(position) = text.parse::<Position>() {
            prop_assert_eq!(position.to_string(), text);
        }
    }
}

/// The oracle calls this in each of its rounds, and nearly always there is nothing to delete.
#[tokio::test]
async fn when_no_event_is_old_enough_one_is_looked_at() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    owner
        .batch_execute(
            "CREATE SCHEMA seen; CREATE EXTENSION pg_stat_statements SCHEMA seen; \
             INSERT INTO events (kind, data) SELECT 'price', '{}' FROM generate_series(1, 50000)",
        )
        .await
        .unwrap();
    let before = arena.now().await.plus_seconds(-60);
    let mut conn = arena.conn().await;
    for _ in 0..3 {
        assert_eq!(db::events::prune(&mut conn, before).await.unwrap(), 0);
    }
    let row = owner
        .query_one(
            "SELECT sum(calls)::bigint, ceil(sum(shared_blks_hit + shared_blks_read) / sum(calls))::bigint \
               FROM seen.pg_stat_statements WHERE query LIKE '%events_horizon%' \
                AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
            &[],
        )
        .await
        .unwrap();
    let (calls, blocks): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(calls, 3);
    assert!(blocks < 20, "{blocks} blocks were read");
}
