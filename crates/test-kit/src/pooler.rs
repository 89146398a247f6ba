//! A real PgBouncer in transaction mode, with the settings that we ship.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

/// Settings of the shipped `pgbouncer.ini` that tests must replace.
const SHIPPED_DATABASE: &str = "arena = host=127.0.0.1 port=5432 dbname=arena pool_size=40";
const SHIPPED_PORT: &str = "listen_port = 6432";
const SHIPPED_FOLDER: &str = "/etc/pgbouncer";

/// A PgBouncer before one database; it ends with its value.
pub struct PgBouncer {
    process: Child,
    folder: tempfile::TempDir,
    url: String,
    console_url: String,
    /// The database that it leads to.
    pub database: String,
}

impl PgBouncer {
    /// Starts one that opens at most so many connections to the database of that URL. `None` where it
    /// is not installed.
    pub async fn before(database_url: &str, servers: usize) -> Option<PgBouncer> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let direct: tokio_postgres::Config = database_url.parse().unwrap();
        let (user, database) = (direct.get_user().unwrap(), direct.get_dbname().unwrap());
        let password = std::str::from_utf8(direct.get_password().unwrap()).unwrap();
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let folder = tempfile::tempdir().unwrap();
        // It may run as another user, who needs access.
        allow(folder.path(), 0o755);
        let users = format!("\"{user}\" \"{password}\"\n");
        write(folder.path(), "userlist.txt", &users);
        let server = format!(
            "{database} = host=127.0.0.1 port={} dbname={database} pool_size={servers}",
            direct.get_ports()[0]
        );
        configure(folder.path(), server, port, user);
        let mut command = Command::new(program);
        // It refuses to be root, and takes this word for an answer when it is not.
        if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
            command.args(["-u", "nobody"]);
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = command
            .arg(folder.path().join("pgbouncer.ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let at = format!("postgres://{user}:{password}@127.0.0.1:{port}");
        let bouncer = PgBouncer {
            process,
            folder,
            url: format!("{at}/{database}?{}", db::opening::POOLER_PARAMETER),
            console_url: format!("{at}/pgbouncer"),
            database: database.to_owned(),
        };
        crate::eventually("PgBouncer answers", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Some(bouncer)
    }

    /// To the database, through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The rows about this database that its console answers to `SHOW …`.
    pub async fn show(&self, what: &str) -> Vec<SimpleQueryRow> {
        let console = crate::connect(&self.console_url).await;
        let answer = console.simple_query(&format!("SHOW {what}")).await.unwrap();
        answer
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .filter(|row| row.get("database") == Some(self.database.as_str()))
            .collect()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The files that we ship, with what differs from machine to machine.
fn configure(folder: &Path, server: String, port: u16, user: &str) {
    let shipped = include_str!("../../../deploy/pgbouncer/transaction.ini");
    write(folder, "transaction.ini", shipped);
    let mut ini = include_str!("../../../deploy/pgbouncer/pgbouncer.ini").to_owned();
    for (from, to) in [
        (SHIPPED_DATABASE, server),
        (SHIPPED_PORT, format!("listen_port = {port}")),
        (SHIPPED_FOLDER, folder.display().to_string()),
        // Only for tests: no socket in a shared directory, and a log of the traffic.
        ("[pgbouncer]", format!("[pgbouncer]\nunix_socket_dir =\nstats_users = {user}")),
    ] {
        assert!(ini.contains(from), "pgbouncer.ini has \"{from}\"");
        ini = ini.replace(from, &to);
    }
    write(folder, "pgbouncer.ini", &ini);
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    allow(&path, 0o644);
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
