//! More processes of each service, in addition to those of `run_system.sh`.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stack::{SERVICES, Stack, bin_dir, free_port, ready, signal};

pub struct Replica {
    pub service: &'static str,
    pub port: u16,
    log: PathBuf,
    child: Child,
}

impl Replica {
    /// Its output so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// They end with this value.
#[derive(Default)]
pub struct Replicas(Vec<Replica>);

impl Replicas {
    /// Starts one more process of the service, on its own port.
    pub fn add(&mut self, stack: &Stack, service: &'static str) {
        let port = free_port();
        let setting = match service {
            "api" => "API_PORT",
            "ticker" => "TICKER_HEALTH_PORT",
            "oracle" => "ORACLE_HEALTH_PORT",
            _ => "BOT_RUNNER_HEALTH_PORT",
        };
        let log = stack.file(&format!("replica-{service}-{port}.log"));
        let child = Command::new(bin_dir().join(service))
            .envs(stack.environment())
            .env("API_URL", format!("http://127.0.0.1:{}", stack.api_port))
            .env(setting, port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        self.0.push(Replica { service, port, log, child });
    }

    pub fn iter(&self) -> impl Iterator<Item = &Replica> {
        self.0.iter()
    }

    pub fn of(&self, service: &str) -> impl Iterator<Item = &Replica> {
        self.0.iter().filter(move |replica| replica.service == service)
    }

    pub fn count(&self, service: &str) -> usize {
        self.of(service).count()
    }

    /// A replica of the service, by its process.
    pub fn pid(&self, service: &str) -> Option<u32> {
        self.of(service).next().map(|replica| replica.child.id())
    }

    /// Takes the oldest replica of a service away by a signal, and waits for its end.
    pub fn remove(&mut self, service: &str, by: &str) -> Option<u16> {
        let place = self.0.iter().position(|replica| replica.service == service)?;
        let mut gone = self.0.remove(place);
        signal(gone.child.id(), by);
        gone.child.wait().unwrap();
        Some(gone.port)
    }

    /// Waits until each answers that it is ready; panics with `what` if one does not in time.
    pub async fn wait_until_ready(&mut self, what: &str, limit: Duration) {
        for replica in &mut self.0 {
            if let Some(status) = replica.child.try_wait().unwrap() {
                panic!("{what}: a replica of {} ended unexpectedly with {status}", replica.service);
            }
            if tokio::time::timeout(limit, ready(replica.port, limit)).await.is_err() {
                panic!("{what}: a replica of {} was not ready within {limit:?}", replica.service);
            }
        }
    }

    /// Stops all of them as a supervisor would.
    pub fn stop(&mut self) {
        for service in SERVICES {
            while self.remove(service, "TERM").is_some() {}
        }
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for replica in &mut self.0 {
            let _ = replica.child.kill();
            let _ = replica.child.wait();
        }
    }
}
