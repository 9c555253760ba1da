//! `vault`, and where each connection's credential is.
//!
//! Promises: a reference means the vault that its form names, and the configuration has made sure that there is one; the
//! local vault is `data_dir/secrets.vault`, for the gateway and the command line alike; the server is met like an identity
//! provider ([`Fetch`]), and its answers are wiped. Does not promise to wipe what lies in the buffers of TLS and HTTP.
//! Held by: `tests/it/vault.rs`, `tests/it/vault_server.rs` and `tests/it/session_roles.rs`.

use super::key_command::KeyCommand;
use super::{http, notifications, session_roles, ssh};
use crate::error::Failure;
use crate::fetch::Fetch;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use portcullis_config as config;
use portcullis_config::{Config, VaultKey};
use portcullis_credentials::server::{Answered, Exchange, Exchanged, NoAnswer, Request as Asked, Verb};
use portcullis_credentials::{Credentials, Keeper, KeySource, Method, PlainSource, RoleKeeper, SecretSource};
use portcullis_credentials::{Server, ServerLogin, Source, Vault};
use portcullis_net::Error as NetError;
use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;
use std::sync::Arc;

/// The local vault, where one is configured.
pub(crate) fn vault(config: &Config) -> Option<Vault> {
    let key = match config.vaults.local.as_ref()? {
        VaultKey::File(file) => KeySource::File(file.clone()),
        VaultKey::Command(words) => KeySource::Command(Arc::clone(words), Arc::new(KeyCommand)),
        VaultKey::Passphrase(source) => KeySource::Passphrase(plain_source(source)),
    };
    Some(Vault::new(config.data_dir.join("secrets.vault"), key))
}

/// What keeps the logins that are made for sessions: to be run for as long as sessions live.
pub(crate) struct Keepers {
    /// Of those that the vault server makes.
    pub(crate) leases: Option<Keeper>,
    /// Of those that the gateway makes.
    pub(crate) roles: Option<RoleKeeper>,
}

/// Where each connection's and each notifier's credential is, and what keeps those that are made for sessions. Whoever
/// leases without running that gives back what was made.
pub(crate) fn credentials(config: &Config) -> Result<(Credentials, Keepers), Failure> {
    let seal = session_roles::Seal::of(config)?;
    let sources = config.connections.iter().map(|(name, connection)| {
        let source = match connection {
            config::Connection::Postgres(postgres) => {
                let method = match &postgres.password {
                    Some(config::Password::Kept(source)) => Method::Password(secret_source(source)),
                    Some(config::Password::Issued(role)) => Method::Issued(Arc::clone(role)),
                    Some(config::Password::SessionRole(role)) => Method::SessionRole(seal.method(name, role)),
                    None => Method::None,
                };
                Source { username: Arc::clone(&postgres.username), logins: [].into(), method }
            }
            config::Connection::Ssh(target) => ssh::source(target),
            config::Connection::Http(service) => http::source(service),
        };
        (name.clone(), source)
    });
    let mut credentials = Credentials::new(sources.chain(notifications::sources(config)).collect());
    if let Some(vault) = vault(config) {
        credentials = credentials.with_vault(Arc::new(vault));
    }
    let mut leases = None;
    if let Some(server) = &config.vaults.server {
        let way = Way::to(server).map_err(|error| Failure::refused("vault.server.tls_ca", error))?;
        let (server, keeper) = Server::new(Arc::new(way), server_login(&server.login), server.namespace.clone());
        credentials = credentials.with_server(server);
        leases = Some(keeper);
    }
    let (credentials, roles) = match session_roles::ways(config)? {
        Some(ways) => credentials.with_roles(Arc::new(ways)),
        None => (credentials, None),
    };
    Ok((credentials, Keepers { leases, roles }))
}

fn server_login(login: &config::VaultLogin) -> ServerLogin {
    match login {
        config::VaultLogin::Token(source) => ServerLogin::Token(plain_source(source)),
        config::VaultLogin::AppRole { mount, role_id, secret_id } => ServerLogin::AppRole {
            mount: Arc::clone(mount),
            role_id: plain_source(role_id),
            secret_id: plain_source(secret_id),
        },
    }
}

/// The way to the vault server.
struct Way {
    fetch: Fetch,
    base: String,
}

impl Way {
    fn to(server: &config::VaultServer) -> Result<Self, NetError> {
        let scheme = if server.address.tls { "https" } else { "http" };
        let base = format!("{scheme}://{}{}", server.address.address, server.address.prefix);
        Ok(Self { fetch: Fetch::new(server.tls_ca.as_deref())?, base })
    }

    async fn exchange(&self, asked: Asked) -> Result<Answered, NoAnswer> {
        let method = match asked.verb {
            Verb::Get => hyper::Method::GET,
            Verb::Put => hyper::Method::PUT,
        };
        let mut request = Request::builder().method(method).uri(format!("{}{}", self.base, asked.path));
        let unsaid = || NoAnswer("the request cannot be said in HTTP".to_owned());
        for (name, value) in &asked.headers {
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| unsaid())?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        if !asked.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(asked.body.to_vec()).map_err(|_| unsaid())?;
        let answer = self.fetch.send(request).await.map_err(|error| NoAnswer(error.to_string()))?;
        Ok(Answered { status: answer.status().as_u16(), body: Zeroizing::new(answer.into_body()) })
    }
}

impl Exchange for Way {
    fn send(&self, request: Asked) -> Exchanged<'_> {
        Box::pin(self.exchange(request))
    }
}

pub(super) fn secret_source(source: &config::SecretSource) -> SecretSource {
    match source {
        config::SecretSource::Env(variable) => SecretSource::Env(Arc::clone(variable)),
        config::SecretSource::File(file) => SecretSource::File(file.clone()),
        config::SecretSource::Vault(name) => SecretSource::Vault(Arc::clone(name)),
        config::SecretSource::Server { path, field } => {
            SecretSource::Server { path: Arc::clone(path), field: Arc::clone(field) }
        }
    }
}

fn plain_source(source: &config::PlainSource) -> PlainSource {
    match source {
        config::PlainSource::Env(variable) => PlainSource::Env(Arc::clone(variable)),
        config::PlainSource::File(file) => PlainSource::File(file.clone()),
    }
}
