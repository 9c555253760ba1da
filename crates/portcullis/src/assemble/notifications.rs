//! The notifiers of the configuration.
//!
//! Promises: the secret of each is read like those of connections, under a name that no connection can have, whenever
//! something is told: it can be changed while the gateway runs. What a webhook is verified with is read at the start.
//! Held by: `tests/it/notifications.rs`.

use super::credentials::secret_source;
use super::local_admin;
use crate::error::Failure;
use crate::fetch::Fetch;
use crate::notify::{Mail, Notifier, Secret, Security, Server, Way};
use portcullis_config as config;
use portcullis_config::{Config, Email, MailSecurity, NotifierWay};
use portcullis_credentials::{Credentials, Method, Source};
use portcullis_model::Name;
use std::path::Path;
use std::sync::Arc;

/// Each notifier, in the order of the file. Of mail there is one for each mailbox, so that none waits for another.
pub(crate) fn notifiers(config: &Config, credentials: &Credentials) -> Result<Vec<Notifier>, Failure> {
    let entries = config.notifications.iter().enumerate();
    let each: Result<Vec<_>, _> = entries.map(|(nth, entry)| of_entry(nth, entry, credentials)).collect();
    Ok(each?.into_iter().flatten().collect())
}

/// Why some cannot be built.
pub(super) fn problems(config: &Config) -> Vec<Failure> {
    let none = Credentials::default();
    let built = config.notifications.iter().enumerate().map(|(nth, entry)| of_entry(nth, entry, &none));
    built.filter_map(Result::err).collect()
}

/// Where the secret of each is.
pub(super) fn sources(config: &Config) -> impl Iterator<Item = (Name, Source)> {
    config.notifications.iter().enumerate().filter_map(|(nth, entry)| {
        let secret = match &entry.way {
            NotifierWay::Webhook { secret, .. } => secret,
            NotifierWay::Slack { url, .. } => url,
            NotifierWay::Email(email) => &email.login.as_ref()?.1,
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
        NotifierWay::Email(_) => format!("notifications[{nth}].email.password"),
        NotifierWay::Command { .. } => format!("notifications[{nth}].command"),
    })
}

fn of_entry(nth: usize, entry: &config::Notifier, credentials: &Credentials) -> Result<Vec<Notifier>, Failure> {
    let fetch = |authorities: Option<&Path>| {
        Fetch::new(authorities).map_err(|error| Failure::refused(&format!("notifications[{nth}].tls_ca"), error))
    };
    let secret = || Secret {
        name: secret_name(nth, &entry.way),
        credentials: credentials.clone(),
        reader: local_admin().principal,
    };
    let mail = |email: &Email, to: &str| {
        let login = email.login.as_ref().map(|(username, _)| (Arc::clone(username), secret()));
        let mail = Mail::new(mail_server(email, login), &email.from, to);
        mail.map_err(|error| Failure::refused(&format!("notifications[{nth}].email"), error))
    };
    let ways = match &entry.way {
        NotifierWay::Webhook { url, tls_ca, .. } => {
            let way = Way::Webhook(Arc::clone(url), fetch(tls_ca.as_deref())?, secret());
            vec![("webhook".to_owned(), way)]
        }
        NotifierWay::Slack { tls_ca, .. } => {
            vec![("slack".to_owned(), Way::Slack(fetch(tls_ca.as_deref())?, secret()))]
        }
        NotifierWay::Email(email) => {
            let each = email.to.iter().map(|to| Ok((format!("mail to {to}"), Way::Mail(Box::new(mail(email, to)?)))));
            each.collect::<Result<_, Failure>>()?
        }
        NotifierWay::Command { words } => vec![("command".to_owned(), Way::Command(words.clone()))],
    };
    let named = |(kind, way)| Notifier {
        way,
        name: format!("notifications[{nth}] ({kind})").into(),
        connections: entry.connections.clone(),
        rules: entry.rules.clone(),
    };
    Ok(ways.into_iter().map(named).collect())
}

fn mail_server(email: &Email, login: Option<(Arc<str>, Secret)>) -> Server<'_> {
    let authorities = email.tls_ca.as_deref();
    let security = match email.security {
        MailSecurity::Tls => Security::Tls(authorities),
        MailSecurity::StartTls => Security::StartTls(authorities),
        MailSecurity::Loopback => Security::Loopback,
    };
    Server { host: &email.host, port: email.port, security, login }
}
