//! Directories that servers under another user can reach.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::{NOBODY, is_root};
use crate::first_settings::random_hex;
use crate::say::say;
use crate::{Told, cannot};

/// Where files go that root keeps in a place which is closed to others.
const OUTSIDE: &str = "/var/lib/ledgerdome";

/// Whether an unprivileged user can get to what lies in the directory.
fn others_may_enter(dir: &Path) -> bool {
    let mut test = Command::new("test");
    test.arg("-x").arg(dir).uid(NOBODY).gid(NOBODY);
    !is_root() || test.status().is_ok_and(|status| status.success())
}

/// A new one that servers can use, below `TMPDIR` where they get in there.
///
/// # Errors
/// When it cannot be made.
pub fn temporary_directory(parent: &Path, name: &str) -> Told<PathBuf> {
    let parent = if others_may_enter(parent) { parent } else { Path::new("/tmp") };
    let make = || {
        let path = parent.join(format!("{name}.{}", random_hex(6)?));
        fs::DirBuilder::new().mode(0o711).create(&path)?;
        Ok(path)
    };
    make().map_err(|error| cannot("create", parent, &error))
}

/// The directory itself or, where it lies in one that is closed to others, a place outside to which it becomes
/// a link.
pub(crate) fn reachable(dir: &Path) -> Told<PathBuf> {
    let parent = dir.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|error| cannot("create", parent, &error))?;
    if let Some(outside) = target(dir) {
        fs::create_dir_all(&outside).map_err(|error| cannot("create", &outside, &error))?;
        return Ok(outside);
    }
    if others_may_enter(parent) {
        return Ok(dir.to_owned());
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let number = cksum(dir.as_os_str().as_encoded_bytes());
    let outside = Path::new(OUTSIDE).join(format!("{number}-{name}"));
    let made = fs::create_dir_all(&outside).and_then(|()| {
        fs::set_permissions(OUTSIDE, Permissions::from_mode(0o755))?;
        symlink(&outside, dir)
    });
    made.map_err(|error| cannot("create", &outside, &error))?;
    say(&format!(
        "{} is closed to other users: {name} keeps its files in {}",
        parent.display(),
        outside.display()
    ));
    Ok(outside)
}

/// The target of a link: a relative one is resolved from the link's directory, not from the working directory.
fn target(dir: &Path) -> Option<PathBuf> {
    let link = fs::read_link(dir).ok()?;
    Some(dir.parent().unwrap_or(Path::new("/")).join(link))
}

/// Deletes a server's files, wherever they are.
pub(crate) fn leave(dir: &Path) -> io::Result<()> {
    if let Some(outside) = target(dir) {
        remove_all(&outside)?;
        fs::remove_file(dir)?;
        // Only if nothing else is there.
        let _ = fs::remove_dir(OUTSIDE);
        return Ok(());
    }
    remove_all(dir)
}

fn remove_all(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A mount point: its contents are deleted, the directory itself stays.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
        removed => removed,
    }
}

/// As the program of this name counts, by which directories outside are called: where `.data` was deleted by
/// hand, the cluster is found again.
fn cksum(bytes: &[u8]) -> u32 {
    let mut length = bytes.len();
    let mut crc = 0_u32;
    let mut add = |byte: u8| {
        crc ^= u32::from(byte) << 24;
        for _ in 0..8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
        }
    };
    bytes.iter().copied().for_each(&mut add);
    while length > 0 {
        add(length.to_le_bytes()[0]);
        length >>= 8;
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is deleted or made below the caller's working directory.
    #[test]
    fn a_relative_link_leads_from_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let (data, outside) = (dir.path().join("data"), dir.path().join("disk"));
        fs::create_dir(&data).unwrap();
        let link = data.join("postgres");
        symlink("../disk", &link).unwrap();
        reachable(&link).unwrap();
        fs::write(outside.join("PG_VERSION"), "17\n").unwrap();
        leave(&link).unwrap();
        assert!(!outside.exists());
        assert!(fs::symlink_metadata(&link).is_err());
    }

    #[test]
    fn a_place_outside_is_called_as_ever() {
        // printf %s 123456789 | cksum
        assert_eq!(cksum(b"123456789"), 930_766_865);
        assert_eq!(cksum(b""), 4_294_967_295);
    }
}
