//! The one API router: what the command line and the web console are clients of.
//!
//! It is served three ways with the same routes and the same answers: over TLS on the console listener, to whoever
//! presents a token; over `data_dir/admin.sock`, to the local administrator; and in process over an opened store when
//! no gateway runs ([`call`]). Every change made through it is an `admin.*` event.
//!
//! | route | who | what |
//! |---|---|---|
//! | `GET /livez /healthz /readyz /metrics` | anybody | health, Prometheus text |
//! | `GET /api/v1/logins` | anybody | where people log in |
//! | `GET /api/v1/whoami`, `/connections`, `/ca` | any principal | itself; what is configured; how to verify the gateway |
//! | `GET POST /api/v1/tokens`, `DELETE /api/v1/tokens/ID` | admin | tokens |
//! | `POST /api/v1/ssh-certificates` | whoever logged in at a provider | an SSH certificate of that login |
//! | `POST /api/v1/revocations` | admin | ends what a provider gave somebody |
//! | `POST /api/v1/renewals` | whoever logged in at a provider | keeps the sessions of their earlier logins |
//! | `POST /api/v1/policy/reload` | admin | bundles read again |
//! | `GET /api/v1/approvals`, `/approvals/ID` | approver, auditor | what waits for people, and what became of it |
//! | `POST /api/v1/approvals/ID/votes` | approver, by an interactive login | yes or no, and with a yes `for` how long a grant |
//! | `GET /api/v1/grants` | approver, auditor | what people allowed for some minutes |
//! | `DELETE /api/v1/grants/ID` | approver, admin | ends one |
//! | `GET /api/v1/sessions`, `/sessions/ID/events`, `/sessions/ID/export`, `/export` | auditor | the record |
//! | `GET /api/v1/sessions/ID/asciicast` | auditor | a session for players |
//! | `GET /api/v1/commands?since=TIME` | auditor | what was asked and decided since then |
//! | `GET /api/v1/verify`, `/checkpoint`, `/public-key`, `/tail` | auditor | proofs; events as they come |
//! | `GET /api/v1/live`, `DELETE /api/v1/live/ID` | admin | open sessions; ending one |
//!
//! Promises: a route answers 401 without a principal and 403 without its role; an error says what to do and never shows
//! an internal detail. Does not promise pages of results: listings are bounded by `last`.
//! Held by: `crates/console/tests/it`.

mod approvals;
mod caller;
mod certificates;
mod error;
mod health;
mod live;
mod policy;
mod record;
mod tokens;
mod transport;

pub use health::Health;
pub use tokens::fuzz_token_request;
pub use transport::{AdminSocket, call, serve_tls};

use axum::Router;
use axum::routing::{delete, get, post};
use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Reader, Recorder, VerifyingKey};
use portcullis_gate::Gate;
use portcullis_identity::{Identity, Roles};
use portcullis_model::{AdminAction, Connection, EventBody, Principal, Problem, Protocol, StreamKind};
use portcullis_store::Log;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads the configured bundles again and puts them into force; the problems where they are refused.
pub type Reload = Arc<dyn Fn() -> Result<Vec<Problem>, Vec<Problem>> + Send + Sync>;

/// Where an administrator's change is recorded.
pub enum Journal {
    /// The running gateway's own stream.
    Gate(Gate),
    /// A stream begun for each change, where no gateway runs.
    Record {
        /// The record.
        recorder: Recorder,
        /// This program's version, as recorded.
        version: Arc<str>,
    },
}

impl Journal {
    fn record(&self, by: &Principal, change: AdminAction) -> Result<(), error::ApiError> {
        match self {
            Self::Gate(gate) => gate.changed(by.clone(), change)?,
            Self::Record { recorder, version } => {
                let now = Timestamp::now();
                let started = EventBody::SessionStarted {
                    kind: StreamKind::Gateway,
                    principal: None,
                    connection: None,
                    client: None,
                    gateway: Arc::clone(version),
                };
                let stream = recorder.begin(started, now)?;
                stream.append(now, [EventBody::AdminChanged { by: by.clone(), change }])?;
                stream.end(now, "administration without a gateway")?;
            }
        }
        Ok(())
    }

    const fn gate(&self) -> Option<&Gate> {
        match self {
            Self::Gate(gate) => Some(gate),
            Self::Record { .. } => None,
        }
    }
}

/// Where clients of one protocol connect.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Which.
    pub protocol: Protocol,
    /// Its listener.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Where people log in: an OpenID Connect provider.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Login {
    /// Its URL.
    pub issuer: Arc<str>,
    /// The public client that they log in with.
    pub client: Arc<str>,
}

/// What the routes work on.
pub struct Api {
    /// Where changes are recorded; with the gate, where one runs.
    pub journal: Journal,
    /// Who is who.
    pub identity: Arc<Identity>,
    /// Which groups may do what here.
    pub roles: Roles,
    /// The record, for reading.
    pub reader: Reader,
    /// The store that holds it, for proving the whole of it.
    pub log: Arc<dyn Log>,
    /// Its public key.
    pub public: VerifyingKey,
    /// The record, for following; `None` where no gateway runs.
    pub recorder: Option<Recorder>,
    /// What is configured.
    pub connections: Vec<Connection>,
    /// Where clients connect, by protocol.
    pub endpoints: Vec<Endpoint>,
    /// The authority that clients verify the gateway with (PEM), where it made its own.
    pub authority: Option<PathBuf>,
    /// The key by which SSH clients know the gateway, in OpenSSH's form, where it has a listener for them.
    pub ssh_host_key: Option<Arc<str>>,
    /// Where people log in.
    pub logins: Vec<Login>,
    /// Where approvals are given; closed where no gateway runs.
    pub desk: Desk,
    /// Reads the bundles again; `None` where no gateway runs.
    pub reload: Option<Reload>,
    /// Whether the gateway is ready.
    pub health: Health,
}

/// The routes over this state. Whoever serves them adds the caller to each request; `transport` does.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let v1 = Router::new()
        .route("/logins", get(caller::logins))
        .route("/whoami", get(caller::whoami))
        .route("/connections", get(caller::connections))
        .route("/ca", get(caller::authority))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", delete(tokens::revoke))
        .route("/ssh-certificates", post(certificates::create))
        .route("/revocations", post(tokens::revoke_logins))
        .route("/renewals", post(live::renew))
        .route("/policy/reload", post(policy::reload))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/votes", post(approvals::vote))
        .route("/grants", get(approvals::grants))
        .route("/grants/{id}", delete(approvals::revoke))
        .route("/sessions", get(record::sessions))
        .route("/sessions/{id}/events", get(record::events))
        .route("/commands", get(record::commands))
        .route("/sessions/{id}/export", get(record::export_one))
        .route("/sessions/{id}/asciicast", get(record::asciicast))
        .route("/export", get(record::export_all))
        .route("/verify", get(record::verify))
        .route("/checkpoint", get(record::checkpoint))
        .route("/public-key", get(record::public_key))
        .route("/tail", get(record::tail))
        .route("/live", get(live::list))
        .route("/live/{id}", delete(live::end));
    Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .nest("/api/v1", v1)
        .fallback(error::no_such_route)
        .with_state(api)
}
