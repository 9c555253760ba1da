//! A person who logs in at the provider with a code, while their client's connection waits (RFC 8628 over RFC 4256).
//!
//! The first keyboard-interactive login of a connection begins one, where the configuration says so. The client gets an
//! information request without a prompt: it shows the text and answers at once. Each answer is met with an empty request
//! after [`BEAT`], until the provider has said how it ended, so a client that is gone is noticed within that.
//!
//! Promises: one for each connection; only with a place among those that may wait (`portcullis_net::Waits`) and where
//! `portcullis_identity` lets one begin; at most [`LONGEST`], and no longer than the provider's code is good. The provider
//! is asked only while the client answers. Only a connection that waits so has longer than a login has, and its client has
//! as long as a login for each answer. It ends with the connection, with the gateway, and when the client tries anything
//! else; why it came to nothing is in the record, but of a client that goes just when the gateway does. What a client
//! answers to a request that asks nothing is not looked at.
//! Does not promise to wait for clients that cannot show a text: they see none, and go on to another method.
//! Held by: `tests/it/login_device.rs` of the binary, and the test below.

use super::Front;
use crate::error::{Error, Result};
use crate::login::device::{DeviceLogin, DeviceLogins, Unfinished, shown};
use portcullis_gate::Proof;
use portcullis_model::Protocol;
use portcullis_net::Waiting;
use russh::server::Auth;
use secrecy::SecretString;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long a person may take: what `sshd` gives a login, and half as long again.
const LONGEST: Duration = Duration::from_secs(180);
/// How long the provider may take to give a code.
const BEGINS: Duration = Duration::from_secs(5);
/// How often a client shows that it is still there.
const BEAT: Duration = Duration::from_secs(1);

/// Why a login that waits is over, where its provider did not say so.
pub(super) const LEFT: &str = "device login: the client tried something else";
pub(super) const GONE: &str = "device login: the client went, or did not answer";
const STOPPED: &str = "device login: the gateway stopped";

/// Whether this connection has a login with a code.
pub(super) enum Device {
    /// It may have one.
    Unused,
    /// It waits for its person.
    Waits(Box<Waits>),
    /// It had its one.
    Over,
}

/// A login that waits for its person.
pub(super) struct Waits {
    login: DeviceLogin,
    until: Instant,
    /// The whole user name, for the record.
    user: String,
    _place: Waiting,
}

impl Device {
    pub(super) const fn waits(&self) -> bool {
        matches!(self, Self::Waits(_))
    }
}

/// How long a person is waited for whose code is good for so long.
fn patience(code: Duration) -> Duration {
    code.min(LONGEST)
}

/// An information request without a prompt: its text is shown, and answered at once.
fn told(instructions: String) -> Auth {
    Auth::Partial { name: "".into(), instructions: instructions.into(), prompts: Cow::Borrowed(&[]) }
}

impl Front {
    /// Begins the login with a code that this connection may have; `None` where it may have none, or had it.
    pub(super) async fn begin_device(&mut self, user: &str) -> Result<Option<Auth>> {
        let Some(logins) = self.ssh.device_logins.clone() else { return Ok(None) };
        if !matches!(self.device, Device::Unused) {
            return Ok(None);
        }
        self.device = Device::Over;
        let begun = match self.begin_at(&*logins, user).await {
            Ok(Some(begun)) => begun,
            Ok(None) => return Err(Error::Client(russh::Error::Disconnect)),
            Err(why) => {
                self.record_device(user, why);
                return Ok(Some(Auth::reject()));
            }
        };
        let text = shown(&begun.login, super::wanted(user).0, self.caller.local, self.caller.peer);
        self.device = Device::Waits(Box::new(begun));
        Ok(Some(told(text)))
    }

    /// Asks for a code; `None` where the gateway stops.
    async fn begin_at(
        &mut self,
        logins: &dyn DeviceLogins,
        user: &str,
    ) -> std::result::Result<Option<Waits>, &'static str> {
        let place = self.caller.waits.take().ok_or("device login: too many wait already")?;
        let may = self.ssh.gate.identity().begin_login(self.caller.peer.ip());
        may.map_err(|refused| refused.why().words())?;
        self.more_time(BEGINS);
        let begun = tokio::select! {
            begun = timeout(BEGINS, logins.begin()) => begun,
            () = self.caller.drain.draining() => return Ok(None),
        };
        self.more_time(Duration::ZERO);
        let login = begun.unwrap_or(Err(Unfinished::Unavailable)).map_err(Unfinished::words)?;
        let until = Instant::now() + patience(login.within);
        Ok(Some(Waits { login, until, user: user.to_owned(), _place: place }))
    }

    /// The client is still there: waits a while for its person.
    pub(super) async fn go_on_device(&mut self, user: &str) -> Result<Auth> {
        self.more_time(BEAT);
        let Device::Waits(waits) = &mut self.device else { return Ok(Auth::reject()) };
        let ended = tokio::select! {
            biased;
            () = self.caller.drain.draining() => {
                self.leave_device(STOPPED);
                return Err(Error::Client(russh::Error::Disconnect));
            }
            ended = &mut waits.login.token => ended,
            () = sleep_until(waits.until) => Err(Unfinished::Expired),
            () = sleep(BEAT) => return Ok(told(String::new())),
        };
        let issuer = Arc::clone(&waits.login.issuer);
        self.device = Device::Over;
        self.more_time(Duration::ZERO);
        Ok(self.end_device(user, issuer, ended).await)
    }

    async fn end_device(
        &mut self,
        user: &str,
        issuer: Arc<str>,
        ended: std::result::Result<SecretString, Unfinished>,
    ) -> Auth {
        match ended {
            Ok(token) => self.enter(user, Proof::Login { token, issuer }).await,
            Err(why) => {
                self.record_device(user, why.words());
                Auth::reject()
            }
        }
    }

    /// The client does something else than to wait, or is gone.
    pub(super) fn leave_device(&mut self, why: &'static str) {
        if let Device::Waits(waits) = &self.device {
            self.record_device(&waits.user, why);
            self.device = Device::Over;
        }
    }

    fn record_device(&self, user: &str, why: &'static str) {
        tracing::info!(client = %self.caller.peer, why, "a login came to nothing");
        self.ssh.gate.refused(Protocol::Ssh, user, self.client(), why);
    }

    /// The client has as long as a login has, from the end of what the gateway itself does now.
    fn more_time(&self, working: Duration) {
        self.tells.deadline.send_replace(Instant::now() + working + self.ssh.settings.login_timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_waited_for_while_the_code_is_good_and_three_minutes_at_most() {
        for (code, waited) in [(0, 0), (60, 60), (180, 180), (181, 180), (u64::MAX, 180)] {
            assert_eq!(patience(Duration::from_secs(code)), Duration::from_secs(waited));
        }
    }
}
