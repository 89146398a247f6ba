use std::time::{Duration, Instant};

use cache::passwords::PasswordAdmin;
use cache::{Cache, CacheConfig, CacheError, RESPONSE_SECONDS};
use tokio::net::TcpListener;
use url::Url;
use uuid::Uuid;

use crate::{eventually, raw, redis_url};

async fn connect(url: String) -> CacheError {
    let began = Instant::now();
    let config = CacheConfig { url, namespace: String::new() };
    let error = Cache::connect(config).await.err().expect("no connection");
    assert!(began.elapsed() < Duration::from_secs(6), "took {:?}", began.elapsed());
    error
}

#[tokio::test]
async fn nobody_at_the_port_is_unavailable() {
    // Bound and dropped again: a port without a listener.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = connect(format!("redis://127.0.0.1:{port}/0")).await;
    assert!(matches!(error, CacheError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_a_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let error = connect(format!("redis://127.0.0.1:{port}/0")).await;
    assert!(matches!(error, CacheError::Timeout { .. }), "{error}");
    silent.abort();
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let url = redis_url();
    let (_, address) = url.rsplit_once('@').expect("a password in TEST_REDIS_URL");
    let error = connect(format!("redis://default:hunter2@{address}")).await;
    assert!(matches!(error, CacheError::Credentials(_)), "{error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = connect(format!("redis://{address}")).await;
    assert!(matches!(error, CacheError::Credentials(_)), "{error:?}");
}

#[tokio::test]
async fn a_url_that_is_none_is_said_to_be() {
    let error = connect("http://:hunter2@127.0.0.1".to_owned()).await;
    assert_eq!(error, CacheError::Url);
    assert!(!error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_cut_connection_mends_itself() {
    // Its own user distinguishes its connection from those of other tests.
    let user = format!("user_{}", Uuid::new_v4().simple());
    let admin = PasswordAdmin::open(&redis_url()).await.unwrap();
    admin.make(&user, "first").await.unwrap();
    let mut url = Url::parse(&redis_url()).unwrap();
    url.set_username(&user).unwrap();
    url.set_password(Some("first")).unwrap();
    let config = CacheConfig { url: url.into(), namespace: format!("{user}:") };
    let cache = Cache::connect(config).await.unwrap();
    // Cut from outside, as a restart of Redis would.
    let mut raw = raw().await;
    let mut cut = redis::cmd("CLIENT");
    cut.arg("KILL").arg("USER").arg(&user);
    assert_eq!(cut.query_async::<i64>(&mut raw).await.unwrap(), 1);
    let began = Instant::now();
    eventually("the cache answers again", || async { cache.must_take_writes().await.is_ok() })
        .await;
    assert!(began.elapsed() < Duration::from_secs(RESPONSE_SECONDS), "{:?}", began.elapsed());
    // On another connection: the first was cut, and there is one again.
    assert_eq!(cut.query_async::<i64>(&mut raw).await.unwrap(), 1);
    let gone: i64 =
        redis::cmd("ACL").arg("DELUSER").arg(&user).query_async(&mut raw).await.unwrap();
    assert_eq!(gone, 1);
}
