//! The lookup tool: patient where that may help, final where it cannot. On a paused clock.

use std::time::Duration;

use bot_runner::lookup::{ArticleFuture, Encyclopedia, LOOKUP_LIMIT, Lookup};
use sources::SourceError;
use tokio::time::Instant;

use crate::arena::{Shelf, article};

const RATE_LIMITED: SourceError = SourceError::RateLimited { retry_after_seconds: None };

#[tokio::test(start_paused = true)]
async fn what_is_found_at_once_costs_no_time() {
    let (shelf, began) = (Shelf::new(|_| Ok(article())), Instant::now());
    assert_eq!(shelf.tool().article("Rust").await, Some(article()));
    assert_eq!(shelf.titles(), ["Rust"]);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn it_tries_three_times_with_doubling_pauses() {
    for passing in [RATE_LIMITED, SourceError::Timeout] {
        let error = passing.clone();
        let shelf = Shelf::new(move |before| match before {
            2 => Ok(article()),
            _ => Err(error.clone()),
        });
        let began = Instant::now();
        assert_eq!(shelf.tool().article("Rust").await, Some(article()));
        assert_eq!(shelf.titles().len(), 3);
        assert_eq!(began.elapsed(), Duration::from_secs(2 + 4), "{passing}");
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_fourth_try_and_no_pause_after_the_third() {
    let (shelf, began) = (Shelf::new(|_| Err(RATE_LIMITED)), Instant::now());
    assert_eq!(shelf.tool().article("Rust").await, None);
    assert_eq!(shelf.titles().len(), 3);
    assert_eq!(began.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn whatever_cannot_pass_is_final_at_once() {
    let nonsense = SourceError::Nonsense { field: "title", problem: "is another" };
    for error in [
        SourceError::NotFound,
        SourceError::NotJson,
        SourceError::MissingField("pageid"),
        nonsense,
        SourceError::Forbidden,
        SourceError::Server(500),
        SourceError::Unreachable("refused".to_owned()),
        SourceError::TooLarge,
        SourceError::Status(418),
    ] {
        let (answer, began) = (error.clone(), Instant::now());
        let shelf = Shelf::new(move |_| Err(answer.clone()));
        assert_eq!(shelf.tool().article("Rust").await, None, "{error}");
        assert_eq!(shelf.titles().len(), 1, "{error}");
        assert_eq!(began.elapsed(), Duration::ZERO, "{error}");
    }
}

/// Never answers.
struct Silence;

impl Encyclopedia for Silence {
    fn by_title<'a>(&'a self, _: &'a str) -> ArticleFuture<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_given_up() {
    let (tool, began) = (Lookup::new(std::sync::Arc::new(Silence)), Instant::now());
    assert_eq!(tool.article("Rust").await, None);
    assert_eq!(began.elapsed(), LOOKUP_LIMIT);
}
