//! What can go wrong below the protocols, each variant saying whose doing it is.
//!
//! Promises: no variant carries bytes that a peer sent, and none carries key material, so every one may be logged.
//! Held by: the tests of the modules that return them.

use std::io;
use std::path::PathBuf;

/// The result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of a listener, a certificate, a dial or a handshake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address in the configuration cannot be read. The operator's.
    #[error("address {address:?} is not `host:port`, `[v6]:port` or an absolute socket path: {reason}")]
    Address {
        /// The text given.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Certificates cannot be made or read. The operator's or the disk's.
    #[error("certificate {path}: {reason}", path = path.display())]
    Certificate {
        /// The file concerned.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection to a backend. The backend's or the network's.
    #[error("cannot reach {address}: {source}")]
    Dial {
        /// Where it was dialled.
        address: String,
        /// What the system said; the last address tried, when a name has several.
        source: io::Error,
    },
    /// No connection to a backend within the time allowed. The backend's or the network's.
    #[error("cannot reach {address}: no answer in time")]
    DialTimeout {
        /// Where it was dialled.
        address: String,
    },
    /// A TLS handshake with a backend failed. The backend's, or the trust configured for it.
    #[error("TLS with {name}: {source}")]
    Handshake {
        /// The name that was to be verified.
        name: String,
        /// What rustls said.
        source: io::Error,
    },
    /// A listener cannot be opened. The operator's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address of the listener.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// TLS settings that cannot work together. The operator's.
    #[error("TLS settings: {0}")]
    Settings(String),
}
