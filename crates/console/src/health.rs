//! Health and metrics: for whoever watches the gateway, without a token.
//!
//! Promises: `/livez` answers while the process works; `/readyz` answers 200 only while every listener accepts and the
//! record can be written; metrics are Prometheus text (exposition format 0.0.4 through OpenMetrics) and name no
//! principal. Held by: `tests/it`.

use crate::Api;
use crate::error::ApiError;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use portcullis_audit::Watermark;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the gateway is ready: set once every listener accepts, cleared when it drains.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// Says whether it is.
    pub fn set_ready(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) async fn live() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, &'static str) {
    let failed =
        api.recorder.as_ref().is_some_and(|recorder| matches!(*recorder.durable().borrow(), Watermark::Failed));
    if failed {
        (StatusCode::SERVICE_UNAVAILABLE, "the record cannot be written\n")
    } else if api.health.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

pub(crate) async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, ApiError> {
    let gate = api.journal.gate().ok_or_else(|| ApiError::Conflict("no gateway runs".to_owned()))?;
    let counts = gate.counts();
    let mut registry = Registry::with_prefix("portcullis");
    registry.register("sessions_open", "Sessions open now", ConstGauge::new(gate.sessions().len() as u64));
    registry.register("sessions", "Sessions opened", ConstCounter::new(counts.sessions));
    registry.register("entries_refused", "Callers that did not enter", ConstCounter::new(counts.refused_entries));
    registry.register("commands_allowed", "Commands allowed", ConstCounter::new(counts.allowed));
    registry.register("commands_held", "Commands held for approval", ConstCounter::new(counts.held));
    registry.register("commands_denied", "Commands refused", ConstCounter::new(counts.denied));
    if let Some(recorder) = &api.recorder {
        let watermark = recorder.durable();
        let (upto, failed) = match *watermark.borrow() {
            Watermark::Durable { upto } => (upto, 0),
            Watermark::Failed => (0, 1),
        };
        registry.register("record_failed", "Whether the record can no longer be written", ConstGauge::new(failed));
        registry.register("record_events", "Appends to the record that are durable", ConstCounter::new(upto));
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(ApiError::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}
