//! What SSH needs of the configuration: the gateway's own keys, whom to trust, and where its listener and targets are.
//!
//! The gateway's own keys lie in `data_dir/ssh`: `host_ed25519`, by which clients know it, `ca_ed25519`, whose
//! certificates targets accept, and `logins_ed25519`, which certifies logins for this gateway alone. They are made on first
//! use by whatever opens the store for a configuration that says anything of SSH, and by `portcullis ssh-ca`.
//!
//! Promises: none of them can be registered for a user or named as an authority of clients; what `identity` says of
//! keys is told as a problem of the configuration, all at once. `check` makes nothing.
//! Held by: `tests/it/ssh_authority.rs`.

use crate::assemble::address;
use crate::assemble::credentials::secret_source;
use crate::error::Failure;
use portcullis_config as config;
use portcullis_config::Config;
use portcullis_credentials::{CertificateAuthority, CredentialError, Method, PrivateKey, Source};
use portcullis_identity::{IdentityError, LoginAuthority, RevokedKeys, SshTrust};
use portcullis_model::{Connection, Name, Problem, Protocol};
use portcullis_net::DialOptions;
use portcullis_ssh::{Destination, Settings};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The gateway's own keys.
pub(crate) struct Keys {
    /// By which clients know it.
    pub(crate) host: PrivateKey,
    /// Which signs for targets.
    pub(crate) authority: CertificateAuthority,
    /// Which certifies logins; targets never hear of it.
    pub(crate) logins: PrivateKey,
}

fn host_key_file(config: &Config) -> PathBuf {
    config.data_dir.join("ssh/host_ed25519")
}

fn authority_file(config: &Config) -> PathBuf {
    config.data_dir.join("ssh/ca_ed25519")
}

fn logins_file(config: &Config) -> PathBuf {
    config.data_dir.join("ssh/logins_ed25519")
}

/// The gateway's own keys, made on first use.
pub(crate) fn keys(config: &Config) -> Result<Keys, Failure> {
    let failed = |error: CredentialError| Failure::refused("the gateway's own SSH keys", error);
    Ok(Keys {
        host: PrivateKey::load_or_create(&host_key_file(config), "portcullis").map_err(failed)?,
        authority: CertificateAuthority::load_or_create(&authority_file(config)).map_err(failed)?,
        logins: PrivateKey::load_or_create(&logins_file(config), "portcullis-logins").map_err(failed)?,
    })
}

/// The line of the host key, where there is a listener.
pub(crate) fn host_line(keys: &Keys, listener: Option<SocketAddr>) -> Option<Arc<str>> {
    listener.and_then(|_| keys.host.public().to_openssh().ok()).map(Into::into)
}

/// The gateway's own keys, where the configuration says anything of SSH.
pub(crate) fn keys_if_used(config: &Config) -> Result<Option<Keys>, Failure> {
    let connected = config.connections.values().any(|connection| matches!(connection, config::Connection::Ssh(_)));
    let used = connected || config.listen.ssh.is_some() || config.ssh != config::SshIdentity::default();
    used.then(|| keys(config)).transpose()
}

/// Whose keys and certificates are accepted; every problem with them otherwise. With the gateway's own keys, logins are
/// certified where there is a provider to log in at.
pub(crate) fn trust(config: &Config, keys: Option<&Keys>) -> Result<SshTrust, Vec<Problem>> {
    let own: Vec<PrivateKey> = [host_key_file(config), authority_file(config), logins_file(config)]
        .iter()
        .filter_map(|file| PrivateKey::load(file).transpose())
        .collect::<Result<_, _>>()
        .map_err(|error| vec![Problem::error("data_dir", error.to_string())])?;
    let mut trust = SshTrust::without(own.iter().map(PrivateKey::public));
    let mut problems = Vec::new();
    let mut told = |place: &str, result: Result<(), IdentityError>| {
        problems.extend(result.err().map(|error| Problem::error(format!("identity.{place}"), error.to_string())));
    };
    for authority in &config.ssh.authorities {
        told("ssh_certificate_authorities", trust.trust(authority));
    }
    for key in &config.ssh.keys {
        told("ssh_keys", trust.register(&key.key, Arc::clone(&key.user), key.groups.clone()));
    }
    for (user, groups) in &config.ssh.users {
        told("ssh_users", trust.groups_of(Arc::clone(user), groups.clone()));
    }
    if let Some(keys) = keys.filter(|_| config.listen.ssh.is_some() && !config.oidc.is_empty()) {
        told("oidc", trust.sign_logins(LoginAuthority::new(Arc::clone(keys.logins.key()))));
    }
    if problems.is_empty() { Ok(trust) } else { Err(problems) }
}

/// What of that was taken back, as the files say now; every problem with them otherwise.
pub(crate) fn revoked_keys(config: &Config) -> Result<RevokedKeys, Vec<Problem>> {
    let mut revoked = RevokedKeys::default();
    let read = config.ssh.revoked_keys.iter().map(|file| revoked.read(file.clone()));
    let problems: Vec<Problem> = read
        .filter_map(Result::err)
        .map(|error| Problem::error("identity.ssh_revoked_keys", error.to_string()))
        .collect();
    if problems.is_empty() { Ok(revoked) } else { Err(problems) }
}

/// A target as rules, records and the gate see it.
pub(crate) fn connection(name: &Name, ssh: &config::Ssh) -> Connection {
    Connection {
        name: name.clone(),
        protocol: Protocol::Ssh,
        address: ssh.address.to_string().into(),
        database: None,
        login: Arc::clone(&ssh.username),
    }
}

/// How the gateway logs in to a target.
pub(crate) fn source(ssh: &config::Ssh) -> Source {
    let method = match &ssh.login {
        config::SshLogin::Password(source) => Method::Password(secret_source(source)),
        config::SshLogin::PrivateKey(source) => Method::PrivateKey(secret_source(source)),
        config::SshLogin::OwnCertificate => Method::Certificate,
    };
    Source { username: Arc::clone(&ssh.username), logins: ssh.logins.clone(), method }
}

/// Where each SSH connection leads, and how its machine proves itself.
pub(crate) fn destinations(config: &Config) -> HashMap<Name, Destination> {
    let destination = |ssh: &config::Ssh| Destination {
        address: address(&ssh.address),
        host_keys: ssh.host_keys.clone(),
        host_authorities: ssh.host_authorities.clone(),
        dial: DialOptions::default(),
    };
    let listed = config.connections.iter().filter_map(|(name, connection)| match connection {
        config::Connection::Ssh(ssh) => Some((name.clone(), destination(ssh))),
        config::Connection::Postgres(_) | config::Connection::Http(_) => None,
    });
    listed.collect()
}

/// How SSH sessions are served.
pub(crate) fn settings(config: &Config, keys: &Keys) -> Settings {
    Settings {
        host_key: PrivateKey::clone(&keys.host),
        login_timeout: config.limits.handshake,
        idle: config.limits.idle,
        statement: usize::try_from(config.limits.statement).unwrap_or(usize::MAX),
    }
}
