//! An HTTP/1.1 service that says what a test tells it, byte for byte: chunks, codings, answers that break off or never
//! come; and remembers every byte that it was sent, or ([`Service::forgetful`]) none.
//!
//! Promises: reads requests whole, with a length or in chunks, one after the other on each connection; the bytes are in
//! the [`Ledger`] before they are answered; writes what the test's [`Answers`] return and nothing else.
//! Does not promise to be a server: it checks nothing, and an answer may be no HTTP at all.
//! Held by: `tests/it/http.rs` of the binary.

use crate::error::TestkitError;
use crate::ledger::Ledger;
use crate::listening::Listening;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method, target and version.
    pub line: String,
    /// The lines of its headers.
    pub headers: String,
    /// Without its chunks.
    pub body: Bytes,
}

impl Asked {
    /// The second word of its line.
    #[must_use]
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header, by its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// One thing to do about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Write these bytes.
    Write(Bytes),
    /// Close the connection.
    Close,
    /// Wait until the other side closes it.
    Wait,
}

/// Decides what is done about each request, in order.
pub type Answers = Arc<dyn Fn(&Asked) -> Vec<Act> + Send + Sync>;

/// A running service.
#[derive(Debug)]
pub struct Service {
    listening: Listening,
    ledger: Ledger,
}

impl Service {
    /// Listens on a random loopback port, and remembers what comes.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub fn start(answers: Answers) -> Result<Self, TestkitError> {
        Self::writing(Ledger::default(), answers)
    }

    /// The same without a memory, for as long as somebody likes: its ledger is always empty.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub fn forgetful(answers: Answers) -> Result<Self, TestkitError> {
        Self::writing(Ledger::of_nothing(), answers)
    }

    fn writing(ledger: Ledger, answers: Answers) -> Result<Self, TestkitError> {
        let written = ledger.clone();
        let listening = Listening::start(move |stream| {
            let (ledger, answers) = (written.clone(), Arc::clone(&answers));
            async move {
                // A client that breaks off is seen in the ledger.
                let _ended = serve(stream, &ledger, &answers).await;
            }
        })?;
        Ok(Self { listening, ledger })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.listening.address.to_string()
    }

    /// What clients wrote; nothing of a [`Service::forgetful`] one.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// A whole answer with a length.
#[must_use]
pub fn answer(status: &str, kind: &str, body: &[u8]) -> Vec<Act> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    vec![Act::Write([head.as_bytes(), body].concat().into())]
}

/// An answer in chunks, one for each piece.
#[must_use]
pub fn chunked(kind: &str, pieces: &[&str]) -> Vec<Act> {
    let mut acts = begun(kind, pieces);
    acts.push(Act::Write(Bytes::from_static(b"0\r\n\r\n")));
    acts
}

/// The same without its last chunk.
#[must_use]
pub fn begun(kind: &str, pieces: &[&str]) -> Vec<Act> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = |piece: &&str| Act::Write(format!("{:x}\r\n{piece}\r\n", piece.len()).into());
    std::iter::once(Act::Write(head.into())).chain(pieces.iter().map(chunk)).collect()
}

async fn serve(mut stream: TcpStream, ledger: &Ledger, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader { entry: ledger.open(), ledger: ledger.clone(), buffer: BytesMut::new() };
    while let Some(asked) = reader.request(&mut stream).await? {
        for act in answers(&asked) {
            match act {
                Act::Write(bytes) => stream.write_all(&bytes).await?,
                Act::Close => return Ok(()),
                Act::Wait => {
                    while reader.more(&mut stream).await? {}
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

struct Reader {
    entry: usize,
    ledger: Ledger,
    buffer: BytesMut,
}

impl Reader {
    async fn more(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let before = self.buffer.len();
        let read = stream.read_buf(&mut self.buffer).await?;
        self.ledger.append(self.entry, self.buffer.get(before..).unwrap_or_default());
        Ok(read > 0)
    }

    /// Up to and without the next of these bytes.
    async fn until(&mut self, stream: &mut TcpStream, end: &[u8]) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let text = self.buffer.split_to(at).freeze();
                self.buffer.advance(end.len());
                return Ok(Some(text));
            }
            if !self.more(stream).await? {
                return Ok(None);
            }
        }
    }

    async fn exactly(&mut self, stream: &mut TcpStream, count: usize) -> io::Result<Bytes> {
        while self.buffer.len() < count {
            if !self.more(stream).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.split_to(count).freeze())
    }

    async fn request(&mut self, stream: &mut TcpStream) -> io::Result<Option<Asked>> {
        let Some(head) = self.until(stream, b"\r\n\r\n").await? else { return Ok(None) };
        let head = String::from_utf8_lossy(&head).into_owned();
        let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let mut asked = Asked { line: line.to_owned(), headers: headers.to_owned(), body: Bytes::new() };
        if let Some(length) = asked.header("content-length").and_then(|length| length.parse().ok()) {
            asked.body = self.exactly(stream, length).await?;
        } else if asked.header("transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let size = self.until(stream, b"\r\n").await?.unwrap_or_default();
                let size = usize::from_str_radix(&String::from_utf8_lossy(&size), 16).unwrap_or(0);
                body.extend_from_slice(&self.exactly(stream, size).await?);
                self.exactly(stream, 2).await?;
                if size == 0 {
                    break;
                }
            }
            asked.body = body.into();
        }
        Ok(Some(asked))
    }
}
