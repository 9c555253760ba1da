//! Which database the SQL in a call goes to, as far as the call itself says.
//!
//! Promises: a host or a database is named only where one argument says it outright and nothing else in the call says
//! anything about it; a connection string that is more than plain pairs, a URL with an escape or options, a service file
//! and an environment variable that overrides the host leave it open. What is left open may be any.
//! Does not promise that a name means the same host here as it does there. Held by: `fixtures/shell/reach.tsv`.

use crate::args::Call;
use crate::expand::Field;
use crate::facts::Role;
use crate::state::State;
use portcullis_model::{Name, Reach};
use std::collections::BTreeMap;

/// What a connection string names.
#[derive(Default)]
struct Said {
    host: Option<String>,
    database: Option<String>,
}

/// Where a call with these arguments goes.
pub(crate) fn of(call: &Call, placed: &[(Role, Field)], state: &State) -> Reach {
    let set = |name: &str| state.variables.contains_key(name);
    if call.troubled || call.doubtful || set("PGSERVICE") {
        return Reach::unknown();
    }
    let all = |wanted: Role| {
        call.values.iter().chain(placed).filter(move |(role, _)| *role == wanted).map(|(_, field)| field)
    };
    let said = match only(all(Role::Conninfo)) {
        Only::None => Some(Said::default()),
        Only::One(text) => connection_string(text),
        Only::Unclear => None,
    };
    let Some(said) = said else { return Reach::unknown() };
    let host = match (only(all(Role::Host)), said.host) {
        (Only::One(host), None) => Some(host.to_owned()),
        (Only::None, host) => host,
        (Only::One(_), Some(_)) | (Only::Unclear, _) => None,
    };
    let host = host.filter(|host| !set("PGHOSTADDR") && plain(host));
    Reach { host: host.map(Into::into), database: said.database.filter(|name| !name.is_empty()).map(Name::canonical) }
}

enum Only<'f> {
    None,
    One(&'f str),
    /// Several, or one that is not known.
    Unclear,
}

fn only<'f>(mut fields: impl Iterator<Item = &'f Field>) -> Only<'f> {
    match (fields.next(), fields.next()) {
        (None, _) => Only::None,
        (Some(field), None) => field.known().map_or(Only::Unclear, Only::One),
        (Some(_), Some(_)) => Only::Unclear,
    }
}

/// One host, and no path of a socket.
fn plain(host: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !host.is_empty() && host.chars().all(fine)
}

fn connection_string(text: &str) -> Option<Said> {
    match text.split_once("://") {
        Some(("postgres" | "postgresql", rest)) => url(rest),
        Some(_) => None,
        None if text.contains('=') => pairs(text),
        None => Some(Said { host: None, database: Some(text.to_owned()) }),
    }
}

fn url(rest: &str) -> Option<Said> {
    if rest.contains(['?', '%', ',', '#']) {
        return None;
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        Some(_) | None => host,
    };
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(Said { host: named(host), database: named(database) })
}

/// `key=value` and blanks between, each key once, without quotes and escapes.
fn pairs(text: &str) -> Option<Said> {
    let mut all = BTreeMap::new();
    for pair in text.split_ascii_whitespace() {
        let (key, value) = pair.split_once('=')?;
        let fine = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if !fine || value.contains(['\'', '\\']) || all.insert(key, value).is_some() {
            return None;
        }
    }
    if all.contains_key("service") {
        return None;
    }
    let database = all.get("dbname").map(|name| (*name).to_owned());
    // A connection string inside a connection string is not one.
    if database.as_ref().is_some_and(|name| name.contains('=') || name.contains("://")) {
        return None;
    }
    let host = all.get("hostaddr").or_else(|| all.get("host")).map(|host| (*host).to_owned());
    Some(Said { host, database })
}
