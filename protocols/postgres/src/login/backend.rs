//! The gateway's login to the server behind it.
//!
//! Promises: TLS as configured, asked for with SSLRequest; `N` where TLS is wanted and any byte behind `S` refuse the
//! server, and plaintext never leaves this machine. With a password the login is SCRAM-SHA-256 and nothing else: a
//! server that asks for the password in the clear or as MD5 does not get it, and one that asks for nothing is not
//! believed. Without a password only a server that asks for none is used. What must not vary is pinned in the startup
//! message, and what the server reports of it is checked: `client_encoding`, `standard_conforming_strings`,
//! `backslash_quote`. The whole login has one time limit.
//!
//! Does not promise: that the server is the one meant, beyond what the TLS mode and SCRAM prove.
//! Held by: `login/tests.rs`, against servers that behave and servers that do not.

use super::scram::{Binding, Expectation, Scram};
use super::{receive, send};
use crate::cancel::ServerCancel;
use crate::error::{Error, Result, Side};
use crate::frame::{Frame, FrameBuf, FrameLimits, Phase};
use crate::message::{Authentication, DecodeError, ServerMessage, TransactionStatus, write};
use crate::negotiate::more_is_there;
use crate::startup::{Setting, Version};
use bytes::BytesMut;
use portcullis_net::{Address, ClientTls, DialOptions, Dialed, Io, VerifyMode, dial};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Settings that no client and no server may choose: they decide what a text means.
const PINS: [(&str, &str); 3] =
    [("client_encoding", "UTF8"), ("standard_conforming_strings", "on"), ("backslash_quote", "safe_encoding")];
/// Settings a server may report, far beyond what any does.
const MOST_PARAMETERS: usize = 256;

/// Where and how to log in.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the server is. A Unix socket is its directory, as in libpq, or the socket itself.
    pub address: Address,
    /// How to protect the connection.
    pub tls: ClientTls,
    /// The name to verify in its certificate, if not the address's host.
    pub server_name: Option<String>,
    /// The role.
    pub username: String,
    /// Its password. None is for servers that ask for none.
    pub password: Option<SecretString>,
    /// The database.
    pub database: String,
    /// Bounds of the dial.
    pub dial: DialOptions,
    /// The time for the whole login.
    pub timeout: Duration,
}

/// A server that is logged in to and idle.
#[derive(Debug)]
pub struct Backend {
    /// The stream.
    pub io: Io,
    /// What was read from it and belongs to the session.
    pub buffer: FrameBuf,
    /// The settings it reported, by name.
    pub parameters: BTreeMap<String, String>,
    /// How to cancel what it runs; none if it gave no key.
    pub cancel: Option<ServerCancel>,
    /// The protocol version it speaks.
    pub version: Version,
}

/// Logs in, with a client's choice of settings (from [`crate::startup::Startup::settings`]).
///
/// # Errors
/// All of [`Error`]'s backend side. None of them is to be told to a client in its own words: see [`Error::report`].
pub async fn connect(target: &Target, settings: &[Setting], limits: FrameLimits) -> Result<Backend> {
    match tokio::time::timeout(target.timeout, attempt(target, settings, limits)).await {
        Ok(done) => done,
        Err(_) => Err(Error::Timeout { side: Side::Backend, doing: "logging in" }),
    }
}

async fn attempt(target: &Target, settings: &[Setting], limits: FrameLimits) -> Result<Backend> {
    let mut login = Login {
        io: reach(target).await?,
        buffer: FrameBuf::new(limits),
        target,
        version: Version::V3_2,
        stage: Stage::Asked,
        parameters: BTreeMap::new(),
        key: None,
    };
    login.introduce(settings).await?;
    loop {
        let frame = receive(&mut login.io, &mut login.buffer, Phase::ServerLogin, Side::Backend).await?;
        if login.take(&frame).await? {
            break;
        }
    }
    login.check_pins()?;
    let cancel = login.key.map(|(pid, secret)| ServerCancel::new(target, pid, secret));
    login.buffer.idle();
    Ok(Backend { io: login.io, buffer: login.buffer, parameters: login.parameters, cancel, version: login.version })
}

/// Dials and encrypts; what comes out is ready for a message.
pub(crate) async fn reach(target: &Target) -> Result<Io> {
    let address = match &target.address {
        Address::Unix(path) => Address::Unix(socket_in(path)),
        tcp @ Address::Tcp { .. } => tcp.clone(),
    };
    let dialed = dial(&address, target.dial).await?;
    match (target.tls.mode(), address.host()) {
        // TLS is not spoken over a Unix socket; its permissions protect it.
        (_, None) => Ok(dialed.io),
        (VerifyMode::Disable, Some(_)) if dialed.is_local() => Ok(dialed.io),
        (VerifyMode::Disable, Some(_)) => Err(protocol("TLS is disabled, which is accepted on this machine only")),
        (VerifyMode::Require | VerifyMode::VerifyCa | VerifyMode::VerifyFull, Some(host)) => {
            encrypt(dialed, target, target.server_name.as_deref().unwrap_or(host)).await
        }
    }
}

/// libpq's rule: a path is the directory of the socket. The socket itself is taken as well.
fn socket_in(path: &Path) -> std::path::PathBuf {
    let is_socket = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".s.PGSQL."));
    if is_socket { path.to_owned() } else { path.join(".s.PGSQL.5432") }
}

async fn encrypt(dialed: Dialed, target: &Target, name: &str) -> Result<Io> {
    let mut io = dialed.io;
    let mut out = BytesMut::new();
    write::ssl_request(&mut out);
    send(&mut io, &out, Side::Backend).await?;
    match io.read_u8().await.map_err(|source| Error::Io { side: Side::Backend, source })? {
        b'S' if more_is_there(&mut io).await => Err(protocol("data in the clear behind the answer to SSLRequest")),
        b'S' => Ok(target.tls.connect(io, name).await?),
        b'N' => Err(protocol("it does not offer TLS, which the connection's `tls:` setting asks for")),
        b'E' => Err(protocol("it answered SSLRequest with an error")),
        _ => Err(protocol("it answered SSLRequest with neither S nor N")),
    }
}

fn protocol(reason: &'static str) -> Error {
    Error::Protocol { side: Side::Backend, reason }
}

/// How far the login is.
enum Stage {
    /// The startup message is sent.
    Asked,
    /// The first SCRAM message is sent.
    First(Scram),
    /// The final SCRAM message is sent.
    Final(Expectation),
    /// The server has proven that it knows the password.
    Proven,
    /// The server has let us in.
    In,
}

struct Login<'a> {
    io: Io,
    buffer: FrameBuf,
    target: &'a Target,
    version: Version,
    stage: Stage,
    parameters: BTreeMap<String, String>,
    key: Option<(i32, Vec<u8>)>,
}

impl Login<'_> {
    async fn introduce(&mut self, settings: &[Setting]) -> Result<()> {
        let mut parameters = vec![("user", self.target.username.as_str()), ("database", self.target.database.as_str())];
        parameters.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
        parameters.retain(|(name, _)| PINS.iter().all(|(pin, _)| pin != name));
        parameters.extend(PINS);
        let mut out = BytesMut::new();
        write::startup(&mut out, self.version.code(), &parameters);
        send(&mut self.io, &out, Side::Backend).await
    }

    /// Takes one message; true once the server is ready.
    async fn take(&mut self, frame: &Frame) -> Result<bool> {
        let malformed = |source: DecodeError| Error::Decode { side: Side::Backend, source };
        match ServerMessage::decode(frame.tag(), frame.body()).map_err(malformed)? {
            ServerMessage::Authentication(wanted) => self.authenticate(wanted).await?,
            ServerMessage::Error(fields) => {
                let (code, message) = (fields.text(b'C').into_owned(), fields.text(b'M').into_owned());
                return Err(Error::BackendRefused { code, message });
            }
            ServerMessage::NegotiateProtocolVersion { version, options } => {
                self.negotiate(Version::from_code(version), &options)?;
            }
            ServerMessage::Notice(fields) => tracing::debug!(code = %fields.text(b'C'), "notice at login"),
            ServerMessage::ParameterStatus { name, value } if matches!(self.stage, Stage::In) => {
                let value = std::str::from_utf8(value).map_err(|_| malformed(DecodeError::Text))?;
                self.parameters.insert(name.to_owned(), value.to_owned());
                if self.parameters.len() > MOST_PARAMETERS {
                    return Err(protocol("it reports more settings than any server has"));
                }
            }
            ServerMessage::BackendKeyData { pid, secret } if matches!(self.stage, Stage::In) => {
                self.key = Some((pid, secret.to_vec()));
            }
            ServerMessage::ReadyForQuery(TransactionStatus::Idle) if matches!(self.stage, Stage::In) => {
                return Ok(true);
            }
            ServerMessage::BackendKeyData { .. }
            | ServerMessage::BindComplete
            | ServerMessage::CloseComplete
            | ServerMessage::CommandComplete(_)
            | ServerMessage::CopyData(_)
            | ServerMessage::CopyDone
            | ServerMessage::CopyIn { .. }
            | ServerMessage::CopyOut { .. }
            | ServerMessage::DataRow(_)
            | ServerMessage::EmptyQuery
            | ServerMessage::NoData
            | ServerMessage::Notification { .. }
            | ServerMessage::ParameterDescription(_)
            | ServerMessage::ParameterStatus { .. }
            | ServerMessage::ParseComplete
            | ServerMessage::PortalSuspended
            | ServerMessage::ReadyForQuery(_)
            | ServerMessage::RowDescription(_) => return Err(protocol("a message out of place during login")),
        }
        Ok(false)
    }

    fn negotiate(&mut self, version: Version, options: &[&str]) -> Result<()> {
        let before = matches!(self.stage, Stage::Asked);
        if !before || ![Version::V3_0, Version::V3_2].contains(&version) || version > self.version {
            return Err(protocol("it negotiates a protocol version that was not asked for"));
        }
        if !options.is_empty() {
            return Err(protocol("it rejects protocol options that were not sent"));
        }
        self.version = version;
        Ok(())
    }

    async fn authenticate(&mut self, wanted: Authentication<'_>) -> Result<()> {
        let stage = std::mem::replace(&mut self.stage, Stage::Asked);
        self.stage = match (wanted, stage) {
            (Authentication::Ok, Stage::Proven) => Stage::In,
            (Authentication::Ok, Stage::Asked) if self.target.password.is_none() => Stage::In,
            (Authentication::Ok, Stage::Asked) => return Err(Error::Authentication("no")),
            (Authentication::Sasl(offered), Stage::Asked) => Stage::First(self.begin(&offered).await?),
            (Authentication::SaslContinue(challenge), Stage::First(scram)) => {
                let password = self.target.password.as_ref().ok_or(Error::Authentication("SCRAM"))?;
                let (answer, expectation) = scram.finish(challenge, password).await?;
                let mut out = BytesMut::new();
                write::sasl_response(&mut out, answer.as_bytes());
                send(&mut self.io, &out, Side::Backend).await?;
                Stage::Final(expectation)
            }
            (Authentication::SaslFinal(proof), Stage::Final(expectation)) => {
                expectation.verify(proof)?;
                Stage::Proven
            }
            (Authentication::CleartextPassword, _) => return Err(Error::Authentication("cleartext password")),
            (Authentication::Md5Password(_), _) => return Err(Error::Authentication("MD5 password")),
            (Authentication::Other(_), _) => return Err(Error::Authentication("an unsupported kind of")),
            (
                Authentication::Ok
                | Authentication::Sasl(_)
                | Authentication::SaslContinue(_)
                | Authentication::SaslFinal(_),
                Stage::Asked | Stage::First(_) | Stage::Final(_) | Stage::Proven | Stage::In,
            ) => return Err(protocol("an authentication message out of order")),
        };
        Ok(())
    }

    async fn begin(&mut self, offered: &[&str]) -> Result<Scram> {
        if self.target.password.is_none() {
            return Err(Error::Authentication("SCRAM"));
        }
        let binding = match self.io.server_end_point() {
            Some(hash) if offered.contains(&"SCRAM-SHA-256-PLUS") => Binding::ServerEndPoint(hash),
            Some(_) => Binding::NotOffered,
            None => Binding::Impossible,
        };
        if !offered.contains(&binding.mechanism()) {
            return Err(Error::Authentication("an unsupported SASL"));
        }
        let mut random = [0; 18];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
            .map_err(|_| Error::Scram("no random numbers"))?;
        let nonce = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, random);
        let scram = Scram::new(binding.clone(), nonce);
        let mut out = BytesMut::new();
        write::sasl_initial(&mut out, binding.mechanism(), scram.first().as_bytes());
        send(&mut self.io, &out, Side::Backend).await?;
        Ok(scram)
    }

    /// A pooler in between may have ignored what was pinned. What is reported is compared.
    fn check_pins(&self) -> Result<()> {
        let reported = |name: &str| self.parameters.get(name).map(String::as_str);
        if reported("client_encoding") == Some("UTF8") && reported("standard_conforming_strings") == Some("on") {
            return Ok(());
        }
        Err(protocol("it did not take the settings that decide what a text means"))
    }
}
