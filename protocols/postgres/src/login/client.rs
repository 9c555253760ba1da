//! The client's login to the gateway: a token as the password, by SCRAM without showing it, or a provider's by
//! OAUTHBEARER; all of them inside TLS.
//!
//! Promises: nothing is asked for except where nobody can listen (TLS, or loopback when the listener is configured
//! without TLS); a token is at most 16 KiB (64 KiB by OAUTHBEARER), becomes a secret at once, and the session's buffer it
//! arrived in is overwritten. Whatever is wrong with it, the client reads the same FATAL (28P01; 28000 by OAUTHBEARER);
//! what really was wrong is for the verifier to record. A client that asks where to get a token is told, and verified
//! nothing. By SCRAM the client reads that the gateway knows its token only once that token was accepted. Two SCRAM answers
//! are 28000 and say what is wrong, whatever the token: the client was not offered to bind although it was offered, or bound
//! to another connection. Those, and OAUTHBEARER as somebody else, come with words for the record, since nothing is verified.
//! Does not promise: equal timing; the verifier owns that. Rate limits are the verifier's too.
//! Held by: `login/tests.rs` and `tests.rs` beside the mechanisms.

mod oauth;
mod scram;
#[cfg(test)]
mod tests;

use super::{receive, refuse, send};
use crate::error::{Error, Refused, Result, Side};
use crate::frame::{FrameBuf, Phase};
use crate::message::{DecodeError, TransactionStatus, password, sasl_initial, write};
use crate::startup::Startup;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use portcullis_gate::{Proof, ScramChallenge, ScramProof};
use portcullis_net::Io;
use secrecy::SecretString;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

pub use oauth::Discovery;

/// What a client is asked for.
#[derive(Clone, Debug)]
pub enum Way {
    /// Its token, as a password.
    Password,
    /// To prove that it has one, beginning with this.
    Scram(ScramChallenge),
    /// A token of a provider, which can be had there.
    OAuth(Discovery),
}

/// A client that is to prove itself.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// What it said first.
    pub startup: &'a Startup,
    /// What it is asked for.
    pub way: &'a Way,
    /// Whether it is on this machine.
    pub loopback: bool,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// Asks the client for its proof and gives that to `verify`, which answers with what it proved, or nothing.
///
/// # Errors
/// [`Error::Refused`] when nothing was proven, after the client was told; [`Error::Timeout`]; protocol and connection
/// errors.
pub async fn authenticate<T, V, F>(io: &mut Io, buffer: &mut FrameBuf, login: Login<'_>, verify: V) -> Result<T>
where
    V: FnOnce(Proof) -> F,
    F: Future<Output = Option<T>>,
{
    let done = async {
        if !io.is_tls() && !login.loopback {
            return Err(Refused::new("28000", "this gateway accepts logins over TLS only").into());
        }
        let mut talk = Talk { io: &mut *io, buffer, user: login.startup.user.as_str().into() };
        match login.way {
            Way::Password => talk.password(verify).await,
            Way::Scram(challenge) => talk.scram(*challenge, verify).await,
            Way::OAuth(discovery) => talk.oauth(discovery, verify).await,
        }
    };
    let result = match tokio::time::timeout(login.timeout, done).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { side: Side::Client, doing: "logging in" }),
    };
    if let Err(error) = &result {
        refuse(io, error).await;
    }
    result
}

/// A login under way.
struct Talk<'a> {
    io: &'a mut Io,
    buffer: &'a mut FrameBuf,
    user: Arc<str>,
}

impl Talk<'_> {
    async fn password<T, F: Future<Output = Option<T>>>(&mut self, verify: impl FnOnce(Proof) -> F) -> Result<T> {
        self.say(write::authentication_cleartext).await?;
        let token =
            self.hear(Phase::ClientLogin, |body| password(body).map(SecretString::from)).await?.map_err(undecodable)?;
        // One answer for every reason.
        verify(self.token(token)).await.ok_or_else(|| {
            self.failed("28P01", "password")
                .hint("The password is a token of this gateway; whoever runs it makes one with `portcullis token create`.")
                .into()
        })
    }

    async fn scram<T, F>(&mut self, challenge: ScramChallenge, verify: impl FnOnce(Proof) -> F) -> Result<T>
    where
        F: Future<Output = Option<T>>,
    {
        let end_point = self.io.server_end_point();
        let mechanisms = scram::offered(end_point.as_deref());
        self.say(|out| write::authentication_sasl(out, mechanisms)).await?;
        let (mechanism, message) = self.first(Phase::ClientLogin, mechanisms).await?;
        let nonce = STANDARD.encode(rand::random::<[u8; 18]>());
        let exchange = scram::Exchange::begin(mechanism, &message, end_point.as_deref(), &nonce, challenge);
        let exchange = exchange.map_err(|flaw| scram_flaw(flaw, &self.user))?;
        self.say(|out| write::authentication_sasl_continue(out, exchange.challenge().as_bytes())).await?;
        let proven = self.hear(Phase::ClientLogin, |message| exchange.finish(message)).await?;
        let proven = proven.map_err(|flaw| scram_flaw(flaw, &self.user))?;
        let (proof, signature) = ScramProof::new(Arc::clone(&self.user), proven.transcript.into_bytes(), proven.proof);
        let verified = verify(Proof::Scram(proof)).await;
        // Whoever was verified was signed for.
        let Some((verified, signature)) = verified.zip(signature.get()) else {
            return Err(self
                .failed("28P01", "password")
                .hint(
                    "The password is a token of this gateway, and the user is the token's. Tokens of an identity \
                     provider, and those made before this gateway knew SCRAM, work with portcullis.auth=password.",
                )
                .into());
        };
        self.say(|out| write::authentication_sasl_final(out, scram::signed(signature).as_bytes())).await?;
        Ok(verified)
    }

    async fn oauth<T, F>(&mut self, discovery: &Discovery, verify: impl FnOnce(Proof) -> F) -> Result<T>
    where
        F: Future<Output = Option<T>>,
    {
        const MECHANISMS: &[&str] = &[oauth::MECHANISM];
        self.say(|out| write::authentication_sasl(out, MECHANISMS)).await?;
        let (_, message) = self.first(Phase::ClientBearer, MECHANISMS).await?;
        let verified = match oauth::read(&message, &self.user).map_err(oauth_flaw)? {
            oauth::Asks::In(token) => verify(self.token(SecretString::from(token))).await,
            oauth::Asks::Where => {
                tracing::debug!(user = %self.user, "a client asks where to get a token");
                None
            }
        };
        drop(message);
        if let Some(verified) = verified {
            return Ok(verified);
        }
        self.say(|out| write::authentication_sasl_continue(out, discovery.told().as_bytes())).await?;
        if !self.hear(Phase::ClientLogin, |message| message == oauth::GIVEN_UP).await? {
            return Err(oauth_flaw(oauth::Flaw::Malformed));
        }
        Err(self.failed("28000", "OAuth bearer").into())
    }

    /// The mechanism that the client chose and its first message, which comes with the choice or behind an empty
    /// challenge.
    async fn first(
        &mut self,
        phase: Phase,
        mechanisms: &'static [&'static str],
    ) -> Result<(&'static str, Zeroizing<Vec<u8>>)> {
        let owned = |message: &[u8]| Zeroizing::new(message.to_vec());
        let choice = |body: &[u8]| -> Result<_> {
            let (named, message) = sasl_initial(body).map_err(undecodable)?;
            let chosen = mechanisms.iter().find(|offered| **offered == named);
            let chosen = chosen.ok_or_else(|| malformed("the client chose a SASL mechanism that was not offered"))?;
            Ok((*chosen, message.map(owned)))
        };
        match self.hear(phase, choice).await?? {
            (chosen, Some(message)) => Ok((chosen, message)),
            (chosen, None) => {
                self.say(|out| write::authentication_sasl_continue(out, b"")).await?;
                Ok((chosen, self.hear(phase, owned).await?))
            }
        }
    }

    fn token(&self, token: SecretString) -> Proof {
        Proof::Token { token, claimed_user: Some(Arc::clone(&self.user)) }
    }

    fn failed(&self, code: &'static str, how: &str) -> Refused {
        Refused::new(code, format!("{how} authentication failed for user \"{}\"", self.user))
    }

    async fn say(&mut self, message: impl FnOnce(&mut BytesMut)) -> Result<()> {
        let mut out = BytesMut::new();
        message(&mut out);
        send(self.io, &out, Side::Client).await
    }

    /// Reads the body of the client's next message, then overwrites it.
    async fn hear<R>(&mut self, phase: Phase, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let frame = receive(self.io, self.buffer, phase, Side::Client).await?;
        let heard = read(frame.body());
        // Nothing follows before its answer, so the bytes are ours alone and can be overwritten.
        self.buffer.idle();
        if let Ok(mut bytes) = frame.into_bytes().try_into_mut() {
            bytes.as_mut().zeroize();
        }
        Ok(heard)
    }
}

fn undecodable(source: DecodeError) -> Error {
    Error::Decode { side: Side::Client, source }
}

fn malformed(reason: &'static str) -> Error {
    Error::Protocol { side: Side::Client, reason }
}

fn oauth_flaw(flaw: oauth::Flaw) -> Error {
    match flaw {
        oauth::Flaw::Malformed => malformed("malformed OAUTHBEARER message"),
        oauth::Flaw::SomebodyElse => {
            Refused::new("28000", "the authorization identity is not the user of the connection")
                .unjudged("OAUTHBEARER as another user than the connection's")
                .into()
        }
    }
}

fn scram_flaw(flaw: scram::Flaw, user: &str) -> Error {
    let (refused, hint, unjudged) = match flaw {
        scram::Flaw::Malformed => return malformed("malformed SCRAM message"),
        scram::Flaw::Stripped => (
            "SCRAM channel binding negotiation error",
            "The client supports channel binding and was not offered it, but this gateway does offer it: somebody in \
             between may have changed what was said.",
            "SCRAM by a client that did not see the offer to bind",
        ),
        scram::Flaw::Bound => (
            "SCRAM channel binding check failed",
            "The client is connected to something other than this gateway, or resumed a connection from before its \
             certificate was renewed.",
            "SCRAM bound to another connection",
        ),
    };
    // Somebody may be in between.
    tracing::warn!(user, "{refused}");
    Refused::new("28000", refused).hint(hint).unjudged(unjudged).into()
}

/// Reads arbitrary bytes as a client's messages of every mechanism; for the fuzzer and the tests.
pub fn fuzz_sasl(data: &[u8]) {
    const NONCE: &str = "ours";
    let challenge = ScramChallenge { salt: [7; 16], iterations: 4096 };
    if let Ok((_, Some(message))) = sasl_initial(data) {
        assert!(message.len() < data.len(), "a message gave out more than it holds");
    }
    for (mechanism, end_point) in
        [(scram::PLAIN, None), (scram::PLAIN, Some(&b"hash"[..])), (scram::PLUS, Some(b"hash"))]
    {
        if let Ok(exchange) = scram::Exchange::begin(mechanism, data, end_point, NONCE, challenge) {
            let flag = data.first();
            assert!(flag == Some(&if mechanism == scram::PLUS { b'p' } else { b'n' }) || end_point.is_none());
            assert!(exchange.challenge().split(',').count() == 3, "a nonce with a comma was taken");
        }
        let Ok(exchange) = scram::Exchange::begin(scram::PLAIN, b"n,,n=,r=theirs", end_point, NONCE, challenge) else {
            continue;
        };
        if let Ok(proven) = exchange.finish(data) {
            assert!(data.starts_with(b"c=biws,r=theirsours,"), "another exchange was taken for this one");
            assert!(proven.transcript.starts_with("n=,r=theirs,r=theirsours,s="));
        }
    }
    if let Ok(oauth::Asks::In(token)) = oauth::read(data, "agent") {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?} is no token");
    }
}

/// What a client reads once both logins are done: AuthenticationOk, the server's settings, the gateway's own cancel key
/// if there is one, and the one ReadyForQuery that does not come from the server.
#[must_use]
pub fn welcome<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>, key: Option<(i32, &[u8])>) -> Bytes {
    let mut out = BytesMut::new();
    write::authentication_ok(&mut out);
    for (name, value) in parameters {
        write::parameter_status(&mut out, name, value);
    }
    if let Some((pid, secret)) = key {
        write::backend_key_data(&mut out, pid, secret);
    }
    write::ready_for_query(&mut out, TransactionStatus::Idle);
    out.freeze()
}
