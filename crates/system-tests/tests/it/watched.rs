//! The monitoring of a running arena: metrics of all four services, traces, and logs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use system_tests::stack::{Stack, root};
use test_kit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::day::{HASTY, hasty_personas};
use crate::markets::Agent;

const SERVICES: [(&str, &str); 4] = [
    ("api", "API_PORT"),
    ("ticker", "TICKER_HEALTH_PORT"),
    ("oracle", "ORACLE_HEALTH_PORT"),
    ("bot-runner", "BOT_RUNNER_HEALTH_PORT"),
];

/// A collector: takes what comes over OTLP/HTTP and keeps the spans.
struct Collector {
    endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&kept)));
            }
        });
        Collector { endpoint, spans }
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

async fn take(mut stream: TcpStream, kept: Arc<Mutex<Vec<Span>>>) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        let end = head_end + length.trim().parse::<usize>().ok()?;
        while bytes.len() < end {
            (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
        }
        let request = ExportTraceServiceRequest::decode(&bytes[head_end..end]).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        kept.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        bytes.drain(..end);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
    }
}

/// The names of a span and of those around it, from the inside out.
fn way_out<'a>(span: &'a Span, all: &'a [Span]) -> Vec<&'a str> {
    let mut way = vec![span.name.as_str()];
    let mut parent = &span.parent_span_id;
    while let Some(outer) = all.iter().find(|outer| &outer.span_id == parent) {
        assert_eq!(outer.trace_id, span.trace_id);
        way.push(&outer.name);
        parent = &outer.parent_span_id;
    }
    way
}

fn has(span: &Span, attribute: &str) -> bool {
    span.attributes.iter().any(|known| known.key == attribute)
}

async fn metrics(stack: &Stack, port: &str) -> String {
    let url = format!("http://127.0.0.1:{}/metrics", stack.setting(port));
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// The names that a service exports.
fn names(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// The names in the operator's guide: a table whose first column is a name in back-ticks.
fn documented() -> BTreeSet<String> {
    let guide = std::fs::read_to_string(root().join("docs/operators.md")).unwrap();
    guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', '{']).next())
        .filter(|name| {
            ["arena_", "http_server_", "gen_ai_", "process_"]
                .iter()
                .any(|start| name.starts_with(start))
        })
        .map(str::to_owned)
        .collect()
}

fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

async fn wager(agent: &Agent) {
    let observation: Value = agent.get("/arena/observation").await;
    let body = json!({
        "observation_id": observation["observation_id"],
        "action_type": "PREDICT", "direction": "UP", "wager_amount": "1.00", "confidence": "0.60",
        "reasoning": "to be seen",
    });
    agent.post("/arena/action", &body).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arena_can_be_watched() {
    let collector = Collector::start().await;
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let mut settings = HASTY.to_vec();
    settings.extend([
        ("BOTS_DIR", bots.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
        // More than the private Postgres allows.
        ("DATABASE_POOL_SIZE", "200"),
    ]);
    let (stack, _) = Stack::start(&settings).await;
    let agent = Agent::register(&stack, "watched").await;
    wager(&agent).await;
    assert_everything_is_counted(&stack).await;
    assert_a_request_is_followed_to_its_commit(&collector).await;
    assert_models_are_named(&collector).await;
    assert_lines_have_ids(&stack);
    assert_crowded_pools_are_told(&stack).await;
    assert_eq!(stack.stop(), Some(0));
}

async fn assert_everything_is_counted(stack: &Stack) {
    // Some come with the first turn, tick or settlement.
    let documented = documented();
    assert!(documented.len() > 30, "the guide has no table of metrics");
    let mut exported = BTreeSet::new();
    for name in &documented {
        exported = eventually(&format!("{name} is exported"), || async {
            let mut exported = BTreeSet::new();
            for (_, port) in SERVICES {
                exported.extend(names(&metrics(stack, port).await));
            }
            exported.contains(name).then_some(exported)
        })
        .await;
    }
    let ours =
        exported.iter().filter(|name| name.starts_with("arena_") || name.starts_with("gen_ai_"));
    let untold: Vec<_> = ours.filter(|name| !documented.contains(*name)).collect();
    assert!(untold.is_empty(), "not in docs/operators.md: {untold:?}");

    let ticker = metrics(stack, "TICKER_HEALTH_PORT").await;
    assert!(value(&ticker, "arena_tick_number ").unwrap() >= 1.0);
    assert_eq!(value(&ticker, "arena_paused "), Some(0.0));
    let oracle = metrics(stack, "ORACLE_HEALTH_PORT").await;
    assert_eq!(value(&oracle, "arena_oracle_leader "), Some(1.0));
    assert_eq!(value(&oracle, "arena_conservation_drift_units "), Some(0.0));
    assert!(value(&oracle, "arena_bots{status=\"alive\"} ").unwrap() >= 4.0);
}

async fn assert_a_request_is_followed_to_its_commit(collector: &Collector) {
    let ways = eventually("the spans of a wager arrive", || async {
        let all = collector.spans();
        let commits = all.iter().filter(|span| span.name == "COMMIT");
        let ways: Vec<Vec<String>> = commits
            .map(|span| way_out(span, &all).into_iter().map(str::to_owned).collect())
            .collect();
        ways.iter()
            .any(|way| way.last().is_some_and(|outer| outer == "POST /arena/action"))
            .then_some(ways)
    })
    .await;
    let whole = ["COMMIT", "transaction", "wagers", "POST /arena/action"];
    assert!(ways.iter().any(|way| way == &whole), "{ways:?}");
    assert!(
        ways.iter().any(|way| way.last().is_some_and(|outer| outer == "POST /bots")),
        "{ways:?}"
    );
}

async fn assert_models_are_named(collector: &Collector) {
    let (chat, way) = eventually("the spans of a model's call arrive", || async {
        let all = collector.spans();
        let chat = all.iter().find(|span| span.name.starts_with("chat "))?;
        let way = way_out(chat, &all).into_iter().map(str::to_owned);
        let way: Vec<String> = way.collect();
        // The turn around it ends later.
        (way.len() > 1).then(|| (chat.clone(), way))
    })
    .await;
    assert_eq!(way.last().unwrap(), "turn");
    for attribute in [
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    ] {
        assert!(has(&chat, attribute), "{attribute}: {chat:?}");
    }
}

/// Each line is JSON, and has the id of its subject, if any.
fn assert_lines_have_ids(stack: &Stack) {
    let mut with: BTreeMap<&str, usize> = BTreeMap::new();
    for (service, _) in SERVICES {
        for line in stack.log(service).lines() {
            let line: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{service}: {line}: {error}"));
            assert!(line["timestamp"].is_string() && line["level"].is_string());
            for id in ["tick", "bot.id", "request.id"] {
                let has = !line[id].is_null() || !line["span"][id].is_null();
                *with.entry(id).or_default() += usize::from(has);
            }
        }
    }
    assert!(with["tick"] > 0, "{with:?}");
}

/// Each service that may need more connections than available warns when it starts.
async fn assert_crowded_pools_are_told(stack: &Stack) {
    for (service, _) in SERVICES {
        eventually(&format!("{service} warns of its pool"), || async {
            let log = stack.log(service);
            let mut warnings = log.lines().filter(|line| line.contains("WARN"));
            warnings.any(|line| line.contains("Lower DATABASE_POOL_SIZE")).then_some(())
        })
        .await;
    }
}
