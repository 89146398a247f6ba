//! Files that are there whole or not at all: written beside the target, synced, then renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

/// Held by whoever changes credentials step by step: one at a time for a settings file.
pub(crate) struct Alone {
    /// The system lets go of the lock with it, however the process ends.
    _lock: File,
}

impl Alone {
    /// `None` if there is no such file, which nobody will change then.
    pub(crate) fn beside(settings: &Path) -> anyhow::Result<Option<Alone>> {
        if !settings.exists() {
            return Ok(None);
        }
        let mut name = resolve(settings)?.into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        let shown = path.display();
        let lock = open_lock(&path, settings).with_context(|| format!("cannot open {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Alone { _lock: lock })),
            Err(TryLockError::WouldBlock) => Err(anyhow!(
                "another rotation is at work and holds {shown}: wait for its end, then run this again"
            )),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {shown}"))
            }
        }
    }
}

/// It is empty and stays, and is for those whom the settings are for: root must not keep their owner
/// from it, nor others be able to hold it.
fn open_lock(path: &Path, settings: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    let (like, made) = (fs::metadata(settings)?, lock.metadata()?);
    if (like.uid(), like.gid()) != (made.uid(), made.gid()) {
        fchown(&lock, Some(like.uid()), Some(like.gid()))?;
    }
    lock.set_permissions(like.permissions())?;
    Ok(lock)
}

/// A file in the making. Dropped before [`Replacement::commit`], it leaves nothing behind.
pub(crate) struct Replacement {
    target: PathBuf,
    beside: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl Replacement {
    /// Begins a file that will replace `target`, with the given mode. A symbolic link is followed,
    /// so that it stays one.
    ///
    /// Two at once for one target are the caller's to prevent; what a crashed one left behind is
    /// cleared away.
    pub(crate) fn begin(target: &Path, mode: u32) -> io::Result<Replacement> {
        let target = resolve(target)?;
        let beside = beside(&target)?;
        let open = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&beside)
        };
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&beside)?;
                open()?
            }
            other => other?,
        };
        let replacement = Replacement {
            target,
            beside,
            writer: Some(BufWriter::new(file)),
        };
        replacement.keep_owner()?;
        Ok(replacement)
    }

    pub(crate) fn writer(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.writer
            .as_mut()
            .ok_or_else(|| io::Error::other("written already"))
    }

    /// Puts the file in its place; when this returns, it survives a loss of power.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        let mut writer = self
            .writer
            .take()
            .ok_or_else(|| io::Error::other("written already"))?;
        let synced = writer.flush().and_then(|()| writer.get_ref().sync_all());
        let renamed = synced.and_then(|()| fs::rename(&self.beside, &self.target));
        if renamed.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&self.beside);
        }
        renamed?;
        File::open(directory_of(&self.target))?.sync_all()
    }

    /// Root must not take a service's file away from it.
    fn keep_owner(&self) -> io::Result<()> {
        let Ok(before) = fs::metadata(&self.target) else {
            return Ok(());
        };
        let after = fs::metadata(&self.beside)?;
        if (before.uid(), before.gid()) == (after.uid(), after.gid()) {
            return Ok(());
        }
        chown(&self.beside, Some(before.uid()), Some(before.gid()))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// The directory that holds the file.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where the path leads, also when nothing is there yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        other => other,
    }
}

fn beside(target: &Path) -> io::Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::other("is no file name"))?;
    let mut name = name.to_owned();
    name.push(".new");
    Ok(target.with_file_name(name))
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
