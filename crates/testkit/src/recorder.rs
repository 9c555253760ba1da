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
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

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
        Self::torn(upstream, usize::MAX)
    }

    /// The same, writing at most `piece` bytes at a time in both directions, so that frames arrive torn everywhere.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub fn torn(upstream: &str, piece: usize) -> Result<Self, TestkitError> {
        let piece = piece.max(1);
        let ledger = Ledger::default();
        let (written, upstream) = (ledger.clone(), upstream.to_owned());
        let listening = Listening::start(move |client| {
            let (ledger, upstream) = (written.clone(), upstream.clone());
            async move {
                // Both peers see the end of their connection; there is nobody else to tell.
                let _ended = record(client, &upstream, &ledger, piece).await;
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

async fn record(client: TcpStream, upstream: &str, ledger: &Ledger, piece: usize) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let entry = ledger.open();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let towards_server = copy(from_client, to_server, piece, |bytes| ledger.append(entry, bytes));
    let towards_client = copy(from_server, to_client, piece, |_unrecorded| {});
    tokio::try_join!(towards_server, towards_client).map(drop)
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    piece: usize,
    seen: impl Fn(&[u8]),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
        seen(bytes);
        for part in bytes.chunks(piece) {
            to.write_all(part).await?;
            if piece < bytes.len() {
                tokio::task::yield_now().await;
            }
        }
    }
    to.shutdown().await
}
