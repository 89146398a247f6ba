//! One supervisor at a time for a data directory.

use std::fs::{File, OpenOptions, TryLockError};

use daemon::process::Refusal;

use crate::{Place, Told, cannot, private, reason};

/// Held as long as this value exists; children do not inherit it, and the system releases it when the process
/// ends in any way.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(place: &Place) -> Told<Lock> {
        place.make()?;
        let path = place.run().join("lock");
        let written = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = written.map_err(|error| {
            let (path, user) = (path.display(), private::account::myself());
            Refusal::failure(format!("cannot write {path} as {user}: {}.", reason(&error)))
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let who = match place.supervisor().read() {
                    Some(pid) => format!("pid {pid}"),
                    None => "it is just starting".to_owned(),
                };
                Err(Refusal::failure(format!(
                    "already running ({who}). See: ./run_system.sh status"
                )))
            }
            Err(TryLockError::Error(error)) => Err(cannot("lock", &path, &error)),
        }
    }
}
