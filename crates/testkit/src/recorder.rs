//! A relay in front of a real server that remembers every byte a client wrote towards it.
//!
//! Promises: bytes are in the [`Ledger`] before the server can see them; both directions and half-closes are kept.
//! With the gateway on one side and PostgreSQL on the other, "no byte of a refused command is ever written upstream" is
//! a question to the ledger. Does not promise to read TLS: the gateway's connection uses `tls: disable`.
//! Held by: `tests/it/wire.rs`.

use crate::error::TestkitError;
use crate::ledger::Ledger;
use crate::listening::Listening;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running recorder.
#[derive(Debug)]
pub struct Recorder {
    listening: Listening,
    ledger: Ledger,
}

impl Recorder {
    /// Listens on a random loopback port and relays to `upstream` (`host:port`).
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub fn start(upstream: &str) -> Result<Self, TestkitError> {
        let ledger = Ledger::default();
        let (written, upstream) = (ledger.clone(), upstream.to_owned());
        let listening = Listening::start(move |client| {
            let (ledger, upstream) = (written.clone(), upstream.clone());
            async move {
                // Both peers see the end of their connection; there is nobody else to tell.
                let _ended = record(client, &upstream, &ledger).await;
            }
        })?;
        Ok(Self { listening, ledger })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.listening.address.to_string()
    }

    /// What was written towards the server.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

async fn record(client: TcpStream, upstream: &str, ledger: &Ledger) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let entry = ledger.open();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let towards_server = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = from_client.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
            ledger.append(entry, bytes);
            to_server.write_all(bytes).await?;
        }
        to_server.shutdown().await
    };
    let towards_client = async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(towards_server, towards_client).map(drop)
}
