//! The faults, and how to inject them.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use test_kit::eventually;

use super::Scene;
use crate::random::Random;
use crate::stack::{SERVICES, signal};

/// Together with that of `run_system.sh` there are at most three processes of each service.
const REPLICAS_MAX: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of a service that `run_system.sh` runs.
    Kill(&'static str),
    /// SIGSTOP of a service for up to seven seconds: longer than its session may idle in a
    /// transaction, and about as long as a lease.
    Freeze(&'static str),
    /// kill -9 of a replica, and another one in its place.
    KillReplica(&'static str),
    /// One replica more, or one less by SIGTERM.
    Scale(&'static str),
    PostgresKilled,
    /// SIGQUIT: what an operator's immediate shutdown is.
    PostgresShutDown,
    /// Every session is ended by its server.
    ConnectionsCut,
    /// Every process of Postgres stops for up to two seconds.
    PostgresSlow,
    /// No process of Postgres may write beyond the first KiB of any file (RLIMIT_FSIZE; as many as its log has,
    /// and 64), so that the system refuses its writes like a full disk, until Postgres has reported it.
    DiskFull,
    RedisKilled,
    RedisEmptied,
    RedisFrozen,
    /// Postgres' clock, as read by the services, jumps by up to twenty seconds: settlement waits as long as a
    /// clock was set back, and agents have limits of open stakes meanwhile.
    ClockForward,
    ClockBack,
}

/// How many kinds there are where nothing is skipped.
pub const KINDS: usize = 26;

/// A kind of fault that cannot be made here.
#[derive(Debug, Clone)]
pub struct Skipped {
    pub what: &'static str,
    pub why: String,
}

pub(crate) struct Kinds {
    possible: Vec<Fault>,
    /// Those that have not come in this round.
    round: Vec<Fault>,
    /// Of their own, so that the order does not depend on what else is drawn.
    dice: Random,
    pub(crate) skipped: Vec<Skipped>,
}

impl Kinds {
    /// The kinds in an order of the seed, all of them before one comes again.
    pub(crate) fn next(&mut self) -> Fault {
        if self.round.is_empty() {
            self.round.clone_from(&self.possible);
        }
        self.round.swap_remove(self.dice.below(self.round.len()))
    }
}

impl Fault {
    /// Every kind that this machine lets happen.
    pub(crate) fn possible(seed: u64) -> Kinds {
        let mut possible = vec![
            Fault::PostgresKilled,
            Fault::PostgresShutDown,
            Fault::ConnectionsCut,
            Fault::PostgresSlow,
            Fault::RedisKilled,
            Fault::RedisEmptied,
            Fault::RedisFrozen,
            Fault::ClockForward,
            Fault::ClockBack,
        ];
        for service in SERVICES {
            possible.extend([
                Fault::Kill(service),
                Fault::Freeze(service),
                Fault::KillReplica(service),
                Fault::Scale(service),
            ]);
        }
        let mut skipped = Vec::new();
        let limits =
            Command::new("prlimit").args(["--pid", &std::process::id().to_string()]).output();
        match limits {
            Ok(output) if output.status.success() => possible.push(Fault::DiskFull),
            _ => skipped.push(Skipped {
                what: "full disk",
                why: "prlimit (util-linux) cannot be run here".to_owned(),
            }),
        }
        assert_eq!(possible.len() + skipped.len(), KINDS);
        Kinds { possible, round: Vec::new(), dice: Random::seeded(seed), skipped }
    }

    /// Within this time everything must be ready and agents must get acknowledged again.
    pub const fn back_within(self) -> Duration {
        match self {
            Fault::Kill(_)
            | Fault::Freeze(_)
            | Fault::KillReplica(_)
            | Fault::Scale(_)
            | Fault::ConnectionsCut
            | Fault::PostgresSlow
            | Fault::RedisEmptied
            | Fault::RedisFrozen
            | Fault::ClockForward
            | Fault::ClockBack => Duration::from_secs(30),
            // Postgres replays its log; run_system.sh restarts ended processes, with a back-off.
            Fault::PostgresKilled
            | Fault::PostgresShutDown
            | Fault::DiskFull
            | Fault::RedisKilled => Duration::from_secs(60),
        }
    }

    pub(crate) async fn strike(self, scene: &mut Scene) {
        match self {
            Fault::Kill(service) => signal(scene.running(service).await, "KILL"),
            Fault::Freeze(service) => {
                let own = scene.running(service).await;
                let pid = match (scene.replicas.pid(service), scene.random.below(2)) {
                    (Some(replica), 0) => replica,
                    _ => own,
                };
                freeze(&[pid], scene.random.millis(300, 7_000)).await;
            }
            Fault::KillReplica(service) => {
                let gone = scene.replicas.remove(service, "KILL");
                scene.crowd.without(gone);
                scene.add_replica(service);
            }
            Fault::Scale(service) => {
                if scene.replicas.count(service) < REPLICAS_MAX {
                    scene.add_replica(service);
                } else {
                    let gone = scene.replicas.remove(service, "TERM");
                    scene.crowd.without(gone);
                }
            }
            Fault::PostgresKilled => signal(scene.running("postgres").await, "KILL"),
            Fault::PostgresShutDown => signal(scene.running("postgres").await, "QUIT"),
            Fault::RedisKilled => signal(scene.running("redis").await, "KILL"),
            Fault::ConnectionsCut => {
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE usename = 'arena_app' AND pid <> pg_backend_pid()";
                test_kit::connect(&scene.superuser_url).await.execute(sql, &[]).await.unwrap();
            }
            Fault::PostgresSlow => {
                let postmaster = scene.running("postgres").await;
                for _ in 0..4 {
                    freeze(&children(postmaster), scene.random.millis(100, 500)).await;
                }
            }
            Fault::DiskFull => scene.fill_disk().await,
            Fault::RedisEmptied => scene.empty_redis().await,
            Fault::RedisFrozen => {
                let pid = scene.running("redis").await;
                freeze(&[pid], scene.random.millis(300, 4_000)).await;
            }
            Fault::ClockForward => step_clock(scene, 1).await,
            Fault::ClockBack => step_clock(scene, -1).await,
        }
    }
}

impl Scene {
    async fn running(&self, name: &str) -> u32 {
        let what = format!("{name} runs");
        eventually(&what, || std::future::ready(self.stack.pid(name).filter(|pid| alive(*pid))))
            .await
    }

    /// Until Postgres has reported that it could not write.
    async fn fill_disk(&self) {
        let refused = || self.stack.log("postgres").matches(": File too large").count();
        let before = refused();
        let postmaster = self.running("postgres").await;
        let of_all = |limit: &str| {
            limit_files(postmaster, limit);
            for child in children(postmaster) {
                limit_files(child, limit);
            }
        };
        // Its own log must have room, or it could not report it.
        let log = self.stack.log("postgres").len();
        of_all(&format!("{}:", log + 64 * 1024));
        let mut patience = 150;
        while refused() == before && patience > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            patience -= 1;
        }
        of_all("unlimited:");
        assert!(refused() > before, "no write of Postgres was refused: the disk was not full");
    }

    fn add_replica(&mut self, service: &'static str) {
        self.replicas.add(&self.stack, service);
        self.crowd.may_ask(&self.replicas);
    }

    /// In the protocol's inline form, which wants no client.
    async fn empty_redis(&self) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let url = self.stack.written("REDIS_URL");
        let (password, at) =
            url.strip_prefix("redis://default:").and_then(|rest| rest.split_once('@')).unwrap();
        let address = at.split_once('/').unwrap().0;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let asked = format!("AUTH {password}\r\nFLUSHALL\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answers = [0; 10];
        stream.read_exact(&mut answers).await.unwrap();
        assert_eq!(&answers, b"+OK\r\n+OK\r\n");
    }
}

fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/stat")).exists()
}

async fn freeze(pids: &[u32], time: Duration) {
    for pid in pids {
        signal(*pid, "STOP");
    }
    tokio::time::sleep(time).await;
    for pid in pids {
        signal(*pid, "CONT");
    }
}

fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The soft limit alone, so that it can be lifted again. As the process' own user, who has the right.
fn limit_files(pid: u32, limit: &str) {
    use std::os::unix::fs::MetadataExt as _;
    // One that has ended meanwhile needs no limit.
    let Ok(process) = std::fs::metadata(format!("/proc/{pid}")) else {
        return;
    };
    let prlimit =
        ["prlimit", "--pid", &pid.to_string(), &format!("--fsize={limit}")].map(str::to_owned);
    let own = std::fs::metadata("/proc/self").map(|own| own.uid()).unwrap();
    let mut words = Vec::new();
    if process.uid() != own {
        words.extend(["setpriv".to_owned(), format!("--reuid={}", process.uid())]);
        words.extend([format!("--regid={}", process.gid()), "--clear-groups".to_owned()]);
    }
    words.extend(prlimit);
    let _ = Command::new(&words[0]).args(&words[1..]).stderr(std::process::Stdio::null()).status();
}

/// Puts the drill's own clock before Postgres' for unqualified calls, as in the services' statements.
pub(crate) async fn shadow_clock(superuser_url: &str) {
    let client = test_kit::connect(superuser_url).await;
    client
        .batch_execute(
            "CREATE SCHEMA drill; \
             CREATE TABLE drill.step (ahead interval NOT NULL); \
             INSERT INTO drill.step VALUES ('0'); \
             CREATE FUNCTION drill.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS \
                 'SELECT pg_catalog.clock_timestamp() + (SELECT ahead FROM drill.step)'; \
             GRANT USAGE ON SCHEMA drill TO PUBLIC; \
             GRANT SELECT ON drill.step TO PUBLIC; \
             DO $$ BEGIN EXECUTE format( \
                 'ALTER DATABASE %I SET search_path = drill, public, pg_catalog', current_database()); \
             END $$; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
              WHERE usename = 'arena_app' AND pid <> pg_backend_pid()",
        )
        .await
        .unwrap();
}

async fn step_clock(scene: &mut Scene, direction: i64) {
    let seconds = direction * i64::try_from(1 + scene.random.below(20)).unwrap();
    let client = test_kit::connect(&scene.superuser_url).await;
    let sql = format!("UPDATE drill.step SET ahead = ahead + interval '{seconds} s'");
    client.batch_execute(&sql).await.unwrap();
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill(service) => write!(f, "kill -9 {service}"),
            Fault::Freeze(service) => write!(f, "freeze {service}"),
            Fault::KillReplica(service) => write!(f, "kill -9 a replica of {service}"),
            Fault::Scale(service) => write!(f, "another number of {service}"),
            Fault::PostgresKilled => f.write_str("kill -9 postgres"),
            Fault::PostgresShutDown => f.write_str("immediate shutdown of postgres"),
            Fault::ConnectionsCut => f.write_str("all sessions ended"),
            Fault::PostgresSlow => f.write_str("slow postgres"),
            Fault::DiskFull => f.write_str("full disk"),
            Fault::RedisKilled => f.write_str("kill -9 redis"),
            Fault::RedisEmptied => f.write_str("redis emptied"),
            Fault::RedisFrozen => f.write_str("freeze redis"),
            Fault::ClockForward => f.write_str("clock steps forward"),
            Fault::ClockBack => f.write_str("clock steps back"),
        }
    }
}
