//! `connections`: the backends, and how the gateway logs in to each.
//!
//! Promises: a connection's name can be used as a database name, a user name, a host label and a path segment without
//! quoting; `tls: disable` is for addresses that cannot leave the machine; a secret is a reference, and one that is
//! written out is refused without being shown. Held by: the golden files.

use crate::document::{Section, Value};
use crate::http::{self, Hosts};
use crate::settings::{
    Address, BackendTls, ClientAuth, Connection, Password, PlainSource, Postgres, SecretSource, SessionRole,
};
use crate::ssh;
use crate::vault::{self, Reference};
use portcullis_model::{Name, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What a secret is.
const HELP: &str = "write `{ env: VARIABLE }`, `{ file: PATH }` or `{ vault: NAME }`";

/// What one is that is in no vault.
const PLAIN: &str = "write `{ env: VARIABLE }` or `{ file: PATH }`";

const POSTGRES_PORT: u16 = 5432;

/// How long a role of a session lets anybody log in.
const VALID: Duration = Duration::from_secs(60 * 60);
const SHORTEST_VALID: Duration = Duration::from_secs(60);
const LONGEST_VALID: Duration = Duration::from_secs(24 * 60 * 60);

/// `oauth` says whether there is a provider to send clients to.
pub(crate) fn connections(value: Option<Value<'_>>, oauth: bool) -> Option<BTreeMap<Name, Connection>> {
    let section = value?.section()?;
    let mut complete = true;
    let mut connections = BTreeMap::new();
    let mut hosts = Hosts::new(section.entries().map(|(name, _)| name));
    for (name, value) in section.entries() {
        complete &= check_name(name, &value);
        match one(&value, &mut hosts, oauth) {
            Some(connection) => drop(connections.insert(Name::canonical(name), connection)),
            None => complete = false,
        }
    }
    if connections.is_empty() && complete {
        section
            .value()
            .problem_with("no connection: there is nothing to reach", "add one: `shop: { protocol: postgres, … }`");
        return None;
    }
    complete.then_some(connections)
}

fn check_name(name: &str, value: &Value<'_>) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let good = name.len() <= 63
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !good {
        value.problem_at_key(
            format!("`{}` cannot name a connection", name.escape_debug()),
            "use up to 63 of a-z, 0-9, `-` and `_`, beginning with a letter or digit",
        );
    }
    good
}

fn one(value: &Value<'_>, hosts: &mut Hosts<'_>, oauth: bool) -> Option<Connection> {
    let mut section = value.section()?;
    let protocol = section.require("protocol", "postgres")?;
    let known = [("postgres", Protocol::Postgres), ("ssh", Protocol::Ssh), ("http", Protocol::Http)];
    match protocol.choice(&known)? {
        Protocol::Postgres => postgres(section, oauth).map(Connection::Postgres),
        Protocol::Ssh => ssh::connection(section).map(Connection::Ssh),
        Protocol::Http => http::connection(section, hosts).map(Connection::Http),
    }
}

fn postgres(mut section: Section<'_>, oauth: bool) -> Option<Postgres> {
    let address = section.require("address", "127.0.0.1:5432");
    let shown_address = address.clone();
    let address = address.and_then(|value| read_address(&value, POSTGRES_PORT));
    let database = section.require("database", "NAME").and_then(|value| database(&value));
    let databases =
        section.take("databases").map_or_else(|| Some([].into()), |value| others(&value, database.as_deref()));
    let username = section.require("username", "LOGIN").and_then(|value| value.name().map(Arc::from));
    let password = proof(&mut section, username.as_deref());
    let tls = section.take("tls");
    let tls_ca = section.take("tls_ca");
    if let (Some(value), Some(Address::Tcp { .. }), Some(None)) = (&shown_address, &address, &password) {
        value.warning("without a `password` the server must let this login in", "add `password: { env: VARIABLE }`");
    }
    let tls = address.as_ref().and_then(|address| backend_tls(tls.as_ref(), address));
    let tls_ca = match tls_ca {
        Some(value) => value.file().and_then(|file| {
            if matches!(tls, Some(BackendTls::Require | BackendTls::Disable)) {
                value.problem_with(
                    "`tls_ca` has no effect without verification",
                    "write `tls: verify-full`, or leave it out",
                );
                return None;
            }
            Some(Some(file))
        }),
        None => Some(None),
    };
    let client_auth = section.take("client_auth");
    let client_auth = client_auth.map_or_else(|| Some(ClientAuth::default()), |value| how(&value, oauth));
    section.finish();
    Some(Postgres {
        address: address?,
        database: database?,
        databases: databases?,
        username: username?,
        password: password?,
        tls: tls?,
        tls_ca: tls_ca?,
        client_auth: client_auth?,
    })
}

fn how(value: &Value<'_>, oauth: bool) -> Option<ClientAuth> {
    let choices = [("password", ClientAuth::Password), ("scram", ClientAuth::Scram), ("oauth", ClientAuth::OAuth)];
    let how = value.choice(&choices)?;
    if how == ClientAuth::OAuth && !oauth {
        value.problem_with(
            "`oauth` needs one identity provider that clients are sent to",
            "configure `identity.oidc`; of several, give one an `oauth_scope`",
        );
        return None;
    }
    Some(how)
}

/// A database's name; PostgreSQL cuts longer ones, so that two would be one.
fn database(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.name()?;
    if name.len() > 63 {
        value.problem("a database's name has at most 63 bytes");
        return None;
    }
    Some(name.into())
}

fn others<C: FromIterator<Arc<str>>>(value: &Value<'_>, main: Option<&str>) -> Option<C> {
    let items = value.list()?;
    let names: Vec<_> = items.iter().map(database).collect();
    let mut seen = BTreeSet::from_iter(main);
    for (item, name) in items.iter().zip(&names) {
        if let Some(name) = name.as_deref()
            && !seen.insert(name)
        {
            let what = if Some(name) == main { "is the connection's own database" } else { "is listed twice" };
            item.problem_with(format!("`{name}` {what}"), "list each other database once");
        }
    }
    names.into_iter().collect()
}

fn backend_tls(value: Option<&Value<'_>>, address: &Address) -> Option<BackendTls> {
    let on_socket = matches!(address, Address::Unix { .. });
    let Some(value) = value else {
        return Some(if on_socket { BackendTls::Disable } else { BackendTls::VerifyFull });
    };
    let choices = [
        ("verify-full", BackendTls::VerifyFull),
        ("verify-ca", BackendTls::VerifyCa),
        ("require", BackendTls::Require),
        ("disable", BackendTls::Disable),
    ];
    let tls = value.choice(&choices)?;
    if tls == BackendTls::Disable && !address.is_local() {
        value.problem_with(
            format!("`disable` is for loopback addresses and Unix sockets, and this is {address}"),
            "leave `tls` out, or give `tls_ca`; for the same machine write 127.0.0.1",
        );
        return None;
    }
    if tls != BackendTls::Disable && on_socket {
        value.problem_with("PostgreSQL speaks no TLS on a Unix socket", "leave `tls` out");
        return None;
    }
    Some(tls)
}

/// `HOST:PORT`, `HOST`, `[IPV6]:PORT`, or a directory (with `:PORT` behind it where that is not the usual port).
pub(crate) fn read_address(value: &Value<'_>, usual: u16) -> Option<Address> {
    address_in(value, value.text()?, usual)
}

/// The same in a part of a value.
pub(crate) fn address_in(value: &Value<'_>, text: &str, usual: u16) -> Option<Address> {
    let address = if text.starts_with('/') || text.starts_with('.') {
        let (directory, port) = with_port(text, usual);
        port.map(|port| Address::Unix { directory: value.document().resolve(directory), port })
    } else {
        tcp(text, usual)
    };
    if address.is_none() {
        let help = match text.parse::<std::net::Ipv6Addr>() {
            Ok(v6) => format!("write `[{v6}]:{usual}`"),
            Err(_) if usual == POSTGRES_PORT => "write `HOST:PORT`, or the directory of its Unix socket".to_owned(),
            Err(_) => "write `HOST:PORT`".to_owned(),
        };
        value.problem_with(format!("`{text}` is not the address of a server"), help);
    }
    address
}

fn tcp(text: &str, usual: u16) -> Option<Address> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, rest)) => {
            host.parse::<std::net::Ipv6Addr>().ok()?;
            if !rest.is_empty() && !rest.starts_with(':') {
                return None;
            }
            (host, with_port(rest, usual).1)
        }
        None => with_port(text, usual),
    };
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let good =
        bracketed.is_some() || (host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label));
    // A name that ends in a number and is no address would be read as one by some resolvers: `127.1`, `0x7f.1`.
    let last = host.rsplit('.').find(|label| !label.is_empty()).unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
    let numeric = bracketed.is_none() && (hexadecimal || last.chars().all(|c| c.is_ascii_digit()));
    if !good || (numeric && host.parse::<std::net::Ipv4Addr>().is_err()) {
        return None;
    }
    Some(Address::Tcp { host: host.into(), port: port? })
}

/// What is before the last colon, and the port behind it; the usual one where there is no colon.
fn with_port(text: &str, usual: u16) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
        None => (text, Some(usual)),
    }
}

/// Where the password of a database's login is, or who makes a login.
fn password(value: &Value<'_>) -> Option<Password> {
    let made = value.peek().and_then(|section| section.entries().find(|(kind, _)| *kind == "vault"));
    if let Some((_, inner)) = made
        && inner.peek().is_some_and(|section| section.entries().any(|(word, _)| word == "role"))
    {
        entry(value, HELP)?;
        return match vault::reference(value, &inner)? {
            Reference::Login(role) => Some(Password::Issued(role)),
            Reference::Secret(source) => Some(Password::Kept(source)),
        };
    }
    secret(value).map(Password::Kept)
}

/// What proves the login: a password, or a role that is made for each session; `None` inside where nothing is given.
fn proof(section: &mut Section<'_>, username: Option<&str>) -> Option<Option<Password>> {
    let (kept, made) = (section.take("password"), section.take("session_role"));
    match (kept, made) {
        (None, None) => Some(None),
        (Some(kept), None) => password(&kept).map(Some),
        (None, Some(made)) => session_role(&made, username).map(|role| Some(Password::SessionRole(role))),
        (Some(_), Some(made)) => {
            made.problem_at_key(
                "sessions log in with a `password`, or with a `session_role` each",
                "leave one out; the password of the login that makes roles is in `session_role`",
            );
            None
        }
    }
}

/// What makes a role for each session. An hour, unless it says otherwise.
fn session_role(value: &Value<'_>, username: Option<&str>) -> Option<SessionRole> {
    let mut section = value.section()?;
    let by = section.require("by", "LOGIN").and_then(|value| {
        let by: Arc<str> = value.name()?.into();
        Some((by, value))
    });
    let password = section.require("password", "{ env: VARIABLE }").and_then(|value| secret(&value));
    let valid = section.take("valid").map_or(Some(VALID), |value| value.duration(SHORTEST_VALID..=LONGEST_VALID));
    section.finish();
    let (by, at) = by?;
    if username == Some(&*by) {
        at.problem_with(
            "a session would act as the login that makes roles",
            "make another login for it, with CREATEROLE and a grant of `username` with the admin option",
        );
        return None;
    }
    Some(SessionRole { by, password: password?, valid: valid? })
}

/// A reference to a secret. Every problem is told at the key, so that the value is not shown.
pub(crate) fn secret(value: &Value<'_>) -> Option<SecretSource> {
    let (kind, inner) = entry(value, HELP)?;
    match kind {
        "vault" => match vault::reference(value, &inner)? {
            Reference::Secret(source) => Some(source),
            Reference::Login(_) => {
                value.problem_at_key(
                    "a login that a vault makes is for the `password` of a `postgres` connection",
                    HELP,
                );
                None
            }
        },
        _ => plain(value, kind, &inner, HELP).map(SecretSource::from),
    }
}

/// A reference to a secret that is in no vault.
pub(crate) fn plain_secret(value: &Value<'_>) -> Option<PlainSource> {
    let (kind, inner) = entry(value, PLAIN)?;
    plain(value, kind, &inner, PLAIN)
}

/// The one key of a reference, and what is behind it.
fn entry<'d>(value: &Value<'d>, help: &'static str) -> Option<(&'d str, Value<'d>)> {
    if !value.is_mapping() {
        value.problem_at_key("a secret is never written into this file", help);
        return None;
    }
    let section = value.section()?;
    let mut entries = section.entries();
    let (Some(one), None) = (entries.next(), entries.next()) else {
        value.problem_at_key("a secret is one reference", help);
        return None;
    };
    Some(one)
}

fn plain(value: &Value<'_>, kind: &str, inner: &Value<'_>, help: &'static str) -> Option<PlainSource> {
    match kind {
        "env" => environment(value, inner),
        "file" => inner.file().map(PlainSource::File),
        _ => {
            value.problem_at_key("this is not a reference to a secret", help);
            None
        }
    }
}

fn environment(secret: &Value<'_>, inner: &Value<'_>) -> Option<PlainSource> {
    if !inner.is_scalar() {
        // Perhaps the secret itself.
        secret.problem_at_key("`env` takes the name of an environment variable", "as in `{ env: SHOP_PASSWORD }`");
        return None;
    }
    let name = inner.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        // Perhaps the secret itself.
        secret.problem_at_key("`env` takes the name of an environment variable", "as in `{ env: SHOP_PASSWORD }`");
        return None;
    }
    if inner.document().on_disk() && std::env::var_os(name).is_none() {
        inner.warning(format!("environment variable {name} is not set here"), "set it where the gateway runs");
    }
    Some(PlainSource::Env(name.into()))
}
