//! How the parts of the stack are: once, or again each second.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use daemon::config::Sources;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::place::Place;
use crate::private::upgraded;
use crate::process::born;
use crate::say::{Colour, Paint, is_capable, now, say};
use crate::settings::{DATABASE_URL, REDIS_URL, Settings};
use crate::stack::Stack;
use crate::up::asked_to_end;
use crate::{Told, probe};

/// All of it is ready.
const READY: u8 = 0;
/// Some of it is not.
const UNREADY: u8 = 1;
/// Nobody watches it.
const NOT_RUNNING: u8 = 3;
const NOBODY_WATCHES: &str = "run_system.sh itself is not running";

const DRAW_EVERY: Duration = Duration::from_secs(1);
/// How often the arena's state is read. The table never waits for it, because Postgres may hang.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// A line for each part.
pub(crate) struct Table {
    pub(crate) text: String,
    pub(crate) is_ready: bool,
}

/// Shows the table once; the exit code of `status`: 0 when all is ready, 1 when something is not, 3 when it
/// does not run.
///
/// # Errors
/// When the settings cannot be used.
pub async fn services(place: &Place, sources: &Sources) -> Told<u8> {
    let Some(stack) = known(place)? else {
        return Ok(NOT_RUNNING);
    };
    let is_watched = place.supervisor().read().is_some();
    let table = table(place, &stack, Paint::on(&io::stdout(), sources)).await;
    say(&table.text);
    if is_watched {
        return Ok(if table.is_ready { READY } else { UNREADY });
    }
    say(NOBODY_WATCHES);
    Ok(NOT_RUNNING)
}

/// The running stack, which may have been started with other settings, else the one of the settings. `None` if
/// there is none, with a message.
fn known(place: &Place) -> Told<Option<Stack>> {
    if let Some(stack) = Stack::recall(place) {
        return Ok(Some(stack));
    }
    let path = place.env_file.display();
    if !place.env_file.exists() {
        say(&format!("not running: {path} does not exist yet"));
        return Ok(None);
    }
    let settings = Settings::load(place)?;
    if settings.get(DATABASE_URL).is_none() || settings.get(REDIS_URL).is_none() {
        say(&format!("not running: {path} names no Postgres or no Redis yet"));
        return Ok(None);
    }
    Stack::of(place, &settings).map(Some)
}

pub(crate) async fn table(place: &Place, stack: &Stack, paint: Paint) -> Table {
    let mut text =
        format!("{:<12} {:<10} {:>8} {:>10}  {}", "SERVICE", "STATE", "PID", "UP", "ADDRESS");
    let (mut notes, mut is_ready) = (Vec::new(), true);
    for seat in &stack.seats {
        let (name, pid) = (seat.part.name(), place.pid(seat.part));
        if seat.is_private {
            notes.extend(pid.and_then(|pid| upgraded(name, pid)));
        }
        let mut state = if pid.is_some() { "starting" } else { "down" };
        if seat.part.is_service() {
            // Without our process the answer is from another one.
            let answer = match pid {
                Some(_) => probe::ready(&seat.host, seat.port).await,
                None => None,
            };
            state = match answer {
                Some(200) => "ready",
                Some(503) => "not ready",
                _ => state,
            };
        } else if (pid.is_some() || !seat.is_private) && probe::accepts(&seat.host, seat.port).await
        {
            state = "ready";
        }
        let colour = match state {
            "ready" => Colour::Green,
            "down" => Colour::Red,
            _ => Colour::Yellow,
        };
        is_ready &= state == "ready";
        let number = match pid {
            _ if !seat.is_ours() => "given".to_owned(),
            Some(pid) => pid.to_string(),
            None => "-".to_owned(),
        };
        let age = pid.and_then(up_time).unwrap_or_else(|| "-".to_owned());
        let state = paint.paint(colour, &format!("{state:<10}"));
        text += &format!("\n{name:<12} {state} {number:>8} {age:>10}  {}", seat.authority());
    }
    for note in notes {
        text.push('\n');
        text += &paint.paint(Colour::Yellow, &note);
    }
    Table { text, is_ready }
}

/// How long it has run.
fn up_time(pid: u32) -> Option<String> {
    let up = fs::read_to_string("/proc/uptime").ok()?;
    let up: u64 = up.split(['.', ' ']).next()?.parse().ok()?;
    let seconds = up.saturating_sub(born(pid)? / rustix::param::clock_ticks_per_second());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    Some(format!("{hours}:{minutes:02}:{:02}", seconds % 60))
}

/// Shows the table and the arena again each second until q or Ctrl-C: in place if the terminal supports it, else
/// one below the other.
///
/// # Errors
/// When the settings cannot be used, or signals cannot be heard.
pub async fn watch(place: &Place, sources: &Sources) -> Told<u8> {
    let Some(mut stack) = known(place)? else {
        return Ok(NOT_RUNNING);
    };
    let failed = |error: io::Error| daemon::process::Refusal::failure(error.to_string());
    let end = asked_to_end().map_err(failed)?;
    let paint = Paint::on(&io::stdout(), sources);
    let mut screen = Screen::new(is_capable(&io::stdout(), sources));
    let mut keys = Keys::new();
    let mut arena = Outlook::default();
    loop {
        // It may have been started again, and on other ports.
        stack = Stack::recall(place).unwrap_or(stack);
        let mut text = format!("{}  q quits\n{}", now(), table(place, &stack, paint).await.text);
        if place.supervisor().read().is_none() {
            text.push('\n');
            text += NOBODY_WATCHES;
        }
        text += "\n\n";
        text += arena.now(place, &stack, sources).await;
        screen.draw(&text);
        tokio::select! {
            biased;
            () = end.wait() => {
                screen.leave();
                return Ok(READY);
            }
            key = Keys::next(&mut keys) => if matches!(key, b'q' | b'Q') {
                return Ok(READY);
            },
            () = tokio::time::sleep(DRAW_EVERY) => {}
        }
    }
}

/// Where the table is drawn.
struct Screen {
    is_in_place: bool,
    rows: usize,
    is_left: bool,
}

impl Screen {
    fn new(is_in_place: bool) -> Screen {
        if is_in_place {
            // Without wrapping: a line that took two would make each table begin lower than the one before.
            print("\u{1b}[?25l\u{1b}[?7l");
        }
        Screen { is_in_place, rows: 0, is_left: false }
    }

    fn draw(&mut self, text: &str) {
        if !self.is_in_place {
            return print(&format!("{text}\n\n"));
        }
        let rows = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        // The last row is the cursor's; what does not fit would scroll.
        let shown = if rows > 1 { rows - 1 } else { usize::MAX };
        let lines: Vec<&str> = text.lines().take(shown).collect();
        let back = match self.rows {
            0 => String::new(),
            rows => format!("\u{1b}[{rows}A\r"),
        };
        let text = lines.join("\u{1b}[K\n");
        print(&format!("{back}{text}\u{1b}[K\n\u{1b}[J"));
        self.rows = lines.len();
    }

    /// Below what a terminal shows of Ctrl-C.
    fn leave(&mut self) {
        self.restore();
        if self.is_in_place {
            print("\n");
        }
    }

    fn restore(&mut self) {
        if self.is_in_place && !self.is_left {
            self.is_left = true;
            print("\u{1b}[?7h\u{1b}[?25h");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.restore();
    }
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Keys as they are pressed on a terminal.
struct Keys {
    before: Termios,
    pressed: mpsc::UnboundedReceiver<u8>,
}

impl Keys {
    /// `None` where it is no terminal.
    fn new() -> Option<Keys> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &now).ok()?;
        let (send, pressed) = mpsc::unbounded_channel();
        // Not of the runtime's: it would be waited for in the end.
        std::thread::spawn(move || {
            for key in io::stdin().lock().bytes() {
                if key.is_err() || key.is_ok_and(|key| send.send(key).is_err()) {
                    break;
                }
            }
        });
        Some(Keys { before, pressed })
    }

    /// The next one; never where there are none.
    async fn next(keys: &mut Option<Keys>) -> u8 {
        if let Some(Keys { pressed, .. }) = keys
            && let Some(key) = pressed.recv().await
        {
            return key;
        }
        std::future::pending().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The output of `arenactl status` about the arena.
struct Outlook {
    text: String,
    asking: Option<JoinHandle<String>>,
    due: Instant,
}

impl Default for Outlook {
    fn default() -> Outlook {
        Outlook { text: "arena   asking".to_owned(), asking: None, due: Instant::now() }
    }
}

impl Outlook {
    async fn now(&mut self, place: &Place, stack: &Stack, sources: &Sources) -> &str {
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            self.text = asking.await.unwrap_or_default();
        }
        if self.asking.is_none() && Instant::now() >= self.due {
            self.due = Instant::now() + ASK_EVERY;
            // The settings are those of what runs, and not the caller's.
            if stack.has_given_database && !sources.is_from_environment(DATABASE_URL) {
                self.text = format!(
                    "arena   not known: the running stack was given {DATABASE_URL} by its environment. Set it \
                     here, too."
                );
            } else if let Some(command) = question(place, stack) {
                self.asking = Some(tokio::spawn(answer(command)));
            }
        }
        &self.text
    }
}

fn question(place: &Place, stack: &Stack) -> Option<Command> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command
        .arg("status")
        .arg("--logs")
        .arg(place.logs())
        .env("ARENA_ENV_FILE", &stack.env_file)
        // Without the log lines of one that is meant for services.
        .env("RUST_LOG", "")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if !stack.has_given_database {
        command.env_remove(DATABASE_URL);
    }
    Some(command)
}

async fn answer(mut command: Command) -> String {
    match command.output().await {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&text).trim_end().to_owned()
        }
        Err(error) => format!("arena   not known: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_process_is_told() {
        let age = up_time(std::process::id()).unwrap();
        assert!(age.starts_with("0:"), "{age}");
        assert_eq!(up_time(u32::MAX), None);
    }
}
