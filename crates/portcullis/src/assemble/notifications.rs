//! The notifiers of the configuration.
//!
//! Promises: the secret of each is read like those of connections, under a name that no connection can have, whenever
//! something is told: it can be changed while the gateway runs. What a webhook is verified with is read at the start.
//! Held by: `tests/it/notifications.rs`.

use super::credentials::secret_source;
use super::local_admin;
use crate::error::Failure;
use crate::fetch::Fetch;
use crate::notify::{Notifier, Secret, Way};
use portcullis_config as config;
use portcullis_config::{Config, NotifierWay};
use portcullis_credentials::{Credentials, Method, Source};
use portcullis_model::Name;
use std::path::Path;
use std::sync::Arc;

/// Each notifier, in the order of the file.
pub(crate) fn notifiers(config: &Config, credentials: &Credentials) -> Result<Vec<Notifier>, Failure> {
    config.notifications.iter().enumerate().map(|(nth, entry)| notifier(nth, entry, credentials)).collect()
}

/// Why some cannot be built.
pub(super) fn problems(config: &Config) -> Vec<Failure> {
    let none = Credentials::default();
    let built = config.notifications.iter().enumerate().map(|(nth, entry)| notifier(nth, entry, &none));
    built.filter_map(Result::err).collect()
}

/// Where the secret of each is.
pub(super) fn sources(config: &Config) -> impl Iterator<Item = (Name, Source)> {
    config.notifications.iter().enumerate().filter_map(|(nth, entry)| {
        let secret = match &entry.way {
            NotifierWay::Webhook { secret, .. } => secret,
            NotifierWay::Slack { url, .. } => url,
            NotifierWay::Command { .. } => return None,
        };
        let method = Method::Password(secret_source(secret));
        Some((secret_name(nth, &entry.way), Source { username: "".into(), logins: [].into(), method }))
    })
}

/// As its key is found in the file. The brackets are in the name of no connection.
fn secret_name(nth: usize, way: &NotifierWay) -> Name {
    Name::canonical(match way {
        NotifierWay::Webhook { .. } => format!("notifications[{nth}].secret"),
        NotifierWay::Slack { .. } => format!("notifications[{nth}].slack"),
        NotifierWay::Command { .. } => format!("notifications[{nth}].command"),
    })
}

fn notifier(nth: usize, entry: &config::Notifier, credentials: &Credentials) -> Result<Notifier, Failure> {
    let fetch = |authorities: Option<&Path>| {
        Fetch::new(authorities).map_err(|error| Failure::refused(&format!("notifications[{nth}].tls_ca"), error))
    };
    let secret = || Secret {
        name: secret_name(nth, &entry.way),
        credentials: credentials.clone(),
        reader: local_admin().principal,
    };
    let (kind, way) = match &entry.way {
        NotifierWay::Webhook { url, tls_ca, .. } => {
            ("webhook", Way::Webhook(Arc::clone(url), fetch(tls_ca.as_deref())?, secret()))
        }
        NotifierWay::Slack { tls_ca, .. } => ("slack", Way::Slack(fetch(tls_ca.as_deref())?, secret())),
        NotifierWay::Command { words } => ("command", Way::Command(words.clone())),
    };
    let (connections, rules) = (entry.connections.clone(), entry.rules.clone());
    Ok(Notifier { way, name: format!("notifications[{nth}] ({kind})").into(), connections, rules })
}
