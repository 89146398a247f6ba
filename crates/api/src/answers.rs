//! A short cache for answers that are the same for all callers.
//!
//! An answer that many request at once, such as the newest posts, is read and rendered once for all
//! of them, even if the first caller disconnects. Its age counts from before the reading, so no
//! answer is older than promised. A page behind a cursor is not cached: few callers request the
//! same one.
//!
//! It must never store data of a single bot, nor an error.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Bytes;
use db::markets::BetsFilter;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use ledger_core::market::{MarketSource, MarketStatus};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::error::{ApiError, ApiResult};

/// The most cached answers; beyond them each request is read separately.
const KEPT_MAX: usize = 64;
/// The bytes of them, beyond which no further one is kept.
const KEPT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The key: everything that the answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// The newest posts.
    Feed {
        limit: i64,
    },
    /// The newest markets.
    Markets {
        status: Option<MarketStatus>,
        source: Option<MarketSource>,
        bets: BetsFilter,
        limit: i64,
    },
    Economy,
}

/// The answers of this moment.
pub(crate) struct Answers {
    /// Older answers are not returned.
    age_max: Duration,
    kept: Mutex<HashMap<Question, Kept>>,
    /// Where readings run: not where a request does, which may end before they do.
    runtime: Handle,
}

struct Kept {
    began: Instant,
    reading: Reading,
}

type Reading = Shared<BoxFuture<'static, Result<Bytes, Arc<ApiError>>>>;

impl Kept {
    /// Whether it may be shown, now or once it is there.
    fn is_good(&self, age_max: Duration) -> bool {
        self.began.elapsed() < age_max && !matches!(self.reading.peek(), Some(Err(_)))
    }

    fn bytes(&self) -> usize {
        match self.reading.peek() {
            Some(Ok(bytes)) => bytes.len(),
            _ => 0,
        }
    }
}

impl Answers {
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(age_max: Duration) -> Answers {
        Answers { age_max, kept: Mutex::default(), runtime: Handle::current() }
    }

    /// The answer to the question: one that is young enough, or what `read` makes. A request
    /// without a key (`None`) is read each time.
    pub(crate) async fn get<R>(&self, question: Option<Question>, read: R) -> ApiResult
    where
        R: Future<Output = ApiResult<Bytes>> + Send + 'static,
    {
        let reading = match question.filter(|_| !self.age_max.is_zero()) {
            Some(question) => self.reading(question, read),
            None => return read.await.map(answer),
        };
        match reading {
            Ok(reading) => reading.await.map(answer).map_err(|error| again(&error)),
            Err(read) => read.await.map(answer),
        }
    }

    /// The reading that answers the question, or `read` back when there is no room for another one.
    fn reading<R>(&self, question: Question, read: R) -> Result<Reading, R>
    where
        R: Future<Output = ApiResult<Bytes>> + Send + 'static,
    {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = kept.get(&question)
            && one.is_good(self.age_max)
        {
            return Ok(one.reading.clone());
        }
        kept.retain(|_, one| one.is_good(self.age_max));
        let bytes: usize = kept.values().map(Kept::bytes).sum();
        if kept.len() >= KEPT_MAX || bytes >= KEPT_MAX_BYTES {
            return Err(read);
        }
        let began = Instant::now();
        let task = self.runtime.spawn(read);
        let reading = async move {
            match task.await {
                Ok(read) => read.map_err(Arc::new),
                Err(error) => Err(Arc::new(ApiError::Internal(error.to_string()))),
            }
        };
        let reading = reading.boxed().shared();
        let one = Kept { began, reading: reading.clone() };
        kept.insert(question, one);
        Ok(reading)
    }
}

/// An error for one more of those who waited for the same reading.
fn again(error: &ApiError) -> ApiError {
    match error {
        ApiError::Unavailable(why) => ApiError::Unavailable(why.clone()),
        other => ApiError::Internal(other.to_string()),
    }
}

/// A value as it is answered.
pub(crate) fn render<T: Serialize>(value: &T) -> ApiResult<Bytes> {
    let bytes = serde_json::to_vec(value);
    bytes
        .map(Bytes::from)
        .map_err(|error| ApiError::Internal(format!("an answer cannot be rendered: {error}")))
}

fn answer(bytes: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix_web::body::{MessageBody, to_bytes};
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    const FEED: Option<Question> = Some(Question::Feed { limit: 20 });
    const LONG: Duration = Duration::from_secs(600);

    async fn body(answer: ApiResult) -> Vec<u8> {
        to_bytes(answer.unwrap().into_body()).await.unwrap().to_vec()
    }

    /// Counted readings that wait for a signal before they answer.
    struct Source {
        readings: AtomicUsize,
        open: Semaphore,
    }

    impl Source {
        fn open() -> Arc<Source> {
            Source::with(1)
        }

        fn closed() -> Arc<Source> {
            Source::with(0)
        }

        fn with(open: usize) -> Arc<Source> {
            Arc::new(Source { readings: AtomicUsize::new(0), open: Semaphore::new(open) })
        }

        fn read(self: &Arc<Source>) -> impl Future<Output = ApiResult<Bytes>> + Send + 'static {
            let source = Arc::clone(self);
            async move {
                let number = source.readings.fetch_add(1, Ordering::SeqCst) + 1;
                let _open = source.open.acquire().await.unwrap();
                Ok(Bytes::from(number.to_string()))
            }
        }
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_reading() {
        let (answers, source) = (Answers::new(LONG), Source::closed());
        let asked = join_all((0..100).map(|_| answers.get(FEED, source.read())));
        let opened = async { source.open.add_permits(1) };
        let (asked, ()) = tokio::join!(asked, opened);
        for answer in asked {
            assert_eq!(body(answer).await, b"1");
        }
        let other = answers.get(Some(Question::Economy), source.read()).await;
        assert_eq!(body(other).await, b"2");
    }

    #[tokio::test]
    async fn whoever_leaves_takes_nothing_along() {
        let (answers, source) = (Answers::new(LONG), Source::closed());
        let mut first = Box::pin(answers.get(FEED, source.read()));
        assert!(futures_util::poll!(&mut first).is_pending());
        drop(first);
        source.open.add_permits(1);
        assert_eq!(body(answers.get(FEED, source.read()).await).await, b"1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_replaced_when_it_is_old() {
        let age = Duration::from_millis(500);
        let (answers, source) = (Answers::new(age), Source::open());
        assert_eq!(body(answers.get(FEED, source.read()).await).await, b"1");
        tokio::time::advance(age - Duration::from_millis(1)).await;
        assert_eq!(body(answers.get(FEED, source.read()).await).await, b"1");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(body(answers.get(FEED, source.read()).await).await, b"2");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_reading_that_is_older_than_an_answer_may_be() {
        let age = Duration::from_millis(500);
        let answers = Answers::new(age);
        let stuck = Source::closed();
        let mut first = Box::pin(answers.get(FEED, stuck.read()));
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::time::advance(age).await;
        let source = Source::open();
        assert_eq!(body(answers.get(FEED, source.read()).await).await, b"1");
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_waited_and_then_forgotten() {
        let answers = Answers::new(LONG);
        let fail = || async { Err(ApiError::Unavailable("gone".to_owned())) };
        let (first, second) = tokio::join!(answers.get(FEED, fail()), answers.get(FEED, fail()));
        for answer in [first, second] {
            assert!(matches!(answer, Err(ApiError::Unavailable(_))), "{answer:?}");
        }
        let panics = async { panic!("a reading that panics") };
        let broken = answers.get(FEED, panics).await;
        assert!(matches!(broken, Err(ApiError::Internal(_))), "{broken:?}");
        let source = Source::open();
        assert_eq!(body(answers.get(FEED, source.read()).await).await, b"1");
    }

    #[tokio::test]
    async fn without_an_age_or_a_question_nothing_is_kept() {
        let source = Source::open();
        let never = Answers::new(Duration::ZERO);
        assert_eq!(body(never.get(FEED, source.read()).await).await, b"1");
        assert_eq!(body(never.get(FEED, source.read()).await).await, b"2");
        let answers = Answers::new(LONG);
        assert_eq!(body(answers.get(None, source.read()).await).await, b"3");
        assert_eq!(body(answers.get(None, source.read()).await).await, b"4");
    }

    #[tokio::test]
    async fn what_is_kept_has_an_end() {
        let (answers, source) = (Answers::new(LONG), Source::open());
        let most = i64::try_from(KEPT_MAX).unwrap();
        for limit in 0..most + 8 {
            let question = Some(Question::Feed { limit });
            answers.get(question, source.read()).await.unwrap();
        }
        assert_eq!(answers.kept.lock().unwrap().len(), KEPT_MAX);
        let first = Some(Question::Feed { limit: 0 });
        assert_eq!(body(answers.get(first, source.read()).await).await, b"1");
    }

    #[tokio::test]
    async fn large_answers_are_fewer() {
        let answers = Answers::new(LONG);
        let large = || async { Ok(Bytes::from(vec![b' '; KEPT_MAX_BYTES / 2])) };
        for limit in 0..4 {
            let given = answers.get(Some(Question::Feed { limit }), large()).await;
            let size = given.unwrap().into_body().size();
            assert_eq!(size, actix_web::body::BodySize::Sized(KEPT_MAX_BYTES as u64 / 2));
        }
        assert_eq!(answers.kept.lock().unwrap().len(), 2);
    }
}
