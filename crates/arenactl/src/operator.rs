//! Who acts: the name that entries, posts and the audit log keep.

use daemon::config::Sources;
use ledger_core::economy::{Operator, OperatorError};

/// The name given on the command line, else the account that runs the command (behind `sudo` the
/// one that called it), else `operator`.
pub(crate) fn acting(
    sources: &Sources,
    given: Option<&Operator>,
) -> Result<Operator, OperatorError> {
    if let Some(operator) = given {
        return Ok(operator.clone());
    }
    let account = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| sources.get(name))
        .find_map(|name| name.parse().ok());
    account.map_or_else(|| "operator".parse(), Ok)
}
