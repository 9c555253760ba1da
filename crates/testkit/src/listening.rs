//! Loopback ports: one for a real server to take ([`free_port`]), and a listener with a thread and a runtime of its own,
//! so that fake peers live in static values, in synchronous tests and beside paused clocks alike.
//!
//! Promises: connections are served concurrently, and dropping the value stops them all.
//! Does not promise that a free port stays free until somebody takes it.
//! Held by: the peers built on it.

use crate::error::TestkitError;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A running listener on a random loopback port.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Listening {
    /// Serves each accepted connection with `serve`.
    pub(crate) fn start<F, S>(serve: S) -> Result<Self, TestkitError>
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(TestkitError::io("listen on loopback"))?;
        listener.set_nonblocking(true).map_err(TestkitError::io("listen on loopback"))?;
        let address = listener.local_addr().map_err(TestkitError::io("listen on loopback"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(TestkitError::io("start a runtime"))?;
        let (stop, mut stopped) = oneshot::channel();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let mut connections = JoinSet::new();
                loop {
                    tokio::select! {
                        _dropped = &mut stopped => return,
                        accepted = listener.accept() => {
                            let Ok((stream, _peer)) = accepted else { return };
                            connections.spawn(serve(stream));
                        }
                    }
                    while connections.try_join_next().is_some() {}
                }
            });
        });
        Ok(Self { address, _stop: stop })
    }
}

/// A port that nobody has just now, for a server that must be told its port.
pub(crate) fn free_port() -> Result<u16, TestkitError> {
    let listener =
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(TestkitError::io("find a free port"))?;
    listener.local_addr().map(|address| address.port()).map_err(TestkitError::io("find a free port"))
}
