//! `connections` of `protocol: http`: where a service is, how it is read, and what the gateway says to it.
//!
//! Promises: plaintext is for loopback addresses; the prefix of an upstream is canonical, so that a judged path behind it
//! is the path that the service sees; a header's value is a reference to a secret unless its name is one of the few that
//! never hold one ([`OPEN`]); headers that frame a message, route it or say who asks belong to the gateway and are refused
//! ([`OWNED`]); a `Host` name means one connection; what the gateway can read is never passed unread.
//! No problem shows a line of `headers`, whatever its keys are called.
//! Does not promise that the service answers, nor to know every header that could steer it. Held by: the golden files.

use crate::connections::{address_in, secret};
use crate::document::{Section, Value};
use crate::settings::{Address, Api, Header, Http, MediaRange, ToolField, Upstream};
use portcullis_model::MediaKind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// Model requests take minutes: the clients' own patience is ten.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Headers that hold preferences and versions, never a secret: they alone may be written out.
const OPEN: &[&str] = &[
    "accept",
    "accept-language",
    "anthropic-beta",
    "anthropic-version",
    "openai-organization",
    "openai-project",
    "user-agent",
];

/// Headers that are the gateway's own or the request's (RFC 9110 sections 5 to 10 and 14, RFC 9112 section 6, RFC 7239,
/// and the method overrides that frameworks read); a `*` at the end stands for any name that begins so.
const OWNED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-*",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "if-*",
    "keep-alive",
    "mcp-*",
    "origin",
    "proxy-*",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-*",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// The `Host` names met so far, and the names of all connections.
pub(crate) struct Hosts<'n> {
    names: BTreeSet<&'n str>,
    seen: BTreeMap<Arc<str>, Arc<str>>,
}

impl<'n> Hosts<'n> {
    pub(crate) fn new(names: impl Iterator<Item = &'n str>) -> Self {
        Self { names: names.collect(), seen: BTreeMap::new() }
    }

    fn read(&mut self, value: &Value<'_>) -> Option<BTreeSet<Arc<str>>> {
        let hosts: Vec<_> = value.list()?.iter().map(|item| self.one(item)).collect();
        hosts.into_iter().collect()
    }

    fn one(&mut self, item: &Value<'_>) -> Option<Arc<str>> {
        let host = item.name()?;
        let label = |part: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            (1..=63).contains(&part.len()) && part.chars().all(plain) && !part.starts_with('-') && !part.ends_with('-')
        };
        let numeric = host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
        if !host.split('.').all(label) || host.len() > 253 || numeric {
            item.problem_with(
                format!("`{host}` is not the name of a host"),
                "write a name in small letters without a port, as in `crm.internal`",
            );
            return None;
        }
        if self.names.contains(host) {
            item.problem_with(
                format!("`{host}` is the name of a connection"),
                "leave it out: a connection's own name always means it",
            );
            return None;
        }
        if let Some(first) = self.seen.get(host) {
            item.problem_with(format!("`{host}` is given already at {first}"), "one name means one connection");
            return None;
        }
        let host = Arc::from(host);
        self.seen.insert(Arc::clone(&host), item.path().into());
        Some(host)
    }
}

pub(crate) fn connection(mut section: Section<'_>, hosts: &mut Hosts<'_>) -> Option<Http> {
    let upstream = section.require("upstream", "https://HOST").and_then(|value| service_url(&value));
    let tls_ca = match section.take("tls_ca") {
        Some(value) if matches!(&upstream, Some(upstream) if !upstream.tls) => {
            value.problem_with("`tls_ca` has no effect without TLS", "leave it out");
            None
        }
        Some(value) => value.file().map(Some),
        None => Some(None),
    };
    let apis = [("rest", Api::Rest), ("anthropic", Api::Anthropic), ("openai", Api::OpenAi), ("mcp", Api::Mcp)];
    let api = section.require("api", "rest").and_then(|value| value.choice(&apis));
    let headers = section.take("headers").map_or_else(|| Some(BTreeMap::new()), |value| headers(value.unseen()));
    let hosts = section.take("hosts").map_or_else(|| Some([].into()), |value| hosts.read(&value));
    let opaque = section.take("opaque").map_or_else(|| Some([].into()), |value| opaque(&value));
    let tools = section.take("tools").map_or_else(|| Some(BTreeMap::new()), |value| tools(&value, api));
    let range = Duration::from_secs(1)..=LONGEST;
    let timeout = section.take("timeout").map_or(Some(TIMEOUT), |value| value.duration(range));
    section.finish();
    Some(Http {
        upstream: upstream?,
        tls_ca: tls_ca?,
        api: api?,
        headers: headers?,
        hosts: hosts?,
        opaque: opaque?,
        tools: tools?,
        timeout: timeout?,
    })
}

/// `https://HOST[:PORT][/PREFIX]`.
pub(crate) fn service_url(value: &Value<'_>) -> Option<Upstream> {
    const HELP: &str = "write `https://HOST`, with `:PORT` and `/PREFIX` where they are needed";
    let text = value.text()?;
    let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => {
            value.problem_with("this is not the URL of a service", HELP);
            return None;
        }
    };
    let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        value.problem_at_key("a URL with a login in it", "a secret goes into `headers`, as a reference");
        return None;
    }
    let usual = if tls { HTTPS_PORT } else { HTTP_PORT };
    let Address::Tcp { host, port } = address_in(value, authority, usual)? else {
        value.problem_with(format!("`{authority}` is not the address of a server"), HELP);
        return None;
    };
    let address = Address::Tcp { host, port };
    if !tls && !address.is_local() {
        value.problem_with(
            format!("`http://` is for loopback addresses, and this is {address}"),
            "write `https://`; for the same machine write 127.0.0.1",
        );
        return None;
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let canonical = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(plain);
    if !prefix.split('/').skip(1).all(canonical) {
        value.problem_with(
            format!("`{prefix}` is not a plain path"),
            "it is made of letters, digits, `-`, `.`, `_` and `~` between single slashes, without a query",
        );
        return None;
    }
    Some(Upstream { tls, address, prefix: prefix.into() })
}

fn headers(value: Value<'_>) -> Option<BTreeMap<Arc<str>, Header>> {
    let section = value.section()?;
    let mut headers = BTreeMap::new();
    let mut complete = true;
    for (name, value) in section.entries() {
        let header = header_name(name, &value).and_then(|name| Some((header(&name, &value)?, name)));
        let Some((header, name)) = header else {
            complete = false;
            continue;
        };
        if headers.insert(Arc::clone(&name), header).is_some() {
            value.problem_at_key(format!("`{name}` is given twice"), "capitals make no difference in a header's name");
            complete = false;
        }
    }
    complete.then_some(headers)
}

/// The name in small letters, if the gateway leaves that header to this file.
fn header_name(name: &str, value: &Value<'_>) -> Option<Arc<str>> {
    let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 128 || !name.chars().all(token) {
        value.problem_at_key("this is not a header's name", "use letters, digits, `-` and `_`");
        return None;
    }
    let name = name.to_ascii_lowercase();
    let owned = |known: &&str| known.strip_suffix('*').map_or(**known == name, |prefix| name.starts_with(prefix));
    if OWNED.iter().any(owned) {
        value.problem_at_key(format!("`{name}` is set by the gateway itself"), "leave it out");
        return None;
    }
    Some(name.into())
}

fn header(name: &str, value: &Value<'_>) -> Option<Header> {
    if !value.is_mapping() && OPEN.contains(&name) {
        let text = value.text()?;
        if text.is_empty() || text.len() > 1024 || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            value.problem_at_key("a header's value is 1 to 1024 printable ASCII characters", "write it without others");
            return None;
        }
        return Some(Header::Plain(text.into()));
    }
    let mut bearer = None;
    if value.is_mapping() {
        let section = value.section()?;
        let mut entries = section.entries();
        if let (Some(("bearer", inner)), None) = (entries.next(), entries.next()) {
            bearer = Some(inner);
        }
    }
    match bearer {
        Some(inner) if name == "authorization" => secret(&inner).map(Header::Bearer),
        Some(_) => {
            value.problem_at_key("`bearer` is for `authorization`", "write `{ env: VARIABLE }` or `{ file: PATH }`");
            None
        }
        None => secret(value).map(Header::Secret),
    }
}

fn opaque(value: &Value<'_>) -> Option<BTreeSet<MediaRange>> {
    let items = value.list()?;
    let ranges: Vec<_> = items.iter().map(media_range).collect();
    ranges.into_iter().collect()
}

fn media_range(item: &Value<'_>) -> Option<MediaRange> {
    let text = item.text()?;
    let token = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '+' | '_');
        (1..=127).contains(&part.len()) && part.chars().all(plain)
    };
    let Some((kind, subtype)) = text.split_once('/').filter(|(kind, sub)| token(kind) && (*sub == "*" || token(sub)))
    else {
        item.problem_with(
            format!("`{text}` is not a media type"),
            "write one in small letters without parameters, as in `application/pdf`, or all of a kind: `image/*`",
        );
        return None;
    };
    let is_read = if subtype == "*" { matches!(kind, "application" | "text") } else { MediaKind::of(text).is_some() };
    if is_read {
        item.problem_with(
            format!("`{text}` takes in what the gateway reads: masks would not bind it"),
            "name the types that hold nothing to mask, as in `application/pdf`",
        );
        return None;
    }
    Some(MediaRange { kind: kind.into(), subtype: (subtype != "*").then(|| subtype.into()) })
}

/// By tool, then by field of its input.
type Tools = BTreeMap<Arc<str>, BTreeMap<Arc<str>, ToolField>>;

fn tools(value: &Value<'_>, api: Option<Api>) -> Option<Tools> {
    if matches!(api, Some(Api::Rest)) {
        value.problem_at_key("`api: rest` has no tools", "leave it out");
        return None;
    }
    let kinds = [("sql", ToolField::Sql), ("shell", ToolField::Shell), ("none", ToolField::None)];
    let mut tools = BTreeMap::new();
    let mut complete = true;
    for (tool, value) in value.section()?.entries() {
        let mut fields = BTreeMap::new();
        complete &= check_word(tool, &value);
        let Some(section) = value.section() else {
            complete = false;
            continue;
        };
        for (field, value) in section.entries() {
            complete &= check_word(field, &value);
            match value.choice(&kinds) {
                Some(kind) => drop(fields.insert(Arc::from(field), kind)),
                None => complete = false,
            }
        }
        tools.insert(Arc::from(tool), fields);
    }
    complete.then_some(tools)
}

fn check_word(word: &str, value: &Value<'_>) -> bool {
    let good = (1..=128).contains(&word.chars().count()) && !word.chars().any(|c| c.is_control() || c.is_whitespace());
    if !good {
        value.problem_at_key("a name here has 1 to 128 characters and no blanks", "write it as the service does");
    }
    good
}
