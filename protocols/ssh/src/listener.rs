//! A listener at the target (`ssh -R`): where it is, and what permits it.
//!
//! Promises: one address has one spelling here, which is judged, sent and compared ([`Place`]); an address that a
//! resolver could take for another than rules read (numbers that are no plain IP address, a dot at the end, a mark) is
//! none. What comes to a listener is sent under the permit of that listener ([`Under`]), and counted for it.
//! Does not promise what the target binds for an address: its own configuration says that.
//! Held by: the tests below and `tests/it/ssh_forwards.rs` of the binary.

use portcullis_gate::{Permit, Session};
use portcullis_model::{Digest, Outcome};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a name (RFC 1035 §2.3.4).
const NAME: usize = 253;
/// The word for every address of the target.
const EVERY: &str = "*";

/// An address and a port to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// As the client wrote it: it recognises what comes by that.
    asked: String,
    address: String,
    port: u16,
}

impl Place {
    /// What a client asked for; `None` where that is no address or no port.
    pub(crate) fn new(asked: &str, port: u32) -> Option<Self> {
        let port = u16::try_from(port).ok()?;
        let address = match asked {
            "" | EVERY => EVERY.to_owned(),
            name => name.parse().map_or_else(|_| name_of(name), |ip: IpAddr| Some(ip.to_string()))?,
        };
        Some(Self { asked: asked.to_owned(), address, port })
    }

    /// The address as the client wrote it.
    pub(crate) fn asked(&self) -> &str {
        &self.asked
    }

    /// The address as the target is told it: nothing is every one (RFC 4254 §7.1).
    pub(crate) fn sent(&self) -> &str {
        if self.address == EVERY { "" } else { &self.address }
    }

    /// The port; 0 where the target chooses.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The same with the port that the target chose.
    pub(crate) fn at(&self, port: u32) -> String {
        if self.address.contains(':') {
            format!("[{}]:{port}", self.address)
        } else {
            format!("{}:{port}", self.address)
        }
    }
}

impl fmt::Display for Place {
    /// As rules write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at(self.port.into()))
    }
}

/// A name that is nothing but a name.
fn name_of(asked: &str) -> Option<String> {
    let plain = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = asked.to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    // `127.1` and `0x7f.1` are addresses to a resolver.
    let number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    (name.len() <= NAME && name.split('.').all(plain) && !number).then_some(name)
}

/// What permits a listener, and what was carried under that.
pub(crate) struct Granted {
    permit: Permit,
    connections: AtomicU64,
    /// Bytes of the target to the client.
    bytes: AtomicU64,
}

impl Granted {
    pub(crate) const fn new(permit: Permit) -> Self {
        Self { permit, connections: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    pub(crate) const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// One more connection.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Says how it ended.
    pub(crate) fn settle(self, session: &Session, why: &str) {
        let connections = self.connections.into_inner();
        let status = format!("{why}, {connections} connections carried").into();
        let outcome = Outcome::Completed { status, rows: 0, bytes: self.bytes.into_inner() };
        session.settle(self.permit, outcome, None);
    }
}

/// What something runs under.
pub(crate) enum Under {
    /// A permit of its own.
    Own(Permit),
    /// That of the listener to which it came.
    Listener(Arc<Granted>),
}

impl Under {
    pub(crate) fn permit(&self) -> &Permit {
        match self {
            Self::Own(permit) => permit,
            Self::Listener(granted) => granted.permit(),
        }
    }

    /// Bytes that go to the client.
    pub(crate) fn count(&self, bytes: usize) {
        match self {
            // Its output counts them.
            Self::Own(_) => {}
            Self::Listener(granted) => {
                granted.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        }
    }

    /// Says how it ended; a listener goes on.
    pub(crate) fn settle(self, session: &Session, outcome: Outcome, data: Option<Digest>) {
        match self {
            Self::Own(permit) => session.settle(permit, outcome, data),
            Self::Listener(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for (asked, sent, shown) in [
            ("localhost", "localhost", "localhost:80"),
            ("LocalHost", "localhost", "localhost:80"),
            ("", "", "*:80"),
            ("*", "", "*:80"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1:80"),
            ("0.0.0.0", "0.0.0.0", "0.0.0.0:80"),
            ("::1", "::1", "[::1]:80"),
            ("0:0:0:0:0:0:0:1", "::1", "[::1]:80"),
            ("::", "::", "[::]:80"),
            ("build_1.x-y.internal", "build_1.x-y.internal", "build_1.x-y.internal:80"),
        ] {
            let place = Place::new(asked, 80).unwrap();
            assert_eq!((place.sent(), place.to_string().as_str(), place.asked()), (sent, shown, asked));
        }
    }

    #[test]
    fn what_a_resolver_could_read_otherwise_is_no_address() {
        let long = "a".repeat(NAME + 1);
        for asked in [
            "127.1",
            "0",
            "0x7f.1",
            "0X7F000001",
            "127.0.0.01",
            "1.2.3.4.5",
            "localhost.",
            ".",
            "a..b",
            "a b",
            "a:1",
            "[::1]",
            "fe80::1%eth0",
            "*.b",
            "a*",
            "a/b",
            "a\0",
            "a\n",
            "é",
            "?",
            &long,
        ] {
            assert_eq!(Place::new(asked, 80), None, "{asked:?}");
        }
        assert!(Place::new("localhost", 65_535).is_some() && Place::new("localhost", 0).is_some());
        assert_eq!(Place::new("localhost", 65_536), None);
    }
}
