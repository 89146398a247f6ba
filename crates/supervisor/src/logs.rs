//! The logs of running processes: services write and rotate theirs themselves; for Postgres and Redis, which
//! cannot, a thread does it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use daemon::log_file::{self, Limits, LogFile};
use daemon::process::Refusal;

use crate::place::Place;
use crate::{Told, reason};

const SHOWN: usize = 100;
/// A log without a limit may have grown to any size.
const READ_BYTES_MAX: u64 = 256 * 1024;

/// A server's output, copied to its log. It ends with the server.
pub(crate) struct Writer(JoinHandle<io::Result<()>>);

impl Writer {
    /// Has a command write to the log through a pipe. The caller drops the command once it runs: only then can
    /// the pipe end with the server.
    pub(crate) fn of(command: &mut Command, log: &Path, limits: Limits) -> io::Result<Writer> {
        let mut file = LogFile::open(log, limits)?;
        let (source, pipe) = io::pipe()?;
        command.stdout(pipe.try_clone()?).stderr(pipe);
        let named = thread::Builder::new().name("log".to_owned());
        let keep = move || log_file::keep(&mut BufReader::new(source), &mut file);
        named.spawn(keep).map(Writer)
    }

    /// Whether nothing more comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Why it ended.
    pub(crate) fn end(self) -> String {
        match self.0.join() {
            Ok(Ok(())) => "it closed its standard error".to_owned(),
            Ok(Err(error)) => reason(&error),
            Err(_) => "the thread that wrote it panicked".to_owned(),
        }
    }
}

/// Has a command write to the end of the file itself.
pub(crate) fn append(command: &mut Command, log: &Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(log)?;
    command.stdout(file.try_clone()?).stderr(Stdio::from(file));
    Ok(())
}

/// How large the log is, which is made if it is not there.
pub(crate) fn mark(log: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().append(true).create(true).open(log)?;
    Ok(file.metadata()?.len())
}

/// The last lines since the mark: with `whole` all that is no JSON, else the last one.
pub(crate) fn last_words(log: &Path, mark: u64, whole: bool) -> String {
    let text = end_of(log, mark, READ_BYTES_MAX).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let lines = &lines[lines.len().saturating_sub(20)..];
    let plain: Vec<&str> = lines.iter().copied().filter(|line| !line.starts_with('{')).collect();
    if whole && !plain.is_empty() {
        return plain.join("\n");
    }
    plain.last().or(lines.last()).copied().unwrap_or_default().to_owned()
}

/// The log since the mark, at most its last bytes. A log that is shorter than the mark was rotated, and is
/// read from its beginning.
///
/// # Errors
/// When it cannot be read.
pub fn end_of(log: &Path, mark: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    let mark = if mark <= length { mark } else { 0 };
    file.seek(SeekFrom::Start(mark.max(length.saturating_sub(bytes_max))))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Shows the last lines of a log and, on a terminal, follows it.
///
/// # Errors
/// When there is no such log.
pub fn show(place: &Place, name: Option<&str>) -> Told<()> {
    let name = name.unwrap_or_default();
    let log = place.log(name);
    if name.is_empty() || name.contains('/') || !log.is_file() {
        let known = known(place);
        let known = if known.is_empty() { "none yet".to_owned() } else { known.join(" ") };
        return Err(Refusal::failure(format!("which log? There is: {known}")));
    }
    if io::stdout().is_terminal() {
        // By its name, so that it follows over rotations.
        let error = Command::new("tail").args(["-n", &SHOWN.to_string(), "-F"]).arg(&log).exec();
        return Err(Refusal::failure(format!("cannot run tail: {}.", reason(&error))));
    }
    let text = [
        end_of(&log.with_added_extension("1"), 0, READ_BYTES_MAX).unwrap_or_default(),
        end_of(&log, 0, READ_BYTES_MAX).unwrap_or_default(),
    ]
    .concat();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut out = io::stdout().lock();
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        // The reader has closed the pipe.
        if out.write_all(line).is_err() {
            break;
        }
    }
    Ok(())
}

fn known(place: &Place) -> Vec<String> {
    let files = fs::read_dir(place.logs()).into_iter().flatten().flatten();
    let mut names: Vec<String> = files
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".log").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_those_since_the_mark() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("api.log");
        fs::write(&log, "before\n").unwrap();
        let mark = mark(&log).unwrap();
        let text = "before\n{\"level\":\"INFO\"}\nsettings are wrong:\n  SECRET_KEY is missing\n";
        fs::write(&log, text).unwrap();
        assert_eq!(last_words(&log, mark, true), "settings are wrong:\n  SECRET_KEY is missing");
        assert_eq!(last_words(&log, mark, false), "  SECRET_KEY is missing");
        fs::write(&log, "{\"a\":1}\n").unwrap();
        assert_eq!(last_words(&log, 1_000, true), "{\"a\":1}");
    }

    /// However large the log has grown.
    #[test]
    fn only_the_end_of_a_long_log_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("ticker.log");
        let line = "a line of thirty-two characters\n";
        let text = line.repeat(usize::try_from(READ_BYTES_MAX).unwrap() / 16) + "its last words\n";
        fs::write(&log, &text).unwrap();
        let read = u64::try_from(end_of(&log, 0, READ_BYTES_MAX).unwrap().len()).unwrap();
        assert_eq!(read, READ_BYTES_MAX);
        assert_eq!(last_words(&log, 0, false), "its last words");
    }

    #[test]
    fn what_a_command_says_is_in_its_log_when_it_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("redis.log");
        let limits = Limits { bytes_max: Some(1 << 20), files_max: Some(1), age_max: None };
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2"]);
        let writer = Writer::of(&mut command, &log, limits).unwrap();
        let mut child = command.spawn().unwrap();
        drop(command);
        child.wait().unwrap();
        assert_eq!(writer.end(), "it closed its standard error");
        assert_eq!(fs::read_to_string(&log).unwrap(), "out\nerr\n");
    }
}
