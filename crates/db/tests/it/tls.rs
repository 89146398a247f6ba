//! Tests that need their own Postgres: TLS with real certificates, and a standby.

use db::{Database, DatabaseConfig, DbError};
use test_kit::servers::{Authority, PostgresServer};
use test_kit::{Arena, eventually};

/// Whether the connections that this URL leads to are encrypted, or why there are none.
async fn reached(url: &str) -> Result<bool, String> {
    let config = DatabaseConfig { url: url.to_owned(), pool_size: 1 };
    let database = Database::connect(config).await;
    let database = database.map_err(|error| error.to_string())?;
    database.ping().await.map_err(|error| error.to_string())?;
    // The ticker's COPY has its own connection.
    let beside = database.dedicated().await.map_err(|error| error.to_string())?;
    let large = "SELECT ssl, length(repeat('x', 3000000)), repeat('x', 3000000) \
                   FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = beside.query_one(large, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(2).len(), 3_000_000);
    Ok(row.get(0))
}

#[tokio::test]
async fn what_is_encrypted_and_who_is_believed_is_as_libpq_has_it() {
    let (authority, other) = (Authority::default(), Authority::default());
    let (right, wrong) = (authority.file(), other.file());
    let (right, wrong) = (right.display(), wrong.display());
    let server = PostgresServer::encrypted(&authority.certify("localhost", false)).await;
    for (host, parameters, expected) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={right}"), Ok(true)),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={right}"), Err("another host")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={right}"), Ok(true)),
        ("localhost", format!("sslmode=verify-full&sslrootcert={wrong}"), Err("not signed")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={wrong}"), Err("not signed")),
        ("localhost", "sslmode=verify-full&sslrootcert=system".to_owned(), Err("ssl")),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={wrong}"), Err("not signed")),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        ("127.0.0.1", "sslmode=prefer".to_owned(), Ok(true)),
        ("127.0.0.1", String::new(), Ok(true)),
        ("127.0.0.1", "sslmode=disable".to_owned(), Ok(false)),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(),
            Err("/nowhere/ca.pem"),
        ),
    ] {
        let found = reached(&server.url(host, &parameters)).await;
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{host} {parameters}"),
            // The machine trusts another CA, if any.
            (Err(_), Err("ssl")) => {}
            (Err(said), Err(expected)) => {
                assert!(said.contains(expected), "{host} {parameters}: {said}");
                assert!(!said.contains("of-this-test"), "{said}");
            }
            _ => panic!("{host} {parameters}: {found:?} and not {expected:?}"),
        }
    }
    // The certificate runs out while the server runs.
    let expired = authority.certify("localhost", true);
    let client = test_kit::connect(&server.url("127.0.0.1", "sslmode=disable")).await;
    for (setting, file) in [("ssl_cert_file", &expired.chain), ("ssl_key_file", &expired.key)] {
        let statement = format!("ALTER SYSTEM SET {setting} = '{}'", file.display());
        client.batch_execute(&statement).await.unwrap();
    }
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let url = server.url("localhost", &format!("sslmode=verify-ca&sslrootcert={right}"));
    let said =
        eventually("the expired certificate is shown", || async { reached(&url).await.err() })
            .await;
    assert!(said.contains("has expired"), "{said}");
    assert_eq!(reached(&server.url("localhost", "sslmode=require")).await, Ok(true));
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_who_asks_for_it() {
    let arena = Arena::new().await;
    let url = arena.database_url();
    assert_eq!(reached(&url).await, Ok(false));
    assert_eq!(reached(&format!("{url}?sslmode=prefer")).await, Ok(false));
    let authority = Authority::default();
    let ca = authority.file();
    for parameters in
        ["sslmode=require".to_owned(), format!("sslmode=verify-full&sslrootcert={}", ca.display())]
    {
        let said = reached(&format!("{url}?{parameters}")).await.unwrap_err();
        assert!(said.contains("TLS"), "{said}");
    }
    let said = reached(&format!("{url}?sslmode=verify-full")).await.unwrap_err();
    assert!(said.contains("need sslrootcert"), "{said}");
}

#[tokio::test]
async fn a_standby_takes_no_writes_until_it_is_promoted() {
    let authority = Authority::default();
    let mut server = PostgresServer::encrypted(&authority.certify("localhost", false)).await;
    server.become_standby().await;
    let url = server.url("localhost", "");
    let config = DatabaseConfig { url: url.clone(), pool_size: 1 };
    let database = Database::connect(config).await.unwrap();
    let refused = database.must_take_writes().await.unwrap_err();
    assert!(matches!(&refused, DbError::ReadOnly(why) if why.contains("standby")), "{refused:?}");
    let superuser = test_kit::connect(&url).await;
    let promoted = superuser.query_one("SELECT pg_promote()", &[]).await;
    assert!(promoted.unwrap().get::<_, bool>(0));
    database.must_take_writes().await.unwrap();
}
