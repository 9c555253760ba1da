//! A plain byte relay: what any proxy must at least cost. Benchmarks compare against it where haproxy is absent.
//!
//! Promises: every byte in order, both ways, half-closes kept, no delay of small writes. Reads nothing.
//! Held by: `scripts/bench` only; [`crate::recorder`] is the relay that tests use.

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Accepts on `listener` for ever and copies each connection to and from `upstream`.
///
/// # Errors
/// When accepting fails; a connection that fails ends alone.
pub async fn relay(listener: TcpListener, upstream: SocketAddr) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (client, _peer) = listener.accept().await?;
        connections.spawn(async move {
            // The peers see the end of their connection; there is nobody else to tell.
            let _ended = copy(client, upstream).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn copy(mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}
