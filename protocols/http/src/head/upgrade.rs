//! A request that asks for a WebSocket (RFC 6455 §4.1), and every other upgrade, which is refused.
//!
//! Promises: it is a GET over HTTP/1.1 without a body, which asks for nothing else, says each thing once and has a key that
//! is one; what it offers as extensions goes no further, and what it offers as protocols is a short list of names of which
//! none holds the client's credential. Clients put credentials of services there, since browsers let them set nothing else:
//! such an offer goes on as it is, and is not in the record.
//! Held by: `fixtures/http/requests.tsv` by `head/tests.rs`, and the test below.

use super::{Refusal, bad};
use crate::websocket::Key;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use secrecy::{ExposeSecret as _, SecretString};

/// Protocols that one request offers, and bytes of all.
const OFFERS: usize = 16;
const OFFERED: usize = 4096;

/// One that can be read in one way only.
pub(super) struct Upgrade {
    key: Key,
    offers: Vec<String>,
}

const fn refused(why: &'static str) -> Refusal {
    Refusal { status: StatusCode::NOT_IMPLEMENTED, why }
}

/// What this head asks for; `None` where it is no upgrade.
pub(super) fn read(parts: &Parts, sends_body: bool) -> Result<Option<Upgrade>, Refusal> {
    let headers = &parts.headers;
    let Some(wanted) = once(headers, &header::UPGRADE)? else { return Ok(None) };
    if !wanted.eq_ignore_ascii_case("websocket") {
        return Err(refused(
            "an upgrade to another protocol than WebSocket does not pass; speak HTTP/2 from the first byte, over TLS or with prior knowledge",
        ));
    }
    if parts.version != Version::HTTP_11 || parts.method != Method::GET {
        return Err(refused("a WebSocket is opened by a GET over HTTP/1.1"));
    }
    if sends_body || headers.contains_key(header::EXPECT) || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(bad("a request that opens a WebSocket has no body"));
    }
    let mut options: Vec<String> = list(headers, &header::CONNECTION).map(str::to_ascii_lowercase).collect();
    options.sort_unstable();
    if options != ["upgrade"] && options != ["keep-alive", "upgrade"] {
        return Err(bad(
            "a request that opens a WebSocket says `Connection: Upgrade`, and no more than `keep-alive` beside it",
        ));
    }
    if once(headers, &header::SEC_WEBSOCKET_VERSION)? != Some("13") {
        return Err(refused("WebSockets pass in version 13 only"));
    }
    let key = once(headers, &header::SEC_WEBSOCKET_KEY)?.and_then(Key::read);
    let key = key.ok_or(bad("`Sec-WebSocket-Key` is 16 bytes in base64"))?;
    Ok(Some(Upgrade { key, offers: offers(headers)? }))
}

fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = values.next();
    if values.next().is_some() {
        Err(bad("a header that may stand once stands twice"))
    } else {
        Ok(first.map(str::trim))
    }
}

fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn offers(headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
    let is_token = |text: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(known)
    };
    let offers: Vec<String> = list(headers, &header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
    if !offers.iter().all(|offer| is_token(offer)) {
        return Err(bad("`Sec-WebSocket-Protocol` is a list of names"));
    }
    if offers.len() > OFFERS || offers.iter().map(String::len).sum::<usize>() > OFFERED {
        return Err(bad("`Sec-WebSocket-Protocol` offers too much"));
    }
    let mut sorted: Vec<&String> = offers.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(bad("`Sec-WebSocket-Protocol` offers one protocol twice"));
    }
    Ok(offers)
}

impl Upgrade {
    /// Puts what goes on of it into the headers that pass, and gives the client's key.
    pub(super) fn go_on(self, credential: Option<&SecretString>, headers: &mut HeaderMap) -> Result<Key, Refusal> {
        let holds = |offer: &String| credential.is_some_and(|credential| offer.contains(credential.expose_secret()));
        if self.offers.iter().any(holds) {
            return Err(bad(
                "a credential stands in `Sec-WebSocket-Protocol`; send it as `Authorization: Bearer TOKEN`",
            ));
        }
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(offers) = HeaderValue::from_str(&self.offers.join(", "))
            && !self.offers.is_empty()
        {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offers);
        }
        Ok(self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, lines: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::builder().version(version).uri("/crm/live");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const RIGHT: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];

    #[test]
    fn what_goes_on_is_the_upgrade_and_its_protocols() {
        let more =
            [("sec-websocket-protocol", "a, b.c"), ("sec-websocket-protocol", "d"), ("sec-websocket-extensions", "x")];
        let upgrade = read(&parts(Version::HTTP_11, &[&RIGHT[..], &more].concat()), false).unwrap().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(upgrade.go_on(None, &mut headers).unwrap().as_str(), RIGHT[3].1);
        assert_eq!(headers.get("upgrade").unwrap(), "websocket");
        assert_eq!(headers.get("sec-websocket-protocol").unwrap(), "a, b.c, d");
        assert_eq!(headers.len(), 2);
        let again = read(&parts(Version::HTTP_11, &[&RIGHT[..], &more].concat()), false).unwrap().unwrap();
        let credential = SecretString::from("b.c");
        assert_eq!(again.go_on(Some(&credential), &mut HeaderMap::new()).unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn over_http_2_there_is_none() {
        assert_eq!(read(&parts(Version::HTTP_2, &RIGHT), false).err().unwrap().status, StatusCode::NOT_IMPLEMENTED);
        assert!(read(&parts(Version::HTTP_11, &RIGHT), true).is_err());
    }
}
