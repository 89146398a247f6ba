//! The codes by which a process says how it ended.

use std::error::Error;

/// Asked-for stop.
pub const EXIT_OK: u8 = 0;
/// Any failure that has no code of its own.
pub const EXIT_FAILURE: u8 = 1;
/// A dependency cannot be reached (`EX_UNAVAILABLE` of sysexits.h): waiting may help.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// The configuration cannot be used (`EX_CONFIG`): only a person helps.
pub const EXIT_CONFIG: u8 = 78;

/// The exit code that an error stands for, looking through all its causes.
pub fn exit_code_of(error: &(dyn Error + 'static)) -> u8 {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref::<Code>()).map_or(EXIT_FAILURE, |code| code.0)
}

/// The last cause of an error that has an exit code of its own, and no words. An error that anyhow has wrapped
/// is not visible as itself, but its causes are.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("")]
pub(crate) struct Code(pub(crate) u8);
