//! The output on a terminal, and its keys.

use std::fs;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};

use crate::bench::{Bench, until};

/// A command on its own terminal.
struct Terminal<'a> {
    bench: &'a Bench,
    child: Child,
    keys: ChildStdin,
}

impl Terminal<'_> {
    fn new<'a>(bench: &'a Bench, term: &str, words: &str) -> Terminal<'a> {
        let program = bench.bin().join("arenactl");
        let command = format!("exec '{}' {words}", program.display());
        let out = fs::File::create(bench.path("screen")).unwrap();
        let mut script = bench.command("script", &["-qefc", &command, "/dev/null"]);
        script.env("TERM", term).env("SHELL", "/bin/sh");
        script.stdin(Stdio::piped()).stdout(out);
        let mut child = script.spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        Terminal { bench, child, keys }
    }

    fn screen(&self) -> String {
        let bytes = fs::read(self.bench.path("screen")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    fn shows(&self, text: &str, times: usize) {
        until(&format!("it shows {text:?}"), || self.screen().matches(text).count() >= times);
    }

    fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// The final output.
    #[track_caller]
    fn end(mut self) -> String {
        until("it ends", || self.child.try_wait().unwrap().is_some());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.screen());
        self.screen()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_has_colours_unless_it_cannot_or_should_not() {
    let mut bench = Bench::new();
    bench.open();
    let coloured = Terminal::new(&bench, "xterm", "status --services").end();
    assert!(coloured.contains("\u{1b}[32mready"), "{coloured}");
    let dumb = Terminal::new(&bench, "dumb", "status --services").end();
    assert!(dumb.contains("ready") && !dumb.contains('\u{1b}'), "{dumb}");
    bench.tell("NO_COLOR", "1");
    let refused = Terminal::new(&bench, "xterm", "status --services").end();
    assert!(refused.contains("ready") && !refused.contains('\u{1b}'), "{refused}");
}

#[test]
fn the_stack_and_the_arena_are_watched_in_place() {
    const RESTORED: &str = "\u{1b}[?7h\u{1b}[?25h";
    let mut bench = Bench::new();
    bench.open();
    let mut terminal = Terminal::new(&bench, "xterm", "status --watch");
    terminal.shows("SERVICE", 2);
    terminal.shows("tick    7, begun 3 s ago", 1);
    terminal.shows(&format!("logs    {}", bench.data().join("logs").display()), 1);
    terminal.shows(&format!("env     {}, DATABASE_URL false", bench.env_file().display()), 1);
    // Back to its first line.
    terminal.shows("\u{1b}[1", 1);
    terminal.press("q");
    let screen = terminal.end();
    assert!(screen.starts_with("\u{1b}[?25l\u{1b}[?7l"), "{screen:?}");
    assert!(screen.ends_with(RESTORED), "{screen:?}");

    let mut terminal = Terminal::new(&bench, "xterm", "status --watch");
    terminal.shows("SERVICE", 1);
    terminal.press("\u{3}");
    let screen = terminal.end();
    assert!(screen.trim_end().ends_with(RESTORED), "{screen:?}");

    fs::write(bench.path("hang-arenactl"), "").unwrap();
    let mut terminal = Terminal::new(&bench, "dumb", "status --watch");
    terminal.shows("SERVICE", 3);
    terminal.press("q");
    assert!(!terminal.end().contains('\u{1b}'));
    fs::remove_file(bench.path("hang-arenactl")).unwrap();

    // The settings are those of the running stack, not of the command.
    let kept = bench.env_file().display().to_string();
    bench.tell("ARENA_ENV_FILE", "/dev/null");
    bench.tell("DATABASE_URL", "postgres://a:b@elsewhere/x");
    let mut terminal = Terminal::new(&bench, "xterm", "status --watch");
    terminal.shows(&format!("env     {kept}, DATABASE_URL false"), 1);
    terminal.press("q");
    terminal.end();
    bench.told.clear();
    let stack = bench.data().join("run/stack");
    let text = fs::read_to_string(&stack).unwrap();
    fs::write(&stack, text.replace("\nenvironment ", "\nenvironment DATABASE_URL")).unwrap();
    let mut terminal = Terminal::new(&bench, "xterm", "status --watch");
    terminal.shows("was given DATABASE_URL by its environment", 1);
    terminal.press("q");
    terminal.end();
}

#[test]
fn a_log_is_followed_over_a_rotation() {
    let bench = Bench::new();
    let logs = bench.data().join("logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("odd.log"), "a line\n").unwrap();
    let mut terminal = Terminal::new(&bench, "xterm", "logs odd");
    terminal.shows("a line", 1);
    fs::rename(logs.join("odd.log"), logs.join("odd.log.1")).unwrap();
    fs::write(logs.join("odd.log"), "a line after the rotation\n").unwrap();
    terminal.shows("a line after the rotation", 1);
    terminal.press("\u{3}");
}

/// A terminal's Ctrl-C reaches the supervisor alone, which stops the others in order. Ctrl-Z does nothing: a
/// stopped supervisor would not take what the servers write, and they would wait for it.
#[test]
fn control_c_stops_in_order() {
    let bench = Bench::new();
    let mut terminal = Terminal::new(&bench, "xterm", "up");
    terminal.shows("The arena is open", 1);
    fs::remove_file(bench.path("order")).unwrap();
    terminal.press("\u{1a}");
    terminal.press("\u{3}");
    let screen = terminal.end();
    assert!(screen.contains("stopped bot-runner oracle ticker api redis postgres"), "{screen}");
    assert_eq!(bench.order(), ["stop bot-runner", "stop oracle", "stop ticker", "stop api"]);
    bench.is_empty();
}
