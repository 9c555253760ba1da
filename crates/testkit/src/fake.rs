//! A PostgreSQL server that is none: it logs a client in, remembers every byte, and answers as a test tells it, which may
//! be nothing, nonsense, or the end of the connection.
//!
//! Promises: refuses TLS and GSS encryption with `N`, lets clients in with or without SCRAM, then hands each frame to the
//! test's [`Answers`] and writes what they return. Bytes are in the [`Ledger`] before they are answered.
//! Does not promise to be a database: what needs one uses [`crate::Postgres`] behind a [`crate::Recorder`].
//! Held by: `tests/it/wire.rs`.

use crate::error::TestkitError;
use crate::ledger::Ledger;
use crate::listening::Listening;
use crate::wire::{Frame, ServerExchange, backend};
use bytes::{Buf, Bytes};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How clients log in.
#[derive(Clone, Debug)]
pub enum Login {
    /// Without a password.
    Trust,
    /// SCRAM-SHA-256 with this password for every user.
    Scram(String),
}

/// What to do about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Write these bytes, which may be none.
    Bytes(Bytes),
    /// Close the connection.
    Close,
}

/// Decides the answer to each frame: connection number from 0, and the frame.
pub type Answers = Arc<dyn Fn(usize, &Frame) -> Answer + Send + Sync>;

/// A running fake server.
pub struct FakeBackend {
    listening: Listening,
    ledger: Ledger,
}

impl FakeBackend {
    /// Listens on a random loopback port.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub fn start(login: Login, answers: Answers) -> Result<Self, TestkitError> {
        let ledger = Ledger::default();
        let written = ledger.clone();
        let listening = Listening::start(move |stream| {
            let peer = Peer { stream, connection: written.open(), ledger: written.clone() };
            let (login, answers) = (login.clone(), Arc::clone(&answers));
            async move {
                // A client that breaks off is seen in the ledger.
                let _ended = peer.serve(&login, &answers).await;
            }
        })?;
        Ok(Self { listening, ledger })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.listening.address.to_string()
    }

    /// What clients wrote.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Answers every query with an empty result of one column and every other frame as an idle server would: enough for a
/// client that only wants its protocol kept. A text that ends in `!` is a syntax error, as in the grammar.
#[must_use]
pub fn idle_server() -> Answers {
    Arc::new(|_connection, frame| {
        let bytes = match frame.tag {
            b'Q' if frame.body.ends_with(b"!\0") => {
                [backend::error("42601", "syntax error at or near \"!\""), backend::ready(b'I')].concat()
            }
            b'Q' => {
                [backend::row_description(&["value"]), backend::complete("SELECT 0"), backend::ready(b'I')].concat()
            }
            b'P' => crate::wire::frame(b'1', b"").to_vec(),
            b'B' => crate::wire::frame(b'2', b"").to_vec(),
            b'C' => crate::wire::frame(b'3', b"").to_vec(),
            b'D' => crate::wire::frame(b'n', b"").to_vec(),
            b'E' => backend::complete("SELECT 0").to_vec(),
            b'S' => backend::ready(b'I').to_vec(),
            b'X' => return Answer::Close,
            _other => Vec::new(),
        };
        Answer::Bytes(bytes.into())
    })
}

struct Peer {
    stream: TcpStream,
    connection: usize,
    ledger: Ledger,
}

impl Peer {
    async fn serve(mut self, login: &Login, answers: &Answers) -> Result<(), TestkitError> {
        self.stream.set_nodelay(true).map_err(TestkitError::io("accept"))?;
        if !self.start_up().await? {
            return Ok(());
        }
        match login {
            Login::Trust => {}
            Login::Scram(password) => self.scram(password).await?,
        }
        let greeting = welcome(u32::try_from(self.connection).unwrap_or(0));
        self.write(&greeting).await?;
        while let Some(frame) = self.read_frame().await? {
            match answers(self.connection, &frame) {
                Answer::Bytes(bytes) => self.write(&bytes).await?,
                Answer::Close => break,
            }
        }
        Ok(())
    }

    /// Reads packets without tags until a start-up packet came; `false` for a cancel request.
    async fn start_up(&mut self) -> Result<bool, TestkitError> {
        loop {
            let length = self.stream.read_u32().await.map_err(TestkitError::io("read start-up"))?;
            let body = usize::try_from(length).ok().and_then(|l| l.checked_sub(4)).filter(|&l| l <= 10_000);
            let body = body.ok_or_else(|| TestkitError::Protocol(format!("start-up length {length}")))?;
            let mut packet = vec![0; body];
            self.stream.read_exact(&mut packet).await.map_err(TestkitError::io("read start-up"))?;
            self.ledger.append(self.connection, &[length.to_be_bytes().as_slice(), &packet].concat());
            let code = packet.first_chunk::<4>().map_or(0, |code| u32::from_be_bytes(*code));
            match code {
                80_877_102 => return Ok(false),
                80_877_103 | 80_877_104 => self.write(b"N").await?,
                _startup => return Ok(true),
            }
        }
    }

    async fn scram(&mut self, password: &str) -> Result<(), TestkitError> {
        self.write(&backend::authentication(10, b"SCRAM-SHA-256\0\0")).await?;
        let mut first = self.read_reply().await?;
        let mechanism = first.iter().position(|&byte| byte == 0).unwrap_or(0);
        if first.len() < mechanism + 5 {
            return Err(TestkitError::Protocol("short SASLInitialResponse".to_owned()));
        }
        first.advance(mechanism + 5);
        let exchange = ServerExchange::start(password, &String::from_utf8_lossy(&first))?;
        self.write(&backend::authentication(11, exchange.first().as_bytes())).await?;
        let last = self.read_reply().await?;
        match exchange.finish(&String::from_utf8_lossy(&last)) {
            Ok(last) => self.write(&backend::authentication(12, last.as_bytes())).await,
            Err(wrong) => {
                self.write(&backend::error("28P01", "password authentication failed")).await?;
                Err(wrong)
            }
        }
    }

    async fn read_reply(&mut self) -> Result<Bytes, TestkitError> {
        let frame = self.read_frame().await?.filter(|frame| frame.tag == b'p');
        frame.map(|frame| frame.body).ok_or_else(|| TestkitError::Protocol("no SASL response".to_owned()))
    }

    async fn read_frame(&mut self) -> Result<Option<Frame>, TestkitError> {
        let frame = Frame::read(&mut self.stream).await?;
        if let Some(frame) = &frame {
            self.ledger.append(self.connection, &frame.to_bytes());
        }
        Ok(frame)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), TestkitError> {
        self.stream.write_all(bytes).await.map_err(TestkitError::io("write"))
    }
}

/// What a server says when it accepts a login without asking for a password.
fn welcome(process: u32) -> Bytes {
    let mut bytes = Vec::from(backend::authentication(0, b""));
    for (name, value) in [
        ("server_version", "15.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("integer_datetimes", "on"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("is_superuser", "off"),
        ("in_hot_standby", "off"),
        ("default_transaction_read_only", "off"),
    ] {
        bytes.extend_from_slice(&backend::parameter(name, value));
    }
    bytes.extend_from_slice(&backend::key(process, 0x5eed));
    bytes.extend_from_slice(&backend::ready(b'I'));
    bytes.into()
}
