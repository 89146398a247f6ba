use cache::{Cache, CacheConfig};

use super::*;

/// A user of its own in the tests' Redis, and a `.env` that names it.
struct Bench {
    dir: tempfile::TempDir,
    user: String,
    url: Url,
}

impl Bench {
    async fn new() -> Bench {
        let mut url = Url::parse(&test_kit::redis_url()).unwrap();
        let user = format!("user_{}", uuid::Uuid::new_v4().simple());
        let admin = PasswordAdmin::open(url.as_str()).await.unwrap();
        admin.make(&user, "first").await.unwrap();
        url.set_username(&user).unwrap();
        url.set_password(Some("first")).unwrap();
        let bench = Bench { dir: tempfile::tempdir().unwrap(), user, url };
        std::fs::write(bench.file(), format!("REDIS_URL={}\n", bench.url)).unwrap();
        bench
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(".env")
    }

    /// Logged in by the settings as they are now, in an arena of its own.
    async fn cache(&self) -> Cache {
        let config = CacheConfig { url: self.written(), namespace: format!("{}:", self.user) };
        Cache::connect(config).await.unwrap()
    }

    fn written(&self) -> String {
        Sources::from_file(&self.file()).get("REDIS_URL").unwrap()
    }

    async fn rotation(&self) -> Rotation {
        self.rotation_within(Duration::from_secs(20)).await
    }

    async fn rotation_within(&self, wait: Duration) -> Rotation {
        Rotation {
            url: self.written().into(),
            admin_url: test_kit::redis_url().into(),
            file: self.file(),
            wait,
            roll_call: RollCall::over(self.cache().await, Duration::ZERO, wait),
        }
    }
}

async fn works(url: &str) -> bool {
    let config = CacheConfig { url: url.to_owned(), namespace: String::new() };
    Cache::connect(config).await.is_ok()
}

#[tokio::test]
async fn both_passwords_are_good_until_the_old_one_is_taken_away() {
    let bench = Bench::new().await;
    let old = bench.written();
    let report = bench.rotation().await.run(|_| Ok(())).await.unwrap();
    assert_eq!(report.user, bench.user);
    let new = bench.written();
    assert_ne!(new, old);
    assert!(works(&new).await && !works(&old).await);
}

#[tokio::test]
async fn whatever_interrupts_it_it_is_simply_repeated() {
    for step in [Step::Added, Step::Written, Step::TakenUp, Step::Closed] {
        let bench = Bench::new().await;
        let old = bench.written();
        let cut = bench
            .rotation()
            .await
            .run(|done| match done == step {
                true => Err(anyhow!("cut off").into()),
                false => Ok(()),
            })
            .await;
        assert!(cut.is_err());
        // Whoever reads the settings gets in, at any moment.
        assert!(works(&bench.written()).await, "{step:?}");
        bench.rotation().await.run(|_| Ok(())).await.unwrap();
        assert!(works(&bench.written()).await && !works(&old).await, "{step:?}");
    }
}

#[tokio::test]
async fn it_waits_for_whoever_is_logged_in_by_the_old_password_and_names_who_stays() {
    let bench = Bench::new().await;
    let config = CacheConfig { url: bench.written(), namespace: String::new() };
    let stays = Cache::connect(config).await.unwrap();
    let admin = PasswordAdmin::open(&test_kit::redis_url()).await.unwrap();
    // Redis counts the age of sessions in whole seconds.
    test_kit::eventually("the session is old enough to be told from a new one", || async {
        let old = admin.sessions_older_than(&bench.user, Duration::from_secs(2)).await.unwrap();
        (!old.is_empty()).then_some(())
    })
    .await;
    let rotation = bench.rotation_within(Duration::ZERO).await;
    let refused = rotation.run(|_| Ok(())).await.unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1:"), "{refused}");
    stays.take_up(&bench.written()).await.unwrap();
    bench.rotation().await.run(|_| Ok(())).await.unwrap();
}

#[tokio::test]
async fn a_process_that_has_not_gone_over_keeps_its_password_and_is_named() {
    let bench = Bench::new().await;
    let old = bench.written();
    let follows = bench.cache().await;
    let _process = follows.announce("ticker");
    test_kit::eventually("it is present", || async {
        let present = follows.present().await.unwrap();
        (!present.is_empty()).then_some(())
    })
    .await;
    // Its session is young, as after a connection that broke a moment ago.
    let rotation = bench.rotation_within(Duration::ZERO).await;
    let refused = rotation.run(|_| Ok(())).await.unwrap_err().to_string();
    let state = "REDIS_URL has the new password, but some processes use another one: ticker on ";
    assert!(refused.starts_with(state) && refused.contains(RESTART), "{refused}");
    assert!(refused.ends_with("until then both passwords are valid"), "{refused}");
    let new = bench.written();
    assert!(works(&old).await && works(&new).await);
    // It was restarted, and reads what is written there now: that must be enough.
    follows.take_up(&new).await.unwrap();
    let done = bench.rotation().await.run(|_| Ok(())).await.unwrap();
    assert!(done.resumed && done.processes == 1, "{done:?}");
    assert!(done.to_string().contains("the only valid one"), "{done}");
    assert_eq!(bench.written(), new, "no other one was made");
    assert!(works(&new).await && !works(&old).await);
    let mark = Sources::from_file(&bench.file()).get(ROTATED_AT);
    assert_eq!(mark.unwrap_or_default(), "", "it is over");
}

#[tokio::test]
async fn settings_that_somebody_else_changed_meanwhile_are_not_locked_out() {
    let bench = Bench::new().await;
    let old = bench.written();
    let rotation = bench.rotation().await;
    let file = bench.file();
    let put_back = format!("REDIS_URL={old}\n");
    let refused = rotation
        .run(|done| {
            if done == Step::TakenUp {
                std::fs::write(&file, &put_back).unwrap();
            }
            Ok(())
        })
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("another process"), "{refused}");
    assert!(works(&old).await);
}

#[tokio::test]
async fn a_mark_that_was_left_behind_keeps_no_new_password_from_being_made() {
    let bench = Bench::new().await;
    let old = bench.written();
    std::fs::write(bench.file(), format!("REDIS_URL={old}\n{ROTATED_AT}=1\n")).unwrap();
    let done = bench.rotation().await.run(|_| Ok(())).await.unwrap();
    assert!(!done.resumed);
    assert!(works(&bench.written()).await && !works(&old).await);
}

#[tokio::test]
async fn a_mark_of_the_future_is_named() {
    let bench = Bench::new().await;
    let stop = |step| match step {
        Step::Written => Err(anyhow!("stop").into()),
        _ => Ok(()),
    };
    assert!(bench.rotation().await.run(stop).await.is_err());
    let text = format!("REDIS_URL={}\n{ROTATED_AT}=99999999999\n", bench.written());
    std::fs::write(bench.file(), text).unwrap();
    let refused = bench.rotation().await.run(|_| Ok(())).await.unwrap_err();
    assert!(refused.to_string().contains(ROTATED_AT), "{refused}");
}
