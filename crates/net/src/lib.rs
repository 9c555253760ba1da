//! Sockets for every protocol of the gateway: accept, TLS on both sides, dial, limits, drain. It knows no protocol.
//!
//! Promises: a listener never holds more connections than its [`Limits`], nor more unauthenticated ones from one
//! address than they allow; a peer that stops answering is noticed by keepalive and `TCP_USER_TIMEOUT`; a drain stops
//! accepting at once, tells the sessions, and ends after its deadline whatever they do. TLS is 1.2 or 1.3 with ring; towards
//! backends the certificate is verified by name unless the configuration says otherwise, and plaintext leaves the
//! machine only if it was asked for by name. Keys that this crate makes are files of mode 0600.
//!
//! Does not promise: anything about what flows through an [`Io`], nor a time limit on a handler; protocols bound their
//! own handshakes. Certificates are not checked for revocation.
//!
//! Held by: the tests beside each module, which run over loopback sockets on ports the system chose.

mod accept;
mod authority;
mod certificates;
mod client_tls;
mod dial;
mod drain;
mod error;
mod io;

pub use accept::{Accepted, Drained, Limits, Unauthenticated, Waiting, Waits, listen, serve_tcp};
pub use authority::{Authority, SelfMade};
pub use certificates::{Certificates, ServerTls};
pub use client_tls::{ClientTls, Roots, VerifyMode};
pub use dial::{Address, DialOptions, Dialed, dial};
pub use drain::Drain;
pub use error::{Error, Result};
pub use io::{Io, TlsInfo};
