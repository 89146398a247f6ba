//! The missing settings at a first start: a `.env` with random secrets, a BACKUP_KEY, and without a Postgres or
//! Redis the URLs of private ones.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use daemon::process::Refusal;

use crate::part::Part;
use crate::place::Place;
use crate::say::{say, warn};
use crate::settings::{DATABASE_URL, REDIS_URL, Settings};
use crate::{Told, cannot, files, ports, private, reason};

/// The first port to try for a private server, unless one is requested.
const FIRST_POSTGRES_PORT: u16 = 5433;
const FIRST_REDIS_PORT: u16 = 6380;
pub(crate) const POSTGRES_PORT: &str = "PRIVATE_POSTGRES_PORT";
pub(crate) const REDIS_PORT: &str = "PRIVATE_REDIS_PORT";

/// Writes missing settings, and returns all settings.
pub(crate) fn ensure(place: &Place) -> Told<Settings> {
    let mut settings = Settings::load(place)?;
    let path = &place.env_file;
    let missing = missing(&settings);
    // Before anything is written: an invalid port would stay in `.env`. Only a server without a port gets one.
    let port = |part, name| match missing.contains(&part) {
        true => settings.port(name),
        false => Ok(None),
    };
    let wanted = (port(Part::Postgres, POSTGRES_PORT)?, port(Part::Redis, REDIS_PORT)?);
    if let (Some(port), true) = (wanted.0, wanted.0 == wanted.1) {
        return Err(Refusal::config(format!(
            "{POSTGRES_PORT} and {REDIS_PORT} are both {port}. Change one of them."
        )));
    }
    for part in Part::SERVICES {
        settings.port_of(part)?;
    }
    if !path.exists() {
        write_first(path).map_err(|error| cannot("write", path, &error))?;
        say(&format!(
            "wrote {} (mode 0600) with random secrets; they are yours to keep",
            path.display()
        ));
        settings = Settings::load(place)?;
    }
    if ensure_backup_key(path, &settings)? {
        settings = Settings::load(place)?;
    }
    if missing.is_empty() {
        return Ok(settings);
    }
    let lines = private_lines(&settings, &missing, wanted)?;
    // At once, so that no process reads half of it.
    append(path, &lines)?;
    let names: Vec<&str> = missing.iter().map(|part| part.name()).collect();
    say(&format!("added to {}, private and under .data/: {}", path.display(), names.join(" ")));
    Settings::load(place)
}

/// The servers that no URL names.
fn missing(settings: &Settings) -> Vec<Part> {
    [(Part::Postgres, DATABASE_URL), (Part::Redis, REDIS_URL)]
        .into_iter()
        .filter_map(|(part, url)| settings.get(url).is_none().then_some(part))
        .collect()
}

fn write_first(path: &Path) -> io::Result<()> {
    // 128 bits of a seed: a shorter one could be tried against the past, and is refused.
    let text = format!(
        "# Written by run_system.sh. Settings are listed in .env.example; the environment overrides them.\n\
         ENV=development\n\
         PRICE_SOURCES=coingecko,kraken,simulated:{}\n\
         SECRET_KEY={}\n\
         ADMIN_TOKEN={}\n",
        random_hex(16)?,
        random_hex(32)?,
        random_hex(24)?,
    );
    files::write(path, 0o600, &text)
}

/// Makes the BACKUP_KEY that a `.env` lacks; whether it did. It is the only secret that is shown, once: keep it
/// apart from this machine too, because a restore elsewhere needs it.
fn ensure_backup_key(path: &Path, settings: &Settings) -> Told<bool> {
    const NAME: &str = "BACKUP_KEY";
    // Empty in the environment turns it off.
    if settings.get(NAME).is_some() || settings.is_from_environment(NAME) {
        return Ok(false);
    }
    if OpenOptions::new().append(true).open(path).is_err() {
        warn(&format!(
            "{} has no {NAME} and cannot be written by {}: backups will not be authenticated.",
            path.display(),
            private::account::myself()
        ));
        return Ok(false);
    }
    let key = random_hex(32).map_err(|error| cannot("write", path, &error))?;
    append(
        path,
        &format!(
            "# Authenticates backups. Keep a copy away from this machine and from them: restoring elsewhere asks\n\
             # for it.\n{NAME}={key}"
        ),
    )?;
    say(&format!("added to {}, and shown this once: {NAME}={key}", path.display()));
    say("keep a copy away from this machine and from the backups: restoring elsewhere asks for it");
    Ok(true)
}

/// The passwords are hex, so that they mean the same to everyone who reads them.
fn private_lines(
    settings: &Settings,
    missing: &[Part],
    (postgres_port, redis_port): (Option<u16>, Option<u16>),
) -> Told<String> {
    let hex = || random_hex(24).map_err(|error| Refusal::failure(error.to_string()));
    let mut marked = settings.marked();
    for part in missing.iter().map(|part| part.name()) {
        if marked.iter().all(|known| known != part) {
            marked.push(part.to_owned());
        }
    }
    let mut text = format!(
        "# run_system.sh starts these under .data/ itself, as the next line tells it to. To use servers of\n\
         # your own, remove that line and name them in the URLs.\n\
         ARENA_PRIVATE_SERVICES={}",
        marked.join(",")
    );
    let mut taken = Vec::new();
    for part in missing {
        let (asked, first) = match part {
            Part::Postgres => (postgres_port, FIRST_POSTGRES_PORT),
            _ => (redis_port, FIRST_REDIS_PORT),
        };
        let port = match asked {
            Some(port) => port,
            None => ports::next_free(first, &taken)?,
        };
        taken.push(port);
        let lines = match part {
            Part::Postgres => format!(
                "\nDATABASE_URL=postgres://arena_app:{}@127.0.0.1:{port}/arena\
                 \nDATABASE_OWNER_URL=postgres://arena_owner:{}@127.0.0.1:{port}/arena",
                hex()?,
                hex()?
            ),
            _ => format!("\nREDIS_URL=redis://default:{}@127.0.0.1:{port}/0", hex()?),
        };
        text += &lines;
    }
    Ok(text)
}

/// Adds lines, after restricting the file's mode, because they are secrets.
fn append(path: &Path, lines: &str) -> Told<()> {
    let refused = |error: io::Error| cannot("write", path, &error);
    let mode = fs::metadata(path).map_err(refused)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|error| {
            let (path, user) = (path.display(), private::account::myself());
            let why = reason(&error);
            Refusal::failure(format!("cannot make {path} private (chmod 600) as {user}: {why}."))
        })?;
        say(&format!("made {} readable by its owner alone (mode 0600)", path.display()));
    }
    let mut file = OpenOptions::new().append(true).open(path).map_err(refused)?;
    // The last line may lack its end.
    let text = format!("\n{lines}\n");
    let written = file.write_all(text.as_bytes());
    written.and_then(|()| file.sync_all()).map_err(refused)
}

/// So many random bytes, in hexadecimal digits.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_hex(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
