//! Output for the caller. A terminal that is gone is no reason to stop.

use std::io::{self, IsTerminal, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use daemon::config::Sources;

pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

pub(crate) fn warn(text: &str) {
    let _ = writeln!(io::stderr().lock(), "arenactl: {text}");
}

/// The time of day, as all logs have it.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs()) % (24 * 60 * 60);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}Z", seconds % 60)
}

/// Whether it is a terminal that can do more than print lines.
pub(crate) fn is_capable(stream: &impl IsTerminal, sources: &Sources) -> bool {
    let term = sources.get("TERM").unwrap_or_default();
    stream.is_terminal() && !term.is_empty() && term != "dumb"
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
}

/// Colours on a terminal, unless disabled (<https://no-color.org>).
#[derive(Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn on(stream: &impl IsTerminal, sources: &Sources) -> Paint {
        let refused = sources.given("NO_COLOR").is_some();
        Paint(is_capable(stream, sources) && !refused)
    }

    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
