use super::*;

const OLD: &str = "an-old-secret-of-more-than-32-characters";

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(text: &str) -> Bench {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
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

    async fn secret_key(&self, finish: bool) -> Result<Report, Failure> {
        rotate_secret_key(&self.sources(), finish, Duration::ZERO).await
    }

    async fn admin_token(&self, finish: bool) -> Report {
        rotate_admin_token(&self.sources(), finish, Duration::ZERO)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn the_old_secret_key_stays_accepted_until_that_is_ended() {
    let bench = Bench::new(&format!("A='p!a$s\"s'\nSECRET_KEY={OLD}\n"));
    assert_eq!(
        bench.secret_key(false).await.unwrap().outcome,
        Outcome::Rotated
    );
    let first = bench.get(SECRET_KEY);
    assert!(first != OLD && first.len() >= 32);
    assert_eq!(bench.get(SECRET_KEY_PREVIOUS), OLD);
    assert_eq!(bench.get(SECRET_KEY_NEXT), "");
    bench.secret_key(false).await.unwrap();
    assert_eq!(bench.get(SECRET_KEY_PREVIOUS), format!("{first},{OLD}"));
    assert_eq!(bench.get("A"), "p!a$s\"s");
    let second = bench.get(SECRET_KEY);
    assert_eq!(
        bench.secret_key(true).await.unwrap().outcome,
        Outcome::Finished
    );
    assert_eq!(bench.get(SECRET_KEY_PREVIOUS), "");
    assert_eq!(bench.get(SECRET_KEY), second);
}

#[tokio::test]
async fn an_interrupted_rotation_goes_on_with_the_key_it_had_announced() {
    let next = "the-next-secret-of-more-than-32-characters";
    let bench = Bench::new(&format!("SECRET_KEY={OLD}\nSECRET_KEY_NEXT={next}\n"));
    let refused = bench.secret_key(true).await.unwrap_err().to_string();
    assert!(refused.contains(SECRET_KEY_NEXT) && !refused.contains(next));
    let report = bench.secret_key(false).await.unwrap();
    assert_eq!(report.outcome, Outcome::Resumed);
    assert_eq!(bench.get(SECRET_KEY), next);
    assert_eq!(bench.get(SECRET_KEY_PREVIOUS), OLD);
    assert_eq!(bench.get(SECRET_KEY_NEXT), "");
}

#[tokio::test]
async fn the_old_admin_token_stays_accepted_until_that_is_ended() {
    let bench = Bench::new(&format!("ADMIN_TOKEN={OLD}"));
    bench.admin_token(false).await;
    assert_ne!(bench.get(ADMIN_TOKEN), OLD);
    assert_eq!(bench.get(ADMIN_TOKEN_PREVIOUS), OLD);
    bench.admin_token(true).await;
    assert_eq!(bench.get(ADMIN_TOKEN_PREVIOUS), "");
}

#[tokio::test]
async fn without_a_secret_there_is_nothing_to_rotate() {
    let bench = Bench::new("A=1\n");
    let refused = bench.secret_key(false).await.unwrap_err().to_string();
    assert!(refused.contains(SECRET_KEY), "{refused}");
    assert_eq!(std::fs::read_to_string(bench.file()).unwrap(), "A=1\n");
}

#[tokio::test]
async fn a_secret_that_no_list_could_hold_is_left_alone() {
    let text = "SECRET_KEY=a,secret-of-more-than-thirty-two-characters\n";
    let bench = Bench::new(text);
    let refused = bench.secret_key(false).await.unwrap_err().to_string();
    assert!(
        refused.contains("comma") && !refused.contains("a,secret"),
        "{refused}"
    );
    assert_eq!(std::fs::read_to_string(bench.file()).unwrap(), text);
}

#[test]
fn reports_show_no_secret() {
    let report = Report {
        setting: SECRET_KEY,
        outcome: Outcome::Rotated,
    };
    assert!(report.to_string().contains("--finish"));
}
