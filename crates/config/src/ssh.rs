//! What configures SSH: `connections` that speak it, and whose keys and certificates are accepted.
//!
//! Promises: a target proves itself with a key or an authority that is written down here, and is never learnt; the
//! gateway has exactly one way to log in to it; a login that may be asked for is named; a client's key is one user's
//! only, and nobody's name is the reserved one. Does not promise that none of the keys is the gateway's own: where those
//! are kept is not looked at here. Held by: the golden files.

use crate::connections::{read_address, secret};
use crate::document::{Section, Value};
use crate::public_keys::Distinct;
use crate::settings::{Address, Ssh, SshIdentity, SshLogin, SshUserKey};
use ssh_key::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

const SSH_PORT: u16 = 22;

/// Nobody bears it: any token may be presented under it.
const RESERVED_USER: &str = "token";

pub(crate) fn connection(mut section: Section<'_>) -> Option<Ssh> {
    let address = section.require("address", "10.0.0.5:22").and_then(|value| address(&value));
    let username = section.require("username", "LOGIN").and_then(|value| login_name(&value));
    let logins = section.take("logins").map_or_else(|| Some([].into()), |value| logins(&value, username.as_deref()));
    let login = login(&mut section);
    let (keys, authorities) = (section.take("host_key"), section.take("host_ca"));
    if keys.is_none() && authorities.is_none() {
        let value = section.value();
        value.problem_at_key(
            "no `host_key` and no `host_ca`: how would the target prove itself? A key is never learnt",
            keyscan(address.as_ref()),
        );
    }
    let proved = keys.is_some() || authorities.is_some();
    let mut distinct = Distinct::default();
    let mut read = |value: Option<Value<'_>>| value.map_or(Some(Vec::new()), |value| distinct.written_all(&value));
    let (host_keys, host_authorities) = (read(keys), read(authorities));
    section.finish();
    let (host, port) = address?;
    proved.then_some(())?;
    Some(Ssh {
        address: Address::Tcp { host, port },
        username: username?,
        logins: logins?,
        login: login?,
        host_keys: host_keys?,
        host_authorities: host_authorities?,
    })
}

fn address(value: &Value<'_>) -> Option<(Arc<str>, u16)> {
    match read_address(value, SSH_PORT)? {
        Address::Tcp { host, port } => Some((host, port)),
        Address::Unix { .. } => {
            value.problem_with("an SSH server is reached over TCP", "write `HOST:PORT`");
            None
        }
    }
}

/// How to get the line that is missing.
fn keyscan(address: Option<&(Arc<str>, u16)>) -> String {
    let target = address.map_or_else(|| "HOST".to_owned(), |(host, port)| format!("-p {port} {host}"));
    format!(
        "`ssh-keyscan -t ed25519,ecdsa {target}` prints it; compare it with what the target itself has, then add \
         `host_key: \"ssh-ed25519 AAAA…\"`"
    )
}

/// The one way to log in.
fn login(section: &mut Section<'_>) -> Option<SshLogin> {
    let (key, password) = (section.take("private_key"), section.take("password"));
    let certificate = section.take("certificate");
    let given = [&key, &password, &certificate].into_iter().flatten().count();
    if given != 1 {
        let help =
            "give one of `private_key: { file: keys/deploy }`, `password: { env: VARIABLE }` and `certificate: own`";
        let value = section.value();
        match [key, password, certificate].into_iter().flatten().nth(1) {
            Some(second) => second.problem_at_key("the gateway logs in one way, and this is a second", help),
            None => value.problem_at_key("how does the gateway log in to the target?", help),
        }
        return None;
    }
    match (key, password, certificate) {
        (Some(key), ..) => secret(&key).map(SshLogin::PrivateKey),
        (None, Some(password), _) => secret(&password).map(SshLogin::Password),
        (None, None, certificate) => certificate?.choice(&[("own", ())]).map(|()| SshLogin::OwnCertificate),
    }
}

/// A login on the target: one word, which may stand in a certificate.
fn login_name(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.name()?;
    if name.contains(|c: char| c.is_whitespace() || c == ',') {
        value.problem("a login has no spaces and no commas");
        return None;
    }
    Some(name.into())
}

fn logins(value: &Value<'_>, own: Option<&str>) -> Option<BTreeSet<Arc<str>>> {
    let items = value.list()?;
    let names: Vec<_> = items.iter().map(login_name).collect();
    let mut seen = BTreeSet::from_iter(own);
    for (item, name) in items.iter().zip(&names) {
        if let Some(name) = name.as_deref()
            && !seen.insert(name)
        {
            let what = if Some(name) == own { "is the connection's own login" } else { "is listed twice" };
            item.problem_with(format!("`{name}` {what}"), "list each other login once");
        }
    }
    names.into_iter().collect()
}

/// The keys of `identity` that are about SSH.
pub(crate) fn identity(section: &mut Section<'_>) -> Option<SshIdentity> {
    let mut distinct = Distinct::default();
    let authorities = section
        .take("ssh_certificate_authorities")
        .map_or_else(|| Some(Vec::new()), |value| authorities(&value, &mut distinct));
    let keys = section.take("ssh_keys").map_or_else(|| Some(Vec::new()), |value| user_keys(&value, &mut distinct));
    let revoked_keys = section.take("ssh_revoked_keys").map_or_else(|| Some(Vec::new()), |value| files(&value));
    let users = section.take("ssh_users").map_or_else(|| Some(BTreeMap::new()), |value| users(&value));
    Some(SshIdentity { authorities: authorities?, keys: keys?, revoked_keys: revoked_keys?, users: users? })
}

fn authorities(value: &Value<'_>, distinct: &mut Distinct) -> Option<Vec<PublicKey>> {
    let files: Vec<_> = value.list()?.iter().map(|item| distinct.in_file(item)).collect();
    let keys: Option<Vec<Vec<PublicKey>>> = files.into_iter().collect();
    keys.map(|keys| keys.concat())
}

/// Files that others may write while a gateway runs: what is in them is not looked at here.
fn files(value: &Value<'_>) -> Option<Vec<PathBuf>> {
    let mut seen = BTreeSet::new();
    let mut file = |item: &Value<'_>| {
        let file = item.file()?;
        if !seen.insert(file.clone()) {
            item.problem_with(format!("{} is listed twice", file.display()), "list each file once");
            return None;
        }
        Some(file)
    };
    let files: Vec<_> = value.list()?.iter().map(&mut file).collect();
    files.into_iter().collect()
}

fn user_keys(value: &Value<'_>, distinct: &mut Distinct) -> Option<Vec<SshUserKey>> {
    let entries: Vec<_> = value.list()?.iter().map(|item| user_key(item, distinct)).collect();
    let entries: Option<Vec<Vec<SshUserKey>>> = entries.into_iter().collect();
    entries.map(|entries| entries.concat())
}

fn user_key(value: &Value<'_>, distinct: &mut Distinct) -> Option<Vec<SshUserKey>> {
    let mut section = value.section()?;
    let user = section.require("user", "NAME").and_then(|value| user(&value));
    let groups = groups(&mut section);
    let keys = match (section.take("key"), section.take("file")) {
        (Some(key), None) => distinct.written(&key).map(|key| vec![key]),
        (None, Some(file)) => distinct.in_file(&file),
        (Some(_), Some(file)) => {
            file.problem_at_key("this is a second key", "give either `key` or `file`, and another entry for the other");
            None
        }
        (None, None) => {
            value.problem_with("there is no key", "add `key: \"ssh-ed25519 AAAA…\"`, or `file: keys/agent.pub`");
            None
        }
    };
    section.finish();
    let (user, groups) = (user?, groups?);
    let entry = |key| SshUserKey { user: Arc::clone(&user), groups: groups.clone(), key };
    Some(keys?.into_iter().map(entry).collect())
}

fn users(value: &Value<'_>) -> Option<BTreeMap<Arc<str>, BTreeSet<Arc<str>>>> {
    let mut users = BTreeMap::new();
    let mut complete = true;
    for item in value.list()? {
        let Some(mut section) = item.section() else {
            complete = false;
            continue;
        };
        let user = section.require("user", "NAME").and_then(|value| user(&value));
        let groups = groups(&mut section);
        section.finish();
        let Some((user, groups)) = user.zip(groups) else {
            complete = false;
            continue;
        };
        if users.contains_key(&user) {
            item.problem_with(format!("`{user}` is listed twice"), "list all groups of a user in one entry");
            complete = false;
        }
        users.insert(user, groups);
    }
    complete.then_some(users)
}

fn user(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.name()?;
    if name.trim() != name {
        value.problem("a user's name has no spaces around it");
        return None;
    }
    if name == RESERVED_USER {
        value.problem(format!("`{RESERVED_USER}` is reserved: nobody may be called so"));
        return None;
    }
    Some(name.into())
}

fn groups(section: &mut Section<'_>) -> Option<BTreeSet<Arc<str>>> {
    section.take("groups").map_or_else(|| Some([].into()), |value| value.names())
}
