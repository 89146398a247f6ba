//! The operator's name in entries, posts and the audit log. It is a claim of the holder of the credentials, and
//! proves nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use daemon::config::{ConfigError, Sources};
use daemon::process::Failure;
use ledger_core::economy::Operator;
use serde::Serialize;

use crate::postgres::{self, Postgres};

/// The setting that names the operator where `--by` does not.
const SETTING: &str = "ARENACTL_OPERATOR";

/// The longest name, in characters.
const NAME_MAX: usize = 64;

/// The name given on the command line, else that of `ARENACTL_OPERATOR`, else the system's user (behind
/// `sudo` the one who called it).
pub(crate) fn acting(sources: &Sources, given: Option<&Operator>) -> Result<Operator, ConfigError> {
    if let Some(operator) = given {
        return Ok(operator.clone());
    }
    match sources.given(SETTING) {
        Some(name) => name
            .parse::<Operator>()
            .map_err(|error| ConfigError::single(SETTING, format!("cannot be used: {error}"))),
        None => {
            let uid = fs::metadata("/proc/self").map(|process| process.uid()).ok();
            let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let name = system_user(uid, &accounts, |name| sources.get(name));
            let problem = "is needed: this process's user has no name. Set it, or use --by";
            name.ok_or_else(|| ConfigError::single(SETTING, problem))
        }
    }
}

/// By the user's number and not by the environment, which a `su` leaves unchanged.
fn system_user(
    uid: Option<u32>,
    accounts: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Operator> {
    let caller = ["SUDO_USER", "DOAS_USER"].into_iter().find_map(&variable);
    let account = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (Some(number) == uid).then(|| name.to_owned())
    });
    let variables = ["USER", "LOGNAME"].into_iter().filter_map(&variable);
    caller
        .filter(|_| uid == Some(0))
        .into_iter()
        .chain(account)
        .chain(variables)
        .chain(uid.map(|uid| format!("uid-{uid}")))
        .find_map(|name| fitted(&name))
}

/// Accounts of a directory service may have names such as `DOMAIN\\jo`.
fn fitted(name: &str) -> Option<Operator> {
    let fit = |c: char| {
        let fits = c.is_ascii_alphanumeric() || "_.@-".contains(c);
        if fits { c } else { '_' }
    };
    let name: String = name.chars().take(NAME_MAX).map(fit).collect();
    name.parse().ok()
}

/// Records in the audit log an act outside of a transaction that records it itself. The setting
/// names the database.
pub(crate) async fn record(
    sources: &Sources,
    setting: &'static str,
    who: &Operator,
    action: &str,
    report: &impl Serialize,
) -> Result<(), Failure> {
    let url = sources.connection_url(setting, postgres::SCHEMES)?;
    let postgres = Postgres::connect(setting, &url, 1).await?;
    let mut conn = postgres.connection().await?;
    let detail = serde_json::to_value(report).map_err(anyhow::Error::from)?;
    let recorded = db::audit_log::record_act(&mut conn, who, action, detail).await;
    recorded.map_err(|error| {
        let failed = format!("{action} is done, but not in the audit log");
        postgres.failure(error, failed)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ACCOUNTS: &str =
        "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/:/bin/sh\nbad line\n";

    fn user(uid: u32, variables: &[(&str, &str)]) -> String {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        system_user(Some(uid), ACCOUNTS, variable).unwrap().to_string()
    }

    #[test]
    fn the_system_knows_who_runs_this() {
        assert_eq!(user(1000, &[("USER", "mallory")]), "ada");
        assert_eq!(user(0, &[]), "root");
        assert_eq!(user(0, &[("SUDO_USER", "ada"), ("USER", "root")]), "ada");
        // Nobody but root was let in by sudo.
        assert_eq!(user(1000, &[("SUDO_USER", "mallory")]), "ada");
    }

    #[test]
    fn users_of_elsewhere_have_names_too() {
        assert_eq!(user(70_000, &[("LOGNAME", "DOMAIN\\jo ö")]), "DOMAIN_jo__");
        assert_eq!(user(70_000, &[("USER", "")]), "uid-70000");
        assert_eq!(user(70_000, &[("USER", &"x".repeat(90))]), "x".repeat(64));
    }
}
