//! A client that says exactly what a test tells it to, byte by byte, and reads what comes back frame by frame.
//!
//! Promises: logs in with a password in clear text or by SCRAM, as the server asks; after that nothing is added, kept
//! back or retried. Every read ends within [`PATIENCE`], so that a hanging server fails the test that met it.
//! Does not promise TLS: raw tests run on loopback against a listener without it.
//! Held by: `tests/it/wire.rs`.

use super::scram::ClientExchange;
use super::{Frame, frame, frontend, startup};
use crate::error::TestkitError;
use bytes::{Buf, Bytes, BytesMut};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What [`RawClient::drain_until_ready`] passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// DataRow and CopyData frames.
    pub rows: u64,
    /// Bytes of all frames.
    pub bytes: u64,
}

/// A connection, logged in or not.
pub struct RawClient {
    stream: TcpStream,
    /// ParameterStatus, BackendKeyData and the like that came with the login.
    pub greeting: Vec<Frame>,
}

impl RawClient {
    /// Connects and sends nothing.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub async fn connect(address: &str) -> Result<Self, TestkitError> {
        let stream = TcpStream::connect(address).await.map_err(TestkitError::io("connect"))?;
        stream.set_nodelay(true).map_err(TestkitError::io("connect"))?;
        Ok(Self { stream, greeting: Vec::new() })
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// [`TestkitError::Protocol`] with the server's message if it refuses.
    pub async fn login(address: &str, user: &str, database: &str, password: &str) -> Result<Self, TestkitError> {
        let mut client = Self::connect(address).await?;
        client.send(&startup(&[("user", user), ("database", database)])).await?;
        let mut scram = None;
        loop {
            let received = client.read().await?;
            match received.tag {
                b'R' => client.authenticate(received.body, password, &mut scram).await?,
                b'Z' => return Ok(client),
                b'E' => return Err(TestkitError::Protocol(describe(&received))),
                _other => client.greeting.push(received),
            }
        }
    }

    async fn authenticate(
        &mut self,
        mut body: Bytes,
        password: &str,
        scram: &mut Option<ClientExchange>,
    ) -> Result<(), TestkitError> {
        if body.len() < 4 {
            return Err(TestkitError::Protocol("short Authentication".to_owned()));
        }
        let code = body.get_u32();
        let text = String::from_utf8_lossy(&body).into_owned();
        match (code, scram) {
            (0, _) => Ok(()),
            (3, _) => self.send(&frame(b'p', &[password.as_bytes(), b"\0"].concat())).await,
            (10, exchange) => {
                let (started, first) = ClientExchange::start()?;
                *exchange = Some(started);
                let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
                self.send(&frame(b'p', &[b"SCRAM-SHA-256\0".as_slice(), &length, first.as_bytes()].concat())).await
            }
            (11, Some(exchange)) => {
                let answer = exchange.answer(password, &text)?;
                self.send(&frame(b'p', answer.as_bytes())).await
            }
            (12, Some(exchange)) => exchange.finish(&text),
            (code, _) => Err(TestkitError::Protocol(format!("authentication method {code}"))),
        }
    }

    /// Writes these bytes and flushes.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), TestkitError> {
        patiently("write", self.stream.write_all(bytes)).await
    }

    /// Writes the bytes in pieces that end at the given offsets, each in a packet of its own.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub async fn send_split(&mut self, bytes: &[u8], at: &[usize]) -> Result<(), TestkitError> {
        let mut rest = bytes;
        let mut done = 0;
        for &offset in at {
            let Some((piece, after)) = rest.split_at_checked(offset.saturating_sub(done)) else { break };
            self.send(piece).await?;
            // Lets the peer's reader run; what it reads at once is its own affair, and no verdict may depend on it.
            tokio::task::yield_now().await;
            (rest, done) = (after, offset.max(done));
        }
        self.send(rest).await
    }

    /// Reads one frame; the end of the connection is an error.
    ///
    /// # Errors
    /// [`TestkitError::Protocol`] at the end of the connection or after 20 s.
    pub async fn read(&mut self) -> Result<Frame, TestkitError> {
        self.read_or_end().await?.ok_or_else(|| TestkitError::Protocol("the connection ended".to_owned()))
    }

    /// Reads one frame; `None` at the end of the connection, clean or reset.
    ///
    /// # Errors
    /// [`TestkitError::Protocol`] after 20 s.
    pub async fn read_or_end(&mut self) -> Result<Option<Frame>, TestkitError> {
        match tokio::time::timeout(PATIENCE, Frame::read(&mut self.stream)).await {
            Ok(Err(TestkitError::Io { .. })) => Ok(None),
            Ok(read) => read,
            Err(_elapsed) => Err(TestkitError::Protocol("nothing came for 20 s".to_owned())),
        }
    }

    /// Reads up to and including the next ReadyForQuery.
    ///
    /// # Errors
    /// As [`RawClient::read`].
    pub async fn read_until_ready(&mut self) -> Result<Vec<Frame>, TestkitError> {
        let mut frames = Vec::new();
        loop {
            let received = self.read().await?;
            let ready = received.tag == b'Z';
            frames.push(received);
            if ready {
                return Ok(frames);
            }
        }
    }

    /// Reads up to the next ReadyForQuery by the frames' headers alone, keeping nothing: what a benchmark's client may
    /// cost. An ErrorResponse is an error.
    ///
    /// # Errors
    /// As [`RawClient::read`].
    pub async fn drain_until_ready(&mut self) -> Result<Drained, TestkitError> {
        let mut drained = Drained::default();
        let mut buffer = BytesMut::with_capacity(1 << 20);
        loop {
            while let Some(header) = buffer.first_chunk::<5>() {
                let [tag, length @ ..] = *header;
                let whole = 1 + usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX - 1);
                if buffer.len() < whole {
                    break;
                }
                buffer.advance(whole);
                drained.bytes += whole as u64;
                match tag {
                    b'D' | b'd' => drained.rows += 1,
                    b'E' => return Err(TestkitError::Protocol("the query failed".to_owned())),
                    b'Z' => return Ok(drained),
                    _other => {}
                }
            }
            buffer.reserve(1 << 18);
            if self.stream.read_buf(&mut buffer).await.map_err(TestkitError::io("read"))? == 0 {
                return Err(TestkitError::Protocol("the connection ended".to_owned()));
            }
        }
    }

    /// Reads until the connection ends.
    ///
    /// # Errors
    /// As [`RawClient::read_or_end`].
    pub async fn read_to_end(&mut self) -> Result<Vec<Frame>, TestkitError> {
        let mut frames = Vec::new();
        while let Some(received) = self.read_or_end().await? {
            frames.push(received);
        }
        Ok(frames)
    }

    /// A simple query, read to its end.
    ///
    /// # Errors
    /// As [`RawClient::read`].
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Frame>, TestkitError> {
        self.send(&frontend::query(sql)).await?;
        self.read_until_ready().await
    }

    /// Closes our half; the server may still answer.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub async fn finish_writing(&mut self) -> Result<(), TestkitError> {
        patiently("shut down", self.stream.shutdown()).await
    }
}

async fn patiently(what: &str, work: impl Future<Output = std::io::Result<()>>) -> Result<(), TestkitError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(TestkitError::io(what)),
        Err(_elapsed) => Err(TestkitError::Protocol(format!("{what}: the peer took nothing for 20 s"))),
    }
}

fn describe(error: &Frame) -> String {
    format!("{} {}", error.field(b'C').unwrap_or_default(), error.field(b'M').unwrap_or_default())
}

/// Tags, errors with their SQLSTATE, and transaction states of frames, on one line: `T D D C:SELECT 2 Z:I`, for
/// comparing what two servers said without their texts.
#[must_use]
pub fn outline(frames: &[Frame]) -> String {
    let shown = frames.iter().map(|one| match one.tag {
        b'C' => format!("C:{}", String::from_utf8_lossy(one.body.strip_suffix(b"\0").unwrap_or(&one.body))),
        b'E' => format!("E:{}", one.field(b'C').unwrap_or_default()),
        b'Z' => format!("Z:{}", String::from_utf8_lossy(&one.body)),
        tag => char::from(tag).to_string(),
    });
    shown.collect::<Vec<_>>().join(" ")
}
