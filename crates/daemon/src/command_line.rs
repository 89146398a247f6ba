//! The command line of every service: `--help`, `--version`, `--health-check`. All else that a
//! service needs to know is a setting.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::Sources;

/// The command line is wrong: as of the programs of a Unix, and of `arenactl`.
pub const EXIT_USAGE: u8 = 2;
/// `/ready` gives its own checks less than this.
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Which source a program was built from. See [`build!`](crate::build).
#[derive(Clone, Copy, Debug)]
pub struct Build {
    pub(crate) version: &'static str,
    pub(crate) commit: Option<&'static str>,
    date: Option<&'static str>,
}

impl Build {
    /// The build's variable; an empty text counts as unset.
    pub fn new(
        version: &'static str,
        commit: Option<&'static str>,
        date: Option<&'static str>,
    ) -> Self {
        Self {
            version,
            commit: commit.filter(|text| !text.is_empty()),
            date: date.filter(|text| !text.is_empty()),
        }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.version, self.commit.unwrap_or("unknown"))?;
        if let Some(date) = self.date {
            write!(f, ", {date}")?;
        }
        f.write_str(")")
    }
}

/// The [`Build`] of the program it is written in: `LEDGERDOME_COMMIT` and `LEDGERDOME_COMMIT_DATE`
/// of the environment it was compiled in.
///
/// Belongs into `main.rs`: then a new commit compiles these few lines again, and nothing else.
#[macro_export]
macro_rules! build {
    () => {
        $crate::command_line::Build::new(
            env!("CARGO_PKG_VERSION"),
            option_env!("LEDGERDOME_COMMIT"),
            option_env!("LEDGERDOME_COMMIT_DATE"),
        )
    };
}

/// A service as its command line shows it.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub name: &'static str,
    /// Its purpose, in one line.
    pub about: &'static str,
    pub build: Build,
    /// Names of the settings without which it does not start.
    pub needs: &'static [&'static str],
    /// Names of the setting and the default of the port where it answers `/ready`.
    pub host: &'static str,
    pub port: (&'static str, u16),
}

/// A service's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Run,
    Help,
    Version,
    HealthCheck,
    /// With the unknown argument.
    Unknown(String),
}

/// Reads the arguments that follow the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Asked {
    let mut asked = Asked::Run;
    for argument in arguments {
        let next = match argument.to_str() {
            Some("-h" | "--help") => Asked::Help,
            Some("-V" | "--version") => Asked::Version,
            Some("--health-check") => Asked::HealthCheck,
            _ => Asked::Unknown(argument.to_string_lossy().into_owned()),
        };
        if asked == Asked::Run || matches!(next, Asked::Unknown(_)) {
            asked = next;
        }
    }
    asked
}

impl Service {
    /// Answers what is not a run; `None` when the service shall run.
    pub fn answer(&self, asked: &Asked) -> Option<u8> {
        let told = match asked {
            Asked::Run => return None,
            Asked::Help => write!(io::stdout().lock(), "{}", self.help()),
            Asked::Version => writeln!(io::stdout().lock(), "{}", self.version()),
            Asked::HealthCheck => return Some(self.health_check()),
            Asked::Unknown(argument) => {
                let name = self.name;
                // An argument must not send control characters to the terminal.
                let argument = argument.escape_default();
                let _ = writeln!(
                    io::stderr().lock(),
                    "{name}: \"{argument}\" is not an argument of {name}, which is configured only by \
                     settings. See {name} --help"
                );
                return Some(EXIT_USAGE);
            }
        };
        // A closed stdout is not an error.
        Some(u8::from(told.is_err()))
    }

    fn version(&self) -> String {
        format!("ledgerdome-{} {}", self.name, self.build)
    }

    fn help(&self) -> String {
        let Self { name, about, host, port: (port, default_port), .. } = self;
        let version = self.version();
        let needs = self.needs.join("\n  ");
        format!(
            "{version}
{about}

Usage: {name} [--help | --version | --health-check]

  --health-check  ask the {name} that runs here whether it is ready; 0 yes, 1 no
  -V, --version   which source this was built from
  -h, --help      this text

Settings come from the environment, then from .env beside the workspace (ARENA_HOME names another
directory, ARENA_ENV_FILE another file). It does not start without:
  {needs}
It answers /health and /ready where these say (127.0.0.1 and {default_port} unless set):
  {host}
  {port}
.env.example describes all settings.

Exit codes: 0 stopped by a signal, 78 a setting is wrong, 69 something cannot be reached,
2 the command line is wrong, 1 anything else.
"
        )
    }

    fn health_check(&self) -> u8 {
        let problem = match address(self, &Sources::load()) {
            Ok(address) => match ready(address) {
                Ok(200) => return 0,
                Ok(status) => format!("not ready: http://{address}/ready says {status}"),
                Err(error) => format!("no answer from http://{address}/ready: {error}"),
            },
            Err(problem) => problem,
        };
        let _ = writeln!(io::stderr().lock(), "{}: {problem}", self.name);
        1
    }
}

/// The address for the check of the running service: loopback if it listens on all addresses.
fn address(service: &Service, sources: &Sources) -> Result<SocketAddr, String> {
    let (port_name, default_port) = service.port;
    let host = match sources.given(service.host).map(|text| text.parse()) {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED))) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED))) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        Some(Ok(host)) => host,
        Some(Err(_)) => return Err(format!("{} must be an IP address", service.host)),
    };
    let port = match sources.given(port_name).map(|text| text.parse()) {
        None => default_port,
        Some(Ok(port)) => port,
        Some(Err(_)) => return Err(format!("{port_name} must be a port")),
    };
    Ok(SocketAddr::new(host, port))
}

/// The status of `/ready`.
fn ready(address: SocketAddr) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_CHECK_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTH_CHECK_TIMEOUT))?;
    stream.set_write_timeout(Some(HEALTH_CHECK_TIMEOUT))?;
    write!(stream, "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    // "HTTP/1.1 200"
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    line.strip_prefix(b"HTTP/1.1 ")
        .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
        .ok_or_else(|| io::Error::other("what answers there does not speak HTTP"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const SERVICE: Service = Service {
        name: "ticker",
        about: "Time costs money.",
        build: Build { version: "0.1.0", commit: None, date: None },
        needs: &["DATABASE_URL"],
        host: "HEALTH_HOST",
        port: ("TICKER_HEALTH_PORT", 8001),
    };

    fn asked(arguments: &[&str]) -> Asked {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn a_build_says_what_it_was_told() {
        let told = Build::new("0.1.0", Some("abc123def456"), Some("2026-11-27"));
        assert_eq!(told.to_string(), "0.1.0 (abc123def456, 2026-11-27)");
        let untold = Build::new("0.1.0", Some(""), Some(""));
        assert_eq!(untold.to_string(), "0.1.0 (unknown)");
    }

    #[test]
    fn the_first_word_decides_unless_one_is_unknown() {
        assert_eq!(asked(&[]), Asked::Run);
        assert_eq!(asked(&["--version", "--help"]), Asked::Version);
        assert_eq!(asked(&["-h"]), Asked::Help);
        assert_eq!(asked(&["--health-check"]), Asked::HealthCheck);
        assert_eq!(asked(&["-h", "--prot"]), Asked::Unknown("--prot".into()));
        assert_eq!(asked(&[""]), Asked::Unknown(String::new()));
    }

    #[test]
    fn what_is_unknown_is_a_wrong_command_line() {
        assert_eq!(SERVICE.answer(&Asked::Run), None);
        let unknown = Asked::Unknown("\u{1b}[2J".into());
        assert_eq!(SERVICE.answer(&unknown), Some(EXIT_USAGE));
    }

    #[test]
    fn what_listens_everywhere_is_asked_over_the_loopback() {
        let at = |host: &str, port: &str| {
            let settings = format!("HEALTH_HOST={host}\nTICKER_HEALTH_PORT={port}\n");
            let sources = Sources::from_parts(&settings, std::iter::empty::<(&str, &str)>());
            address(&SERVICE, &sources).map(|address| address.to_string())
        };
        assert_eq!(at("", "").unwrap(), "127.0.0.1:8001");
        assert_eq!(at("0.0.0.0", "9").unwrap(), "127.0.0.1:9");
        assert_eq!(at("::", "9").unwrap(), "[::1]:9");
        assert_eq!(at("127.0.0.2", "9").unwrap(), "127.0.0.2:9");
        assert!(at("localhost", "9").unwrap_err().contains("HEALTH_HOST"));
        assert!(at("::", "70000").unwrap_err().contains("TICKER_HEALTH_PORT"));
    }

    /// The result of [`ready`] for a server's answer.
    fn answered(answer: &'static [u8]) -> io::Result<u16> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            // All of it: a connection that is closed with something unread is reset, answer or not.
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            assert!(request[0].starts_with("GET /ready HTTP"), "{request:?}");
            stream.write_all(answer).unwrap();
        });
        let status = ready(address);
        serving.join().unwrap();
        status
    }

    #[test]
    fn the_status_of_ready_is_read() {
        assert_eq!(answered(b"HTTP/1.1 200 OK\r\n\r\n").unwrap(), 200);
        assert_eq!(answered(b"HTTP/1.1 503 X\r\n\r\n").unwrap(), 503);
        answered(b"SSH-2.0-OpenSSH_9.2").unwrap_err();
        answered(b"HTTP/1.1").unwrap_err();
    }
}
