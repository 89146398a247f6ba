//! Changes one line of the `.env` file. Every other line stays unchanged.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use daemon::config::env_file::{self, EnvFile};
use secrecy::{ExposeSecret as _, SecretString};
use supervisor::files::{directory_of, rewrite};

/// Gives the setting another value in the file, which must have it already. The file is there
/// whole at any moment, and keeps its mode and owner.
pub(crate) fn replace(path: &Path, name: &str, value: &str) -> io::Result<()> {
    change(path, |text| {
        replaced(&text, name, value)
            .ok_or_else(|| io::Error::other(format!("no line of it sets {name}")))
    })
}

/// Gives several settings other values at once; those that the file does not have yet are added at its
/// end.
pub(crate) fn set_all(path: &Path, settings: &[(&str, &str)]) -> io::Result<()> {
    change(path, |mut text| {
        for (name, value) in settings {
            text = match replaced(&text, name, value) {
                Some(text) => text,
                None if value.is_empty() => text,
                None => {
                    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                    format!("{text}{gap}{name}={value}\n")
                }
            };
        }
        Ok(text)
    })
}

fn change(path: &Path, edit: impl FnOnce(String) -> io::Result<String>) -> io::Result<()> {
    // On the directory, because the file itself is replaced.
    let directory = fs::File::open(directory_of(path))?;
    directory.lock()?;
    rewrite(path, &edit(understood(path)?)?)
}

/// [`set_all`] for secrets, off the runtime's threads.
pub(crate) async fn write(
    path: &Path,
    settings: Vec<(&'static str, SecretString)>,
) -> anyhow::Result<()> {
    let (file, shown) = (path.to_owned(), path.display());
    tokio::task::spawn_blocking(move || {
        let plain: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.expose_secret())).collect();
        set_all(&file, &plain)
    })
    .await
    .context("writing the settings panicked")?
    .with_context(|| format!("cannot write to {shown}"))
}

/// The file's text. A file with a malformed line stays unchanged: an added line might never be read.
fn understood(path: &Path) -> io::Result<String> {
    let bytes = fs::read(path)?;
    if let Some(fault) = EnvFile::parse(&bytes).faults.first() {
        return Err(io::Error::other(format!("its {fault}")));
    }
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// The text with another value on the line that counts, which is the last one of that name.
fn replaced(text: &str, name: &str, value: &str) -> Option<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let sets = |line: &String| env_file::parse(line).iter().any(|(key, _)| key == name);
    let line = lines.iter_mut().rfind(|line| sets(line))?;
    let (before, after) = line.split_once('=')?;
    let end = &after[after.trim_end_matches(['\r', '\n']).len()..];
    *line = format!("{before}={value}{end}");
    Some(lines.concat())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_last_line_of_the_name_changes_and_no_other() {
        let text = "\u{feff}# A=0\nA=1\nSECRET='p!a$s\"s'\r\nexport A = \"2\"\r\nnoise\nAB=3";
        let expected = "\u{feff}# A=0\nA=1\nSECRET='p!a$s\"s'\r\nexport A =new\r\nnoise\nAB=3";
        assert_eq!(replaced(text, "A", "new").as_deref(), Some(expected));
        assert_eq!(replaced(text, "B", "new"), None);
    }

    #[test]
    fn several_settings_change_together_and_new_ones_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        fs::write(&path, "# A\nA=1\nB=2").unwrap();
        set_all(&path, &[("B", ""), ("C", "3"), ("A", "0"), ("D", "")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# A\nA=0\nB=\nC=3\n");
    }

    #[test]
    fn a_file_that_is_not_understood_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        for bytes in
            [&b"\xff\xfeA\0=\x001\0"[..], b"A=1\rB=hunter2", b"A=1\nB: hunter2\n", b"A=1\nB=\xfc"]
        {
            fs::write(&path, bytes).unwrap();
            let refusals =
                [replace(&path, "A", "2").unwrap_err(), set_all(&path, &[("C", "3")]).unwrap_err()];
            for refusal in refusals {
                let refusal = refusal.to_string();
                assert!(refusal.starts_with("its line "), "{refusal}");
                assert!(!refusal.contains("hunter2"), "{refusal}");
            }
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn the_file_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        fs::write(&path, "A=1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, "A", "2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "A=2\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640);
        assert!(replace(&path, "B", "2").is_err());
    }
}
