//! Where the programs of Postgres and Redis are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use daemon::config::Sources;
use daemon::process::Refusal;

use crate::Told;

/// Each version of Debian's packages has its own directory here.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The installed versions.
pub struct Programs {
    /// The directory of the newest Postgres.
    pub(crate) postgres: Option<PathBuf>,
    pub(crate) redis: Option<PathBuf>,
}

impl Programs {
    /// Looks for them where Debian puts them, then on `PATH`.
    pub fn find(sources: &Sources) -> Programs {
        let on_path = |name| on_path(sources, name);
        let is_complete = |dir: &PathBuf| {
            let programs = ["postgres", "initdb"];
            programs.iter().all(|name| is_program(&dir.join(name)))
        };
        let newest = versions().filter(|(_, dir)| is_complete(dir)).max();
        let elsewhere = || {
            let program = on_path("postgres")?.canonicalize().ok()?;
            Some(program.parent()?.to_owned()).filter(is_complete)
        };
        Programs {
            postgres: newest.map(|(_, dir)| dir).or_else(elsewhere),
            redis: on_path("redis-server").or_else(|| on_path("valkey-server")),
        }
    }

    /// # Errors
    /// When it is not installed.
    pub fn postgres(&self) -> Told<PathBuf> {
        self.postgres.clone().ok_or_else(|| missing("postgresql"))
    }

    /// # Errors
    /// When it is not installed.
    pub fn redis(&self) -> Told<PathBuf> {
        self.redis.clone().ok_or_else(|| missing("redis-server"))
    }
}

/// Each version of Postgres that Debian's packages have installed, and where its programs are.
pub fn versions() -> impl Iterator<Item = (i64, PathBuf)> {
    fs::read_dir(VERSIONS).into_iter().flatten().flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path().join("bin")))
    })
}

/// A program on `PATH`.
pub fn on_path(sources: &Sources, name: &str) -> Option<PathBuf> {
    let path = sources.get("PATH").unwrap_or_default();
    let mut found = path.split(':').map(|dir| Path::new(dir).join(name));
    found.find(|file| is_program(file))
}

fn missing(package: &str) -> Refusal {
    Refusal::unavailable(format!(
        "missing: {package}. Run: sudo apt-get install {package}. Or set DATABASE_URL, DATABASE_OWNER_URL and \
         REDIS_URL to servers of your own (PostgreSQL 14 or newer, Redis 6.2 or newer)."
    ))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The directory of the programs for a cluster, which stays with the version that made it: no other can read
/// it.
pub(super) fn for_cluster(newest: PathBuf, dir: &Path) -> Told<PathBuf> {
    let Ok(version) = fs::read_to_string(dir.join("cluster/PG_VERSION")) else {
        return Ok(newest);
    };
    let version = version.trim();
    let own = Path::new(VERSIONS).join(version).join("bin");
    if is_program(&own.join("postgres")) {
        return Ok(own);
    }
    let installed = Command::new(newest.join("postgres")).arg("--version").output();
    let installed = installed.map(|output| output.stdout).unwrap_or_default();
    let installed = major(&String::from_utf8_lossy(&installed));
    if installed.as_deref() == Some(version) {
        return Ok(newest);
    }
    Err(Refusal::unavailable(format!(
        "the cluster in {} was made by PostgreSQL {version}, which is not installed any more (there is {}). \
         Run: sudo apt-get install postgresql-{version}. To go over to another version, back up with the old \
         one and restore with the new one (docs/operators.md).",
        dir.display(),
        installed.as_deref().unwrap_or("none")
    )))
}

/// The 15 of "postgres (PostgreSQL) 15.14 (Debian …)".
fn major(version: &str) -> Option<String> {
    let number = version.split_whitespace().nth(2)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_stays_with_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let newest = PathBuf::from("/nonesuch");
        assert_eq!(for_cluster(newest.clone(), dir.path()).unwrap(), newest);
        fs::create_dir(dir.path().join("cluster")).unwrap();
        fs::write(dir.path().join("cluster/PG_VERSION"), "9.4\n").unwrap();
        let refusal = for_cluster(newest, dir.path()).unwrap_err();
        assert_eq!(refusal.exit_code(), 69);
        let said = refusal.to_string();
        assert!(said.contains("sudo apt-get install postgresql-9.4"), "{said}");
        let version = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)";
        assert_eq!(major(version).as_deref(), Some("15"));
        assert_eq!(major("postgres (PostgreSQL) 17beta1").as_deref(), Some("17"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let none = Programs { postgres: None, redis: None };
        for (refusal, package) in [
            (none.postgres().unwrap_err(), "postgresql"),
            (none.redis().unwrap_err(), "redis-server"),
        ] {
            assert_eq!(refusal.exit_code(), 69);
            let said = refusal.to_string();
            assert!(said.contains(&format!("sudo apt-get install {package}.")), "{said}");
        }
    }
}
