//! Traces over OTLP to a collector: off unless `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. Like all settings they may be in `.env`.
//!
//! Spans are `tracing`'s. Those of requests, ticks, rounds, turns and model calls are at level INFO, so
//! that they give each log line its ids too; those of transactions are at DEBUG and made for traces
//! alone. Names and attributes follow OpenTelemetry's semantic conventions where there are some.

use std::collections::HashMap;
use std::fmt;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::config::Sources;

/// The collector; traces go to `/v1/traces` below it.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The whole URL, for a collector with other paths; takes precedence over the other.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const TRACES_PATH: &str = "/v1/traces";
/// `name=value` pairs with commas between them, values percent-encoded. They may be secrets.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
/// Read only to refuse other values.
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
const HTTP_PROTOBUF: &str = "http/protobuf";
/// Where collectors take OTLP by gRPC, which is another protocol.
const GRPC_PORT: u16 = 4317;
/// The share of traces that are sent, from 0 to 1.
const SHARE: &str = "OTEL_TRACES_SAMPLER_ARG";
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The same failure is logged again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Tracing the exporter itself would never end.
const FILTER: &str = "info,db=debug,hyper=off,hyper_util=off,reqwest=off,rustls=off,opentelemetry=off,opentelemetry_sdk=off";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The sender of spans; `None` without a receiver.
pub(crate) fn layer<S>(
    service: &str,
    sources: &Sources,
) -> Result<Option<Box<dyn Layer<S> + Send + Sync>>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    // A process that starts its logs twice sends spans by the first alone.
    let collector = match PROVIDER.get() {
        Some(_) => None,
        None => Collector::read(sources)?,
    };
    let Some(collector) = collector else {
        return Ok(None);
    };
    let share = match sources.given(SHARE) {
        None => 1.0,
        Some(text) => match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => share,
            _ => return Err(format!("{SHARE} must be a number from 0 to 1")),
        },
    };
    let exporter = collector.exporter()?;
    let resource = Resource::builder().with_service_name(service.to_owned());
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        .with_batch_exporter(exporter)
        .build();
    let tracer = provider.tracer("ledgerdome");
    PROVIDER.get_or_init(|| provider);
    let filter = FILTER.parse::<Targets>().map_err(|error| error.to_string())?;
    let spans =
        tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
    Ok(Some(spans.with_filter(filter).boxed()))
}

/// The receiver of traces.
struct Collector {
    url: Url,
    /// May contain secrets.
    headers: HashMap<String, String>,
}

impl Collector {
    /// `None` when there is none.
    fn read(sources: &Sources) -> Result<Option<Collector>, String> {
        let given = [TRACES_ENDPOINT, ENDPOINT]
            .into_iter()
            .find_map(|name| Some((name, sources.given(name)?)));
        let Some((name, text)) = given else {
            return Ok(None);
        };
        let mut url = Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| format!("{name} must be a URL such as http://127.0.0.1:4318"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "{name} must have no user and no password: put them into {HEADERS}"
            ));
        }
        let path = url.path().trim_end_matches('/');
        if name == ENDPOINT && !path.ends_with(TRACES_PATH) {
            let path = format!("{path}{TRACES_PATH}");
            url.set_path(&path);
        }
        for name in [TRACES_PROTOCOL, PROTOCOL] {
            if sources.given(name).is_some_and(|protocol| protocol != HTTP_PROTOBUF) {
                return Err(format!("{name} must be {HTTP_PROTOBUF}, or not be set"));
            }
        }
        let headers = [TRACES_HEADERS, HEADERS]
            .into_iter()
            .find_map(|name| Some((name, sources.given(name)?)));
        let headers = match headers {
            None => HashMap::new(),
            Some((name, text)) => headers_of(name, &text)?,
        };
        Ok(Some(Collector { url, headers }))
    }

    fn exporter(self) -> Result<Told, String> {
        let shown = self.shown();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.url.as_str())
            .with_headers(self.headers)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| format!("traces cannot be sent to {shown}: {error}"))?;
        Ok(Told {
            exporter,
            hint: match self.url.port() {
                Some(GRPC_PORT) => "4317 is where collectors speak gRPC; by HTTP it is mostly 4318",
                _ => "is it running, and are the endpoint, its path and the headers right?",
            },
            shown,
            url: self.url,
            trouble: Arc::default(),
        })
    }

    /// The URL without its query, in which some collectors want a key.
    fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }
}

/// The pairs, of which none may be lost in silence. No value is in an error.
fn headers_of(name: &str, text: &str) -> Result<HashMap<String, String>, String> {
    let is_token = |text: &str| {
        let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_in)
    };
    let mut headers = HashMap::new();
    for (index, pair) in text.split(',').enumerate() {
        if pair.trim().is_empty() {
            continue;
        }
        let pair = pair.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        match pair {
            Some((key, value)) if is_token(key) && !value.chars().any(char::is_control) => {
                headers.insert(key.to_owned(), value.to_owned());
            }
            _ => {
                return Err(format!(
                    "{name} must be pairs such as authorization=Bearer%20token, with commas between \
                     them; number {} is none",
                    index + 1
                ));
            }
        }
    }
    Ok(headers)
}

/// Why no connection to it is possible, if so. It takes a moment, on the exporter's own thread.
fn no_way_to(url: &Url) -> Option<String> {
    let addresses = match url.socket_addrs(|| None) {
        Ok(addresses) => addresses,
        Err(error) => return Some(error.to_string()),
    };
    let mut cause = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return None,
            Err(error) => cause = Some(format!("{address}: {error}")),
        }
    }
    cause
}

/// An exporter whose failures are logged with their reason, and not for each batch.
struct Told {
    exporter: opentelemetry_otlp::SpanExporter,
    url: Url,
    /// The URL as logs may have it.
    shown: String,
    hint: &'static str,
    trouble: Arc<Mutex<Trouble>>,
}

/// Failures since spans were last accepted.
#[derive(Default)]
struct Trouble {
    why: String,
    lost: usize,
    told_at: Option<Instant>,
}

impl Trouble {
    /// Whether to log it.
    fn add(&mut self, why: String, spans: usize, now: Instant) -> bool {
        self.lost = self.lost.saturating_add(spans);
        let is_known = self.why == why;
        let is_recent =
            self.told_at.is_some_and(|told_at| now.saturating_duration_since(told_at) < TELL_AGAIN);
        if is_known && is_recent {
            return false;
        }
        self.why = why;
        self.told_at = Some(now);
        true
    }
}

impl Told {
    fn tell(&self, result: &OTelSdkResult, spans: usize) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                let past = std::mem::take(&mut *trouble);
                if past.told_at.is_some() {
                    tracing::info!(to = self.shown, lost = past.lost, "traces are sent again");
                }
            }
            Err(error) => {
                let why = error.to_string().replace(self.url.as_str(), &self.shown);
                if trouble.add(why, spans, Instant::now()) {
                    // The exporter itself keeps to itself why there was no connection.
                    let cause = no_way_to(&self.url).unwrap_or_default();
                    tracing::warn!(
                        to = self.shown,
                        error = trouble.why,
                        cause,
                        lost = trouble.lost,
                        hint = self.hint,
                        "traces cannot be sent"
                    );
                }
            }
        }
    }
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.tell(&result, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("to", &self.shown).finish_non_exhaustive()
    }
}

/// Names a span whose name is known only at its end. Where no traces are sent it does nothing.
pub fn rename(span: &Span, name: impl FnOnce() -> String) {
    if PROVIDER.get().is_some() {
        span.context().span().update_name(name());
    }
}

/// Sends the remaining spans, at the end of the process.
pub(crate) fn finish() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(Duration::from_secs(1))
    {
        tracing::warn!(%error, "the last spans could not be sent");
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use opentelemetry::trace::Tracer as _;

    use super::*;

    fn read(env_file: &str) -> Result<Option<Collector>, String> {
        Collector::read(&Sources::from_parts(env_file, []))
    }

    #[test]
    fn endpoint_and_headers_are_read_from_the_env_file() {
        assert!(read("RUST_LOG=info").unwrap().is_none());
        for (env_file, url) in [
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318",
                "http://127.0.0.1:4318/v1/traces",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT=https://otlp.example/otlp/",
                "https://otlp.example/otlp/v1/traces",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318/v1/traces",
                "http://127.0.0.1:4318/v1/traces",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT=http://other.example\n\
                 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://otlp.example/api/public/otel?key=hush",
                "https://otlp.example/api/public/otel?key=hush",
            ),
        ] {
            let collector = read(env_file).unwrap().unwrap();
            assert_eq!(collector.url.as_str(), url);
            assert!(!collector.shown().contains("hush"));
        }
        let collector = read(
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n\
             OTEL_EXPORTER_OTLP_HEADERS=x-other=1\n\
             OTEL_EXPORTER_OTLP_TRACES_HEADERS=\"authorization=Basic%20aHVzaA==, x-tenant=arena\"",
        )
        .unwrap()
        .unwrap();
        let header = |name: &str| collector.headers.get(name).map(String::as_str);
        assert_eq!(header("authorization"), Some("Basic%20aHVzaA=="));
        assert_eq!(header("x-tenant"), Some("arena"));
        assert_eq!(header("x-other"), None);
    }

    #[test]
    fn what_cannot_be_used_is_told_without_its_value() {
        for (line, part) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318", "must be a URL"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT=ftp://hush.example", "must be a URL"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT=http://me:hush@a.example", "no password"),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT=http://a.example\nOTEL_EXPORTER_OTLP_HEADERS=a=1,hush",
                "number 2",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT=http://a.example\nOTEL_EXPORTER_OTLP_HEADERS=a b=hush",
                "number 1",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT=http://a.example\nOTEL_EXPORTER_OTLP_PROTOCOL=grpc",
                "http/protobuf",
            ),
        ] {
            let told = read(line).err().unwrap();
            assert!(told.contains(part) && !told.contains("hush"), "{told}");
        }
    }

    fn send_one(env_file: &str) -> Arc<Mutex<Trouble>> {
        let told = read(env_file).unwrap().unwrap().exporter().unwrap();
        let trouble = Arc::clone(&told.trouble);
        let provider = SdkTracerProvider::builder().with_batch_exporter(told).build();
        provider.tracer("test").in_span("one", |_| {});
        let _ = provider.force_flush();
        trouble
    }

    #[tokio::test]
    async fn headers_go_with_each_batch_and_a_refusal_says_what_failed() {
        let collector = http_stub::Stub::answering("401 Unauthorized", "", "").await;
        let env_file = format!(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={}mine?key=hush\n\
             OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20hush",
            collector.url()
        );
        let sending = tokio::task::spawn_blocking(move || send_one(&env_file));
        let trouble = sending.await.unwrap();
        let request = &collector.requests()[0];
        assert!(request.is("POST", "/mine?key=hush"), "{request:?}");
        assert_eq!(request.header("authorization"), Some("Bearer hush"));
        let trouble = trouble.lock().unwrap();
        assert!(trouble.why.contains("401"), "{}", trouble.why);
        assert!(!trouble.why.contains("hush"), "{}", trouble.why);
        assert_eq!(trouble.lost, 1);
    }

    #[test]
    fn a_collector_that_is_away_is_told_without_the_key_in_its_url() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let trouble = send_one(&format!(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://{address}/v1/traces?key=hush"
        ));
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        assert!(no_way_to(&url).unwrap().contains(&address.to_string()));
        let trouble = trouble.lock().unwrap();
        assert!(!trouble.why.is_empty() && !trouble.why.contains("hush"), "{}", trouble.why);
    }

    #[test]
    fn the_same_trouble_is_told_once_in_a_while() {
        let (mut trouble, now) = (Trouble::default(), Instant::now());
        assert!(trouble.add("away".to_owned(), 3, now));
        assert!(!trouble.add("away".to_owned(), 4, now + TELL_AGAIN / 2));
        assert!(trouble.add("refused".to_owned(), 1, now + TELL_AGAIN / 2));
        assert!(trouble.add("refused".to_owned(), 1, now + TELL_AGAIN * 2));
        assert_eq!(trouble.lost, 9);
    }
}
