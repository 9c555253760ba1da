//! How both sides of a socket agree on it (RFC 6455 §4).
//!
//! Promises: each side has a key of its own; a backend is believed only where it answers the gateway's, names no extension
//! and at most one of the protocols that the client offered; the client is told the protocol and nothing else of what the
//! backend answered. Held by: the tests below, `tests/it/websocket.rs` of the binary.

use crate::frame::{Head, Request};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// What every server puts behind the key (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key of one handshake: 16 bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

/// Why a backend's answer opens no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotSwitched(pub(crate) &'static str);

impl Key {
    /// A client's; `None` where it is no key, or one that is written in two ways.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        (bytes.len() == 16 && BASE64_STANDARD.encode(&bytes) == text).then(|| Self(text.to_owned()))
    }

    /// The gateway's own; `None` where the system gives no random bytes.
    pub(crate) fn fresh(random: &SystemRandom) -> Option<Self> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes).ok()?;
        Some(Self(BASE64_STANDARD.encode(bytes)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What proves that it was read. SHA-1 is what the standard says; nothing is kept secret by it.
    fn accept(&self) -> String {
        BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{}{GUID}", self.0).as_bytes()))
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, NotSwitched> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(NotSwitched("it says one thing twice"));
    }
    first.map(|value| value.to_str().map(str::trim).map_err(|_| NotSwitched("it is no text"))).transpose()
}

/// The protocol that a backend chose, where it agreed to what it was asked.
///
/// # Errors
/// [`NotSwitched`].
pub(crate) fn switched(headers: &HeaderMap, key: &Key, asked: &Request) -> Result<Option<HeaderValue>, NotSwitched> {
    let upgrade = only(headers, &header::UPGRADE)?.unwrap_or_default();
    let connection = only(headers, &header::CONNECTION)?.unwrap_or_default();
    let upgrades = connection.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
    if !upgrade.eq_ignore_ascii_case("websocket") || !upgrades {
        return Err(NotSwitched("it switches to something else"));
    }
    if only(headers, &header::SEC_WEBSOCKET_ACCEPT)? != Some(key.accept().as_str()) {
        return Err(NotSwitched("it did not read the key"));
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err(NotSwitched("it names an extension, and none was offered"));
    }
    match only(headers, &header::SEC_WEBSOCKET_PROTOCOL)? {
        None => Ok(None),
        Some(chosen) if asked.offers().any(|offer| offer == chosen) => Ok(HeaderValue::from_str(chosen).ok()),
        Some(_) => Err(NotSwitched("it chose a protocol that was not offered")),
    }
}

/// What the client is told once its backend has agreed.
pub(crate) fn switching(key: &Key, protocol: Option<HeaderValue>) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&key.accept()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Head { status: StatusCode::SWITCHING_PROTOCOLS, headers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Method;
    use crate::path::{Path, Query};
    use bytes::Bytes;

    /// RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_key_is_sixteen_bytes_and_written_in_one_way() {
        assert_eq!(Key::read(KEY).unwrap().accept(), ACCEPT);
        for wrong in [
            "",
            "AAAA",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25jZQ",
            " dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZSE=",
        ] {
            assert_eq!(Key::read(wrong), None, "{wrong}");
        }
        let random = SystemRandom::new();
        let fresh = Key::fresh(&random).unwrap();
        assert_eq!(Key::read(fresh.as_str()).as_ref(), Some(&fresh));
        assert_ne!(Key::fresh(&random), Some(fresh));
    }

    #[test]
    fn a_backend_is_believed_only_where_it_answers_what_it_was_asked() {
        let asked = Request {
            method: Method::Get,
            path: Path::read("/live").unwrap(),
            query: Query::default(),
            headers: headers(&[("upgrade", "websocket"), ("sec-websocket-protocol", "a.b, c")]),
            body: Bytes::new(),
        };
        let right = [("upgrade", "WebSocket"), ("connection", "Upgrade"), ("sec-websocket-accept", ACCEPT)];
        let with = |more: &[(&'static str, &'static str)]| {
            let key = Key::read(KEY).unwrap();
            let chosen = switched(&headers(&[&right[..], more].concat()), &key, &asked);
            chosen.map(|chosen| chosen.map(|chosen| chosen.to_str().unwrap().to_owned()))
        };
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[("sec-websocket-protocol", "c")]), Ok(Some("c".to_owned())));
        for wrong in [
            &[("sec-websocket-protocol", "d")][..],
            &[("sec-websocket-protocol", "a.b, c")],
            &[("sec-websocket-protocol", "C")],
            &[("sec-websocket-protocol", "c"), ("sec-websocket-protocol", "c")],
            &[("sec-websocket-extensions", "permessage-deflate")],
            &[("sec-websocket-accept", ACCEPT)],
            &[("upgrade", "websocket")],
        ] {
            assert!(with(wrong).is_err(), "{wrong:?}");
        }
        let key = Key::read(KEY).unwrap();
        for left_out in 0..right.len() {
            let kept: Vec<_> =
                right.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
            assert!(switched(&headers(&kept), &key, &asked).is_err());
        }
        let other = Key::read("AAAAAAAAAAAAAAAAAAAAAA==").unwrap();
        assert!(switched(&headers(&right), &other, &asked).is_err());
    }

    #[test]
    fn the_client_is_told_the_protocol_and_nothing_else() {
        let head = switching(&Key::read(KEY).unwrap(), Some(HeaderValue::from_static("c")));
        assert_eq!((head.status.as_u16(), head.headers.len()), (101, 4));
        assert_eq!(head.headers.get("sec-websocket-accept").unwrap(), ACCEPT);
    }
}
