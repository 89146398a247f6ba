//! Deletes the private Postgres and Redis and the logs.

use std::fs;
use std::io::{self, Write as _};

use daemon::process::Refusal;

use crate::lock::Lock;
use crate::part::Part;
use crate::place::Place;
use crate::say::say;
use crate::{Told, private, reason, stop};

/// Asks first, unless `yes`.
///
/// # Errors
/// When the stack runs, the answer is another, or something cannot be deleted.
pub async fn reset(place: &Place, yes: bool) -> Told<()> {
    let _lock = Lock::take(place)?;
    let data = place.data.display();
    if !yes {
        say(&format!(
            "This deletes the private Postgres and Redis and the logs in {data}, with every bot and entry in \
             them.\nKept: {}, .env.bots, and servers of your own.",
            place.env_file.display()
        ));
        let mut out = io::stdout().lock();
        let _ = write!(out, "Type \"reset\" to go on: ").and_then(|()| out.flush());
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer).is_err() || answer.trim() != "reset" {
            return Err(Refusal::failure("nothing deleted."));
        }
    }
    stop::everything(place).await;
    // If one of them cannot be deleted, the others still are.
    let deleted = [
        private::leave(&place.data.join(Part::Postgres.name())),
        private::leave(&place.data.join(Part::Redis.name())),
        fs::remove_dir_all(place.logs()),
        fs::remove_dir_all(place.run()),
    ];
    let failed = deleted.into_iter().find_map(Result::err);
    if let Some(error) = failed {
        return Err(Refusal::failure(format!("cannot delete all of {data}: {}.", reason(&error))));
    }
    // Only if it contains no other files.
    let _ = fs::remove_dir(&place.data);
    say("reset: the next start begins with an empty arena");
    Ok(())
}
