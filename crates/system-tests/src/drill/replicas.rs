//! More processes of each service, beside those of `run_system.sh`.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stack::{Stack, bin_dir, free_port, ready};

pub(crate) const SERVICES: [&str; 4] = ["api", "ticker", "oracle", "bot-runner"];
/// Together with that of `run_system.sh` there are at most three of each.
pub(crate) const REPLICAS_MAX: usize = 2;

pub(crate) struct Replica {
    pub(crate) service: &'static str,
    pub(crate) port: u16,
    child: Child,
}

#[derive(Default)]
pub(crate) struct Replicas(Vec<Replica>);

impl Replicas {
    pub(crate) fn add(&mut self, stack: &Stack, service: &'static str) {
        let port = free_port();
        let setting = match service {
            "api" => "API_PORT",
            "ticker" => "TICKER_HEALTH_PORT",
            "oracle" => "ORACLE_HEALTH_PORT",
            _ => "BOT_RUNNER_HEALTH_PORT",
        };
        let log = File::create(stack.file(&format!("replica-{service}-{port}.log"))).unwrap();
        let child = Command::new(bin_dir().join(service))
            .envs(stack.environment())
            .env("API_URL", format!("http://127.0.0.1:{}", stack.api_port))
            .env(setting, port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.0.push(Replica {
            service,
            port,
            child,
        });
    }

    pub(crate) fn of(&self, service: &str) -> impl Iterator<Item = &Replica> {
        self.0
            .iter()
            .filter(move |replica| replica.service == service)
    }

    pub(crate) fn count(&self, service: &str) -> usize {
        self.of(service).count()
    }

    /// A replica of the service, by its process.
    pub(crate) fn pid(&self, service: &str) -> Option<u32> {
        self.of(service).next().map(|replica| replica.child.id())
    }

    /// Takes the oldest replica of a service away by a signal, and waits for its end.
    pub(crate) fn remove(&mut self, service: &str, signal: &str) -> Option<u16> {
        let place = self
            .0
            .iter()
            .position(|replica| replica.service == service)?;
        let mut gone = self.0.remove(place);
        super::faults::signal(gone.child.id(), signal);
        gone.child.wait().unwrap();
        Some(gone.port)
    }

    pub(crate) async fn wait_until_ready(&mut self, what: &str, limit: Duration) {
        for replica in &mut self.0 {
            if let Some(status) = replica.child.try_wait().unwrap() {
                panic!(
                    "{what}: a replica of {} ended by itself with {status}",
                    replica.service
                );
            }
            if tokio::time::timeout(limit, ready(replica.port, limit))
                .await
                .is_err()
            {
                panic!(
                    "{what}: a replica of {} was not ready within {limit:?}",
                    replica.service
                );
            }
        }
    }

    pub(crate) fn stop(&mut self) {
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
