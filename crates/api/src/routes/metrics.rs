//! The metrics for Prometheus.

use api_types::ProblemKind::Forbidden;
use daemon::health::tell_checks;
use daemon::metrics;

use super::prelude::*;
use crate::readiness;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/metrics", show)
            .named("metrics", "service", "Figures for Prometheus")
            .about(
                "For clients of the operator's network (OPERATOR_NETWORKS), by default of the same \
                 machine, or, if METRICS_TOKEN is set, for clients with it.",
            )
            .by(Who::AnyoneOrScraper)
            .touches_nothing()
            .refuses(&[Forbidden])
            .answers_text("text/plain", "Prometheus' text format."),
    ]
}

async fn show(req: HttpRequest, app: Data<App>) -> ApiResult {
    let peer = req.peer_addr().map(|peer| peer.ip());
    app.metrics_access.admit(&app.proxies, peer, req.version(), req.headers())?;
    tell_checks(&readiness::of(&app).await.checks);
    let text = metrics::text().map_err(ApiError::Internal)?;
    Ok(HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(text))
}
