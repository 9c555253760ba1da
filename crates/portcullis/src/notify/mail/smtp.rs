//! What is said to a mail server for one message (SMTP, RFC 5321), over the project's own sockets and TLS.
//!
//! Promises: what a server says is read byte by byte, [`MOST`] bytes of it in all, and none behind an answer before the next
//! is asked for: what was sent in plaintext behind the answer to STARTTLS meets TLS, which takes it for nothing (RFC 3207 §6).
//! An answer counts only where it is of the kind that was asked for. The message was taken once the answer to its end says
//! so; nothing waits for a goodbye but for [`GOODBYE`], and after a refusal nothing waits at all.
//! Does not promise to speak to servers that know no EHLO, or for addresses that are not ASCII (RFC 6531). Whoever calls
//! bounds the time. The words themselves, and reading an answer's number and offers, are the library's; its connections are not
//! used, since they keep what they have read over STARTTLS and wait for the answer to QUIT before they say what was answered.
//! Held by: `tests.rs` beside it, and `tests/it/notifications.rs` with a server.

use super::{NotSent, WITHIN};
use lettre::Address as Mailbox;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, ServerInfo};
use lettre::transport::smtp::response::{Response, Severity};
use portcullis_net::{Address, ClientTls, DialOptions, Io, dial};
use std::fmt::Display;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes that a server may say for one message.
pub(super) const MOST: usize = 64 << 10;

/// How long the answer to a goodbye is waited for.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often a server may ask for something more of a login: LOGIN asks for the name, and for the password.
const CHALLENGES: usize = 2;

/// Where the server is.
pub(super) struct Route {
    /// A name or a bare address; its certificate is for this.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) cover: Cover,
}

/// When TLS begins.
pub(super) enum Cover {
    /// With the first byte.
    First(ClientTls),
    /// With STARTTLS, or nothing is said.
    Asked(ClientTls),
    /// Never.
    Nothing,
}

/// A connection to a server.
pub(super) struct Smtp {
    io: Io,
    /// Bytes that the server may still say.
    left: usize,
    /// What it says that it can do.
    offers: ServerInfo,
}

impl Smtp {
    /// Reaches the server, as far as a message can begin.
    pub(super) async fn open(route: &Route) -> Result<Self, NotSent> {
        let Route { host, port, cover } = route;
        let address = Address::Tcp { host: host.clone(), port: *port };
        let options = DialOptions { timeout: WITHIN, ..DialOptions::default() };
        let io = dial(&address, options).await.map_err(|_| NotSent::Connection)?.io;
        let io = match cover {
            Cover::First(tls) => tls.connect(io, host).await.map_err(|_| NotSent::Tls)?,
            Cover::Asked(_) | Cover::Nothing => io,
        };
        let mut smtp = Self::on(io);
        smtp.answered(Severity::PositiveCompletion).await?;
        smtp.hello().await?;
        match cover {
            Cover::Asked(tls) => smtp.start_tls(tls, host).await,
            Cover::First(_) | Cover::Nothing => Ok(smtp),
        }
    }

    /// On this stream, of which nothing was read.
    pub(super) fn on(io: Io) -> Self {
        Self { io, left: MOST, offers: ServerInfo::default() }
    }

    /// TLS from here on. What was said before it counts for nothing.
    async fn start_tls(mut self, tls: &ClientTls, host: &str) -> Result<Self, NotSent> {
        if !self.offers.supports_feature(Extension::StartTls) {
            return Err(NotSent::Offers);
        }
        self.ask(&Starttls, Severity::PositiveCompletion).await?;
        let io = tls.connect(self.io, host).await.map_err(|_| NotSent::Tls)?;
        let mut covered = Self { io, left: self.left, offers: ServerInfo::default() };
        covered.hello().await?;
        Ok(covered)
    }

    async fn hello(&mut self) -> Result<(), NotSent> {
        let offers = self.ask(&Ehlo::new(ClientId::default()), Severity::PositiveCompletion).await?;
        // The library takes the first word of each line that is not empty.
        if offers.message().any(|line| line.trim().is_empty()) {
            return Err(NotSent::Connection);
        }
        self.offers = ServerInfo::from_response(&offers).map_err(|_| NotSent::Connection)?;
        Ok(())
    }

    /// Hands over one message; it was taken where this is good.
    pub(super) async fn deliver(
        &mut self,
        login: Option<Credentials>,
        (from, to): (&Mailbox, &Mailbox),
        message: &[u8],
    ) -> Result<(), NotSent> {
        if let Some(login) = login {
            self.log_in(login).await?;
        }
        self.ask(&Mail::new(Some(from.clone()), Vec::new()), Severity::PositiveCompletion).await?;
        self.ask(&Rcpt::new(to.clone(), Vec::new()), Severity::PositiveCompletion).await?;
        self.ask(&Data, Severity::PositiveIntermediate).await?;
        self.write(&data(message)).await?;
        self.answered(Severity::PositiveCompletion).await?;
        Ok(())
    }

    async fn log_in(&mut self, login: Credentials) -> Result<(), NotSent> {
        let mechanism = self.offers.get_auth_mechanism(DEFAULT_MECHANISMS).ok_or(NotSent::Offers)?;
        let mut auth = Auth::new(mechanism, login.clone(), None).map_err(|_| NotSent::Offers)?;
        for _ in 0..CHALLENGES {
            self.say(&auth).await?;
            let answer = self.answer().await?;
            if !answer.has_code(334) {
                return of(Severity::PositiveCompletion, answer).map(drop);
            }
            auth = Auth::new_from_response(mechanism, login.clone(), &answer).map_err(|_| NotSent::Offers)?;
        }
        self.ask(&auth, Severity::PositiveCompletion).await.map(drop)
    }

    /// Says goodbye. What is answered changes nothing; it is waited for only where the message was taken.
    pub(super) async fn quit(mut self, taken: bool) {
        let said = async {
            self.say(&Quit).await?;
            if taken { self.answer().await.map(drop) } else { Ok(()) }
        };
        let _whatever = tokio::time::timeout(GOODBYE, said).await;
    }

    async fn ask(&mut self, command: &(impl Display + Sync), wanted: Severity) -> Result<Response, NotSent> {
        self.say(command).await?;
        self.answered(wanted).await
    }

    async fn say(&mut self, command: &(impl Display + Sync)) -> Result<(), NotSent> {
        self.write(command.to_string().as_bytes()).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), NotSent> {
        self.io.write_all(bytes).await?;
        Ok(self.io.flush().await?)
    }

    async fn answered(&mut self, wanted: Severity) -> Result<Response, NotSent> {
        of(wanted, self.answer().await?)
    }

    /// The next answer: its lines up to the first without a hyphen behind the number, and no byte more.
    pub(super) async fn answer(&mut self) -> Result<Response, NotSent> {
        let (mut answer, mut line) = (Vec::new(), 0);
        loop {
            self.left = self.left.checked_sub(1).ok_or(NotSent::Connection)?;
            let byte = self.io.read_u8().await?;
            answer.push(byte);
            if byte != b'\n' {
                continue;
            }
            if answer.get(line + 3) != Some(&b'-') {
                break;
            }
            line = answer.len();
        }
        // Its text is of any encoding, and goes nowhere.
        String::from_utf8_lossy(&answer).parse().map_err(|_| NotSent::Connection)
    }
}

/// An answer that has to be of this kind.
fn of(wanted: Severity, answer: Response) -> Result<Response, NotSent> {
    let code = answer.code();
    if code.severity == wanted { Ok(answer) } else { Err(NotSent::Answered(code)) }
}

/// A message as DATA has it: lines that begin with a dot get one more, and a dot alone ends it (RFC 5321 §4.5.2).
pub(super) fn data(message: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(message.len() + 8);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    if !data.ends_with(b"\r\n") {
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}
