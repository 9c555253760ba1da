//! Who calls, and what they call.

use crate::id::TokenId;
use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// How a principal proved who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A token made by this gateway.
    Token(TokenId),
    /// A token of a configured OIDC issuer.
    Oidc,
    /// A SAML assertion of a configured issuer.
    Saml,
    /// A registered SSH key, by fingerprint.
    SshKey(Arc<str>),
    /// An SSH user certificate, by key id and serial number.
    SshCertificate(Arc<str>),
    /// The administration socket of this gateway, or its data directory when it is stopped.
    LocalAdmin,
}

/// Who calls: (issuer, subject) with a user name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Who vouches for it.
    pub issuer: Arc<str>,
    /// Its name there.
    pub subject: Arc<str>,
    /// The user name that rules, records and messages use.
    pub user: Arc<str>,
    /// Its groups.
    pub groups: BTreeSet<Arc<str>>,
    /// Further claims; each may have several values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// How it proved it.
    pub credential: CredentialKind,
}

impl Principal {
    /// Whether this is the same person with the same name, groups and claims, however each of the two proved it.
    #[must_use]
    pub fn differs_in_credential_only(&self, other: &Self) -> bool {
        let Self { issuer, subject, user, groups, claims, credential: _ } = self;
        (issuer, subject, user, groups, claims)
            == (&other.issuer, &other.subject, &other.user, &other.groups, &other.claims)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)
    }
}

/// The protocols that connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Postgres,
    Ssh,
    Http,
}

impl Protocol {
    /// The word used in configuration and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Ssh => "ssh",
            Self::Http => "http",
        }
    }
}

/// A configured backend, as rules, records and messages see it. Where its credential is, only `credentials` knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its name in the configuration.
    pub name: Name,
    /// What it speaks.
    pub protocol: Protocol,
    /// The backend's address as configured.
    pub address: Arc<str>,
    /// The database in force, where the backend has databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Name>,
    /// The login used at the backend.
    pub login: Arc<str>,
}
