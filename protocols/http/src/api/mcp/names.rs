//! Names of prompts and addresses of resources, in one spelling only, and as the paths that rules name.
//!
//! | what | the path |
//! |---|---|
//! | the resource `SCHEME://AUTHORITY/A/B?C` | `/resources/SCHEME/AUTHORITY/A/B` |
//! | the resource `SCHEME:///A/B` or `SCHEME:A/B`, which has no authority | `/resources/SCHEME/-/A/B` |
//! | the prompt `code review` | `/prompts/code%20review` |
//!
//! Promises: the path is a canonical one (`path.rs`), so a rule can name it, and `*` and `**` mean segments of the address;
//! what is escaped and need not be (`%40` for `@`) is judged as itself, since servers decode it.
//! A query is no part of it, since a server may leave it out; the text of the command has it. The address of a file has none
//! (RFC 8089 §2), and none holds steps up or in place: a server that only cuts the scheme off takes it for a path. A name
//! that two readers could take for different things is refused, never repaired: steps up or in place, empty segments,
//! escapes that need not be or that change a path, upper case where it means nothing (RFC 3986 §6.2.2); of the schemes
//! that every library knows also what these leave out: missing slashes, hosts of files, ports that need not be, a dot at
//! the end, capitals and numbers for hosts (WHATWG URL §3.5, §4.2). So a rule about a resource is about all that a server
//! takes for it, but for one that folds the capitals of a scheme of its own.
//! Held by: `fixtures/http/mcp.tsv`, which `tests.rs` plays, and of which `portcullis-policy` loads each path as a rule.

use super::message::{LONGEST_NAME, PARAMS, Refusal};
use crate::path::Path;
use portcullis_model::is_unseen;
use std::net::Ipv4Addr;

/// Bytes of a resource's address.
const LONGEST_URI: usize = 4096;

/// Schemes whose address has an authority, and its port where it names none (WHATWG URL §3.1).
const SPECIAL: [(&str, &str); 6] =
    [("file", ""), ("ftp", "21"), ("http", "80"), ("https", "443"), ("ws", "80"), ("wss", "443")];

fn ambiguous() -> Refusal {
    Refusal::new(PARAMS, "the name can be read two ways; write it without what needs no writing")
}

/// The path of a prompt of this name.
pub(super) fn prompt(name: &str) -> Result<Path, Refusal> {
    let strange = |c: char| c.is_control() || is_unseen(c) || matches!(c, '\u{2028}' | '\u{2029}');
    if name.is_empty() || name.len() > LONGEST_NAME || name.trim() != name || name.chars().any(strange) {
        return Err(ambiguous());
    }
    // What a path may have as it is stays as people write it in rules.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
    let encoded = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let name: String = name.bytes().map(encoded).collect();
    Path::read(&format!("/prompts/{name}")).map_err(|_| ambiguous())
}

/// The path of the resource at this address, or at the addresses of this template (RFC 6570).
pub(super) fn resource(uri: &str) -> Result<Path, Refusal> {
    let (scheme, rest) = uri.split_once(':').ok_or_else(ambiguous)?;
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    let known = scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(lower);
    if uri.len() > LONGEST_URI || !known || !is_written(rest) {
        return Err(ambiguous());
    }
    let port = SPECIAL.iter().find(|(special, _)| *special == scheme).map(|(_, port)| *port);
    let (address, query) = rest.split_once('?').map_or((rest, None), |(address, query)| (address, Some(query)));
    let steps = |query: &str| query.split(['/', '?']).any(|part| matches!(part, "." | ".."));
    if query.is_some_and(|query| port == Some("") || steps(query)) {
        return Err(ambiguous());
    }
    let (authority, path) = match address.strip_prefix("//") {
        Some(address) => address.split_at(address.find('/').unwrap_or(address.len())),
        // One slash is three to some.
        None if port.is_some() || address.starts_with('/') || address.is_empty() => return Err(ambiguous()),
        None => ("", address),
    };
    if port.is_some() && authority.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(Refusal::new(PARAMS, "the host has capitals, which servers fold; write it in small letters"));
    }
    let good = match port {
        Some("") => authority.is_empty() && path.len() > 1,
        Some(port) => is_authority(authority, Some(port)) && path.starts_with('/'),
        None => is_authority(authority, None) || (authority.is_empty() && !path.is_empty()),
    };
    if !good {
        return Err(ambiguous());
    }
    let authority = if authority.is_empty() { "-" } else { authority };
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let path = format!("/resources/{scheme}/{authority}{slash}{path}").replace('{', "%7B").replace('}', "%7D");
    Path::read(&path).map_err(|_| ambiguous())
}

/// Whether it is a host and perhaps a port, written as nobody can write them shorter. `port` is that of the scheme; one
/// that is a server's own has none, and what stands there is often no host but a name (`greeting://World`): it is compared
/// byte for byte, as what stands behind it is. An escaped `@` or `:` is one to readers that decode first.
fn is_authority(authority: &str, port: Option<&str>) -> bool {
    let (host, named) = authority.split_once(':').map_or((authority, None), |(host, named)| (host, Some(named)));
    let hosts = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_~{}".contains(c);
    let plain = |c: char| hosts(c) || (port.is_none() && (c.is_ascii_uppercase() || "!$&'()*+,=%".contains(c)));
    let last = host.rsplit('.').next().unwrap_or(host);
    let number = last.starts_with("0x") || last.chars().all(|c| c.is_ascii_digit());
    let is_port = |named: &str| {
        !named.starts_with('0') && named.parse::<u16>().is_ok_and(|_| named.bytes().all(|byte| byte.is_ascii_digit()))
    };
    host != "-"
        && !["%40", "%3A"].iter().any(|sign| host.contains(*sign))
        && host.split('.').all(|label| !label.is_empty() && label.chars().all(plain))
        && (port.is_none() || !number || host.parse::<Ipv4Addr>().is_ok())
        && named.is_none_or(|named| is_port(named) && port != Some(named))
}

/// Whether every byte of it can stand in an address or a template, and every escape must stand there.
fn is_written(rest: &str) -> bool {
    let mut bytes = rest.bytes();
    while let Some(byte) = bytes.next() {
        let plain = match byte {
            b'%' => escaped(bytes.next(), bytes.next()),
            b'#' | b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'|' | b' ' => false,
            byte => byte.is_ascii_graphic(),
        };
        if !plain {
            return false;
        }
    }
    true
}

/// Whether an escape stands for what needs one and changes no path.
fn escaped(high: Option<u8>, low: Option<u8>) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let Some(byte) = high.and_then(digit).zip(low.and_then(digit)).map(|(high, low)| high << 4 | low) else {
        return false;
    };
    let needless = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !needless && !matches!(byte, b'/' | b'\\' | b'%' | 0..=0x1f | 0x7f)
}
