//! Traces over OTLP, for whoever has a collector: off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//!
//! Spans are `tracing`'s. Those of requests, ticks, cycles, turns and model calls are at level INFO, so
//! that they give each log line its ids too; those of transactions are at DEBUG and made for traces
//! alone. Names and attributes follow OpenTelemetry's semantic conventions where there are some.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Sources;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The share of traces that are sent, from 0 to 1.
const SHARE: &str = "OTEL_TRACES_SAMPLER_ARG";
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the exporter itself does would be traced for ever.
const FILTER: &str = "info,db=debug,hyper=off,hyper_util=off,reqwest=off,rustls=off,opentelemetry=off,opentelemetry_sdk=off";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What sends spans away; `None` when nobody wants them.
pub(crate) fn layer<S>(
    service: &str,
    sources: &Sources,
) -> Result<Option<Box<dyn Layer<S> + Send + Sync>>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let set = |name| sources.get(name).filter(|value| !value.is_empty());
    // A process that starts its logs twice sends spans by the first alone.
    let Some(endpoint) = set(ENDPOINT).filter(|_| PROVIDER.get().is_none()) else {
        return Ok(None);
    };
    let share = match set(SHARE) {
        None => 1.0,
        Some(text) => match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => share,
            _ => return Err(format!("{SHARE} must be a number from 0 to 1")),
        },
    };
    let url = url::Url::parse(&endpoint)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| format!("{ENDPOINT} must be a URL such as http://127.0.0.1:4318"))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", url.as_str().trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| format!("{ENDPOINT} cannot be used: {error}"))?;
    let resource = Resource::builder().with_service_name(service.to_owned());
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            share,
        ))))
        .with_batch_exporter(exporter)
        .build();
    let tracer = provider.tracer("ledgerdome");
    PROVIDER.get_or_init(|| provider);
    let filter = FILTER
        .parse::<Targets>()
        .map_err(|error| error.to_string())?;
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false);
    Ok(Some(spans.with_filter(filter).boxed()))
}

/// Names a span whose name is known only at its end. Where no traces are sent it does nothing.
pub fn rename(span: &Span, name: impl FnOnce() -> String) {
    if PROVIDER.get().is_some() {
        span.context().span().update_name(name());
    }
}

/// Sends what is left, at the end of the process.
pub(crate) fn finish() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(Duration::from_secs(1))
    {
        tracing::warn!(%error, "the last spans could not be sent");
    }
}
