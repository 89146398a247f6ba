//! Everything is restarted and every credential changed, one after the other, under load and behind a balancer,
//! and no request fails.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use system_tests::stack::{Running, Stack, bin_dir, free_port, ready, root};
use test_kit::eventually;
use tokio::task::JoinSet;

use crate::day::{HASTY, get, hasty_personas};

const AGENTS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

/// HAProxy with the shipped configuration, on its own ports.
struct Balancer {
    port: u16,
    stats_port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

/// Killed when it is no longer wanted.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Balancer {
    fn start(program: PathBuf, servers: [u16; 2]) -> Balancer {
        let folder = tempfile::tempdir().unwrap();
        let (port, stats_port) = (free_port(), free_port());
        let shipped = std::fs::read_to_string(root().join("deploy/haproxy/haproxy.cfg")).unwrap();
        let mut text = shipped;
        for (from, to) in [
            ("127.0.0.1:8080", port),
            ("127.0.0.1:8404", stats_port),
            ("127.0.0.1:8000", servers[0]),
            ("127.0.0.1:8010", servers[1]),
        ] {
            assert!(text.contains(from), "{from} is in the configuration");
            text = text.replace(from, &format!("127.0.0.1:{to}"));
        }
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(program)
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Balancer { port, stats_port, _process: Process(child), _folder: folder }
    }

    /// Waits until it sends requests to the server, or to it no longer.
    async fn sees(&self, server: &str, state: &str) {
        let url = format!("http://127.0.0.1:{}/;csv", self.stats_port);
        eventually(&format!("the balancer sees {server} {state}"), || async {
            let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
            let line = text.lines().find(|line| line.starts_with(&format!("api,{server},")))?;
            line.split(',').nth(17).is_some_and(|seen| seen.starts_with(state)).then_some(())
        })
        .await;
    }
}

/// Agents that observe and act, and their errors.
#[derive(Clone, Default)]
pub(crate) struct Load {
    pub(crate) over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    acted: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Load {
    async fn send(&self, request: RequestBuilder) -> Option<Value> {
        let what = format!("{request:?}");
        let outcome = async {
            let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
            if status.is_success() {
                return serde_json::from_str(&text).map_err(|error| error.to_string());
            }
            match status.as_u16() {
                // Rules of the arena, which may refuse any bot at any time.
                403 | 409 | 422 => {
                    eprintln!("{status}: {text}");
                    Ok(Value::Null)
                }
                _ => Err(format!("{status}: {text}")),
            }
        };
        match outcome.await {
            Ok(body) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(body).filter(|body| !body.is_null())
            }
            Err(problem) => {
                let what = what.split("headers").next().unwrap_or_default().to_owned();
                eprintln!("{what} {problem}");
                self.failures.lock().unwrap().push(format!("{what} {problem}"));
                None
            }
        }
    }

    pub(crate) async fn live(self, base: String, number: usize) {
        let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let body = json!({ "handle": format!("roller-{number}") });
        let made = self.send(http.post(format!("{base}/bots")).json(&body)).await.unwrap();
        let login = json!({ "bot_id": made["id"], "api_key": made["api_key"] });
        let login = self.send(http.post(format!("{base}/auth/token")).json(&login)).await.unwrap();
        // Half of them by a token that outlives the secret it was signed with.
        let credential = |request: RequestBuilder| match number % 2 {
            0 => request.bearer_auth(login["access_token"].as_str().unwrap()),
            _ => request.header("X-Agent-Secret", made["api_secret"].as_str().unwrap()),
        };
        while !self.over.load(Ordering::Relaxed) {
            self.send(http.get(format!("{base}/economy"))).await;
            self.send(http.get(format!("{base}/bots?limit=5"))).await;
            let observation = credential(http.get(format!("{base}/arena/observation")));
            let Some(observation) = self.send(observation).await else {
                continue;
            };
            let action = json!({
                "observation_id": observation["observation_id"], "action_type": "PREDICT",
                "direction": "UP", "wager_amount": "0.10", "confidence": "0.55",
            });
            let act = credential(http.post(format!("{base}/arena/action"))).json(&action);
            if self.send(act).await.is_some() {
                self.acted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until more was done, so that each step happens in the midst of work.
    pub(crate) async fn goes_on(&self) {
        let before = self.acted.load(Ordering::Relaxed);
        eventually("agents act", || async {
            (self.acted.load(Ordering::Relaxed) > before + 5).then_some(())
        })
        .await;
    }

    #[track_caller]
    pub(crate) fn assert_no_failure(&self, after: &str) {
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "after {after}: {failures:#?}");
    }
}

fn api(stack: &Stack, port: u16) -> Running {
    let mut environment: Vec<(&str, String)> =
        stack.environment().map(|(name, value)| (name, value.to_owned())).collect();
    environment.extend([
        ("API_PORT", port.to_string()),
        ("API_DRAIN_SECONDS", "3".to_owned()),
        ("TRUSTED_PROXIES", "127.0.0.1".to_owned()),
    ]);
    Running::service("api", &environment)
}

async fn roll_the_api(stack: &Stack, balancer: &Balancer, servers: [u16; 2], load: &Load) {
    let mut running = servers.map(|port| Some(api(stack, port)));
    for (name, port) in ["api1", "api2"].iter().zip(servers) {
        ready(port, PATIENCE).await;
        balancer.sees(name, "UP").await;
    }
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let base = format!("http://127.0.0.1:{}", balancer.port);
        agents.spawn(load.clone().live(base, number));
    }
    for ((name, port), process) in ["api1", "api2"].into_iter().zip(servers).zip(&mut running) {
        load.goes_on().await;
        let gone = process.take().unwrap();
        assert_eq!(gone.terminate(PATIENCE).await, Some(0), "{name}");
        load.assert_no_failure(&format!("the stop of {name}"));
        load.goes_on().await;
        *process = Some(api(stack, port));
        ready(port, PATIENCE).await;
        balancer.sees(name, "UP").await;
        load.assert_no_failure(&format!("the start of {name}"));
    }
    roll_the_others(stack, load).await;
    rotate_everything(stack, load).await;
    load.over.store(true, Ordering::Relaxed);
    while let Some(agent) = agents.join_next().await {
        agent.unwrap();
    }
    load.assert_no_failure("all");
}

async fn roll_the_others(stack: &Stack, load: &Load) {
    for service in ["ticker", "oracle", "bot-runner"] {
        let pid = stack.pid(service).unwrap();
        let ended = Command::new("kill").arg(pid.to_string()).status().unwrap();
        assert!(ended.success());
        eventually(&format!("another {service} runs"), || async {
            stack.pid(service).filter(|now| *now != pid).map(drop)
        })
        .await;
        stack.wait_until_ready(PATIENCE).await;
        let tick = |economy: Value| economy["tick"].as_i64().unwrap();
        let before = tick(get(stack, "/economy").await);
        eventually("time goes on", || async {
            (tick(get(stack, "/economy").await) > before).then_some(())
        })
        .await;
        load.goes_on().await;
        load.assert_no_failure(&format!("another {service}"));
    }
}

async fn rotate_everything(stack: &Stack, load: &Load) {
    let settings = ["DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ADMIN_TOKEN"];
    let before = settings.map(|name| stack.written(name));
    for command in [
        &["rotate-role", "app"][..],
        &["rotate-role", "owner"],
        &["rotate-redis"],
        &["rotate-secret-key"],
        &["rotate-admin-token"],
    ] {
        let (succeeded, text) = tokio::task::block_in_place(|| stack.arenactl(command));
        assert!(succeeded, "{command:?}: {text}");
        assert!(text.contains("0 failing"), "{command:?}: {text}");
        load.goes_on().await;
        load.assert_no_failure(&command.join(" "));
    }
    for (name, before) in settings.iter().zip(&before) {
        assert_ne!(&stack.written(name), before, "{name}");
    }
    // The old token of the operator, and the new one.
    let url = format!("http://127.0.0.1:{}/audit?limit=1", stack.api_port);
    for (token, expected) in [(before[3].clone(), 200), (stack.written("ADMIN_TOKEN"), 200)] {
        let answer = Client::new().get(&url).bearer_auth(token).send().await;
        assert_eq!(answer.unwrap().status(), expected);
    }
    let (succeeded, text) =
        tokio::task::block_in_place(|| stack.arenactl(&["rotate-admin-token", "--finish"]));
    assert!(succeeded, "{text}");
    for (token, expected) in [(before[3].clone(), 401), (stack.written("ADMIN_TOKEN"), 200)] {
        let answer = Client::new().get(&url).bearer_auth(token).send().await;
        assert_eq!(answer.unwrap().status(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_and_rotations_under_load_lose_no_request() {
    let program = ["/usr/sbin/haproxy", "/usr/bin/haproxy", "/usr/local/sbin/haproxy"]
        .map(PathBuf::from)
        .into_iter()
        .find(|program| program.exists());
    let Some(program) = program else {
        eprintln!("SKIPPED: haproxy is not installed (apt-get install haproxy)");
        return;
    };
    assert!(bin_dir().join("api").exists());
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let mut settings = HASTY.to_vec();
    settings.extend([
        ("BOTS_DIR", bots.as_str()),
        ("ENFORCEMENT_MODE", "observe"),
        ("OPEN_PREDICTIONS_MAX", "1000"),
    ]);
    let (stack, _) = Stack::start(&settings).await;
    let servers = [free_port(), free_port()];
    let balancer = Balancer::start(program, servers);
    let load = Load::default();
    roll_the_api(&stack, &balancer, servers, &load).await;
    let (answered, acted) =
        (load.answered.load(Ordering::Relaxed), load.acted.load(Ordering::Relaxed));
    assert!(acted > 50 && answered > 200, "{answered} {acted}");
    let (sound, text) = stack.arenactl(&["inspect-ledger"]);
    assert!(sound, "{text}");
    assert_eq!(stack.stop(), Some(0));
}
