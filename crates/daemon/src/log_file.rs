//! Log files that rotate by size and age: `api.log` becomes `api.log.1`, `.1` becomes `.2`, and so on.
//!
//! Whoever writes a file also rotates it, between two lines, so that no line is lost or written twice.
//! A process whose standard error is the file (see [`LogFile::of_standard_error`]) points its
//! descriptors to the new one: what does not come through here, such as its last words, follows.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::Sources;

/// Names the file that is this process's standard error, and lets the process rotate it.
pub const LOG_FILE: &str = "LOG_FILE";

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When a file is rotated, and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A file that a line would take beyond this is rotated first.
    pub bytes_max: u64,
    /// Rotated files, besides the one that is written.
    pub files_max: u32,
    /// A file that is older is rotated; a rotated one whose last line is older is deleted.
    pub age_max: Duration,
}

impl Limits {
    /// `LOG_MAX_MB`, `LOG_FILES` and `LOG_MAX_DAYS`. What cannot be read counts as not set: logs must
    /// not keep a process from starting.
    #[must_use]
    pub fn from_sources(sources: &Sources) -> Limits {
        let number = |name: &str, default: u32| {
            let value = sources.get(name).and_then(|text| text.parse().ok());
            value.filter(|value| *value > 0).unwrap_or(default)
        };
        Limits {
            bytes_max: u64::from(number("LOG_MAX_MB", 50)) * MIB,
            files_max: number("LOG_FILES", 5),
            age_max: DAY * number("LOG_MAX_DAYS", 7),
        }
    }
}

/// A log that is written. Each call of `write` is taken as whole lines.
pub struct LogFile {
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
    born: SystemTime,
    is_standard_error: bool,
}

impl LogFile {
    /// Goes on with the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, limits: Limits) -> io::Result<LogFile> {
        let file = appending(path)?;
        let metadata = file.metadata()?;
        let born = metadata.created().or_else(|_| metadata.modified());
        Ok(LogFile {
            path: path.to_owned(),
            limits,
            file,
            size: metadata.len(),
            born: born.unwrap_or_else(|_| SystemTime::now()),
            is_standard_error: false,
        })
    }

    /// The file that [`LOG_FILE`] names, if it is this process's standard error. Somebody else's is
    /// never rotated.
    #[must_use]
    pub fn of_standard_error(sources: &Sources) -> Option<LogFile> {
        let path = sources.get(LOG_FILE).filter(|path| !path.is_empty())?;
        let path = Path::new(&path);
        let (named, used) = (
            fs::metadata(path).ok()?,
            fs::metadata("/proc/self/fd/2").ok()?,
        );
        if (named.dev(), named.ino()) != (used.dev(), used.ino()) || !named.is_file() {
            return None;
        }
        let mut log = LogFile::open(path, Limits::from_sources(sources)).ok()?;
        log.is_standard_error = true;
        Some(log)
    }

    fn is_due(&self, more: usize) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let too_large = self.size > 0 && self.size.saturating_add(more) > self.limits.bytes_max;
        let age = SystemTime::now().duration_since(self.born);
        too_large || age.is_ok_and(|age| age > self.limits.age_max)
    }

    fn rotate(&mut self) -> io::Result<()> {
        // First of all, because this fails where there is no room, and then nothing has changed.
        let beside = self.name(".new");
        let file = appending(&beside)?;
        let last = self.limits.files_max;
        for number in (1..last).rev() {
            let _ = fs::rename(self.numbered(number), self.numbered(number + 1));
        }
        fs::rename(&self.path, self.numbered(1))?;
        fs::rename(&beside, &self.path)?;
        if self.is_standard_error {
            rustix::stdio::dup2_stderr(&file)?;
            rustix::stdio::dup2_stdout(&file)?;
        }
        self.file = file;
        self.forget();
        Ok(())
    }

    /// Deletes what is too old, and what a larger `LOG_FILES` once kept.
    fn forget(&self) {
        let mut number = 1;
        while let Ok(metadata) = fs::metadata(self.numbered(number)) {
            let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
            if number > self.limits.files_max || age.is_some_and(|age| age > self.limits.age_max) {
                let _ = fs::remove_file(self.numbered(number));
            }
            number += 1;
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        self.name(&format!(".{number}"))
    }

    fn name(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        PathBuf::from(name)
    }
}

impl Write for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.is_due(lines.len()) {
            // Where it fails the file grows on, and the next try is as far away as the last one.
            let _ = self.rotate();
            self.size = 0;
            self.born = SystemTime::now();
        }
        self.file.write_all(lines)?;
        self.size += u64::try_from(lines.len()).unwrap_or(0);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Copies lines to the file until the source ends. A line beyond 64 KiB is taken in parts. What cannot
/// be written is dropped: whoever writes here must never wait for a disk that is full.
///
/// # Errors
/// When the source cannot be read.
pub fn keep(source: &mut impl BufRead, log: &mut LogFile) -> io::Result<()> {
    const LINE_MAX: u64 = 64 * 1024;
    let mut line = Vec::new();
    loop {
        line.clear();
        if source
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        let _ = log.write_all(&line);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::fs::FileTimes;

    use super::*;

    fn limits(bytes_max: u64, files_max: u32) -> Limits {
        Limits {
            bytes_max,
            files_max,
            age_max: DAY,
        }
    }

    #[test]
    fn no_line_is_lost_or_split_over_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        let mut log = LogFile::open(&path, limits(1_000, 1_000)).unwrap();
        let lines: Vec<String> = (0..2_000).map(|n| format!("line {n}\n")).collect();
        keep(&mut lines.concat().as_bytes(), &mut log).unwrap();
        let mut found = BTreeSet::new();
        let mut files = 0;
        for file in fs::read_dir(dir.path()).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(text.len() <= 1_000 && text.ends_with('\n'));
            found.extend(text.split_inclusive('\n').map(str::to_owned));
            files += 1;
        }
        assert_eq!(found, lines.iter().cloned().collect());
        assert!(files >= 19, "{files} files");
        assert!(fs::read_to_string(&path).unwrap().ends_with("line 1999\n"));
    }

    #[test]
    fn so_many_files_are_kept_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        // Kept under a larger limit, once.
        fs::write(dir.path().join("api.log.3"), "old\n").unwrap();
        let mut log = LogFile::open(&path, limits(10, 2)).unwrap();
        for n in 0..9 {
            log.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        let names: BTreeSet<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected = ["api.log", "api.log.1", "api.log.2"].map(str::to_owned);
        assert_eq!(names, BTreeSet::from(expected));
        assert_eq!(
            fs::read_to_string(dir.path().join("api.log.2")).unwrap(),
            "line 6\n"
        );
    }

    #[test]
    fn age_rotates_and_deletes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        let forgotten = dir.path().join("api.log.1");
        fs::write(&forgotten, "forgotten\n").unwrap();
        let long_ago = SystemTime::now() - DAY * 3;
        let times = FileTimes::new().set_modified(long_ago);
        File::options()
            .write(true)
            .open(&forgotten)
            .unwrap()
            .set_times(times)
            .unwrap();
        let mut log = LogFile::open(&path, limits(1_000, 5)).unwrap();
        log.write_all(b"young\n").unwrap();
        assert!(forgotten.exists(), "nothing is due yet");
        log.born = long_ago;
        log.write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_to_string(&forgotten).unwrap(), "young\n");
        assert!(!dir.path().join("api.log.2").exists());
    }

    #[test]
    fn where_rotation_fails_the_log_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        fs::create_dir(dir.path().join("api.log.new")).unwrap();
        let mut log = LogFile::open(&path, limits(10, 2)).unwrap();
        for n in 0..9 {
            log.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 9);
    }

    #[test]
    fn a_line_without_an_end_is_taken_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        let mut log = LogFile::open(&path, limits(1_000_000, 2)).unwrap();
        let text = vec![b'x'; 200_000];
        keep(&mut &text[..], &mut log).unwrap();
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}
