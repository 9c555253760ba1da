//! Listeners: accept within limits, one task per connection, end gracefully.
//!
//! Promises: at most `max_connections` tasks at once, at most `max_unauthenticated` of them before login, and at most
//! `max_unauthenticated_per_address` from one address (IPv6 is counted by /64, IPv4-mapped as IPv4); what is above a
//! limit is closed at once and costs no task. The count before login is a guard value: it falls when the session says
//! so or ends, however it ends. A connection that needs longer than a login otherwise takes, because a person does something
//! elsewhere, takes one of `max_waiting` places besides (`max_waiting_per_address` from one address). Running out of file descriptors slows accepting down and never ends it. When the drain
//! starts, the listener closes; when its deadline passes, what still runs is dropped.
//!
//! Does not promise: a native error to a connection above a limit (nothing is known about its protocol), nor fairness
//! between addresses below it.
//! Held by: the tests in `accept/tests.rs`.

use crate::drain::Drain;
use crate::error::{Error, Result};
use crate::io::Io;
use socket2::{SockRef, TcpKeepalive};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

#[cfg(test)]
mod tests;
mod waits;

pub use waits::{Waiting, Waits};

/// Bounds of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at once.
    pub max_connections: usize,
    /// Connections before login, over all addresses.
    pub max_unauthenticated: usize,
    /// Connections before login from one address.
    pub max_unauthenticated_per_address: usize,
    /// Of those, connections that may wait for their person at once, over all addresses.
    pub max_waiting: usize,
    /// Connections that may wait for their person at once, from one address.
    pub max_waiting_per_address: usize,
    /// Idle time after which the kernel probes a silent peer.
    pub keepalive: Duration,
    /// How long written data may stay unacknowledged, or unread behind a full receive window, before the connection is
    /// given up (`TCP_USER_TIMEOUT`, tcp(7)). A client paused in a pager keeps its window full: this is longer than a
    /// person pauses.
    pub user_timeout: Duration,
    /// How long sessions may take to end after a drain was asked for.
    pub drain_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_unauthenticated: 1_000,
            max_unauthenticated_per_address: 128,
            max_waiting: 128,
            max_waiting_per_address: 16,
            keepalive: Duration::from_secs(60),
            user_timeout: Duration::from_secs(15 * 60),
            drain_deadline: Duration::from_secs(30),
        }
    }
}

/// One accepted connection, handed to the listener's handler.
#[derive(Debug)]
pub struct Accepted {
    /// The stream: `TCP_NODELAY`, keepalive and user timeout are set.
    pub io: Io,
    /// Who connected.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// Counts against the limits before login; give it to [`Unauthenticated::authenticated`] after it.
    pub unauthenticated: Unauthenticated,
    /// The drain of this listener.
    pub drain: Drain,
}

/// One place among the connections that have not logged in. Dropping it frees the place.
#[must_use = "dropping it frees the place of a connection that has not logged in"]
#[derive(Debug)]
pub struct Unauthenticated {
    _address: Arc<()>,
    _all: Arc<()>,
    waits: Waits,
}

impl Unauthenticated {
    /// Where it may wait for its person.
    #[must_use]
    pub fn waits(&self) -> Waits {
        self.waits.clone()
    }

    /// The session has logged in and no longer counts.
    pub fn authenticated(self) {}
}

/// How a listener ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Sessions that were still running at the deadline and were dropped.
    pub cut: usize,
}

/// Opens a listener. Port 0 takes a free port; ask the listener which.
///
/// # Errors
/// [`Error::Listen`] when the address is taken or not ours.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let open = || -> io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|source| Error::Listen { address, source })
}

/// Accepts until the drain starts, running `handler` in a task of its own for every connection; returns once the last
/// of them ended or the deadline of the drain passed.
pub async fn serve_tcp<H, F>(listener: TcpListener, limits: Limits, drain: Drain, handler: H) -> Drained
where
    H: Fn(Accepted) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = TaskTracker::new();
    let mut admission = Admission::new(limits);
    let mut pause = Duration::ZERO;
    loop {
        let next = tokio::select! {
            biased;
            () = drain.draining() => break,
            next = listener.accept() => next,
        };
        match next {
            Ok((stream, peer)) => {
                pause = Duration::ZERO;
                if let Some(accepted) = admission.admit(stream, peer, tasks.len(), &drain) {
                    let session = handler(accepted);
                    let drain = drain.clone();
                    tasks.spawn(async move {
                        tokio::select! {
                            biased;
                            () = drain.cutting() => {}
                            () = session => {}
                        }
                    });
                }
            }
            Err(error) => {
                pause = backoff(pause, &error);
                tokio::select! {
                    () = drain.draining() => break,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
    drop(listener);
    finish(tasks, limits.drain_deadline, &drain).await
}

/// Waits for the sessions until the deadline, then drops those that remain.
async fn finish(tasks: TaskTracker, deadline: Duration, drain: &Drain) -> Drained {
    tasks.close();
    let in_time = tokio::select! {
        () = tasks.wait() => true,
        () = drain.cutting() => false,
        () = tokio::time::sleep(deadline) => false,
    };
    let cut = if in_time { 0 } else { tasks.len() };
    drain.cut();
    tasks.wait().await;
    Drained { cut }
}

/// How long to wait before accepting again: not at all for an error of one connection, longer each time for one of the
/// process, such as having no file descriptor left.
fn backoff(before: Duration, error: &io::Error) -> Duration {
    let of_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if of_one_connection {
        return Duration::ZERO;
    }
    tracing::warn!(%error, "cannot accept connections; trying again");
    (before * 2).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// The counts of one listener. Only the accept loop touches the map; a guard is a clone of the counted [`Arc`], so
/// freeing a place needs neither lock nor channel.
struct Admission {
    limits: Limits,
    all: Arc<()>,
    waits: Arc<Semaphore>,
    by_address: HashMap<IpAddr, OfAddress>,
}

/// The counts of one address.
struct OfAddress {
    places: Arc<()>,
    waits: Arc<Semaphore>,
}

impl Admission {
    fn new(limits: Limits) -> Self {
        let waits = Arc::new(Semaphore::new(limits.max_waiting));
        Self { limits, all: Arc::new(()), waits, by_address: HashMap::new() }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, running: usize, drain: &Drain) -> Option<Accepted> {
        if running >= self.limits.max_connections {
            tracing::warn!(%peer, "connection closed: the listener is full");
            return None;
        }
        let Some(unauthenticated) = self.place(peer.ip()) else {
            tracing::warn!(%peer, "connection closed: too many that have not logged in");
            return None;
        };
        let local = stream.local_addr().ok()?;
        if let Err(error) = tune(&stream, &self.limits) {
            tracing::debug!(%peer, %error, "connection closed: it is gone already");
            return None;
        }
        Some(Accepted { io: stream.into(), peer, local, unauthenticated, drain: drain.clone() })
    }

    fn place(&mut self, address: IpAddr) -> Option<Unauthenticated> {
        // Never more entries than connections plus one sweep's worth.
        if self.by_address.len() > self.limits.max_unauthenticated.max(16) {
            self.by_address.retain(|_, of_address| Arc::strong_count(&of_address.places) > 1);
        }
        let fresh = || OfAddress {
            places: Arc::default(),
            waits: Arc::new(Semaphore::new(self.limits.max_waiting_per_address)),
        };
        let OfAddress { places, waits } = self.by_address.entry(counted_as(address)).or_insert_with(fresh);
        let taken = |places: &Arc<()>| Arc::strong_count(places) - 1;
        if taken(places) >= self.limits.max_unauthenticated_per_address
            || taken(&self.all) >= self.limits.max_unauthenticated
        {
            return None;
        }
        let waits = Waits::new(Arc::clone(waits), Arc::clone(&self.waits));
        Some(Unauthenticated { _address: Arc::clone(places), _all: Arc::clone(&self.all), waits })
    }
}

/// One customer of the network owns a whole IPv6 /64, so that is what is counted.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Sets what every socket of the gateway has. `TCP_USER_TIMEOUT` exists on Linux only; elsewhere keepalive is the net.
pub(crate) fn tune(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(limits.keepalive).with_interval(Duration::from_secs(10)).with_retries(3),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(limits.user_timeout))?;
    Ok(())
}
