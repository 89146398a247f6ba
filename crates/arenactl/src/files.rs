//! The lock for stepwise changes of credentials.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use supervisor::files::resolve;

/// Held during stepwise changes of credentials: one at a time for a settings file.
pub(crate) struct Alone {
    /// The system lets go of the lock with it, however the process ends.
    _lock: File,
}

impl Alone {
    /// `None` if there is no such file, so there is nothing to lock.
    pub(crate) fn beside(settings: &Path) -> anyhow::Result<Option<Alone>> {
        if !settings.exists() {
            return Ok(None);
        }
        let path = resolve(settings)?.with_added_extension("lock");
        let shown = path.display();
        let lock = open_lock(&path, settings).with_context(|| format!("cannot open {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Alone { _lock: lock })),
            Err(TryLockError::WouldBlock) => Err(anyhow!(
                "another rotation is running and has locked {shown}: wait for its end, then run this again"
            )),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {shown}"))
            }
        }
    }
}

/// It is empty, stays, and has the settings' owner: root must not lock the owner out, and others must not be able
/// to hold it.
fn open_lock(path: &Path, settings: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let (like, made) = (fs::metadata(settings)?, lock.metadata()?);
    if (like.uid(), like.gid()) != (made.uid(), made.gid()) {
        fchown(&lock, Some(like.uid()), Some(like.gid()))?;
    }
    lock.set_permissions(like.permissions())?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_at_a_time_changes_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let settings = dir.path().join(".env");
        assert!(Alone::beside(&settings).unwrap().is_none());
        fs::write(&settings, "A=1\n").unwrap();
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o640)).unwrap();
        let alone = Alone::beside(&settings).unwrap();
        let lock = fs::metadata(dir.path().join(".env.lock")).unwrap();
        assert_eq!(lock.permissions().mode() & 0o777, 0o640);
        let refused = Alone::beside(&settings).err().unwrap().to_string();
        assert!(refused.contains(".env.lock"), "{refused}");
        drop(alone);
        assert!(Alone::beside(&settings).unwrap().is_some());
        assert_eq!(fs::read_to_string(&settings).unwrap(), "A=1\n");
    }
}
