//! The gateway's login to a target.
//!
//! Promises: nothing is sent to a target before it proved one of the host keys configured for its connection, or a host
//! certificate of a configured authority for its name; an unknown key is refused, never learnt. Every channel that a
//! target opens by itself is refused, but for what comes to a listener that the gateway asked it for: that is handed
//! on, and refused where nobody takes it. The whole login is done within one time; the credential is dropped behind it.
//! Does not promise to reuse connections: each channel of a client has its own, so that one that is not read stalls
//! none but itself; only what comes to listeners of one client shares theirs.
//! Held by: the tests below and `tests/it/ssh.rs` of the binary.

use crate::error::{Error, Result, Side};
use crate::login::arrivals::{Addresses, Arrivals};
use crate::login::{ALGORITHMS, KEYS};
use crate::serve::{TRICKLE, WINDOW};
use crate::wire::{Brake, Cut, Wire};
use futures_util::future::{BoxFuture, Shared};
use portcullis_gate::{Lease, Secret};
use portcullis_net::{Address, DialOptions, dial};
use russh::ChannelId;
use russh::client::{self, AuthResult, Handle};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::{Certificate, HashAlg, PublicKey};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use secrecy::ExposeSecret as _;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::DropGuard;

/// Where a connection leads, and how its machine proves itself.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its address.
    pub address: Address,
    /// The host keys that it may show.
    pub host_keys: Vec<PublicKey>,
    /// Authorities whose host certificates for its name are believed.
    pub host_authorities: Vec<PublicKey>,
    /// How it is dialled.
    pub dial: DialOptions,
}

/// How long a target may take to open a channel.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A target that is being logged in to, for everybody who waits for it.
pub(crate) type Connecting = Shared<BoxFuture<'static, std::result::Result<Arc<Target>, Arc<Error>>>>;

/// A connection to a target that let the gateway in. Dropping it cuts it.
pub(crate) struct Target {
    handle: Handle<Checks>,
    _cut: DropGuard,
}

impl Target {
    /// Opens a session channel.
    pub(crate) async fn session(&self) -> Result<russh::Channel<client::Msg>> {
        self.handle.channel_open_session().await.map_err(Error::Backend)
    }

    /// Opens a channel to another host (RFC 4254 §7.2).
    pub(crate) async fn direct(&self, host: &str, port: u32) -> Result<russh::Channel<client::Msg>> {
        self.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await.map_err(Error::Backend)
    }

    /// Asks for a listener (RFC 4254 §7.1), and says which port it has.
    pub(crate) async fn listen(&self, address: &str, port: u32) -> Result<u32> {
        let chosen = self.handle.tcpip_forward(address, port).await.map_err(Error::Backend)?;
        Ok(if port == 0 { chosen } else { port })
    }

    /// Gives it up.
    pub(crate) async fn unlisten(&self, address: &str, port: u32) -> Result<()> {
        self.handle.cancel_tcpip_forward(address, port).await.map_err(Error::Backend)
    }
}

/// Connects, checks the host key and logs in. What comes to listeners goes to `arrivals`; without them it is refused.
///
/// # Errors
/// Whose doing it is, in [`Error`].
pub(crate) async fn connect(
    destination: &Destination,
    lease: Lease,
    patience: Duration,
    arrivals: Option<Arrivals>,
) -> Result<Target> {
    let late = Error::Timeout { side: Side::Backend, doing: "the login" };
    tokio::time::timeout(patience, log_in(destination, lease, arrivals)).await.unwrap_or(Err(late))
}

async fn log_in(destination: &Destination, lease: Lease, arrivals: Option<Arrivals>) -> Result<Target> {
    let dialed = dial(&destination.address, destination.dial).await?;
    let cut = Cut::default();
    let brake = arrivals.as_ref().map_or_else(Brake::default, Arrivals::brake);
    let wire = Wire::new(dialed.io, &cut, brake);
    let checks = Checks { destination: destination.clone(), arrivals };
    let mut handle = client::connect_stream(config(destination), wire, checks).await?;
    let guard = cut.guard();
    let user = lease.username.to_string();
    let answer = match lease.secret {
        Secret::Headers(_) => return Err(Error::Credential("a header is no login over SSH".into())),
        Secret::None => handle.authenticate_none(user).await,
        Secret::Password(password) => handle.authenticate_password(user, password.expose_secret()).await,
        Secret::PrivateKey(key) => {
            handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key.key()), None)).await
        }
        Secret::Certificate { key, certificate } => {
            handle.authenticate_openssh_cert(user, Arc::clone(key.key()), *certificate).await
        }
    };
    match answer.map_err(Error::Backend)? {
        AuthResult::Success => Ok(Target { handle, _cut: guard }),
        AuthResult::Failure { .. } => Err(Error::LoginRefused),
    }
}

fn config(destination: &Destination) -> Arc<client::Config> {
    let mut preferred = ALGORITHMS;
    // Kinds of key that none of the configured ones is of cannot prove anything.
    let shown = KEYS.into_iter().filter(|kind| destination.host_keys.iter().any(|key| key.algorithm() == *kind));
    let shown: Vec<_> = shown.collect();
    if !shown.is_empty() && destination.host_authorities.is_empty() {
        preferred.key = Cow::Owned(shown);
    }
    if !destination.host_authorities.is_empty() {
        preferred.host_key_certificates = Cow::Borrowed(&KEYS);
    }
    Arc::new(client::Config {
        preferred,
        nodelay: true,
        keepalive_interval: Some(Duration::from_secs(60)),
        client_id: russh::SshId::Standard(Cow::Borrowed("SSH-2.0-Portcullis")),
        ..client::Config::default()
    })
}

/// What the gateway checks of a target, and what it refuses of it.
pub(crate) struct Checks {
    destination: Destination,
    arrivals: Option<Arrivals>,
}

impl Checks {
    fn believes(&self, shown: &PublicKeyOrCertificate) -> std::result::Result<(), Arc<str>> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                let known = self.destination.host_keys.iter().any(|host| host.key_data() == key.key_data());
                if known { Ok(()) } else { Err(key.fingerprint(HashAlg::Sha256).to_string().into()) }
            }
            PublicKeyOrCertificate::Certificate(certificate) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                believes_certificate(certificate, &self.destination, now)
            }
        }
    }
}

fn believes_certificate(
    certificate: &Certificate,
    destination: &Destination,
    now: u64,
) -> std::result::Result<(), Arc<str>> {
    let authorities: Vec<_> = destination.host_authorities.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect();
    if certificate.validate_at(now, &authorities).is_err() {
        return Err("a certificate of an authority that is not configured, or out of its time".into());
    }
    if certificate.cert_type() != CertType::Host || !certificate.critical_options().is_empty() {
        return Err("a certificate that is not one for a host".into());
    }
    let name = destination.address.host().unwrap_or_default();
    // An empty list would be every host.
    if !certificate.valid_principals().iter().any(|principal| principal.eq_ignore_ascii_case(name)) {
        return Err("a certificate of another host".into());
    }
    Ok(())
}

impl client::Handler for Checks {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool> {
        match self.believes(shown) {
            Ok(()) => Ok(true),
            Err(shown) => Err(Error::HostKey { shown }),
        }
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: russh::Channel<client::Msg>,
        address: &str,
        port: u32,
        originator: &str,
        originator_port: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<()> {
        let Some(arrivals) = &mut self.arrivals else { return refuse(reply).await };
        let (address, originator) = (address.to_owned(), originator.to_owned());
        arrivals.opened(channel, reply, Addresses { address, port, originator, originator_port });
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: russh::Channel<client::Msg>,
        _: &str,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<()> {
        refuse(reply).await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: russh::Channel<client::Msg>,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<()> {
        refuse(reply).await
    }

    async fn server_channel_open_session(
        &mut self,
        _: russh::Channel<client::Msg>,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<()> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: russh::Channel<client::Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<()> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: russh::Channel<client::Msg>,
        _: &str,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<()> {
        refuse(reply).await
    }

    async fn server_channel_open_x11(
        &mut self,
        _: russh::Channel<client::Msg>,
        _: &str,
        _: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<()> {
        refuse(reply).await
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut client::Session) -> Result<()> {
        if let Some(arrivals) = &self.arrivals {
            arrivals.data(channel, data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut client::Session) -> Result<()> {
        if let Some(arrivals) = &self.arrivals {
            arrivals.ended(channel);
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut client::Session) -> Result<()> {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.closed(channel);
        }
        Ok(())
    }

    async fn window_adjusted(&mut self, _: ChannelId, _: u32, _: &mut client::Session) -> Result<()> {
        if let Some(arrivals) = &self.arrivals {
            arrivals.update_brake();
        }
        Ok(())
    }

    fn adjust_window(&mut self, channel: ChannelId, window: u32) -> u32 {
        match &self.arrivals {
            Some(arrivals) if arrivals.is_behind(channel) => TRICKLE,
            Some(_) => WINDOW,
            None => window,
        }
    }

    async fn disconnected(&mut self, _: client::DisconnectReason<Error>) -> Result<()> {
        // Whoever holds a channel sees its end.
        Ok(())
    }
}

async fn refuse(reply: client::ChannelOpenHandle) -> Result<()> {
    reply.reject(russh::ChannelOpenFailure::AdministrativelyProhibited).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;

    const NOW: u64 = 1_800_000_000;

    fn key() -> PrivateKey {
        PrivateKey::random(&mut rand::rng(), russh::keys::Algorithm::Ed25519).unwrap()
    }

    fn destination(host_keys: &[&PrivateKey], host_authorities: &[&PrivateKey]) -> Destination {
        let public = |keys: &[&PrivateKey]| keys.iter().map(|key| key.public_key().clone()).collect();
        Destination {
            address: Address::Tcp { host: "Build.internal".to_owned(), port: 22 },
            host_keys: public(host_keys),
            host_authorities: public(host_authorities),
            dial: DialOptions::default(),
        }
    }

    /// A certificate of this kind; without a name it is one for every name.
    fn certificate(authority: &PrivateKey, kind: CertType, name: Option<&str>, option: Option<&str>) -> Certificate {
        let subject = key().public_key().key_data().clone();
        let mut builder = Builder::new_with_random_nonce(&mut rand::rng(), subject, NOW - 60, NOW + 60).unwrap();
        builder.serial(1).unwrap().key_id("build").unwrap().cert_type(kind).unwrap();
        match name {
            Some(name) => builder.valid_principal(name).unwrap(),
            None => builder.all_principals_valid().unwrap(),
        };
        if let Some(option) = option {
            builder.critical_option(option, "").unwrap();
        }
        builder.sign(authority).unwrap()
    }

    #[test]
    fn only_a_configured_host_key_is_believed() {
        let (known, other) = (key(), key());
        let checks = Checks { destination: destination(&[&known], &[]), arrivals: None };
        let shown =
            |key: &PrivateKey| PublicKeyOrCertificate::PublicKey { key: key.public_key().clone(), hash_alg: None };
        assert!(checks.believes(&shown(&known)).is_ok());
        let told = checks.believes(&shown(&other)).unwrap_err();
        assert!(told.starts_with("SHA256:"), "{told}");
        // An authority is no host key.
        let checks = Checks { destination: destination(&[&known], &[&other]), arrivals: None };
        assert!(checks.believes(&shown(&other)).is_err());
    }

    #[test]
    fn a_host_certificate_is_believed_of_its_authority_for_its_name_in_its_time() {
        let (authority, stranger) = (key(), key());
        let believed = |certificate: &Certificate, now| {
            believes_certificate(certificate, &destination(&[], &[&authority]), now).is_ok()
        };
        let name = Some("build.internal");
        let good = certificate(&authority, CertType::Host, name, None);
        assert!(believed(&good, NOW));
        assert!(!believed(&good, NOW + 61) && !believed(&good, NOW - 61));
        for bad in [
            certificate(&stranger, CertType::Host, name, None),
            certificate(&authority, CertType::User, name, None),
            certificate(&authority, CertType::Host, Some("other.internal"), None),
            certificate(&authority, CertType::Host, None, None),
            certificate(&authority, CertType::Host, name, Some("unknown")),
        ] {
            assert!(!believed(&bad, NOW), "{bad:?}");
        }
    }
}
