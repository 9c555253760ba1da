//! `notifications`: who is told that something waits for people, and how.
//!
//! Promises: each entry is one way; a webhook is a URL over TLS (or loopback) with a secret to sign with, Slack's URL is a
//! secret itself, a command is words and no shell line; what an entry is limited to are connections of this file and whole
//! names of rules. Does not promise that anybody answers there, or that a rule of that name is loaded.
//! Held by: the golden files.

use crate::connections::secret;
use crate::document::{Section, Value};
use crate::email::{Email, email};
use crate::http::service_url;
use crate::settings::{Connection, SecretSource};
use portcullis_model::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Entries at most.
const MOST: usize = 16;

const HELP: &str = "write `webhook: https://…` with `secret: { env: HOOK_SECRET }`, `slack: { env: SLACK_URL }`, \
                    `email: { server: \"smtps://…\", from: …, to: […] }`, or `command: [program, word]`";

/// One entry of `notifications`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifier {
    /// How people are told.
    pub way: NotifierWay,
    /// Of which connections; empty for all.
    pub connections: BTreeSet<Name>,
    /// Held by which rules, as `BUNDLE/RULE`; empty for all.
    pub rules: BTreeSet<Arc<str>>,
}

/// A way to tell people that something waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifierWay {
    /// A signed POST.
    Webhook {
        /// Where to.
        url: Arc<str>,
        /// What signs it.
        secret: SecretSource,
        /// Authorities that its certificate must come from, instead of the system's.
        tls_ca: Option<PathBuf>,
    },
    /// An incoming webhook as Slack has them.
    Slack {
        /// Its URL: whoever knows it can post.
        url: SecretSource,
        /// Authorities that its certificate must come from, instead of the system's.
        tls_ca: Option<PathBuf>,
    },
    /// Mail.
    Email(Email),
    /// A program of the gateway's machine.
    Command {
        /// The program and its words; never empty.
        words: Vec<Arc<str>>,
    },
}

/// `connections` are those of the file, where they could be read.
pub(crate) fn notifiers(
    value: Option<Value<'_>>,
    connections: Option<&BTreeMap<Name, Connection>>,
) -> Option<Vec<Notifier>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let items = value.list()?;
    if items.len() > MOST {
        value.problem_with(format!("more than {MOST} notifiers"), "let one of them pass it on");
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| notifier(item, connections)).collect();
    read.into_iter().collect()
}

fn notifier(value: &Value<'_>, known: Option<&BTreeMap<Name, Connection>>) -> Option<Notifier> {
    let mut section = value.section()?;
    let way = way(value, &mut section);
    let connections = section.take("connections");
    let connections = connections.map_or_else(|| Some([].into()), |value| of_connections(&value, known));
    let rules = section.take("rules").map_or_else(|| Some([].into()), |value| of_rules(&value));
    section.finish();
    Some(Notifier { way: way?, connections: connections?, rules: rules? })
}

fn way(value: &Value<'_>, section: &mut Section<'_>) -> Option<NotifierWay> {
    let (webhook, slack) = (section.take("webhook"), section.take("slack"));
    let (mail, command) = (section.take("email"), section.take("command"));
    let (signed, tls_ca) = (section.take("secret"), section.take("tls_ca"));
    let authorities = || tls_ca.as_ref().map_or(Some(None), |value| value.file().map(Some));
    let way = match (webhook, slack, mail, command) {
        (Some(url), None, None, None) => {
            let url = service_url(&url).and_then(|_| url.text()).map(Arc::from);
            let Some(signed) = signed else {
                value.problem_with("a webhook is signed with a `secret`", "add `secret: { env: HOOK_SECRET }`");
                return None;
            };
            let (secret, tls_ca) = (secret(&signed), authorities());
            return Some(NotifierWay::Webhook { url: url?, secret: secret?, tls_ca: tls_ca? });
        }
        (None, Some(url), None, None) => {
            let (url, tls_ca) = (secret(&url), authorities());
            url.zip(tls_ca).map(|(url, tls_ca)| NotifierWay::Slack { url, tls_ca })
        }
        (None, None, Some(mail), None) => email(&mail, tls_ca.as_ref()).map(NotifierWay::Email),
        (None, None, None, Some(words)) => {
            if let Some(tls_ca) = &tls_ca {
                tls_ca.problem_at_key("a command has no certificate to verify", "leave it out");
                return None;
            }
            words_of(&words).map(|words| NotifierWay::Command { words })
        }
        (None, None, None, None) => {
            value.problem_with("an entry says how people are told", HELP);
            None
        }
        (Some(_), ..) | (_, Some(_), ..) | (_, _, Some(_), _) => {
            value.problem_with("an entry is one way to tell people", HELP);
            None
        }
    };
    if let (Some(_), Some(signed)) = (&way, signed) {
        signed.problem_at_key("only a webhook is signed", "leave it out");
        return None;
    }
    way
}

/// A program and its words.
fn words_of(value: &Value<'_>) -> Option<Vec<Arc<str>>> {
    let words: Option<Vec<Arc<str>>> = value.list()?.iter().map(|word| word.text().map(Arc::from)).collect();
    let words = words?;
    if words.first().is_none_or(|program| program.is_empty()) || words.iter().any(|word| word.contains('\0')) {
        value.problem_with(
            "this is not a command",
            "write a program and its words, as in `[/usr/local/bin/page, --dba]`",
        );
        return None;
    }
    Some(words)
}

fn of_connections(value: &Value<'_>, known: Option<&BTreeMap<Name, Connection>>) -> Option<BTreeSet<Name>> {
    let names: BTreeSet<Name> = listed(value)?.into_iter().map(Name::canonical).collect();
    if let Some(known) = known
        && let Some(name) = names.iter().find(|name| !known.contains_key(*name))
    {
        value.problem_with(format!("there is no connection `{name}`"), "name connections of this file");
        return None;
    }
    Some(names)
}

fn of_rules(value: &Value<'_>) -> Option<BTreeSet<Arc<str>>> {
    let names = listed(value)?;
    let whole =
        |name: &Arc<str>| name.split_once('/').is_some_and(|(bundle, rule)| !bundle.is_empty() && !rule.is_empty());
    if let Some(name) = names.iter().find(|name| !whole(name)) {
        value.problem_with(format!("`{name}` is not the whole name of a rule"), "write `BUNDLE/RULE`");
        return None;
    }
    Some(names)
}

/// At least one name: nobody means to be told of nothing.
fn listed(value: &Value<'_>) -> Option<BTreeSet<Arc<str>>> {
    let names: BTreeSet<Arc<str>> = value.names()?;
    if names.is_empty() {
        value.problem_with("nothing is told of nothing", "name some, or leave the key out for all");
        return None;
    }
    Some(names)
}
