//! Atomic replacement of files: written to a temporary file in the same directory, synced, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// A file in the making. Dropped before [`Replacement::commit`], it leaves nothing behind.
pub struct Replacement {
    target: PathBuf,
    beside: TempPath,
    writer: BufWriter<File>,
}

impl Replacement {
    /// Begins a file that will replace `target`, with the given mode. A symbolic link is followed, so that it
    /// stays one.
    ///
    /// The caller must prevent two at once for one target; leftovers of a crashed one are removed.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn begin(target: &Path, mode: u32) -> io::Result<Replacement> {
        let target = resolve(target)?;
        let beside = target.with_added_extension("new");
        let file = secret_file(&beside, mode)?;
        let replacement = Replacement {
            beside: TempPath::try_from_path(beside)?,
            writer: BufWriter::new(file),
            target,
        };
        // Root must not take a service's file away from it.
        if let Ok(before) = fs::metadata(&replacement.target) {
            let made = replacement.writer.get_ref().metadata()?;
            if (before.uid(), before.gid()) != (made.uid(), made.gid()) {
                let file = replacement.writer.get_ref();
                fchown(file, Some(before.uid()), Some(before.gid()))?;
            }
        }
        Ok(replacement)
    }

    pub fn writer(&mut self) -> &mut BufWriter<File> {
        &mut self.writer
    }

    /// Puts the file in its place; when this returns, it survives a loss of power.
    ///
    /// # Errors
    /// When it cannot be written or renamed; nothing has changed then.
    pub fn commit(mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        self.beside.persist(&self.target)?;
        File::open(directory_of(&self.target))?.sync_all()
    }
}

/// Writes a text to a new or existing file.
///
/// # Errors
/// As for [`Replacement`].
pub fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = Replacement::begin(path, mode)?;
    file.writer().write_all(text.as_bytes())?;
    file.commit()
}

/// Puts another text in a file's place, which keeps its mode and owner.
///
/// # Errors
/// As for [`Replacement`], and when there is no such file.
pub fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let mut file = Replacement::begin(path, 0o600)?;
    file.writer().write_all(text.as_bytes())?;
    file.writer().get_ref().set_permissions(permissions)?;
    file.commit()
}

/// A new file in place of an existing one, so that a process with the old one open cannot read it.
pub(crate) fn secret_file(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).open(path)
}

/// The directory that holds the file.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where the path leads, also when nothing is there yet.
///
/// # Errors
/// If this cannot be determined.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    /// A directory, and the path of a file in it with the text "old" that its group may read.
    fn old() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        (directory, path)
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_with_the_mode_that_was_asked_for() {
        let (directory, path) = old();
        let mut reader = File::open(&path).unwrap();
        write(&path, 0o600, "new").unwrap();
        assert_eq!((text(&path).as_str(), mode(&path)), ("new", 0o600));
        // A reader with the old file open still reads all of it, and nothing of the new one.
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "old");
        assert_eq!(names(&directory), ["file"]);
        let other = directory.path().join("other");
        write(&other, 0o600, "first").unwrap();
        assert_eq!((text(&other).as_str(), mode(&other)), ("first", 0o600));
    }

    #[test]
    fn another_text_in_its_place_keeps_the_mode() {
        let (directory, path) = old();
        rewrite(&path, "new").unwrap();
        assert_eq!((text(&path).as_str(), mode(&path)), ("new", 0o640));
        rewrite(&directory.path().join("none"), "new").unwrap_err();
        assert_eq!(names(&directory), ["file"]);
    }

    #[test]
    fn what_is_not_committed_leaves_the_old_file_and_nothing_else() {
        let (directory, path) = old();
        let mut replacement = Replacement::begin(&path, 0o600).unwrap();
        replacement.writer().write_all(b"half").unwrap();
        replacement.writer().flush().unwrap();
        assert_eq!(mode(&path.with_added_extension("new")), 0o600);
        drop(replacement);
        assert_eq!((text(&path).as_str(), mode(&path)), ("old", 0o640));
        assert_eq!(names(&directory), ["file"]);
    }

    #[test]
    fn a_crash_leaves_the_old_file_and_the_next_one_clears_up() {
        let (directory, path) = old();
        let mut replacement = Replacement::begin(&path, 0o600).unwrap();
        replacement.writer().write_all(b"half").unwrap();
        replacement.writer().flush().unwrap();
        // A killed process runs no destructor.
        std::mem::forget(replacement);
        assert_eq!(text(&path.with_added_extension("new")), "half");
        assert_eq!((text(&path).as_str(), mode(&path)), ("old", 0o640));
        write(&path, 0o600, "new").unwrap();
        assert_eq!(text(&path), "new");
        assert_eq!(names(&directory), ["file"]);
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let (directory, path) = old();
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        write(&link, 0o600, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(text(&path), "new");
    }
}
