//! The record: listed, read, exported, verified, followed.
//!
//! Promises: reading blocks a thread of its own, never a worker, and is streamed, so that a large record costs no memory;
//! an export waits for the seal that its proofs need (at most a second by DESIGN 8). A session may be named by any start
//! of its id that only one of the newest sessions has. Held by: `tests/it`.

use crate::Api;
use crate::caller::Auditor;
use crate::error::ApiError;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use portcullis_audit::{
    AuditError, Checkpoint, Finding, Reader, Recorder, SessionInfo, VerifyError, asciicast as cast, export, verify,
};
use portcullis_model::{EventBody, SessionId, StreamKind};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// Sessions listed at most, and looked through for a start of an id.
const MOST: usize = 10_000;

/// How long an export waits for the seal that it needs. It comes within a second (DESIGN 8) where the machine is not busy.
const SEALED_WITHIN: Duration = Duration::from_secs(10);

/// What ended just before an export is asked for may still be on its way into the record: for so long a seal is waited for
/// that may have it.
const SEAL_COMES_WITHIN: Duration = Duration::from_millis(1100);

/// Bytes gathered before they are handed on.
const CHUNK: usize = 64 * 1024;

const NDJSON: &str = "application/x-ndjson";

const ASCIICAST: &str = "application/x-asciicast";

#[derive(Deserialize)]
pub(crate) struct Listing {
    last: Option<usize>,
    /// The gateway's own streams too.
    #[serde(default)]
    all: bool,
}

/// A session in a line.
#[derive(Serialize)]
pub(crate) struct Listed {
    id: SessionId,
    kind: StreamKind,
    user: Arc<str>,
    connection: String,
    client: Arc<str>,
    started: Timestamp,
    ended: Option<Timestamp>,
    reason: Option<Arc<str>>,
    commands: u64,
    denied: u64,
    events: u64,
}

impl From<SessionInfo> for Listed {
    fn from(info: SessionInfo) -> Self {
        Self {
            id: info.id,
            kind: info.kind,
            user: info.principal.map_or_else(|| "(gateway)".into(), |principal| principal.user),
            connection: info.connection.map(|connection| connection.name.to_string()).unwrap_or_default(),
            client: info.client.map(|client| client.address).unwrap_or_default(),
            started: info.started,
            ended: info.ended,
            reason: info.reason,
            commands: info.commands,
            denied: info.denied,
            events: info.events,
        }
    }
}

/// Oldest first, as a person reads a log.
pub(crate) async fn sessions(
    State(api): State<Arc<Api>>,
    _: Auditor,
    Query(wanted): Query<Listing>,
) -> Result<Json<Vec<Listed>>, ApiError> {
    let last = wanted.last.unwrap_or(50).min(MOST);
    let reader = api.reader.clone();
    let mut found = blocking(move || newest(&reader, last, wanted.all)).await?;
    found.reverse();
    Ok(Json(found.into_iter().map(Listed::from).collect()))
}

/// The newest sessions, newest first.
fn newest(reader: &Reader, last: usize, all: bool) -> Result<Vec<SessionInfo>, AuditError> {
    let mut found = Vec::new();
    let mut before = None;
    while found.len() < last {
        let (page, more) = reader.sessions(before.as_ref(), last.min(500))?;
        found.extend(page.into_iter().filter(|info| all || info.kind == StreamKind::Session));
        let Some(more) = more else { break };
        before = Some(more);
    }
    found.truncate(last);
    Ok(found)
}

pub(crate) async fn events(
    State(api): State<Arc<Api>>,
    _: Auditor,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let reader = api.reader.clone();
    let id = named(&reader, name).await?;
    Ok(streamed(NDJSON, move |out| {
        for event in reader.events(id, 0) {
            serde_json::to_writer(&mut *out, &event.map_err(io::Error::other)?)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }))
}

#[derive(Deserialize)]
pub(crate) struct Since {
    since: Timestamp,
}

/// What was asked and decided since then: of each session the event that began it, and its commands received and decided.
pub(crate) async fn commands(
    State(api): State<Arc<Api>>,
    _: Auditor,
    Query(Since { since }): Query<Since>,
) -> Response {
    let reader = api.reader.clone();
    streamed(NDJSON, move |out| write_commands(&reader, since, out))
}

fn write_commands(reader: &Reader, since: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let mut before = None;
    loop {
        let (page, more) = reader.sessions(before.as_ref(), 500).map_err(io::Error::other)?;
        let lasted = |info: &&SessionInfo| info.ended.is_none_or(|ended| ended >= since);
        for info in page.iter().filter(|info| info.kind == StreamKind::Session).filter(lasted) {
            for event in reader.events(info.id, 0) {
                let event = event.map_err(io::Error::other)?;
                let is_command =
                    matches!(event.body, EventBody::CommandReceived { .. } | EventBody::CommandDecided { .. });
                if matches!(event.body, EventBody::SessionStarted { .. }) || (is_command && event.at >= since) {
                    serde_json::to_writer(&mut *out, &event)?;
                    out.write_all(b"\n")?;
                }
            }
        }
        let Some(more) = more else { return Ok(()) };
        before = Some(more);
    }
}

pub(crate) async fn export_one(
    State(api): State<Arc<Api>>,
    _: Auditor,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let reader = api.reader.clone();
    let id = named(&reader, name).await?;
    let (probe, recorder) = (reader.clone(), api.recorder.clone());
    sealed(recorder, move || export::sessions(&probe, &[id], &[], io::sink())).await?;
    Ok(streamed(NDJSON, move |out| export::sessions(&reader, &[id], &[], out).map(drop).map_err(io::Error::other)))
}

/// A session for players. It is not proved by anything, so it waits for no seal.
pub(crate) async fn asciicast(
    State(api): State<Arc<Api>>,
    _: Auditor,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let reader = api.reader.clone();
    let id = named(&reader, name).await?;
    Ok(streamed(ASCIICAST, move |out| cast::write(reader.events(id, 0), out).map_err(io::Error::other)))
}

pub(crate) async fn export_all(State(api): State<Arc<Api>>, _: Auditor) -> Result<Response, ApiError> {
    let reader = api.reader.clone();
    let (probe, recorder) = (reader.clone(), api.recorder.clone());
    sealed(recorder, move || probe.checkpoint()).await?;
    Ok(streamed(NDJSON, move |out| export::all(&reader, &[], out).map(drop).map_err(io::Error::other)))
}

/// Tries until what is asked for is sealed.
async fn sealed<T: Send + 'static>(
    recorder: Option<Recorder>,
    attempt: impl Fn() -> Result<T, AuditError> + Clone + Send + 'static,
) -> Result<(), ApiError> {
    let not_yet = || ApiError::Conflict("the record is not sealed that far yet; try again".to_owned());
    let mut seals = recorder.as_ref().map(Recorder::checkpoints);
    if let (Some(recorder), Some(seals)) = (&recorder, &mut seals) {
        let covered = recorder.sealed();
        seals.mark_unchanged();
        let _none_came = tokio::time::timeout(SEAL_COMES_WITHIN, seals.changed()).await;
        // That seal need not have what was recorded while it was written.
        if !matches!(tokio::time::timeout(SEALED_WITHIN, covered).await, Ok(Ok(()))) {
            return Err(not_yet());
        }
    }
    loop {
        let attempt = attempt.clone();
        let outcome = tokio::task::spawn_blocking(attempt).await.map_err(ApiError::internal)?;
        match (outcome, &mut seals) {
            (Ok(_), _) => return Ok(()),
            (Err(AuditError::NotSealed(_)), Some(seals)) => {
                let next = tokio::time::timeout(SEALED_WITHIN, seals.changed()).await;
                if !matches!(next, Ok(Ok(()))) {
                    return Err(not_yet());
                }
            }
            (Err(error), _) => return Err(told(error)),
        }
    }
}

/// What a verification found.
#[derive(Serialize)]
pub(crate) struct Verified {
    unaltered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<String>,
    sessions: u64,
    events: u64,
    unsealed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Against {
    /// A checkpoint kept elsewhere: a signed note.
    checkpoint: Option<String>,
}

pub(crate) async fn verify(
    State(api): State<Arc<Api>>,
    _: Auditor,
    Query(against): Query<Against>,
) -> Result<Json<Verified>, ApiError> {
    let key = api.public.clone();
    let earlier = against
        .checkpoint
        .map(|note| Checkpoint::open(&note, &key))
        .transpose()
        .map_err(|error| ApiError::BadRequest(format!("the checkpoint: {error}")))?;
    let log = Arc::clone(&api.log);
    let outcome = tokio::task::spawn_blocking(move || verify::store(&log, &key, earlier.as_slice()))
        .await
        .map_err(ApiError::internal)?;
    match outcome {
        Ok(report) => Ok(Json(Verified {
            unaltered: true,
            finding: None,
            told: None,
            sessions: report.sessions,
            events: report.events,
            unsealed: report.unsealed,
            checkpoint: report.note,
        })),
        Err(VerifyError::Broken(finding)) => Ok(Json(Verified {
            unaltered: false,
            told: Some(finding.to_string()),
            finding: Some(finding),
            sessions: 0,
            events: 0,
            unsealed: 0,
            checkpoint: None,
        })),
        Err(VerifyError::Unread(error)) => Err(told(error)),
        Err(other) => Err(ApiError::Conflict(other.to_string())),
    }
}

pub(crate) async fn checkpoint(State(api): State<Arc<Api>>, _: Auditor) -> Result<String, ApiError> {
    let reader = api.reader.clone();
    let note = blocking(move || reader.checkpoint()).await?;
    note.ok_or_else(|| ApiError::NotFound("nothing is sealed yet".to_owned()))
}

pub(crate) async fn public_key(State(api): State<Arc<Api>>, _: Auditor) -> String {
    format!("{}\n", api.public)
}

/// Events from now on, one a line, until the client leaves or the gateway stops.
pub(crate) async fn tail(State(api): State<Arc<Api>>, _: Auditor) -> Result<Response, ApiError> {
    let Some(recorder) = &api.recorder else {
        return Err(ApiError::Conflict("no gateway runs, so nothing is being recorded".to_owned()));
    };
    let lines = stream::unfold(recorder.tail(), |mut tail| async move {
        loop {
            match tail.recv().await {
                Ok(recorded) => {
                    let line = [recorded.json.as_ref(), b"\n"].concat();
                    return Some((Ok::<_, io::Error>(Bytes::from(line)), tail));
                }
                // Whoever reads too slowly reads the record itself for what it missed.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

/// The session that this id, or this start of one, names.
async fn named(reader: &Reader, name: String) -> Result<SessionId, ApiError> {
    let reader = reader.clone();
    if let Ok(id) = name.parse::<SessionId>() {
        return blocking(move || reader.session(id).map(|info| info.id)).await;
    }
    let sought = name.to_ascii_lowercase();
    let found = blocking(move || newest(&reader, MOST, true)).await?;
    let mut matching = found.iter().map(|info| info.id).filter(|id| id.to_string().starts_with(&sought));
    match (matching.next(), matching.next()) {
        (Some(id), None) if !sought.is_empty() => Ok(id),
        (Some(_), _) => {
            Err(ApiError::Conflict(format!("`{name}` begins the ids of several sessions; give more of it")))
        }
        (None, _) => Err(ApiError::NotFound(format!("no recorded session has an id that begins with `{name}`"))),
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(read).await.map_err(ApiError::internal)?.map_err(told)
}

fn told(error: AuditError) -> ApiError {
    match error {
        AuditError::NoSession(id) => ApiError::NotFound(format!("there is no recorded session {id}")),
        AuditError::NotSealed(id) => {
            ApiError::Conflict(format!("the record of session {id} is not sealed yet; try again"))
        }
        AuditError::Damaged(finding) => ApiError::Conflict(format!("the record is damaged: {finding}")),
        other => ApiError::internal(other),
    }
}

/// A body that a blocking writer makes, a chunk at a time; a write fails once the client has left.
fn streamed(kind: &'static str, write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> Response {
    let (chunks, mut receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(CHUNK, Chunks(chunks.clone()));
        if let Err(error) = write(&mut out).and_then(|()| out.flush()) {
            // The client sees a body that ends with an error, never a short one that looks whole.
            tracing::warn!(%error, "a body ended early");
            let _left = chunks.blocking_send(Err(error));
        }
    });
    let body = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(body)).into_response()
}

struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(Ok(chunk)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
