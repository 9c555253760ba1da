//! A client's connection from its first byte to its last: TLS, requests, the sessions they belong to, their exchanges.
//!
//! Promises: a body is read only for a caller whose identity was accepted, whom policy let in and whose session the
//! record took; a connection has a session for each credential and connection name that it shows, sixteen at most; a
//! killed session closes its client's connection at once, whatever either side does; a drain waits for the exchanges that
//! run, and ends the sockets; a client that leaves withdraws what waits and ends what runs.
//! Does not promise that one request of a connection waits for another: over HTTP/2 they run side by side.
//! A connection that sends the end of its own half is taken to be gone, since nothing else tells that nobody waits any
//! more for a held request.
//! Held by: `tests/it/http*.rs` of the binary.

mod asking;
mod body;
mod exchange;
mod front;
mod giving;
mod held;
mod line;
mod patience;
mod socket;
mod switching;

#[cfg(test)]
pub(crate) use body::collected;
pub(crate) use front::listener;

use crate::error::Result;
use crate::head::Routes;
use crate::upstream::{Destination, Way};
use front::Front;
use held::Bodies;
use hyper_util::rt::TokioIo;
use line::{HEAD, Line};
use portcullis_gate::Gate;
use portcullis_model::Name;
use portcullis_net::{Accepted, Io, ServerTls};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Requests of one connection that run or wait at once.
pub(crate) const REQUESTS: usize = 16;

/// How HTTP is served.
#[derive(Clone)]
pub struct Settings {
    /// TLS; plaintext without it.
    pub tls: Option<ServerTls>,
    /// For TLS, for each pause within a body, and until the first identity is accepted.
    pub handshake: Duration,
    /// A connection without a request is ended after this.
    pub idle: Duration,
    /// Bytes of a request's body, encoded and decoded.
    pub body: usize,
    /// The same for APIs of models, whose requests carry files.
    pub model_body: usize,
}

/// The HTTP side of a gateway. Share it behind an `Arc`.
pub struct Http {
    settings: Settings,
    gate: Gate,
    routes: Routes,
    ways: HashMap<Name, Arc<Way>>,
    bodies: Arc<Bodies>,
}

impl Http {
    /// Serves these destinations through the gate.
    ///
    /// # Errors
    /// [`crate::Error::Credential`]: a destination whose host or prefix is none.
    pub fn new(settings: Settings, gate: Gate, destinations: HashMap<Name, Destination>) -> Result<Self> {
        let mut routes = Routes::default();
        let mut ways = HashMap::new();
        for (name, destination) in destinations {
            let hosts = destination.hosts.iter().map(String::as_str).chain([name.as_str()]);
            routes.hosts.extend(hosts.map(|host| (host.to_ascii_lowercase(), name.clone())));
            routes.names.insert(name.clone());
            ways.insert(name, Arc::new(Way::new(&destination)?));
        }
        let bodies = Bodies::new(settings.body.max(settings.model_body));
        Ok(Self { settings, gate, routes, ways, bodies })
    }

    /// Takes an accepted connection to its end.
    pub async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { io, peer, unauthenticated, drain, .. } = accepted;
        let Some(io) = self.shake(io).await else { return };
        let transport =
            io.tls().map_or_else(|| "plaintext".to_owned(), |tls| tls.version.to_ascii_lowercase().replace('v', ""));
        let (sender, arrivals) = mpsc::channel(REQUESTS);
        let front = Front::new(Arc::clone(&self), sender);
        let line = Line::new(self, peer, transport.into(), drain, unauthenticated);
        let server = listener(HEAD);
        let serving = server.serve_connection_with_upgrades(TokioIo::new(io), front);
        line.run(serving, arrivals).await;
    }

    async fn shake(&self, io: Io) -> Option<Io> {
        match &self.settings.tls {
            None => Some(io),
            Some(tls) => tokio::time::timeout(self.settings.handshake, tls.accept(io)).await.ok()?.ok(),
        }
    }
}
