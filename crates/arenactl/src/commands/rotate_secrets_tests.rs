use std::future::Future;

use cache::presence::Announcement;
use cache::{Cache, CacheConfig};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const OLD: &str = "an-old-secret-of-more-than-32-characters";
const TOKEN: &str = "another-secret-of-more-than-32-characters";

/// A settings file, and an arena of its own in which processes may be present.
struct Bench {
    dir: tempfile::TempDir,
    cache: Cache,
}

impl Bench {
    async fn new(text: &str) -> Bench {
        let config = CacheConfig {
            url: test_kit::redis_url(),
            namespace: format!("{}:", uuid::Uuid::new_v4()),
        };
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
            cache: Cache::connect(config).await.unwrap(),
        };
        std::fs::write(bench.file(), text).unwrap();
        bench
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join(".env")
    }

    /// As a process would read it now.
    fn sources(&self) -> Sources {
        Sources::from_file(&self.file())
    }

    fn get(&self, name: &str) -> String {
        self.sources().get(name).unwrap_or_default()
    }

    fn rotation(&self, secret: Secret, wait: Duration) -> Rotation {
        Rotation {
            secret: Secret { outlived: Duration::ZERO, ..secret },
            file: self.file(),
            roll_call: RollCall::over(self.cache.clone(), Duration::ZERO, wait),
        }
    }

    async fn secret_key(&self, finish: bool) -> Result<Report, Failure> {
        self.rotation(SECRET_KEY, PATIENCE).run(finish).await
    }

    async fn admin_token(&self, finish: bool) -> Result<Report, Failure> {
        self.rotation(ADMIN_TOKEN, PATIENCE).run(finish).await
    }

    /// A process of the API that goes by the settings as they are now.
    async fn process(&self) -> Announcement {
        self.follow();
        let announcement = self.cache.announce("api");
        test_kit::eventually("it is present", || async {
            let present = self.cache.present().await.unwrap();
            (!present.is_empty()).then_some(())
        })
        .await;
        announcement
    }

    fn follow(&self) {
        for secret in [SECRET_KEY, ADMIN_TOKEN] {
            // Between two writes the file may be without one.
            if let Ok(fingerprint) = secret.fingerprint(&self.sources()) {
                self.cache.uses(secret.present, fingerprint);
            }
        }
    }

    /// A rotation beside a process that follows every change of the settings.
    async fn followed(
        &self,
        rotation: impl Future<Output = Result<Report, Failure>>,
    ) -> Result<Report, Failure> {
        let following = async {
            loop {
                self.follow();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            done = rotation => done,
            () = following => unreachable!("it never ends"),
        }
    }
}

#[tokio::test]
async fn the_old_secret_key_stays_accepted_until_that_is_ended() {
    let bench = Bench::new(&format!("A='p!a$s\"s'\nSECRET_KEY={OLD}\nADMIN_TOKEN={TOKEN}\n")).await;
    assert_eq!(bench.secret_key(false).await.unwrap().outcome, Outcome::Rotated);
    let first = bench.get("SECRET_KEY");
    assert!(first != OLD && first.len() >= 32);
    assert_eq!(bench.get("SECRET_KEY_PREVIOUS"), OLD);
    assert_eq!(bench.get("SECRET_KEY_NEXT"), "");
    bench.secret_key(false).await.unwrap();
    assert_eq!(bench.get("SECRET_KEY_PREVIOUS"), format!("{first},{OLD}"));
    assert_eq!(bench.get("A"), "p!a$s\"s");
    let second = bench.get("SECRET_KEY");
    assert_eq!(bench.secret_key(true).await.unwrap().outcome, Outcome::Finished);
    assert_eq!(bench.get("SECRET_KEY_PREVIOUS"), "");
    assert_eq!(bench.get("SECRET_KEY"), second);
}

#[tokio::test]
async fn an_interrupted_rotation_goes_on_with_the_key_it_had_announced() {
    let next = "the-next-secret-of-more-than-32-characters";
    let bench =
        Bench::new(&format!("SECRET_KEY={OLD}\nSECRET_KEY_NEXT={next}\nADMIN_TOKEN={TOKEN}\n"))
            .await;
    let refused = bench.secret_key(true).await.unwrap_err().to_string();
    assert!(refused.contains("SECRET_KEY_NEXT") && !refused.contains(next));
    let report = bench.secret_key(false).await.unwrap();
    assert_eq!(report.outcome, Outcome::Resumed);
    assert_eq!(bench.get("SECRET_KEY"), next);
    assert_eq!(bench.get("SECRET_KEY_PREVIOUS"), OLD);
    assert_eq!(bench.get("SECRET_KEY_NEXT"), "");
}

#[tokio::test]
async fn the_old_admin_token_stays_accepted_until_that_is_ended() {
    let bench = Bench::new(&format!("SECRET_KEY={TOKEN}\nADMIN_TOKEN={OLD}")).await;
    bench.admin_token(false).await.unwrap();
    assert_ne!(bench.get("ADMIN_TOKEN"), OLD);
    assert_eq!(bench.get("ADMIN_TOKEN_PREVIOUS"), OLD);
    bench.admin_token(true).await.unwrap();
    assert_eq!(bench.get("ADMIN_TOKEN_PREVIOUS"), "");
}

#[tokio::test]
async fn without_a_secret_there_is_nothing_to_rotate() {
    let bench = Bench::new("A=1\n").await;
    let refused = bench.secret_key(false).await.unwrap_err().to_string();
    assert!(refused.contains("SECRET_KEY"), "{refused}");
    assert_eq!(std::fs::read_to_string(bench.file()).unwrap(), "A=1\n");
}

#[tokio::test]
async fn a_secret_that_no_list_could_hold_is_left_alone() {
    let text = "SECRET_KEY=a,secret-of-more-than-thirty-two-characters\n";
    let bench = Bench::new(text).await;
    let refused = bench.secret_key(false).await.unwrap_err().to_string();
    assert!(refused.contains("comma") && !refused.contains("a,secret"), "{refused}");
    assert_eq!(std::fs::read_to_string(bench.file()).unwrap(), text);
}

#[test]
fn reports_show_no_secret() {
    let report = Report { setting: SECRET_KEY.present, outcome: Outcome::Rotated, processes: 2 };
    let report = report.to_string();
    assert!(report.contains("--finish") && report.contains("all 2"), "{report}");
}

#[tokio::test]
async fn each_step_waits_until_every_process_has_gone_over() {
    let settings = format!("SECRET_KEY={OLD}\nADMIN_TOKEN={TOKEN}\n");
    let bench = Bench::new(&settings).await;
    let _process = bench.process().await;
    let done = bench.followed(bench.secret_key(false)).await.unwrap();
    assert_eq!(done.outcome, Outcome::Rotated);
    let done = bench.followed(bench.secret_key(true)).await.unwrap();
    assert_eq!(done.outcome, Outcome::Finished);
    bench.followed(bench.admin_token(false)).await.unwrap();
    bench.followed(bench.admin_token(true)).await.unwrap();
    assert_ne!(bench.get("ADMIN_TOKEN"), TOKEN);
}

#[tokio::test]
async fn a_key_that_one_process_does_not_know_is_not_used_and_that_process_is_named() {
    let settings = format!("SECRET_KEY={OLD}\nADMIN_TOKEN={TOKEN}\n");
    let bench = Bench::new(&settings).await;
    let _process = bench.process().await;
    // It reads a copy of the settings that was made when it started.
    let behind = bench.rotation(SECRET_KEY, Duration::ZERO).run(false).await;
    let behind = behind.unwrap_err().to_string();
    let state = format!("not all go by the SECRET_KEY of {}: api on ", bench.file().display());
    assert!(behind.starts_with(&state) && behind.ends_with(NOT_KNOWN), "{behind}");
    let next = bench.get("SECRET_KEY_NEXT");
    assert!(!next.is_empty() && !behind.contains(&next));
    assert_eq!(bench.get("SECRET_KEY"), OLD);
    // Nor does another try help before it was restarted.
    assert!(bench.rotation(SECRET_KEY, Duration::ZERO).run(false).await.is_err());
    assert_eq!(
        (bench.get("SECRET_KEY"), bench.get("SECRET_KEY_NEXT")),
        (OLD.to_owned(), next.clone())
    );
    bench.follow();
    let done = bench.followed(bench.secret_key(false)).await.unwrap();
    assert_eq!(done.outcome, Outcome::Resumed);
    assert_eq!(bench.get("SECRET_KEY"), next);
}

#[tokio::test]
async fn nothing_begins_while_a_process_goes_by_other_settings() {
    let settings = format!("SECRET_KEY={OLD}\nADMIN_TOKEN={TOKEN}\n");
    let bench = Bench::new(&settings).await;
    let _process = bench.process().await;
    for secret in [SECRET_KEY, ADMIN_TOKEN] {
        bench.cache.uses(secret.present, "of-another-file".to_owned());
    }
    for finish in [false, true] {
        let refused = bench.rotation(ADMIN_TOKEN, Duration::ZERO).run(finish).await;
        let refused = refused.unwrap_err().to_string();
        let state = format!("not all go by the ADMIN_TOKEN of {}: api on ", bench.file().display());
        assert!(refused.starts_with(&state) && refused.ends_with(OTHERS), "{refused}");
        assert!(bench.rotation(SECRET_KEY, Duration::ZERO).run(finish).await.is_err());
    }
    assert_eq!(std::fs::read_to_string(bench.file()).unwrap(), settings);
}

#[tokio::test]
async fn what_somebody_else_writes_meanwhile_is_not_lost() {
    let settings = format!("SECRET_KEY={OLD}\nADMIN_TOKEN={TOKEN}\n");
    let bench = Bench::new(&settings).await;
    let before = bench.sources();
    let rotation = bench.rotation(SECRET_KEY, PATIENCE);
    let next = SecretString::from("the-next-secret-of-more-than-32-characters");
    let with = |previous: &str| {
        let lines =
            format!("SECRET_KEY_NEXT={}\nSECRET_KEY_PREVIOUS={previous}\n", next.expose_secret());
        std::fs::write(bench.file(), format!("{settings}{lines}")).unwrap();
    };
    with("");
    assert!(rotation.unchanged_since(&before, &next).is_ok());
    with(TOKEN);
    let refused = rotation.unchanged_since(&before, &next).err().unwrap();
    assert!(refused.to_string().contains("another process"), "{refused}");
}
