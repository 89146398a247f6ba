//! Where the arena's settings, programs and data are.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use daemon::config::{Sources, workspace_root};
use daemon::process::Refusal;

use crate::part::Part;
use crate::process::PidFile;
use crate::{Told, private, reason};

const DATA_DIR: &str = "ARENA_DATA_DIR";
const BIN_DIR: &str = "ARENA_BIN_DIR";

/// Where everything is, as absolute paths.
#[derive(Clone, Debug)]
pub struct Place {
    pub(crate) root: PathBuf,
    pub(crate) env_file: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) programs: PathBuf,
}

impl Place {
    /// `ARENA_DATA_DIR` and `ARENA_BIN_DIR` of the environment, else the workspace's `.data` and the directory of
    /// this program.
    ///
    /// # Errors
    /// When one of them is no path that can be used.
    pub fn new(sources: &Sources) -> Told<Place> {
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|error| Refusal::failure(format!("{}: {error}", path.display())))
        };
        let named = |name: &str| {
            if sources.is_undecodable(name) {
                return Err(Refusal::config(format!(
                    "{name} in the environment is not UTF-8. Name another directory."
                )));
            }
            let path = sources.given(name).filter(|_| sources.is_from_environment(name));
            path.map(|path| absolute(Path::new(&path))).transpose()
        };
        let root = absolute(&workspace_root())?;
        let data = named(DATA_DIR)?.unwrap_or_else(|| root.join(".data"));
        let beside = || {
            let here = std::env::current_exe().ok();
            here.and_then(|here| Some(here.parent()?.to_owned()))
        };
        let programs = named(BIN_DIR)?.or_else(beside);
        let programs =
            programs.ok_or_else(|| Refusal::failure("cannot find the path of this program"))?;
        Ok(Place { env_file: absolute(sources.file())?, root, data, programs })
    }

    /// The directory of all logs.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.data.join("run")
    }

    pub(crate) fn pid_file(&self, name: &str) -> PidFile {
        PidFile::new(self.run().join(format!("{name}.pid")))
    }

    pub(crate) fn supervisor(&self) -> PidFile {
        self.pid_file("supervisor")
    }

    /// The pid of a running part, started by any process.
    pub(crate) fn pid(&self, part: Part) -> Option<u32> {
        self.pid_file(part.name()).read()
    }

    /// Makes the directories. Servers that run as another user must reach their own directories.
    pub(crate) fn make(&self) -> Told<()> {
        let make = || -> io::Result<()> {
            for (path, mode) in [(&self.data, 0o755), (&self.logs(), 0o700), (&self.run(), 0o700)] {
                fs::create_dir_all(path)?;
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
            Ok(())
        };
        make().map_err(|error| {
            Refusal::failure(format!(
                "cannot write to {} as {}: {}. {DATA_DIR} names another place.",
                self.data.display(),
                private::account::myself(),
                reason(&error)
            ))
        })
    }
}
