//! `session_role`: who makes a role for each session, what its name is, and the way to its server.
//!
//! Promises: the names of the roles of a connection begin with a word that only a gateway with this `data_dir` makes, so
//! that what is left is found by whoever left it and by nobody else; where there is no `data_dir` yet the word is any. A
//! server is met as the connection's own sessions meet it, with the same TLS; what a role owns is given away in each of
//! the connection's databases. Held by: `tests/it/session_roles.rs`.

use super::credentials::secret_source;
use super::{SEAT, destinations};
use crate::error::Failure;
use portcullis_config as config;
use portcullis_config::Config;
use portcullis_credentials::SessionRole;
use portcullis_credentials::roles::{Admin, Errand, Ran, RoleFault, RoleServer};
use portcullis_identity::TokenKey;
use portcullis_model::Name;
use portcullis_postgres::{Destination, NewRole, drop_roles, extend_roles, find_roles, make_role};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a server may take to let the gateway in, and to answer: the caller has less.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Tells this gateway's roles from all others'.
pub(super) struct Seal(TokenKey);

impl Seal {
    /// From the key in `data_dir`, where that is there.
    pub(super) fn of(config: &Config) -> Result<Self, Failure> {
        let file = config.data_dir.join("token.key");
        if !is_used(config) || !file.exists() {
            return Ok(Self(TokenKey::generate()));
        }
        let key = TokenKey::load_or_create(&file).map_err(|error| Failure::refused("token.key", error))?;
        Ok(Self(key))
    }

    /// How roles for this connection are made.
    pub(super) fn method(&self, connection: &Name, role: &config::SessionRole) -> SessionRole {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.derive(&format!("session roles of {SEAT} on {connection}"));
        let word = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        SessionRole {
            by: Arc::clone(&role.by),
            password: secret_source(&role.password),
            valid: role.valid,
            prefix: format!("portcullis_s_{word:016x}_").into(),
        }
    }
}

fn is_used(config: &Config) -> bool {
    config.connections.values().any(|connection| match connection {
        config::Connection::Postgres(postgres) => matches!(postgres.password, Some(config::Password::SessionRole(_))),
        config::Connection::Ssh(_) | config::Connection::Http(_) => false,
    })
}

/// The ways to the servers, where any makes roles.
pub(super) fn ways(config: &Config) -> Result<Option<Ways>, Failure> {
    is_used(config).then(|| destinations(config).map(Ways)).transpose()
}

/// The ways to the servers of connections.
pub(super) struct Ways(HashMap<Name, Destination>);

impl Ways {
    async fn errand(&self, admin: Admin, errand: Errand) -> Result<Vec<Arc<str>>, RoleFault> {
        let Admin { connection, username, password } = admin;
        let there = self.0.get(&connection).ok_or_else(|| RoleFault("it leads nowhere".to_owned()))?;
        let target = |database: &Name| there.target(&username, Some(password.clone()), database, TIMEOUT);
        let main = target(&there.database);
        let left = match errand {
            Errand::Make(role) => {
                let (name, acts_as, valid) = (&*role.name, &*role.acts_as, role.valid);
                let role = NewRole { name, acts_as, password: &role.password, valid };
                make_role(&main, &role).await.map(|()| Vec::new())
            }
            Errand::Extend { names, valid } => extend_roles(&main, &texts(&names), valid).await,
            Errand::Drop { names, acts_as } => {
                let others = there.databases.iter().map(target);
                let targets: Vec<_> = [main].into_iter().chain(others).collect();
                drop_roles(&targets, &texts(&names), &acts_as).await
            }
            Errand::Find { prefix } => find_roles(&main, &prefix).await,
        };
        let left = left.map_err(|error| RoleFault(error.to_string()))?;
        Ok(left.into_iter().map(Arc::from).collect())
    }
}

fn texts(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

impl RoleServer for Ways {
    fn run(&self, admin: Admin, errand: Errand) -> Ran<'_> {
        Box::pin(self.errand(admin, errand))
    }
}
