//! TLS to a real Redis, with real certificates.

use cache::{Cache, CacheConfig};
use secrecy::SecretString;
use test_kit::Arena;
use test_kit::servers::{Authority, RedisServer};

use crate::service::Service;

async fn reached(url: &str) -> Result<(), String> {
    let config = CacheConfig { url: url.to_owned(), namespace: "test:".to_owned() };
    let cache = Cache::connect(config).await.map_err(|error| error.to_string())?;
    cache.must_take_writes().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn redis_over_tls_is_believed_by_its_certificate() {
    let (authority, other) = (Authority::default(), Authority::default());
    let (right, wrong) = (authority.file(), other.file());
    let (right, wrong) = (right.display(), wrong.display());
    let redis = RedisServer::encrypted(&authority.certify("localhost", false)).await;
    let expired = RedisServer::encrypted(&authority.certify("localhost", true)).await;
    let (tls, plain) = (redis.tls_port, redis.port);
    assert_eq!(reached(&format!("rediss://localhost:{tls}/0?sslrootcert={right}")).await, Ok(()));
    let certificate = "sslrootcert in REDIS_URL";
    for (url, expected) in [
        (format!("rediss://localhost:{tls}/0?sslrootcert={wrong}"), certificate),
        (format!("rediss://127.0.0.1:{tls}/0?sslrootcert={right}"), certificate),
        (format!("rediss://localhost:{}/0?sslrootcert={right}", expired.tls_port), certificate),
        // The machine's CAs did not sign it.
        (format!("rediss://localhost:{tls}/0"), ""),
        (format!("rediss://localhost:{tls}/0#insecure"), "Redis"),
        // Neither is there a way back to a plain one.
        (format!("rediss://localhost:{plain}/0?sslrootcert={right}"), "Redis"),
        (format!("redis://localhost:{tls}/0"), "Redis"),
        (format!("redis://localhost:{plain}/0?sslrootcert={right}"), "rediss://"),
    ] {
        let said = reached(&url).await.expect_err(&url);
        assert!(said.contains(expected), "{url}: {said}");
    }

    let url = format!("rediss://localhost:{tls}/0?sslrootcert={right}");
    let arena = Arena::new().await;
    let service = Service::halted(arena, |config| config.redis.url = SecretString::from(url)).await;
    let readiness = service.get("/ready").await.json();
    assert_eq!(readiness["status"], "ready", "{readiness}");
}
