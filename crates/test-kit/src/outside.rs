//! The outside world on loopback: the four services that markets ask, with answers of their own
//! shape about a small world that is the same for everybody who asks at the same moment.
//!
//! For tests, and for trying the arena on a machine without the internet. Nothing here is passed
//! off as real: whoever looks at a market's evidence sees the loopback address that it came from.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const REPOSITORY: &str = include_str!("../../sources/tests/data/github_repository.json");
const SUMMARY: &str = include_str!("../../sources/tests/data/wikipedia_summary.json");
const FORECAST_NOW: &str = include_str!("../../sources/tests/data/open_meteo_now.json");
const FORECAST_AT: &str = include_str!("../../sources/tests/data/open_meteo_at.json");

/// The services, by the names under which the oracle knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Wikipedia,
    OpenMeteo,
    GitHub,
    News,
}

/// What a service answers in place of the truth.
#[derive(Debug, Clone)]
pub struct Fault {
    pub status: u16,
    /// Whole lines, each ended by CR LF.
    pub headers: String,
    pub body: Vec<u8>,
}

impl Fault {
    #[must_use]
    pub fn status(status: u16) -> Fault {
        Fault {
            status,
            headers: String::new(),
            body: b"{\"message\":\"no\"}".to_vec(),
        }
    }

    #[must_use]
    pub fn body(body: impl Into<Vec<u8>>) -> Fault {
        Fault {
            status: 200,
            headers: String::new(),
            body: body.into(),
        }
    }
}

#[derive(Default)]
struct World {
    faults: BTreeMap<Service, Fault>,
    /// Of single subjects: what is asked for holds the text.
    faults_about: Vec<(String, Fault)>,
    requests: Vec<(Service, String)>,
    articles: u64,
}

/// The four services on one port.
pub struct Outside {
    pub address: SocketAddr,
    world: Arc<Mutex<World>>,
    task: JoinHandle<()>,
}

impl Outside {
    /// On any free port.
    pub async fn start() -> Outside {
        Outside::listen(0).await
    }

    pub async fn listen(port: u16) -> Outside {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::<Mutex<World>>::default();
        let shared = Arc::clone(&world);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Outside {
            address,
            world,
            task,
        }
    }

    /// The settings that send oracle and bot-runner here, as lines of a `.env`.
    #[must_use]
    pub fn settings(&self) -> String {
        let base = format!("http://{}", self.address);
        format!(
            "WIKIPEDIA_URL={base}\nOPEN_METEO_URL={base}\nGITHUB_API_URL={base}\n\
             NEWS_FEED_URL={base}/technology/rss.xml\n"
        )
    }

    /// From now on a service answers this; `None` for the truth again.
    pub fn fault(&self, service: Service, fault: Option<Fault>) {
        let mut world = lock(&self.world);
        match fault {
            Some(fault) => drop(world.faults.insert(service, fault)),
            None => drop(world.faults.remove(&service)),
        }
    }

    /// From now on whoever asks for something that holds this text gets this; `None` for the truth
    /// again.
    pub fn fault_about(&self, text: &str, fault: Option<Fault>) {
        let mut world = lock(&self.world);
        world.faults_about.retain(|(about, _)| about != text);
        let fault = fault.map(|fault| (text.to_owned(), fault));
        world.faults_about.extend(fault);
    }

    /// How often a service was asked.
    #[must_use]
    pub fn asked(&self, service: Service) -> usize {
        let world = lock(&self.world);
        world
            .requests
            .iter()
            .filter(|(of, _)| *of == service)
            .count()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(world: &Mutex<World>) -> std::sync::MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut stream: TcpStream, world: Arc<Mutex<World>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok()?;
        if count == 0 || head.len() > 65_536 {
            return None;
        }
        head.extend_from_slice(chunk.get(..count)?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.split(' ').nth(1)?.to_owned();
    let answer = respond(&target, &world);
    // The client may stop reading before the end.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
    Some(())
}

fn respond(target: &str, world: &Mutex<World>) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let service = match path {
        path if path.starts_with("/repos/") => Service::GitHub,
        "/v1/forecast" => Service::OpenMeteo,
        path if path.ends_with("rss.xml") => Service::News,
        _ => Service::Wikipedia,
    };
    let mut world = lock(world);
    world.requests.push((service, target.to_owned()));
    let mut about = world.faults_about.iter();
    if let Some((_, fault)) = about.find(|(text, _)| target.contains(text)) {
        return packed(fault.status, &fault.headers, &fault.body);
    }
    if let Some(fault) = world.faults.get(&service) {
        return packed(fault.status, &fault.headers, &fault.body);
    }
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    match service {
        Service::GitHub => {
            let full_name = path.trim_start_matches("/repos/");
            json_answer(&repository(full_name, now.timestamp()))
        }
        Service::OpenMeteo => json_answer(&forecast(query, now)),
        Service::News => {
            let feed = feed(now.timestamp());
            packed(200, "Content-Type: text/xml\r\n", feed.as_bytes())
        }
        Service::Wikipedia => wikipedia(path, &mut world),
    }
}

fn packed(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn json_answer(value: &Value) -> Vec<u8> {
    let headers = "Content-Type: application/json; charset=utf-8\r\n";
    packed(200, headers, value.to_string().as_bytes())
}

/// A number that belongs to a name.
fn of_name(name: &str) -> i64 {
    let digest = Sha256::digest(name.to_lowercase());
    i64::from(u32::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3],
    ]))
}

/// Most gain a star a minute or so; some are always just below the next five hundred.
fn repository(full_name: &str, seconds: i64) -> Value {
    let mut answer: Value = serde_json::from_str(REPOSITORY).unwrap();
    let own = of_name(full_name);
    let pace = 20 + own % 100;
    let stars = 1_000 + own % 90_000 + (seconds / pace) % 2_000;
    answer["full_name"] = json!(full_name);
    answer["name"] = json!(full_name.split_once('/').map_or("", |(_, name)| name));
    answer["stargazers_count"] = json!(stars);
    answer
}

/// A day's rise and fall in tenths of a degree, each place at its own height.
fn tenths(latitude: &str, longitude: &str, quarter: i64) -> i64 {
    let own = of_name(&format!("{latitude},{longitude}"));
    let place = quarter + own % 96;
    // A triangle over a day of 96 quarters.
    let phase = place.rem_euclid(96);
    let slope = if phase < 48 { phase } else { 96 - phase };
    own % 200 - 20 + slope * 3
}

fn forecast(query: &str, now: chrono::DateTime<chrono::Utc>) -> Value {
    let parameter = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.replace("%3A", ":"))
    };
    let latitude = parameter("latitude").unwrap_or_default();
    let longitude = parameter("longitude").unwrap_or_default();
    let reading = |quarter: i64| {
        let tenths = tenths(&latitude, &longitude, quarter);
        // One decimal, as text, so that no float is made of it.
        let sign = if tenths < 0 { "-" } else { "" };
        let text = format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let name = |quarter: i64| {
        let at = chrono::DateTime::from_timestamp(quarter * 900, 0).unwrap();
        at.format("%Y-%m-%dT%H:%M").to_string()
    };
    if let Some(start) = parameter("start_minutely_15") {
        let at = chrono::NaiveDateTime::parse_from_str(&start, "%Y-%m-%dT%H:%M").unwrap();
        let quarter = at.and_utc().timestamp() / 900;
        let mut answer: Value = serde_json::from_str(FORECAST_AT).unwrap();
        answer["minutely_15"]["time"] = json!([name(quarter)]);
        answer["minutely_15"]["temperature_2m"] = json!([reading(quarter)]);
        return answer;
    }
    let quarter = now.timestamp() / 900;
    let mut answer: Value = serde_json::from_str(FORECAST_NOW).unwrap();
    answer["current"]["time"] = json!(name(quarter));
    answer["current"]["temperature_2m"] = reading(quarter);
    answer
}

/// Thirty items, one each five minutes, about what questions are asked about.
fn feed(seconds: i64) -> String {
    const SUBJECTS: [&str; 12] = [
        "AI", "Apple", "Google", "robot", "privacy", "Nvidia", "chip", "Windows", "Bitcoin",
        "phone", "cloud", "EU",
    ];
    let newest = seconds / 300;
    let items: String = (0..30)
        .map(|age| {
            let number = newest - age;
            let subject = SUBJECTS[usize::try_from(of_name(&number.to_string()) % 12).unwrap()];
            let at = chrono::DateTime::from_timestamp(number * 300, 0).unwrap();
            format!(
                "<item><title><![CDATA[Number {number}: what {subject} means to you]]></title>\
                 <link>https://news.example.org/{number}</link>\
                 <guid isPermaLink=\"false\">https://news.example.org/{number}#0</guid>\
                 <pubDate>{}</pubDate></item>",
                at.format("%a, %d %b %Y %H:%M:%S GMT")
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rss version=\"2.0\"><channel>\
         <title>Example Technology</title><link>https://news.example.org/</link>\
         <description>Technology news</description>{items}</channel></rss>"
    )
}

fn wikipedia(path: &str, world: &mut World) -> Vec<u8> {
    const TITLES: &str = "/api/rest_v1/page/summary/";
    if path == "/api/rest_v1/page/random/summary" {
        world.articles += 1;
        let seconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        return json_answer(&article(&format!(
            "Example article {seconds}-{}",
            world.articles
        )));
    }
    match path.strip_prefix(TITLES) {
        Some(title) => {
            let title = title.replace("%20", " ").replace('_', " ");
            if title.starts_with("Example article ") {
                json_answer(&article(&title))
            } else {
                packed(
                    404,
                    "",
                    b"{\"type\":\"Internal error\",\"title\":\"Not found.\"}",
                )
            }
        }
        None => packed(404, "", b"{}"),
    }
}

fn article(title: &str) -> Value {
    let mut answer: Value = serde_json::from_str(SUMMARY).unwrap();
    let canonical = title.replace(' ', "_");
    answer["title"] = json!(title);
    answer["titles"]["normalized"] = json!(title);
    answer["titles"]["canonical"] = json!(canonical);
    answer["pageid"] = json!(1_000 + of_name(title) % 70_000_000);
    answer["extract"] = json!(format!("{title} is an article of an example."));
    answer
}
