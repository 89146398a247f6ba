use std::sync::atomic::{AtomicU32, Ordering};

use cache::{Cache, CacheConfig};
use test_kit::Arena;
use tokio_postgres::Client;

use super::*;

const STEPS: [Step; 7] = [
    Step::Created,
    Step::HandedOver,
    Step::LoggedIn,
    Step::Written,
    Step::Quiet,
    Step::Closed,
    Step::Removed,
];

/// An arena whose roles nobody else uses, with a `.env` file.
struct Bench {
    admin: Client,
    admin_url: SecretString,
    place: Url,
    dir: tempfile::TempDir,
    _arena: Arena,
}

impl Bench {
    async fn new() -> Bench {
        let arena = Arena::new().await;
        let superuser = Url::parse(&test_kit::superuser_url()).unwrap();
        let mut place = superuser.clone();
        place.set_path(Url::parse(&arena.database_url()).unwrap().path());
        let bench = Bench {
            admin: test_kit::connect(place.as_str()).await,
            admin_url: SecretString::from(String::from(place.clone())),
            place,
            dir: tempfile::tempdir().unwrap(),
            _arena: arena,
        };
        bench.write("A='p!a$s\"s'\n");
        bench
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(".env")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// A role that stands where `like` stands, in `.env` under the setting.
    async fn stand_in(&self, which: Which, like: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let role = format!("Odd \"role'{}{count}", uuid::Uuid::new_v4().simple());
        let mut admin = RoleAdmin::open(self.admin_url.expose_secret()).await.unwrap();
        admin.succeed(like, &role, "first").await.unwrap();
        if which == Which::Owner {
            self.give_all(like, &role).await;
        }
        self.run(&format!("COMMENT ON ROLE {} IS NULL", quoted(&role))).await;
        let url = with_login(self.place.clone(), &role, "first").unwrap();
        let line = format!("{}={}\n", which.setting(), url.expose_secret());
        self.write(&format!("A='p!a$s\"s'\n{line}B=2\n"));
        role
    }

    /// Not by REASSIGN OWNED, which would take the databases of other tests too.
    async fn give_all(&self, from: &str, to: &str) {
        let ask = "SELECT format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, $2::text) \
            FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner \
            WHERE r.rolname = $1 AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace";
        for row in self.admin.query(ask, &[&from, &to]).await.unwrap() {
            self.run(row.get(0)).await;
        }
        let database = self.place.path().trim_start_matches('/');
        self.run(&format!("ALTER DATABASE {database} OWNER TO {}", quoted(to))).await;
    }

    async fn run(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap();
    }

    fn rotation(&self, which: Which) -> Rotation {
        let sources = Sources::from_parts(&self.text(), []);
        Rotation {
            which,
            url: sources.get(which.setting()).unwrap().into(),
            admin_url: self.admin_url.clone(),
            file: self.file(),
            wait: Duration::ZERO,
            quiet: Duration::ZERO,
            roll_call: None,
        }
    }

    async fn exists(&self, role: &str) -> bool {
        let ask = "SELECT FROM pg_roles WHERE rolname = $1";
        self.admin.query_opt(ask, &[&role]).await.unwrap().is_some()
    }

    /// Every privilege of the role on tables, columns, sequences and functions, without its name.
    async fn privileges(&self, role: &str) -> Vec<String> {
        let ask = "SELECT c.relname || ' ' || a.privilege_type FROM pg_class c, aclexplode(relacl) a, pg_roles r \
            WHERE a.grantee = r.oid AND r.rolname = $1 \
            UNION SELECT c.relname || '.' || attname || ' ' || a.privilege_type \
            FROM pg_attribute t JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl) a, pg_roles r \
            WHERE a.grantee = r.oid AND r.rolname = $1 \
            UNION SELECT proname || ' ' || a.privilege_type FROM pg_proc, aclexplode(proacl) a, pg_roles r \
            WHERE a.grantee = r.oid AND r.rolname = $1 ORDER BY 1";
        let rows = self.admin.query(ask, &[&role]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

fn quoted(role: &str) -> String {
    format!("\"{}\"", role.replace('"', "\"\""))
}

fn message(failure: &Failure) -> String {
    failure.to_string()
}

#[test]
fn names_grow_and_fit() {
    assert_eq!(next_name("arena_app"), "arena_app_2");
    assert_eq!(next_name("arena_app_9"), "arena_app_10");
    assert_eq!(next_name("arena_app_07"), "arena_app_07_2");
    assert_eq!(next_name("_7"), "_7_2");
    let long = next_name(&"ä".repeat(40));
    assert_eq!(long, format!("{}_2", "ä".repeat(30)));
}

#[tokio::test]
async fn the_services_role_is_replaced_by_one_that_may_do_the_same() {
    let bench = Bench::new().await;
    let old = bench.stand_in(Which::App, "arena_app").await;
    bench.run(&format!("ALTER ROLE {} SET search_path = public, pg_temp", quoted(&old))).await;
    bench
        .run(&format!("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {}", quoted(&old)))
        .await;
    let before = bench.privileges(&old).await;
    assert!(before.iter().any(|line| line == "bots.status UPDATE"), "{before:?}");
    let report = bench.rotation(Which::App).run(|_| Ok(())).await.unwrap();
    assert_eq!(bench.privileges(&report.new_role).await, before);
    assert!(!bench.exists(&old).await);
    bench.run("CREATE TABLE later ()").await;
    let later = bench.privileges(&report.new_role).await;
    assert!(later.contains(&"later SELECT".to_owned()), "{later:?}");
    let text = bench.text();
    assert!(text.starts_with("A='p!a$s\"s'\nDATABASE_URL=") && text.ends_with("\nB=2\n"));
    let client = test_kit::connect(bench.rotation(Which::App).url.expose_secret()).await;
    let row = client
        .query_one("SELECT current_user::text, current_setting('search_path')", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), report.new_role);
    assert_eq!(row.get::<_, String>(1), "public, pg_temp");
    assert!(client.batch_execute("UPDATE ledger SET amount = 0").await.is_err());
}

#[tokio::test]
async fn interrupted_after_any_step_it_is_completed_by_the_next_run() {
    for (which, like) in [(Which::App, "arena_app"), (Which::Owner, "arena_owner")] {
        let bench = Bench::new().await;
        let mut old = bench.stand_in(which, like).await;
        for stop in STEPS {
            let end = |step| {
                if step == stop { Err(anyhow!("stop").into()) } else { Ok(()) }
            };
            assert!(bench.rotation(which).run(end).await.is_err(), "{stop:?}");
            // Whatever happened, what `.env` says works.
            let present = bench.rotation(which).url;
            test_kit::connect(present.expose_secret()).await;
            if stop == Step::Removed {
                assert!(!bench.exists(&old).await);
                continue;
            }
            let report = bench.rotation(which).run(|_| Ok(())).await.unwrap();
            assert_eq!(report.old_role, old, "{stop:?}");
            assert!(!bench.exists(&old).await, "{stop:?}");
            assert_eq!(report.new_role, next_name(&old), "{stop:?}");
            old = report.new_role;
            let standing =
                roles::standing(bench.rotation(which).url.expose_secret()).await.unwrap();
            assert_eq!(standing.owns_ledger, which == Which::Owner, "{stop:?}");
        }
    }
}

#[tokio::test]
async fn whoever_still_has_a_session_is_named_and_nothing_is_taken_from_them() {
    let bench = Bench::new().await;
    let old = bench.stand_in(Which::App, "arena_app").await;
    bench
        .run(&format!("CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO {}", quoted(&old)))
        .await;
    let mut url = parsed(&bench.rotation(Which::App).url).unwrap();
    url.query_pairs_mut().append_pair("application_name", "straggler");
    let straggler = test_kit::connect(url.as_str()).await;
    let failure = bench.rotation(Which::App).run(|_| Ok(())).await.unwrap_err();
    assert!(message(&failure).contains("straggler (pid "), "{failure}");
    straggler.batch_execute("SELECT FROM bots").await.unwrap();
    drop(straggler);
    let report = test_kit::eventually("the session is over", || async {
        bench.rotation(Which::App).run(|_| Ok(())).await.ok()
    })
    .await;
    assert!(report.resumed && report.old_role == old);
    let owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'theirs'";
    let owner: String = bench.admin.query_one(owner, &[]).await.unwrap().get(0);
    assert_eq!(owner, report.new_role);
}

#[tokio::test]
async fn without_a_superuser_nothing_is_changed() {
    let bench = Bench::new().await;
    let old = bench.stand_in(Which::App, "arena_app").await;
    let before = bench.text();
    for (user, password, reason) in
        [("postgres", "wrong", "log in"), (old.as_str(), "first", "not a superuser")]
    {
        let mut rotation = bench.rotation(Which::App);
        rotation.admin_url = with_login(bench.place.clone(), user, password).unwrap();
        let failure = rotation.run(|_| Ok(())).await.unwrap_err();
        assert!(message(&failure).contains(reason), "{failure}");
        assert!(!message(&failure).contains("wrong"), "{failure}");
    }
    assert_eq!(bench.text(), before);
    assert!(!bench.exists(&next_name(&old)).await);
}

#[tokio::test]
async fn a_role_behind_a_pooler_is_left_as_it_is() {
    let text = "DATABASE_URL=postgres://arena_app:hunter2@127.0.0.1:1/arena?pooler=transaction";
    let args = Args { role: Which::App, admin_url_env: DATABASE_ADMIN_URL.to_owned(), wait: 1 };
    let refused = run(&Sources::from_parts(text, []), &args).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.exit_code(), daemon::process::EXIT_CONFIG);
    let text = refused.to_string();
    assert!(text.contains("leads through a pooler"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_process_that_works_under_the_old_role_is_named_and_keeps_it() {
    let bench = Bench::new().await;
    let old = bench.stand_in(Which::App, "arena_app").await;
    let config =
        CacheConfig { url: test_kit::redis_url(), namespace: format!("{}:", uuid::Uuid::new_v4()) };
    let cache = Cache::connect(config).await.unwrap();
    cache.uses_role(Some(&old));
    let _process = cache.announce("ticker");
    test_kit::eventually("it is present", || async {
        let present = cache.present().await.unwrap();
        (!present.is_empty()).then_some(())
    })
    .await;
    let rotation = || Rotation {
        roll_call: Some(RollCall::over(cache.clone(), Duration::ZERO, Duration::ZERO)),
        ..bench.rotation(Which::App)
    };
    // It has no session just now, but would open one by what it read when it started.
    let refused = rotation().run(|_| Ok(())).await.unwrap_err().to_string();
    let state = "DATABASE_URL is in force, but some work under another role: ticker on ";
    assert!(refused.starts_with(state) && refused.ends_with(RESTART), "{refused}");
    assert!(bench.exists(&old).await);
    let present = roles::role_of(bench.rotation(Which::App).url.expose_secret()).unwrap();
    cache.uses_role(Some(&present));
    test_kit::eventually("it has gone over", || async {
        let report = rotation().run(|_| Ok(())).await.ok()?;
        assert!(report.resumed && report.new_role == present);
        Some(())
    })
    .await;
    assert!(!bench.exists(&old).await);
}

#[tokio::test]
async fn on_another_machine_with_an_old_file_it_does_not_take_the_password_in_use() {
    let bench = Bench::new().await;
    bench.stand_in(Which::App, "arena_app").await;
    let old_file = bench.text();
    let stop = |step| match step {
        Step::Written => Err(anyhow!("stop").into()),
        _ => Ok(()),
    };
    assert!(bench.rotation(Which::App).run(stop).await.is_err());
    let in_use = bench.rotation(Which::App).url;
    let session = test_kit::connect(in_use.expose_secret()).await;
    bench.write(&old_file);
    let refused = bench.rotation(Which::App).run(|_| Ok(())).await;
    let refused = message(&refused.unwrap_err());
    assert!(refused.contains("Copy DATABASE_URL from there"), "{refused}");
    session.batch_execute("SELECT 1").await.unwrap();
    test_kit::connect(in_use.expose_secret()).await;
}
