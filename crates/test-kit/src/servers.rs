//! A separate Postgres and Redis of a test, for changes that would disturb others: TLS, refused writes.
//! Certificates are made on the spot.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// `nobody`: Postgres refuses to be root.
const UNPRIVILEGED: u32 = 65_534;
const PASSWORD: &str = "of-this-test";

/// The answer of `/ready` on this port: status and body; `None` without a listener.
pub async fn ready(port: u16) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = "GET /ready HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// A port that is free at this moment.
pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// A server that ends with its value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A CA of a test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate and its key, as servers read them.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder }
    }
}

impl Authority {
    /// The file for clients.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for this host, good until the end of the century or, where it is `expired`, of 2020.
    pub fn certify(&self, host: &str, expired: bool) -> Certificate {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(if expired { 2020 } else { 2099 }, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let name = format!("{host}-{expired}");
        let path = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        let written = Certificate { chain: path("crt"), key: path("key") };
        std::fs::write(&written.chain, certificate.pem()).unwrap();
        std::fs::write(&written.key, key.serialize_pem()).unwrap();
        // Postgres refuses a key that others can read, and runs as another user if tests are root.
        std::fs::set_permissions(&written.key, PermissionsExt::from_mode(0o600)).unwrap();
        if is_root() {
            chown(&written.key, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        written
    }
}

/// A Redis of a test's own.
pub struct RedisServer {
    _process: Process,
    folder: tempfile::TempDir,
    /// Where it listens without TLS.
    pub port: u16,
    /// Where it listens with TLS, if it does.
    pub tls_port: u16,
}

impl RedisServer {
    /// Starts one with these lines in its configuration.
    pub async fn start(lines: &[&str]) -> RedisServer {
        RedisServer::with(lines, None).await
    }

    /// Starts one that also has TLS, on a separate port.
    pub async fn encrypted(certificate: &Certificate) -> RedisServer {
        RedisServer::with(&[], Some(certificate)).await
    }

    async fn with(lines: &[&str], certificate: Option<&Certificate>) -> RedisServer {
        let folder = tempfile::tempdir().unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let mut config = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly no\ndaemonize no\nlogfile \"\"\n",
            folder.path().display()
        );
        if let Some(certificate) = certificate {
            config += &format!(
                "tls-port {tls_port}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients no\n",
                certificate.chain.display(),
                certificate.key.display()
            );
        }
        for line in lines {
            config += line;
            config.push('\n');
        }
        let file = folder.path().join("redis.conf");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("redis-server")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = RedisServer { _process: Process(process), folder, port, tls_port };
        crate::eventually("Redis answers", || server.said("PING")).await;
        server
    }

    /// The answer to one command of words without spaces; `None` without a listener.
    pub async fn said(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        let mut answer = vec![0; 1024];
        let read = stream.read(&mut answer).await.ok()?;
        answer.truncate(read);
        let answer = String::from_utf8(answer).unwrap();
        answer.starts_with(['+', '-', ':', '$']).then_some(answer)
    }

    /// Runs this command on it.
    pub async fn command(&self, command: &str) {
        let answer = self.said(command).await.unwrap();
        assert!(answer.starts_with("+OK"), "{command}: {answer}");
    }

    /// Where it puts its snapshots.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

/// A Postgres of a test's own that speaks TLS.
pub struct PostgresServer {
    process: Process,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl PostgresServer {
    /// Starts one with this certificate.
    pub async fn encrypted(certificate: &Certificate) -> PostgresServer {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            chown(folder.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        let cluster = folder.path().join("cluster");
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        std::fs::set_permissions(&password, PermissionsExt::from_mode(0o644)).unwrap();
        let made = program("initdb", folder.path())
            .args([
                "--no-sync",
                "--auth=scram-sha-256",
                "-U",
                "postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(&cluster)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Not on the command line, so that a test may change them.
        let config = cluster.join("postgresql.conf");
        let mut settings = std::fs::OpenOptions::new().append(true).open(config).unwrap();
        writeln!(
            settings,
            "ssl_cert_file = '{}'\nssl_key_file = '{}'",
            certificate.chain.display(),
            certificate.key.display()
        )
        .unwrap();
        let port = free_port();
        let process = Process(serve(folder.path(), port));
        let server = PostgresServer { process, folder, port };
        server.answers().await;
        server
    }

    /// Stops it and starts it again as a standby, which takes no writes until it is promoted.
    pub async fn become_standby(&mut self) {
        let folder = self.folder.path();
        let cluster = folder.join("cluster");
        let stopped = program("pg_ctl", folder)
            .args(["stop", "--mode=fast", "--silent", "-D"])
            .arg(&cluster)
            .status()
            .unwrap();
        assert!(stopped.success());
        std::fs::write(cluster.join("standby.signal"), "").unwrap();
        self.process = Process(serve(folder, self.port));
        self.answers().await;
    }

    async fn answers(&self) {
        let url = self.url("127.0.0.1", "");
        crate::eventually("Postgres answers", || async {
            let connecting = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
            connecting.ok().map(drop)
        })
        .await;
    }

    /// To it as its superuser, by this name of the machine, with these parameters.
    pub fn url(&self, host: &str, parameters: &str) -> String {
        let port = self.port;
        format!("postgres://postgres:{PASSWORD}@{host}:{port}/postgres?{parameters}")
    }
}

/// Postgres on the cluster in this folder.
fn serve(folder: &Path, port: u16) -> Child {
    program("postgres", folder)
        .arg("-D")
        .arg(folder.join("cluster"))
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ])
        .args(["-c", "ssl=on", "-c", &format!("port={port}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A program of Postgres, as a user who may run it.
fn program(name: &str, folder: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        let id = UNPRIVILEGED;
        command.arg(format!("--reuid={id}")).arg(format!("--regid={id}")).args([
            "--clear-groups",
            "--",
            name,
        ]);
        command
    } else {
        Command::new(name)
    };
    command.current_dir(folder).stdin(Stdio::null());
    command
}
