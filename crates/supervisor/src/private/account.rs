//! The user of the servers. Postgres refuses to be root, and Redis has no need to.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use daemon::process::Refusal;

use crate::{Told, cannot};

/// Those who can do nothing: `nobody` of every Linux.
pub(crate) const NOBODY: u32 = 65_534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The name of the present user.
pub(crate) fn myself() -> String {
    name_of(rustix::process::geteuid().as_raw())
}

/// The user's name, or the number where it has none.
pub(crate) fn name_of(uid: u32) -> String {
    Entry::find(&uid.to_string()).map_or_else(|| uid.to_string(), |entry| entry.name)
}

/// A line of the system's users.
struct Entry {
    name: String,
    uid: u32,
    gid: u32,
}

impl Entry {
    /// By name or number, wherever the system keeps its users.
    fn find(key: &str) -> Option<Entry> {
        let output = Command::new("getent").args(["passwd", key]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut fields = text.lines().next()?.split(':');
        let name = fields.next()?.to_owned();
        Some(Entry { name, uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }
}

/// The user that owns a server's directory and runs the server; the present user, unless it is root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    /// Makes the directory, and the server's own.
    pub(crate) fn adopting(dir: &Path) -> Told<Account> {
        let cannot = |error: io::Error| cannot("create", dir, &error);
        fs::create_dir_all(dir).map_err(cannot)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(cannot)?;
        if !is_root() {
            return Ok(Account { ids: None });
        }
        let owner = fs::metadata(dir).map_err(cannot)?.uid();
        // One that has no name cannot run Postgres.
        let owner = Entry::find(&owner.to_string()).filter(|entry| entry.uid != 0);
        let entry = match owner {
            Some(entry) => entry,
            None => {
                let entry = unprivileged()?;
                give(dir, entry.uid, entry.gid).map_err(cannot)?;
                entry
            }
        };
        Ok(Account { ids: Some((entry.uid, entry.gid)) })
    }

    /// The command as this user, whose messages are in no language but ours.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        if let Some((uid, gid)) = self.ids {
            // The standard library drops all other groups with it.
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives a file to this user.
    pub(crate) fn own(self, path: &Path) -> io::Result<()> {
        match self.ids {
            Some((uid, gid)) => lchown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }
}

/// Debian's user for Postgres, else one of our own.
fn unprivileged() -> Told<Entry> {
    const OURS: &str = "ledgerdome";
    let find = |name| Entry::find(name);
    let add = || {
        let mut command = Command::new("useradd");
        let arguments = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", OURS];
        let added = command.args(arguments).output();
        added.ok().filter(|output| output.status.success())?;
        Entry::find(OURS)
    };
    let found = find("postgres").or_else(|| find(OURS)).or_else(add);
    found.or_else(|| find("nobody")).ok_or_else(|| {
        Refusal::unavailable(
            "Postgres does not run as root, and this system has no user postgres. Run: useradd --system postgres",
        )
    })
}

fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
