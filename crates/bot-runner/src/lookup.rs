//! The lookup tool: an encyclopedia's article by its title.
//!
//! Looking something up is thinking: nothing is written anywhere, and nothing is paid for. The fee is due for an
//! answer that declares the use of the tool, which only a successful lookup does.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sources::SourceError;
use sources::wikipedia::{Article, Wikipedia};
use tokio::time::{sleep, timeout};
use tracing::debug;

use service::clock;

/// Attempts, if the encyclopedia requests fewer requests or does not answer in time.
pub const TRIES: u32 = 3;
/// Before the second attempt; each pause after it is twice the one before.
pub const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// For one answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// For the whole lookup: three answers and the pauses between them.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(20);

/// The result of [`Encyclopedia::by_title`].
pub type ArticleFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Article, SourceError>> + Send + 'a>>;

/// A source of articles by title.
pub trait Encyclopedia: Send + Sync {
    /// Asks once.
    fn by_title<'a>(&'a self, title: &'a str) -> ArticleFuture<'a>;
}

impl Encyclopedia for Wikipedia {
    fn by_title<'a>(&'a self, title: &'a str) -> ArticleFuture<'a> {
        Box::pin(async move { Wikipedia::by_title(self, title, clock::now()).await.value })
    }
}

/// The tool; clones share it.
#[derive(Clone)]
pub struct Lookup {
    encyclopedia: Arc<dyn Encyclopedia>,
}

impl Lookup {
    pub fn new(encyclopedia: Arc<dyn Encyclopedia>) -> Lookup {
        Lookup { encyclopedia }
    }

    /// The article, or `None` when there is nothing to be had in time. An unknown title and an invalid answer are
    /// not retried.
    pub async fn article(&self, title: &str) -> Option<Article> {
        timeout(LOOKUP_LIMIT, self.persist(title)).await.unwrap_or_else(|_| {
            debug!("lookup given up after {LOOKUP_LIMIT:?}");
            None
        })
    }

    async fn persist(&self, title: &str) -> Option<Article> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let error = match self.encyclopedia.by_title(title).await {
                Ok(article) => return Some(article),
                Err(error) => error,
            };
            let may_pass = matches!(error, SourceError::RateLimited { .. } | SourceError::Timeout);
            debug!(%error, attempt, may_pass, "lookup without an article");
            if !may_pass || attempt == TRIES {
                return None;
            }
            sleep(pause).await;
            pause *= 2;
        }
        None
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}
