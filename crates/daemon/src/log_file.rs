//! Log files that rotate by size and age: `api.log` becomes `api.log.1`, `.1` becomes `.2`, and so on.
//!
//! The writer of a file also rotates it, between two lines, so that no line is lost or written twice. A process
//! whose standard error is the file (see [`LogFile::of_standard_error`]) points its descriptors to the new one,
//! so output that bypasses this writer, such as a panic's, follows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::{ConfigError, Reader, Sources};

/// Names the file that is this process's standard error, and lets the process rotate it.
pub const LOG_FILE: &str = "LOG_FILE";

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked for files that are too old, at most.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60 * 60);

/// When a file is rotated, and which files are kept. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A file that a line would take beyond this is rotated first.
    pub bytes_max: Option<u64>,
    /// Rotated files, besides the one that is written.
    pub files_max: Option<u32>,
    /// A file that is older is rotated; a rotated one whose last line is older is deleted.
    pub age_max: Option<Duration>,
}

impl Limits {
    /// `LOG_MAX_MB`, `LOG_FILES` and `LOG_MAX_DAYS`; 0 is no limit.
    ///
    /// # Errors
    /// When one of them is no whole number. Nobody must lose a log, or a disk, to a slip of the pen.
    pub fn from_sources(sources: &Sources) -> Result<Limits, ConfigError> {
        let mut reader = Reader::beside(sources);
        let mut number =
            |name: &str, default: u32| Some(reader.or(name, default)).filter(|value| *value > 0);
        let limits = Limits {
            bytes_max: number("LOG_MAX_MB", 50).map(|mib| u64::from(mib) * MIB),
            files_max: number("LOG_FILES", 5),
            age_max: number("LOG_MAX_DAYS", 7).map(|days| DAY * days),
        };
        reader.finish()?;
        Ok(limits)
    }

    fn outlives(&self, age: Duration) -> bool {
        self.age_max.is_some_and(|most| age > most)
    }
}

/// A log that is written. Each call of `write` is taken as whole lines.
pub struct LogFile {
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
    born: SystemTime,
    /// When it was last looked for files that are too old.
    looked: SystemTime,
    /// Whether the process's descriptors are this file, and so point to the new one after a rotation.
    is_stdout: bool,
    is_stderr: bool,
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
        let mut log = LogFile {
            path: path.to_owned(),
            limits,
            file,
            size: metadata.len(),
            born: born.unwrap_or_else(|_| SystemTime::now()),
            looked: SystemTime::now(),
            is_stdout: false,
            is_stderr: false,
        };
        log.forget();
        Ok(log)
    }

    /// The file that [`LOG_FILE`] names, if it is this process's standard error. Somebody else's is
    /// never rotated.
    pub fn of_standard_error(sources: &Sources) -> Option<LogFile> {
        let path = sources.given(LOG_FILE)?;
        let path = Path::new(&path);
        let named = fs::metadata(path).ok()?;
        let is_named = |descriptor: &str| {
            let used = fs::metadata(descriptor);
            used.is_ok_and(|used| (named.dev(), named.ino()) == (used.dev(), used.ino()))
        };
        if !named.is_file() || !is_named("/proc/self/fd/2") {
            return None;
        }
        let mut log = LogFile::open(path, Limits::from_sources(sources).ok()?).ok()?;
        (log.is_stdout, log.is_stderr) = (is_named("/proc/self/fd/1"), true);
        Some(log)
    }

    fn is_due(&self, more: usize) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let size = self.size.saturating_add(more);
        let too_large = self.size > 0 && self.limits.bytes_max.is_some_and(|most| size > most);
        let age = SystemTime::now().duration_since(self.born);
        too_large || age.is_ok_and(|age| self.limits.outlives(age))
    }

    fn rotate(&mut self) -> io::Result<()> {
        // First of all, because this fails where there is no room, and then nothing has changed.
        let beside = self.path.with_added_extension("new");
        let file = appending(&beside)?;
        // The new log has the same permissions as the old one.
        file.set_permissions(self.file.metadata()?.permissions())?;
        let most = self.limits.files_max.unwrap_or(u32::MAX);
        let free = (1..most).find(|number| !self.numbered(*number).exists());
        for number in (1..free.unwrap_or(most)).rev() {
            let _ = fs::rename(self.numbered(number), self.numbered(number + 1));
        }
        fs::rename(&self.path, self.numbered(1))?;
        fs::rename(&beside, &self.path)?;
        if self.is_stderr {
            rustix::stdio::dup2_stderr(&file)?;
        }
        if self.is_stdout {
            rustix::stdio::dup2_stdout(&file)?;
        }
        self.file = file;
        self.forget();
        Ok(())
    }

    /// Deletes files that are too old, and those of an earlier, larger `LOG_FILES`.
    fn forget(&mut self) {
        self.looked = SystemTime::now();
        let most = self.limits.files_max.unwrap_or(u32::MAX);
        let mut number = 1;
        while let Ok(metadata) = fs::metadata(self.numbered(number)) {
            let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
            if number > most || age.is_some_and(|age| self.limits.outlives(age)) {
                let _ = fs::remove_file(self.numbered(number));
            }
            number += 1;
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        self.path.with_added_extension(number.to_string())
    }
}

impl Write for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.is_due(lines.len()) {
            // Where it fails the file grows on, and the next try is as far away as the last one.
            let _ = self.rotate();
            self.size = 0;
            self.born = SystemTime::now();
        } else if self.looked.elapsed().is_ok_and(|age| age >= BETWEEN_LOOKS) {
            self.forget();
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

/// Copies lines to the file until the source ends. A line beyond 64 KiB is taken in parts. Unwritable lines are
/// dropped: logging must never wait for a full disk.
///
/// # Errors
/// When the source cannot be read.
pub fn keep(source: &mut impl BufRead, log: &mut LogFile) -> io::Result<()> {
    const LINE_MAX: u64 = 64 * 1024;
    let mut line = Vec::new();
    loop {
        line.clear();
        if source.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
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
        Limits { bytes_max: Some(bytes_max), files_max: Some(files_max), age_max: Some(DAY) }
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
        assert_eq!(fs::read_to_string(dir.path().join("api.log.2")).unwrap(), "line 6\n");
    }

    #[test]
    fn age_rotates_and_deletes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        let forgotten = dir.path().join("api.log.1");
        let long_ago = SystemTime::now() - DAY * 3;
        let write_old = || {
            let mut file = File::create(&forgotten).unwrap();
            file.write_all(b"forgotten\n").unwrap();
            file.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        };
        write_old();
        let mut log = LogFile::open(&path, limits(1_000, 5)).unwrap();
        assert!(!forgotten.exists(), "old files are deleted at the start");
        write_old();
        log.write_all(b"young\n").unwrap();
        assert!(forgotten.exists(), "it was looked for a moment ago");
        log.looked -= BETWEEN_LOOKS;
        log.write_all(b"young\n").unwrap();
        assert!(!forgotten.exists(), "and once an hour");
        write_old();
        log.born = long_ago;
        log.write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_to_string(&forgotten).unwrap(), "young\nyoung\n");
        assert!(!dir.path().join("api.log.2").exists());
    }

    #[test]
    fn a_new_file_is_for_those_who_may_read_the_old_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        fs::write(&path, "begun\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut log = LogFile::open(&path, limits(10, 2)).unwrap();
        log.write_all(b"a line\n").unwrap();
        assert!(dir.path().join("api.log.1").exists());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_limits_nothing_rotates_and_nothing_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.log");
        let unlimited = Limits { bytes_max: None, files_max: None, age_max: None };
        let mut log = LogFile::open(&path, unlimited).unwrap();
        log.born -= DAY * 10_000;
        log.write_all(&[b'x'; 100_000]).unwrap();
        log.write_all(b"\n").unwrap();
        assert!(!dir.path().join("api.log.1").exists());
        // As many files as there are bytes for them.
        log.limits.bytes_max = Some(1);
        for _ in 0..20 {
            log.write_all(b"line\n").unwrap();
        }
        assert!(dir.path().join("api.log.20").exists());
    }

    #[test]
    fn zero_is_no_limit_and_what_is_no_number_is_refused() {
        let read = |settings: &[(&str, &str)]| {
            Limits::from_sources(&Sources::from_parts("", settings.iter().copied()))
        };
        let defaults =
            Limits { bytes_max: Some(50 * MIB), files_max: Some(5), age_max: Some(DAY * 7) };
        assert_eq!(read(&[]).unwrap(), defaults);
        let none = Limits { bytes_max: None, files_max: None, age_max: None };
        let zeros = [("LOG_MAX_MB", "0"), ("LOG_FILES", "0"), ("LOG_MAX_DAYS", "0")];
        assert_eq!(read(&zeros).unwrap(), none);
        for name in ["LOG_MAX_MB", "LOG_FILES", "LOG_MAX_DAYS"] {
            for value in ["seven", "-1", "1.5", "7d"] {
                let refused = read(&[(name, value)]).unwrap_err().to_string();
                assert!(refused.contains(name), "{refused}");
            }
        }
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
