//! The plain byte relay as a program, for `scripts/bench` where haproxy is absent: `relay UPSTREAM_HOST:PORT` prints the
//! address that it listens on and relays until it is killed.

use std::io::Write;
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let upstream: SocketAddr = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| std::io::Error::other("usage: relay UPSTREAM_HOST:PORT"))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    std::io::stdout().flush()?;
    portcullis_testkit::relay(listener, upstream).await
}
