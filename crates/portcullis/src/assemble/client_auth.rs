//! How PostgreSQL clients prove who they are: `client_auth` of each connection, and the provider that those who want a
//! token of one are sent to. Held by: `tests/it/scram.rs`.

use portcullis_config as config;
use portcullis_config::Config;
use portcullis_model::Name;
use portcullis_postgres::ClientAuth;
use portcullis_postgres::login::client::Discovery;
use std::collections::HashMap;
use std::sync::Arc;

/// What connections ask of clients that do not say.
pub(super) fn of_connections(config: &Config) -> HashMap<Name, ClientAuth> {
    super::databases_of(config).map(|(name, postgres)| (name.clone(), of(postgres.client_auth))).collect()
}

/// Where a client gets a token.
pub(super) fn discovery(config: &Config) -> Option<Discovery> {
    config.oauth().map(|(issuer, scope)| Discovery { issuer: Arc::clone(issuer), scope })
}

const fn of(configured: config::ClientAuth) -> ClientAuth {
    match configured {
        config::ClientAuth::Password => ClientAuth::Password,
        config::ClientAuth::Scram => ClientAuth::Scram,
        config::ClientAuth::OAuth => ClientAuth::OAuth,
    }
}
