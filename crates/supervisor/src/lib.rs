//! The arena's processes on one machine: starts them in order, restarts those that end, shows their state, stops
//! them. `arenactl up`, `status --services`, `status --watch`, `stop`, `logs` and `reset` are this crate.
//!
//! It starts a Postgres and a Redis of the arena's own where none is given ([`private`]). It has nothing about
//! bots or the schema: an [`Arena`] does the work that only the arena's own code can do.
//!
//! Files, below `.data` (`ARENA_DATA_DIR`): `postgres/`, `redis/`, `logs/NAME.log` and in `run/` a `NAME.pid`
//! for each process, `stack` (processes and their addresses), and `lock`, which the supervisor holds.

mod address;
pub mod files;
mod first_settings;
mod lock;
mod logs;
mod part;
mod place;
pub mod ports;
pub mod private;
mod probe;
pub mod process;
mod reset;
mod say;
mod settings;
mod stack;
mod status;
mod stop;
mod up;
mod watch;

use std::future::Future;
use std::io;
use std::path::Path;

use daemon::process::{Failure, Refusal};

pub use first_settings::random_hex;
pub use logs::{end_of, show as logs};
pub use place::Place;
pub use reset::reset;
pub use status::{services, watch};
pub use stop::stop;
pub use up::up;

/// Work that only the code of the arena itself can do.
pub trait Arena {
    /// Logs in to Postgres by the setting's URL, with an answer within five seconds. The error is
    /// one line, without a secret.
    fn postgres(&self, setting: &'static str) -> impl Future<Output = Result<(), String>>;

    /// Logs in to Redis by `REDIS_URL`, in the same way.
    fn redis(&self) -> impl Future<Output = Result<(), String>>;

    /// Brings the schema, the hosted bots and their keys up to date.
    fn prepare(&self) -> impl Future<Output = Result<(), Failure>>;
}

/// The result, or a one-line error.
type Told<T> = Result<T, Refusal>;

/// The failed operation on a file.
fn cannot(what: &str, path: &Path, error: &io::Error) -> Refusal {
    let (path, why) = (path.display(), reason(error));
    Refusal::failure(format!("cannot {what} {path}: {why}."))
}

/// Why the system refused, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}
