//! `vault`: where secrets are kept besides files and variables; and `{ vault: … }`, which means one of them.
//!
//! There are two kinds, and a reference says by its form which it means: a word is a secret of the local vault, a mapping
//! is a path of the server. Neither is ever tried in the place of the other.
//!
//! Promises: a reference to a vault that is not configured is a problem, not a surprise at the first login; what the
//! vaults themselves are opened with comes from a variable, a file or a command, never from a vault; no problem shows a
//! line of `vault`. Does not promise that a secret is there: `portcullis check` looks.
//! Held by: the golden files.

use crate::connections::plain_secret;
use crate::document::{Section, Value};
use crate::http::service_url;
use crate::settings::{PlainSource, SecretSource, Upstream};
use std::path::PathBuf;
use std::sync::Arc;

/// The vaults of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vaults {
    /// `vault.local`: the key of `data_dir/secrets.vault`.
    pub local: Option<VaultKey>,
    /// `vault.server`.
    pub server: Option<VaultServer>,
}

/// A vault server: HashiCorp Vault, or OpenBao.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultServer {
    /// Where its API is.
    pub address: Upstream,
    /// PEM: the authorities that its certificate must come from, instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// What the gateway shows it.
    pub login: VaultLogin,
    /// The namespace that paths are in.
    pub namespace: Option<Arc<str>>,
}

/// What the gateway shows a vault server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultLogin {
    /// A token.
    Token(PlainSource),
    /// A login of an AppRole.
    AppRole {
        /// Where the method is mounted.
        mount: Arc<str>,
        /// Which role.
        role_id: PlainSource,
        /// Its secret.
        secret_id: PlainSource,
    },
}

/// Where the key of the local vault comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultKey {
    /// From this file, made on first use.
    File(PathBuf),
    /// From a passphrase, in a variable or a file.
    Passphrase(PlainSource),
    /// From what this program prints.
    Command(Arc<[Arc<str>]>),
}

/// Which vaults there are: what references are checked against.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) local: bool,
    pub(crate) server: bool,
}

/// What a `{ vault: … }` means.
pub(crate) enum Reference {
    Secret(SecretSource),
    /// A login that the server makes, of this role.
    Login(Arc<str>),
}

const LONGEST_NAME: usize = 128;

const REFERENCES: &str = "write `{ vault: NAME }` for a secret of the local vault, or `{ vault: { path: MOUNT/data/PATH, \
    field: NAME } }` for one of the server";

pub(crate) fn vaults(value: Option<Value<'_>>) -> Option<Vaults> {
    let Some(value) = value else { return Some(Vaults::default()) };
    let mut section = value.unseen().section()?;
    let local = section.take("local").map_or(Some(None), |value| local(&value).map(Some));
    let server = section.take("server").map_or(Some(None), |value| server(&value).map(Some));
    if section.entries().next().is_none() {
        section.value().problem_at_key("there is nothing in here", "fill it, or leave the key out");
        return None;
    }
    section.finish();
    Some(Vaults { local: local?, server: server? })
}

fn local(value: &Value<'_>) -> Option<VaultKey> {
    let mut section = value.section()?;
    let key = section.require("key", "{ file: keys/vault.key }").and_then(|value| key(&value));
    section.finish();
    key
}

fn server(value: &Value<'_>) -> Option<VaultServer> {
    let mut section = value.section()?;
    let address = section.require("address", "https://vault.example.com:8200").and_then(|value| service_url(&value));
    let tls_ca = match section.take("tls_ca") {
        Some(value) if address.as_ref().is_some_and(|address| !address.tls) => {
            value.problem_with("`tls_ca` has no effect without TLS", "leave it out");
            None
        }
        Some(value) => value.file().map(Some),
        None => Some(None),
    };
    let (token, app_role) = (section.take("token"), section.take("app_role"));
    let login = match (token, app_role) {
        (Some(token), None) => plain_secret(&token).map(VaultLogin::Token),
        (None, Some(role)) => self::app_role(&role),
        (one, _) => {
            let at = one.as_ref().unwrap_or_else(|| section.value());
            at.problem_at_key(
                "the gateway logs in to the server one way",
                "give `token: { file: PATH }`, or `app_role: { role_id: { file: PATH }, secret_id: { file: PATH } }`",
            );
            None
        }
    };
    let namespace = section.take("namespace").map_or(Some(None), |value| word_path(&value).map(Some));
    section.finish();
    Some(VaultServer { address: address?, tls_ca: tls_ca?, login: login?, namespace: namespace? })
}

fn app_role(value: &Value<'_>) -> Option<VaultLogin> {
    let mut section = value.section()?;
    let role_id = section.require("role_id", "{ file: PATH }").and_then(|value| plain_secret(&value));
    let secret_id = section.require("secret_id", "{ file: PATH }").and_then(|value| plain_secret(&value));
    let mount = section.take("mount").map_or_else(|| Some("approle".into()), |value| word_path(&value));
    section.finish();
    Some(VaultLogin::AppRole { mount: mount?, role_id: role_id?, secret_id: secret_id? })
}

/// A path of the server's that may have any form.
fn word_path(value: &Value<'_>) -> Option<Arc<str>> {
    let read = path(value, |_| true);
    if read.is_none() {
        value.problem_at_key(
            "this is not a path of the server",
            "it is made of letters, digits, `-`, `.`, `_` and `~` between single slashes",
        );
    }
    read
}

/// Canonical segments, so that a path means what it says; and of the form that is asked for.
fn path(value: &Value<'_>, form: impl Fn(&[&str]) -> bool) -> Option<Arc<str>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let canonical = |part: &&str| !matches!(*part, "" | "." | "..") && part.chars().all(plain);
    let text = value.is_scalar().then(|| value.text()).flatten()?;
    let parts: Vec<&str> = text.split('/').collect();
    (text.len() <= 512 && parts.iter().all(canonical) && form(&parts)).then(|| text.into())
}

fn key(value: &Value<'_>) -> Option<VaultKey> {
    const HELP: &str =
        "write `{ file: PATH }`, `{ passphrase: { env: VARIABLE } }` or `{ command: [PROGRAM, ARGUMENT] }`";
    if !value.is_mapping() {
        value.problem_at_key("a key is never written into this file", HELP);
        return None;
    }
    let section = value.section()?;
    let mut entries = section.entries();
    let (Some((kind, inner)), None) = (entries.next(), entries.next()) else {
        value.problem_at_key("the vault has one key", HELP);
        return None;
    };
    match kind {
        "file" => inner.path_in().map(VaultKey::File),
        "passphrase" => plain_secret(&inner).map(VaultKey::Passphrase),
        "command" => command(&inner).map(VaultKey::Command),
        _ => {
            value.problem_at_key("this is not where a key is kept", HELP);
            None
        }
    }
}

fn command(value: &Value<'_>) -> Option<Arc<[Arc<str>]>> {
    let items = value.list()?;
    let words: Option<Vec<Arc<str>>> = items.iter().map(|item| item.text().map(Arc::from)).collect();
    let words = words?;
    if words.first().is_none_or(|program| program.is_empty()) || words.iter().any(|word| word.contains('\0')) {
        value.problem_at_key("there is no program here", "write it and its arguments, as in `[kms-decrypt, vault]`");
        return None;
    }
    Some(words.into())
}

/// A reference. Problems are told at the key of the secret: what stands in here may be one.
pub(crate) fn reference(secret: &Value<'_>, inner: &Value<'_>) -> Option<Reference> {
    if inner.is_mapping() {
        return on_server(secret, &inner.clone().unseen());
    }
    if !inner.is_scalar() {
        secret.problem_at_key("this is not a reference to a secret of a vault", REFERENCES);
        return None;
    }
    let name = inner.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=LONGEST_NAME).contains(&name.len()) || !name.chars().all(plain) {
        secret.problem_at_key("this is not the name of a secret in the local vault", REFERENCES);
        return None;
    }
    if !secret.document().vaults().local {
        secret.problem_at_key("there is no local vault", "add `vault: { local: { key: { file: keys/vault.key } } }`");
        return None;
    }
    Some(Reference::Secret(SecretSource::Vault(name.into())))
}

fn on_server(secret: &Value<'_>, inner: &Value<'_>) -> Option<Reference> {
    let mut section = inner.section()?;
    let (at, field, role) = (section.take("path"), section.take("field"), section.take("role"));
    let wrong = |message: &str| {
        secret
            .problem_at_key(message, "write `{ path: MOUNT/data/PATH, field: NAME }`, or `{ role: MOUNT/creds/ROLE }`");
    };
    let read = match (at, field, role) {
        (Some(at), Some(field), None) => {
            // `MOUNT/data/PATH`: the form of KV version 2.
            let at = path(&at, |parts| parts.iter().skip(1).rev().skip(1).any(|part| *part == "data"));
            let field = field.is_scalar().then(|| field.name()).flatten();
            at.zip(field).map(|(path, field)| Reference::Secret(SecretSource::Server { path, field: field.into() }))
        }
        (None, None, Some(role)) => {
            path(&role, |parts| parts.len() >= 3 && parts.iter().rev().nth(1) == Some(&"creds")).map(Reference::Login)
        }
        _ => None,
    };
    let unknown = section.entries().any(|(word, _)| !matches!(word, "path" | "field" | "role"));
    if read.is_none() || unknown {
        wrong("this is not the path of a secret on a vault server");
        return None;
    }
    if !secret.document().vaults().server {
        secret.problem_at_key(
            "there is no vault server",
            "add `vault: { server: { address: https://HOST:8200, token: { file: PATH } } }`",
        );
        return None;
    }
    read
}

/// What references may mean, seen before the section is read as a whole: one with problems of its own still is one.
pub(crate) fn known(value: Option<&Value<'_>>) -> Known {
    let has = |key: &str| {
        value.and_then(Value::peek).is_some_and(|section: Section<'_>| section.entries().any(|(word, _)| word == key))
    };
    Known { local: has("local"), server: has("server") }
}
