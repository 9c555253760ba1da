//! The head of a request, read in one way only (RFC 9110, RFC 9112).
//!
//! Promises: what is read here says one thing to every reader: one host, one path, one credential, one framing. What could
//! say two is refused, never repaired: CONNECT, TRACE and `*`, methods not in capitals, a host that is missing, repeated
//! or contradicted, an upgrade but to a WebSocket, a transfer coding other than `chunked`, a body where a method has
//! none, a header that may stand once and stands twice, one whose name readers fold, a method behind the method, a
//! credential in the query. What belongs to one hop, what claims to come from a proxy, and every credential goes no
//! further: `names.rs` has the lists.
//! Does not promise to see what the library below has refused already or made one of (a `Content-Length` beside
//! `chunked`, equal lengths twice, a fragment): nothing is forwarded as it was received.
//! Held by: `head/tests.rs`, which plays `fixtures/http/requests.tsv` over a socket.

mod names;
mod prefer;
mod reason;
mod upgrade;

pub(crate) use names::{names_a_method, put};

use crate::addresses::Mount;
use crate::coding::{Coding, Undecodable};
use crate::frame::{Method, Request};
use crate::path::{Path, Query};
use crate::websocket::Key;
use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use names::{CREDENTIALS, OF_THE_BACKEND, ONCE, goes_no_further, names_a_secret, says_one_thing};
use portcullis_model::{Command, Digest, Fault, Name, Source, Text};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::{HashMap, HashSet};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a head.
pub(crate) const LARGEST: usize = 64 * 1024;
/// Characters of a path that was not read, in the record.
const SHOWN: usize = 1024;
/// Headers of a head.
pub(crate) const HEADERS: usize = 100;

/// Why a head is refused, in words the client may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) why: &'static str,
}

impl Refusal {
    /// The same for the record.
    pub(crate) fn fault(self) -> Fault {
        let message = self.why.into();
        match self.status {
            // What is too much together with others is too much.
            StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            | StatusCode::SERVICE_UNAVAILABLE => Fault::TooLarge { message },
            StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT => Fault::Ambiguous { message },
            _ => Fault::Unsupported { message },
        }
    }
}

const fn bad(why: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, why }
}

/// How requests name connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// By host, in lower case and without a port.
    pub(crate) hosts: HashMap<String, Name>,
    /// Every connection of this protocol.
    pub(crate) names: HashSet<Name>,
}

/// A head that says one thing.
#[derive(Debug)]
pub(crate) struct Received {
    /// The connection it names.
    pub(crate) connection: Name,
    /// Its host names one and its path another: nobody is told before they have proved who they are.
    pub(crate) contradicted: bool,
    /// What its client proves itself with.
    pub(crate) credential: Option<SecretString>,
    /// Where its client reaches the connection.
    pub(crate) mount: Mount,
    /// Without its body.
    pub(crate) request: Request,
    /// How the body is encoded.
    pub(crate) coding: Option<Coding>,
    /// How long its client stays while people decide, where it says so.
    pub(crate) stays: Option<Duration>,
    /// Why it is sent, where its client says so.
    pub(crate) reason: Option<Arc<str>>,
    /// What the client calls itself.
    pub(crate) agent: Option<Arc<str>>,
    /// The key of its handshake, where it asks for a WebSocket.
    pub(crate) upgrade: Option<Key>,
}

/// Its host names one connection and its path another.
pub(crate) const fn contradicted() -> Refusal {
    bad("`Host` names one connection and the path another")
}

/// Whom a head comes from that says more than one thing, and what it is about.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The connection that it surely names.
    pub(crate) connection: Name,
    /// The one credential in it.
    pub(crate) credential: SecretString,
    /// The request as a command that cannot be read.
    pub(crate) command: Command,
    /// What the client calls itself.
    pub(crate) agent: Option<Arc<str>>,
}

/// What can be said of a head that was refused; `None` where nobody says who asks, or of what.
pub(crate) fn unread(parts: &Parts, refusal: Refusal, routes: &Routes) -> Option<Unread> {
    let alone = |name: HeaderName| parts.headers.get_all(name).iter().count() < 2;
    if !alone(header::AUTHORIZATION) || !alone(HeaderName::from_static("x-api-key")) {
        return None;
    }
    let credential = credential(&parts.headers).ok().flatten()?;
    let by_host = host(parts).ok().and_then(|host| routes.hosts.get(&host).cloned());
    let path = parts.uri.path();
    let rest = path.strip_prefix('/').unwrap_or_default();
    let (first, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (connection, below) = match by_host {
        Some(connection) => (connection, path),
        None => (Some(Name::canonical(first)).filter(|name| routes.names.contains(name))?, below),
    };
    // A query may be what was refused, for the credential in it.
    let query = if parts.uri.query().is_some() { "?…" } else { "" };
    let shown: String = below.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let line = format!("{} {shown}{query}", parts.method.as_str().escape_debug());
    let whole = [parts.method.as_str(), " ", path, "?", parts.uri.query().unwrap_or_default()].map(str::as_bytes);
    let command = Command::faulty(Source::Request, Text::plain(line), refusal.fault(), Digest::of_parts(&whole));
    Some(Unread { connection, credential, command, agent: agent(&parts.headers) })
}

fn agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    agent.map(|agent| agent.chars().take(128).collect::<String>().into())
}

/// Reads one. `sends_body` is whether one follows.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn read(parts: &Parts, sends_body: bool, routes: &Routes) -> Result<Received, Refusal> {
    if !matches!(parts.version, Version::HTTP_11 | Version::HTTP_2) {
        // The end of an answer that broke off could not be told from a whole one.
        return Err(Refusal { status: StatusCode::HTTP_VERSION_NOT_SUPPORTED, why: "speak HTTP/1.1 or HTTP/2" });
    }
    check_size(parts)?;
    let method = method(parts)?;
    check_names(&parts.headers)?;
    let upgrade = upgrade::read(parts, sends_body)?;
    check_framing(&parts.headers)?;
    if sends_body && matches!(method, Method::Get | Method::Head) {
        return Err(bad("GET and HEAD have no body here; send it with POST, where the service takes that"));
    }
    let host = host(parts)?;
    let path = Path::received(parts.uri.path()).map_err(|why| bad(why.0))?;
    let query = Query::read(parts.uri.query().unwrap_or_default()).map_err(|why| bad(why.0))?;
    check_query(&query)?;
    let coding = Coding::of(&parts.headers).map_err(unsupported)?;
    if matches!(coding, Some(Coding::Deflate | Coding::Brotli | Coding::Zstd)) {
        return Err(unsupported(Undecodable::Unknown));
    }
    let credential = credential(&parts.headers)?;
    let whole = path.clone();
    let (connection, contradicted, path) = place(&host, path, routes)?;
    let mount = Mount::new(named_host(parts).unwrap_or_default(), &whole, &path);
    let agent = agent(&parts.headers);
    let mut headers = passing(&parts.headers);
    let stays = prefer::take(&mut headers);
    let reason = reason::take(&mut headers)?;
    let upgrade = upgrade.map(|upgrade| upgrade.go_on(credential.as_ref(), &mut headers)).transpose()?;
    let request = Request { method, path, query, headers, body: Bytes::new() };
    Ok(Received { connection, contradicted, credential, mount, request, coding, stays, reason, agent, upgrade })
}

fn unsupported(_: Undecodable) -> Refusal {
    Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, why: "a body is sent as it is, or as gzip and nothing else" }
}

fn check_size(parts: &Parts) -> Result<(), Refusal> {
    let uri = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if uri + headers > LARGEST || parts.headers.len() > HEADERS {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal { status, why: "the head is larger than 64 KiB or has more than 100 headers" });
    }
    Ok(())
}

fn method(parts: &Parts) -> Result<Method, Refusal> {
    let refused = |why| Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, why });
    if parts.extensions.get::<hyper::ext::Protocol>().is_some() {
        return refused("no protocol is spoken inside of a request");
    }
    match parts.method.as_str() {
        "CONNECT" => refused("the gateway opens no tunnels; make it the base URL of your client"),
        "TRACE" => refused("TRACE would show what the gateway adds"),
        "PRI" => refused("this is no request of HTTP/1.1"),
        word => Method::of(word).ok_or(bad("a method is written in capital letters")),
    }
}

/// Each header by itself.
fn check_names(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in headers.keys() {
        if !says_one_thing(name.as_str()) {
            return Err(bad(
                "the name of a header has something else than letters, digits and `-`, which readers fold",
            ));
        }
        if names_a_method(name.as_str()) {
            return Err(bad("a header would put another method in the place of the request's"));
        }
        let values = headers.get_all(name);
        if ONCE.contains(&name.as_str()) && values.iter().count() > 1 {
            return Err(bad("a header that may stand once stands twice"));
        }
        // A reason is words, and goes no further: `reason.rs` says which.
        if *name != reason::REASON && !values.iter().all(|value| value.to_str().is_ok()) {
            return Err(bad("the value of a header has bytes outside of printable ASCII"));
        }
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// How the request is cut out of its connection.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let is = |found: Option<&str>, word: &str| found.is_none_or(|found| found.eq_ignore_ascii_case(word));
    if !is(text(headers, header::TRANSFER_ENCODING), "chunked") {
        return Err(bad("a transfer coding other than `chunked`"));
    }
    if !is(text(headers, header::EXPECT), "100-continue") {
        let status = StatusCode::EXPECTATION_FAILED;
        return Err(Refusal { status, why: "an expectation other than `100-continue`" });
    }
    // One that is named here would be gone for one reader and not for another.
    let drops = |named: &str| {
        ONCE.contains(&named) && named != "content-length" && named != "transfer-encoding"
            || CREDENTIALS.contains(&named)
            || ["accept", "origin", "prefer", "content-length", "transfer-encoding"].contains(&named)
    };
    if named_by_connection(headers).any(|named| drops(&named)) {
        return Err(bad("`Connection` names a header that is meant for whoever answers"));
    }
    Ok(())
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|option| option.trim().to_ascii_lowercase())
}

/// What stands for the host, with its port.
fn named_host(parts: &Parts) -> Option<&str> {
    text(&parts.headers, header::HOST).or_else(|| parts.uri.authority().map(Authority::as_str))
}

/// The one host that a request names, in lower case and without its port.
fn host(parts: &Parts) -> Result<String, Refusal> {
    if parts.uri.path() == "*" {
        return Err(bad("a request about the server as a whole has no connection to go to"));
    }
    if parts.uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(bad("the scheme of the target is not HTTP's"));
    }
    let named = text(&parts.headers, header::HOST);
    let in_target = parts.uri.authority().map(Authority::as_str);
    let host = match (named, in_target) {
        (Some(named), Some(target)) if !named.eq_ignore_ascii_case(target) => {
            return Err(bad("the target names another host than `Host` does"));
        }
        // HTTP/2 has it in the target (RFC 9113 §8.3.1); HTTP/1.1 must have the header (RFC 9112 §3.2).
        (None, Some(target)) if parts.version == Version::HTTP_2 => target,
        (Some(named), _) => named,
        (None, _) => return Err(bad("`Host` is missing")),
    };
    let invalid = bad("`Host` is not a host with a port at most");
    let authority = Authority::from_str(host).map_err(|_| invalid)?;
    let port_is_good = match host.strip_prefix(authority.host()) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
        // Somebody stands before the host.
        None => false,
    };
    if host.contains('@') || authority.host().is_empty() || !port_is_good {
        return Err(invalid);
    }
    Ok(authority.host().to_ascii_lowercase())
}

fn check_query(query: &Query) -> Result<(), Refusal> {
    for (name, _) in query.iter() {
        if names_a_secret(name) {
            return Err(bad(
                "a credential stands in the query (a parameter called token, key, signature or the like); the gateway adds the \
                 service's own by itself, so leave it out, and send yours as `Authorization: Bearer TOKEN`",
            ));
        }
        if names_a_method(name) {
            return Err(bad("the query would put another method in the place of the request's"));
        }
    }
    Ok(())
}

/// The one credential, however often it stands.
fn credential(headers: &HeaderMap) -> Result<Option<SecretString>, Refusal> {
    let refused = |why| Refusal { status: StatusCode::UNAUTHORIZED, why };
    let bearer = match text(headers, header::AUTHORIZATION) {
        None => None,
        Some(value) => {
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(refused("`Authorization` takes `Bearer TOKEN` and no other scheme"));
            }
            Some(token.trim())
        }
    };
    let key = text(headers, HeaderName::from_static("x-api-key"));
    let token = match (bearer, key) {
        (Some(bearer), Some(key)) if bearer != key => {
            return Err(refused("`Authorization` and `x-api-key` carry two credentials; send one"));
        }
        (Some(token), _) | (None, Some(token)) => token,
        (None, None) => return Ok(None),
    };
    if token.is_empty() || token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(refused("the credential is empty or is no token"));
    }
    Ok(Some(SecretString::from(token)))
}

/// The connection that host or path name, whether they contradict each other, and the path below it.
fn place(host: &str, path: Path, routes: &Routes) -> Result<(Name, bool, Path), Refusal> {
    let first = path.split_first().map(|(first, below)| (Name::canonical(first), below));
    match (routes.hosts.get(host), first) {
        (Some(by_host), Some((by_path, below))) if *by_host == by_path => Ok((by_path, false, below)),
        (Some(by_host), first) => {
            let contradicted = first.is_some_and(|(by_path, _)| routes.names.contains(&by_path));
            Ok((by_host.clone(), contradicted, path))
        }
        (None, Some((by_path, below))) => Ok((by_path, false, below)),
        (None, None) => {
            let why = "no connection is named: it is the first segment of the path, https://GATEWAY/CONNECTION/…";
            Err(Refusal { status: StatusCode::NOT_FOUND, why })
        }
    }
}

/// The headers that may pass to whoever answers.
fn passing(headers: &HeaderMap) -> HeaderMap {
    let named: HashSet<String> = named_by_connection(headers).collect();
    let passes = |(name, _): &(&HeaderName, &HeaderValue)| {
        !goes_no_further(name.as_str()) && !named.contains(name.as_str()) && *name != header::ACCEPT_ENCODING
    };
    headers.iter().filter(passes).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The headers of an answer that may pass to its reader. Its coding and its length stay: the reader is behind whoever
/// decodes it, and keeps the length only of what it changes nothing of.
pub(crate) fn answered(headers: &HeaderMap) -> HeaderMap {
    let named: HashSet<String> = named_by_connection(headers).collect();
    let passes = |(name, value): &(&HeaderName, &HeaderValue)| {
        let name = name.as_str();
        let read = matches!(name, "content-encoding" | "content-length");
        let ours = !read && (goes_no_further(name) || OF_THE_BACKEND.contains(&name));
        // Nothing that a client could read as two headers, or as none.
        !ours && !named.contains(name) && value.as_bytes().iter().all(|byte| *byte >= 0x20 || *byte == b'\t')
    };
    headers.iter().filter(passes).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether two credentials are one, without a word about where they differ.
pub(crate) fn digest(credential: &SecretString) -> Digest {
    Digest::of_parts(&[b"credential of a client", credential.expose_secret().as_bytes()])
}

#[cfg(test)]
mod tests;
