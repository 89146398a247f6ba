//! The start of the stack, in order, and its end.

use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command};
use std::time::Duration;

use daemon::config::Sources;
use daemon::log_file::{LOG_FILE, Limits};
use daemon::process::{EXIT_CONFIG, EXIT_UNAVAILABLE, Failure, Refusal};
use daemon::shutdown::{SIGHUP, SIGINT, SIGTERM, Shutdown};
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::address::{ServerUrl, authority};
use crate::lock::Lock;
use crate::logs::{self, Writer};
use crate::part::Part;
use crate::place::Place;
use crate::private::{Durability, Postgres, Programs, Redis, reachable};
use crate::process::{self, LOOK_EVERY, born, code_of};
use crate::say::{Paint, say};
use crate::settings::{DATABASE_OWNER_URL, DATABASE_URL, REDIS_URL, Settings};
use crate::stack::{Seat, Stack};
use crate::status::table;
use crate::{Arena, Told, first_settings, probe, reason, stack, stop};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// A crash may have left much to recover.
const POSTGRES_WITHIN: Duration = Duration::from_secs(120);
const REDIS_WITHIN: Duration = Duration::from_secs(30);
/// The time for a server's last output to reach its log.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// Starts the stack, and keeps it running until a signal requests its end.
///
/// # Errors
/// If it cannot be started; started parts are stopped then.
pub async fn up(arena: &impl Arena) -> Result<(), Failure> {
    // First of all: until then a signal would end us without a word.
    let end = asked_to_end()?;
    // Ctrl-Z would stop the threads that write the servers' logs, and soon the servers. Heard, it does nothing.
    Shutdown::on(&[process::Signal::TSTP.as_raw()])?;
    let sources = Sources::load();
    let (place, limits) = (Place::new(&sources)?, Limits::from_sources(&sources)?);
    let _lock = Lock::take(&place)?;
    place.supervisor().write(std::process::id())?;
    let mut supervisor = Supervisor {
        programs: Programs::find(&sources),
        said: Paint::on(&io::stdout(), &sources),
        warned: Paint::on(&io::stderr(), &sources),
        limits,
        place,
        stack: None,
        api_url: None,
        processes: BTreeMap::new(),
    };
    let ended = tokio::select! {
        biased;
        () = end.wait() => {
            say("\nstopping");
            Ok(())
        }
        ended = AssertUnwindSafe(supervisor.run(arena)).catch_unwind() => {
            ended.unwrap_or_else(|_| Err("panicked; the message is above".into()))
        }
    };
    // A second signal changes nothing: it is caught and ignored.
    supervisor.wind_up().await;
    ended
}

/// The request to end, by a signal or with the terminal. A signal that was ignored when this process started
/// stays so: a hangup under `nohup`.
pub(crate) fn asked_to_end() -> io::Result<Shutdown> {
    let ignored = ignored_signals();
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter();
    Shutdown::on(&heard.filter(|signal| ignored >> (signal - 1) & 1 == 0).collect::<Vec<_>>())
}

/// A bit for each signal that this process was started to ignore.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A process of ours.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) since: Instant,
    /// How long its log was.
    mark: u64,
    pub(crate) writer: Option<Writer>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn lives(&self) -> bool {
        born(self.pid()).is_some()
    }

    /// Whether more of it may get to its log.
    fn is_heard(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.has_ended())
    }
}

/// The state of a started part.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) running: Option<Running>,
    /// When it is started again.
    pub(crate) due: Option<Instant>,
    /// How long that will be put off the next time.
    pub(crate) pause: Option<Duration>,
    pub(crate) look_at: Option<Instant>,
    pub(crate) is_recovering: bool,
    pub(crate) is_unready: bool,
    pub(crate) is_told_upgraded: bool,
}

pub(crate) struct Supervisor {
    pub(crate) place: Place,
    programs: Programs,
    pub(crate) said: Paint,
    pub(crate) warned: Paint,
    limits: Limits,
    pub(crate) stack: Option<Stack>,
    /// The API's address for the bot runner, unless it is set.
    api_url: Option<String>,
    pub(crate) processes: BTreeMap<Part, Watched>,
}

impl Supervisor {
    /// Only ever ends by a failure.
    async fn run(&mut self, arena: &impl Arena) -> Result<(), Failure> {
        // Leftovers of a killed supervisor.
        stop::everything(&self.place).await;
        first_settings::ensure(&self.place)?;
        let (settings, stack) = stack::settle_ports(&self.place)?;
        self.check_private(&stack)?;
        check_given(&stack, &settings, arena).await?;
        self.check_programs()?;
        stack.remember(&self.place)?;
        let api = stack.seat(Part::Api).map(Seat::authority).unwrap_or_default();
        if settings.get("API_URL").is_none() {
            self.api_url = Some(format!("http://{api}"));
        }
        self.stack = Some(stack.clone());
        self.start_private(&stack, arena).await?;
        arena.prepare().await?;
        for part in Part::SERVICES {
            self.start_service(part).await?;
        }
        say(&table(&self.place, &stack, self.said).await.text);
        say(&format!(
            "\nThe arena is open: http://{api}   and there /economy  /bots  /markets  /posts/feed  /ledger\nLogs: {}   \
             Stop: Ctrl-C or ./run_system.sh stop",
            self.place.logs().display()
        ));
        self.watch().await
    }

    fn check_private(&self, stack: &Stack) -> Told<()> {
        if stack.is_private(Part::Redis) {
            self.programs.redis()?;
        }
        if stack.is_private(Part::Postgres) {
            Postgres::check(&self.programs, &self.place.data.join("postgres"))?;
        }
        Ok(())
    }

    fn check_programs(&self) -> Told<()> {
        let absent: Vec<&str> = Part::SERVICES
            .iter()
            .map(|part| part.name())
            .filter(|name| !self.place.programs.join(name).is_file())
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        Err(Refusal::config(format!(
            "{} lacks {}. ARENA_BIN_DIR names the directory of built programs; ./run_system.sh builds them.",
            self.place.programs.display(),
            absent.join(" ")
        )))
    }

    async fn start_private(&mut self, stack: &Stack, arena: &impl Arena) -> Told<()> {
        // Both at once; then each is checked.
        let (mut postgres, mut redis) = (None, None);
        if stack.is_private(Part::Postgres) {
            postgres = self.launch(Part::Postgres)?.postgres;
        }
        if stack.is_private(Part::Redis) {
            redis = self.launch(Part::Redis)?.redis;
        }
        if let Some(redis) = redis
            && let Err(why) = redis.answers(self.pid(Part::Redis), REDIS_WITHIN).await
        {
            return Err(self.silent(Part::Redis, REDIS_URL, &why).await);
        }
        let Some(postgres) = postgres else {
            return Ok(());
        };
        let port = self.seat_port(Part::Postgres);
        if let Err(why) = postgres.answers(self.pid(Part::Postgres), port, POSTGRES_WITHIN).await {
            return Err(self.silent(Part::Postgres, DATABASE_URL, &why).await);
        }
        let settings = Settings::load(&self.place)?;
        let url = |name| ServerUrl::parse(name, &settings.get(name).unwrap_or_default(), 5432);
        postgres.keep_roles(port, &url(DATABASE_URL)?, &url(DATABASE_OWNER_URL)?).await?;
        check_roles(&settings, arena).await
    }

    /// The failure of a private server that does not answer.
    async fn silent(&self, part: Part, setting: &str, why: &str) -> Refusal {
        let name = if part == Part::Postgres { "Postgres" } else { "Redis" };
        if why.starts_with('-') {
            return Refusal::unavailable(format!("the private {name} refuses {setting}: {why}"));
        }
        let (log, words) = (self.place.log(part.name()), self.last_words(part, true).await);
        Refusal::unavailable(format!(
            "the private {name} does not answer: {why}. See {}: {words}",
            log.display()
        ))
    }

    pub(crate) fn running(&self, part: Part) -> Option<&Running> {
        self.processes.get(&part)?.running.as_ref()
    }

    pub(crate) fn watched(&mut self, part: Part) -> &mut Watched {
        self.processes.entry(part).or_default()
    }

    /// 0 for a part that does not run.
    pub(crate) fn pid(&self, part: Part) -> u32 {
        self.running(part).map_or(0, Running::pid)
    }

    /// Starts a part and writes its pid file. There is no await between the two, so that no signal can come
    /// between and leave an unregistered process.
    pub(crate) fn launch(&mut self, part: Part) -> Told<Launched> {
        let (name, log) = (part.name(), self.place.log(part.name()));
        let cannot = |error: io::Error| {
            Refusal::failure(format!("cannot start {name}: {}.", reason(&error)))
        };
        let mark = logs::mark(&log).map_err(cannot)?;
        let mut launched = Launched::default();
        let mut command = match part {
            Part::Postgres => {
                let server = Postgres::create(
                    &self.programs,
                    &reachable(&self.place.data.join(name))?,
                    Durability::Synced,
                )?;
                let port = self.seat_port(part);
                launched.postgres.insert(server).command(port, &[], &[])
            }
            Part::Redis => {
                // Anew, because its password may have been rotated since.
                let settings = Settings::load(&self.place)?;
                let url = settings.get(REDIS_URL).unwrap_or_default();
                let password = ServerUrl::parse(REDIS_URL, &url, 6379)?.password;
                let dir = reachable(&self.place.data.join(name))?;
                let port = self.seat_port(part);
                let server = Redis::create(&self.programs, &dir, port, &password, &[])?;
                launched.redis.insert(server).command(&[])
            }
            _ => self.service(part),
        };
        let writer = if part.is_service() {
            logs::append(&mut command, &log).map_err(cannot)?;
            None
        } else {
            Some(Writer::of(&mut command, &log, self.limits).map_err(cannot)?)
        };
        let mut child = process::spawn(command).map_err(cannot)?;
        if let Err(error) = self.place.pid_file(name).write(child.id()) {
            // Killed outright, a Postgres would leave its children behind.
            let last =
                if part == Part::Postgres { process::Signal::QUIT } else { process::Signal::KILL };
            let _ = process::signal(child.id(), last);
            let _ = child.wait();
            return Err(cannot(error));
        }
        let watched = self.watched(part);
        watched.is_told_upgraded = false;
        watched.running = Some(Running { child, since: Instant::now(), mark, writer });
        Ok(launched)
    }

    fn seat_port(&self, part: Part) -> u16 {
        let seat = self.stack.as_ref().and_then(|stack| stack.seat(part));
        seat.map_or(0, |seat| seat.port)
    }

    /// Services read the same settings as we do, wherever they were built.
    fn service(&self, part: Part) -> Command {
        let mut command = Command::new(self.place.programs.join(part.name()));
        command
            .current_dir(&self.place.root)
            .env("LC_ALL", "C")
            .env("ARENA_HOME", &self.place.root)
            .env("ARENA_ENV_FILE", &self.place.env_file)
            .env(LOG_FILE, self.place.log(part.name()));
        if let Some(url) = &self.api_url {
            command.env("API_URL", url);
        }
        command
    }

    /// Starts a service, and waits until its `/ready` is 200.
    async fn start_service(&mut self, part: Part) -> Told<()> {
        self.launch(part)?;
        let seat = self.stack.as_ref().and_then(|stack| stack.seat(part));
        let Some(seat) = seat.cloned() else {
            return Ok(());
        };
        let (name, log) = (part.name(), self.place.log(part.name()));
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = probe::ready(&seat.host, seat.port).await;
            if answer == Some(200) {
                return Ok(());
            }
            if let Some(code) = self.ended(part) {
                let words = self.last_words(part, code == i32::from(EXIT_CONFIG)).await;
                let passed = [EXIT_CONFIG, EXIT_UNAVAILABLE]
                    .into_iter()
                    .find(|known| i32::from(*known) == code);
                let text = format!(
                    "{name} ended while starting (code {code}). See {}. It said:\n{words}",
                    log.display()
                );
                return Err(Refusal::new(passed.unwrap_or(1), text));
            }
            if Instant::now() >= deadline {
                let (seconds, at) = (READY_WITHIN.as_secs(), seat.authority());
                let said = answer.map_or_else(|| "nothing".to_owned(), |code| code.to_string());
                let words = self.last_words(part, false).await;
                return Err(Refusal::failure(format!(
                    "{name} was not ready within {seconds} s (http://{at}/ready says {said}). See {}. It \
                     said:\n{words}",
                    log.display()
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The exit code of a part that has ended.
    pub(crate) fn ended(&mut self, part: Part) -> Option<i32> {
        let running = self.processes.get_mut(&part)?.running.as_mut()?;
        running.child.try_wait().ok().flatten().map(code_of)
    }

    /// Its last output.
    pub(crate) async fn last_words(&self, part: Part, whole: bool) -> String {
        let Some(running) = self.running(part) else {
            return String::new();
        };
        let deadline = Instant::now() + LAST_WORDS_WITHIN;
        while running.is_heard() && !running.lives() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        logs::last_words(&self.place.log(part.name()), running.mark, whole)
    }

    /// Stops all, for any reason.
    async fn wind_up(&mut self) {
        stop::everything(&self.place).await;
        // Parts whose pid files were deleted.
        for (part, watched) in self.processes.iter().rev() {
            if let Some(running) = watched.running.as_ref().filter(|running| running.lives()) {
                stop::one(*part, running.pid()).await;
            }
        }
        let deadline = Instant::now() + LAST_WORDS_WITHIN;
        let is_heard = |watched: &Watched| watched.running.as_ref().is_some_and(Running::is_heard);
        while self.processes.values().any(is_heard) && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.place.supervisor().remove();
    }
}

/// A started server, to be checked.
#[derive(Default)]
pub(crate) struct Launched {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

/// Servers of the user's own must answer before anything is started.
async fn check_given(stack: &Stack, settings: &Settings, arena: &impl Arena) -> Told<()> {
    if let Some(seat) = stack.seat(Part::Redis).filter(|seat| !seat.is_private) {
        let at = seat.authority();
        if !probe::accepts(&seat.host, seat.port).await {
            return Err(absent("Redis", &at, REDIS_URL));
        }
        arena.redis().await.map_err(|why| refused("Redis", &at, REDIS_URL, &why))?;
    }
    let Some(seat) = stack.seat(Part::Postgres).filter(|seat| !seat.is_private) else {
        return Ok(());
    };
    if !probe::accepts(&seat.host, seat.port).await {
        return Err(absent("Postgres", &seat.authority(), DATABASE_URL));
    }
    check_roles(settings, arena).await
}

/// Each at its own address: one of the two may lead through a pooler.
async fn check_roles(settings: &Settings, arena: &impl Arena) -> Told<()> {
    for setting in [DATABASE_URL, DATABASE_OWNER_URL] {
        let text = settings.get(setting).unwrap_or_default();
        let url = ServerUrl::parse(setting, &text, 5432)?;
        let at = authority(&url.host, url.port);
        arena.postgres(setting).await.map_err(|why| refused("Postgres", &at, setting, &why))?;
    }
    Ok(())
}

fn absent(server: &str, at: &str, setting: &str) -> Refusal {
    Refusal::unavailable(format!(
        "{server} at {at} does not accept connections. Is it running, and is {setting} right?"
    ))
}

fn refused(server: &str, at: &str, setting: &str, why: &str) -> Refusal {
    Refusal::unavailable(format!("{server} at {at} refuses {setting}: {why}"))
}
