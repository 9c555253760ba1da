//! Dialling backends: a host name, an address or a Unix socket, within one overall time.
//!
//! Promises: the addresses a name resolves to (at most 16) are tried in turn, each with its share of the time; the
//! result says where it really connected, so that a caller can tell the machine itself from the network. Plaintext
//! towards the network is the caller's decision: [`Dialed::is_local`] is the fact it needs.
//! Does not promise: TLS (see [`crate::ClientTls`]) or anything about the peer behind the address.
//! Held by: the tests below.

use crate::accept::{Limits, tune};
use crate::error::{Error, Result};
use crate::io::Io;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream, lookup_host};

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or address, and a port.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket, or whatever path its protocol derives the socket from.
    Unix(PathBuf),
}

impl Address {
    /// The host to verify a certificate against; none for a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            Self::Unix(_) => None,
        }
    }

    /// Whether it names this machine without asking a name service: a Unix socket, a loopback address, `localhost`.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => host
                .parse::<IpAddr>()
                .map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |ip| ip.to_canonical().is_loopback()),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason| Error::Address { address: text.to_owned(), reason };
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        let port =
            port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(|| wrong("the port is not 1..65535"))?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().map_err(|_| wrong("not an IPv6 address"))?.to_string(),
            None if host.contains(':') => return Err(wrong("an IPv6 address stands in brackets")),
            None => host.to_owned(),
        };
        if host.is_empty() || host.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/') {
            return Err(wrong("the host is empty or has a character no host has"));
        }
        Ok(Self::Tcp { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Bounds of one dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialOptions {
    /// For name resolution and all attempts together.
    pub timeout: Duration,
    /// Idle time after which the kernel probes a silent peer.
    pub keepalive: Duration,
    /// How long written data may stay unacknowledged (`TCP_USER_TIMEOUT`).
    pub user_timeout: Duration,
}

impl Default for DialOptions {
    fn default() -> Self {
        let limits = Limits::default();
        Self { timeout: Duration::from_secs(10), keepalive: limits.keepalive, user_timeout: limits.user_timeout }
    }
}

/// A connection just made, not yet covered by TLS.
#[derive(Debug)]
pub struct Dialed {
    /// The stream.
    pub io: Io,
    /// The address it connected to; none for a Unix socket.
    pub peer: Option<SocketAddr>,
}

impl Dialed {
    /// Whether the bytes stay on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback())
    }
}

/// Connects to `address`.
///
/// # Errors
/// [`Error::Dial`] with what the last attempt said, or [`Error::DialTimeout`].
pub async fn dial(address: &Address, options: DialOptions) -> Result<Dialed> {
    match tokio::time::timeout(options.timeout, attempt(address, options)).await {
        Ok(done) => done.map_err(|source| Error::Dial { address: address.to_string(), source }),
        Err(_) => Err(Error::DialTimeout { address: address.to_string() }),
    }
}

async fn attempt(address: &Address, options: DialOptions) -> io::Result<Dialed> {
    let (host, port) = match address {
        Address::Tcp { host, port } => (host.as_str(), *port),
        Address::Unix(path) => return Ok(Dialed { io: UnixStream::connect(path).await?.into(), peer: None }),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name resolves to no address");
    let deadline = Instant::now() + options.timeout;
    let peers: Vec<SocketAddr> = lookup_host((host, port)).await?.take(MOST_ADDRESSES).collect();
    for (tried, peer) in peers.iter().enumerate() {
        // An address that does not answer at all leaves time for the others.
        let left = u32::try_from(peers.len() - tried).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let connected = tokio::time::timeout(share, TcpStream::connect(peer)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let limits =
                    Limits { keepalive: options.keepalive, user_timeout: options.user_timeout, ..Limits::default() };
                tune(&stream, &limits)?;
                return Ok(Dialed { io: stream.into(), peer: Some(*peer) });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn addresses_read_one_way_only() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        for (text, expected) in [
            ("db.example.com:5432", tcp("db.example.com", 5432)),
            ("127.0.0.1:1", tcp("127.0.0.1", 1)),
            ("[::1]:5432", tcp("::1", 5432)),
            ("/run/postgresql", Address::Unix("/run/postgresql".into())),
        ] {
            let read: Address = text.parse().unwrap();
            assert_eq!(read, expected);
            assert_eq!(read.to_string(), text);
        }
        for text in ["", "db", "db:", "db:0", "db:65536", "::1:5432", "[::1:5432", "[x]:1", ":5", "a b:1", "a/b:1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn local_addresses_are_recognised() {
        for (text, local) in [
            ("localhost:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("/run/x", true),
            ("10.0.0.1:1", false),
            ("localhost.example.com:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_local(), local, "{text}");
        }
    }

    #[tokio::test]
    async fn dials_tcp_and_unix_and_says_where() {
        let listener = crate::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Address::Tcp { host: "127.0.0.1".into(), port };
        let dialed = dial(&address, DialOptions::default()).await.unwrap();
        assert!(dialed.is_local() && dialed.peer.is_some());

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let unix = tokio::net::UnixListener::bind(&path).unwrap();
        let mut dialed = dial(&Address::Unix(path), DialOptions::default()).await.unwrap();
        assert!(dialed.is_local() && dialed.peer.is_none());
        dialed.io.write_all(b"x").await.unwrap();
        let mut got = [0];
        unix.accept().await.unwrap().0.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"x");
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        // On most machines the name also has an IPv6 address, on which nothing listens.
        let listener = crate::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialed = dial(&Address::Tcp { host: "localhost".into(), port }, DialOptions::default()).await.unwrap();
        assert!(dialed.is_local());
    }

    #[tokio::test]
    async fn a_refused_port_is_an_error_that_names_it() {
        let listener = crate::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let address = Address::Tcp { host: "127.0.0.1".into(), port };
        let error = dial(&address, DialOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
