//! `email` of a notifier: the server that takes mail, and between whom it goes.
//!
//! Promises: mail leaves over TLS, from the first byte (`smtps://`) or by STARTTLS (`smtp://`), and in plaintext only to a
//! loopback address; each address is one mailbox without a name, of which no character could end a line of SMTP; a password
//! is a reference. Does not promise that the server takes it.
//! Held by: the golden files (`fixtures/config/bad/email.yaml`).

use crate::connections::{address_in, secret};
use crate::document::Value;
use crate::settings::{Address, SecretSource};
use email_address::{EmailAddress, Options};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Ports that are usual for mail over TLS (RFC 8314 §7.3) and for submission (RFC 6409 §3.1).
const PORTS: (u16, u16) = (465, 587);

/// Mailboxes of one entry.
const MOST: usize = 16;

/// Where mail goes, and as whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The server that takes it, a name or a bare address.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// How the way there is kept.
    pub security: MailSecurity,
    /// Authorities that its certificate must come from, instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Who it is from.
    pub from: Arc<str>,
    /// Who gets it, each for itself; never empty.
    pub to: BTreeSet<Arc<str>>,
    /// How the gateway logs in there, where it does.
    pub login: Option<(Arc<str>, SecretSource)>,
}

/// How the way to a mail server is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte (RFC 8314 §3).
    Tls,
    /// TLS by STARTTLS (RFC 3207), and nothing without it.
    StartTls,
    /// In plaintext, to a loopback address.
    Loopback,
}

/// The value of `email`, with the `tls_ca` that stands beside it.
pub(crate) fn email(value: &Value<'_>, tls_ca: Option<&Value<'_>>) -> Option<Email> {
    let mut section = value.section()?;
    let server = section.require("server", "smtps://mail.example.com").and_then(|value| server(&value));
    let from = section.require("from", "portcullis@example.com").and_then(|value| mailbox(&value));
    let to = section.require("to", "[dba@example.com]").and_then(|value| mailboxes(&value));
    let (username, password) = (section.take("username"), section.take("password"));
    section.finish();
    let login = match (username, password) {
        (None, None) => Some(None),
        (Some(username), Some(password)) => {
            let (username, password) = (username.text(), secret(&password));
            username.map(Arc::from).zip(password).map(Some)
        }
        (Some(one), None) | (None, Some(one)) => {
            one.problem_at_key("`username` and `password` go together", "give both, or leave both out");
            None
        }
    };
    let tls_ca = match (tls_ca, &server) {
        (Some(value), Some((MailSecurity::Loopback, ..))) => {
            value.problem_with("`tls_ca` has no effect without TLS", "leave it out");
            None
        }
        (Some(value), _) => value.file().map(Some),
        (None, _) => Some(None),
    };
    let (security, host, port) = server?;
    Some(Email { host, port, security, tls_ca: tls_ca?, from: from?, to: to?, login: login? })
}

/// `smtps://HOST[:PORT]` or `smtp://HOST[:PORT]`.
fn server(value: &Value<'_>) -> Option<(MailSecurity, Arc<str>, u16)> {
    const HELP: &str = "write `smtps://HOST`, or `smtp://HOST` for STARTTLS, with `:PORT` where it is needed";
    let text = value.text()?;
    if text.contains('@') {
        value
            .problem_at_key("a URL with a login in it", "write `username` and `password: { env: VARIABLE }` beside it");
        return None;
    }
    let (over_tls, submission) = PORTS;
    let (usual, authority, first) = match (text.strip_prefix("smtps://"), text.strip_prefix("smtp://")) {
        (Some(authority), _) => (over_tls, authority, true),
        (None, Some(authority)) => (submission, authority, false),
        (None, None) => {
            value.problem_with("this is not the URL of a mail server", HELP);
            return None;
        }
    };
    let address = address_in(value, authority, usual)?;
    let security = match (first, address.is_local()) {
        (true, _) => MailSecurity::Tls,
        (false, true) => MailSecurity::Loopback,
        (false, false) => MailSecurity::StartTls,
    };
    match address {
        Address::Tcp { host, port } => Some((security, host, port)),
        Address::Unix { .. } => {
            value.problem_with("a mail server has a host", HELP);
            None
        }
    }
}

fn mailbox(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if !text.is_ascii() {
        value.problem_with(
            format!("`{text}` has a character that is not ASCII; mail is sent without SMTPUTF8 (RFC 6531)"),
            "write a host name as its `xn--…` form; a mailbox whose own name is not ASCII gets no mail from here",
        );
        return None;
    }
    let plain = Options::default().without_display_text().with_no_minimum_sub_domains();
    let ends_lines = text.chars().any(char::is_control);
    if ends_lines || EmailAddress::parse_with_options(text, plain).is_err() {
        value.problem_with(format!("`{text}` is not the address of a mailbox"), "write it as `dba@example.com`");
        return None;
    }
    Some(text.into())
}

fn mailboxes(value: &Value<'_>) -> Option<BTreeSet<Arc<str>>> {
    let items = value.list()?;
    if items.is_empty() || items.len() > MOST {
        value.problem_with("mail goes to somebody", format!("write one to {MOST} addresses"));
        return None;
    }
    items.iter().map(mailbox).collect::<Vec<_>>().into_iter().collect()
}
