//! SASL OAUTHBEARER towards a client (RFC 7628), as PostgreSQL 18 and its libpq speak it.
//!
//! Promises: the message is read whole: header, key and value pairs, both ends; `auth` stands there once. A client that
//! shows no token asks where to get one: it is told, and that is no failed login. A client that asks to act as somebody
//! other than its startup packet says is refused. `host`, `port` and keys that are not known are read and left alone.
//!
//! Does not promise: that the token is worth anything; `identity` judges that. Nothing binds the exchange to the
//! connection, so a token goes where TLS ends: the caller asks over TLS only.
//! Held by: `tests.rs` beside this file, `tests/it/scram.rs` of the binary with libpq 18, and the fuzz target
//! `postgres_sasl`.

use super::scram::is_name;
use std::sync::Arc;

pub(super) const MECHANISM: &str = "OAUTHBEARER";

/// What ends the exchange after a token that was not accepted.
pub(super) const GIVEN_UP: &[u8] = b"\x01";

/// What stands around every pair.
const SEPARATOR: char = '\x01';

/// Where a client gets a token that is accepted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The provider's issuer URL.
    pub issuer: Arc<str>,
    /// What to ask it for.
    pub scope: Arc<str>,
}

impl Discovery {
    /// What a client without an acceptable token is told.
    pub(super) fn told(&self) -> String {
        let configuration = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        serde_json::json!({
            "status": "invalid_token",
            "openid-configuration": configuration,
            "scope": &*self.scope,
        })
        .to_string()
    }
}

/// What a client's message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks<'a> {
    /// Where to get a token.
    Where,
    /// To be let in with this one.
    In(&'a str),
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is no message of this exchange.
    Malformed,
    /// The client asks to act as somebody else.
    SomebodyElse,
}

/// Reads a client's message, whose startup packet named this user.
pub(super) fn read<'a>(message: &'a [u8], user: &str) -> Result<Asks<'a>, Flaw> {
    let message = std::str::from_utf8(message).map_err(|_| Flaw::Malformed)?;
    let (flag, rest) = message.split_once(',').ok_or(Flaw::Malformed)?;
    let (authorize, pairs) = rest.split_once(',').ok_or(Flaw::Malformed)?;
    let pairs = pairs.strip_prefix(SEPARATOR).and_then(|pairs| pairs.strip_suffix(SEPARATOR));
    let (Some(pairs), "n" | "y") = (pairs, flag) else { return Err(Flaw::Malformed) };
    let mut auth = None;
    // Each pair ends in a separator of its own.
    let pairs = if pairs.is_empty() { None } else { Some(pairs.strip_suffix(SEPARATOR).ok_or(Flaw::Malformed)?) };
    for pair in pairs.into_iter().flat_map(|pairs| pairs.split(SEPARATOR)) {
        let (key, value) = pair.split_once('=').ok_or(Flaw::Malformed)?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) || !value.bytes().all(is_of_a_value) {
            return Err(Flaw::Malformed);
        }
        if key == "auth" && auth.replace(value).is_some() {
            return Err(Flaw::Malformed);
        }
    }
    let asks = match auth.ok_or(Flaw::Malformed)? {
        "" => Asks::Where,
        shown => Asks::In(bearer(shown).ok_or(Flaw::Malformed)?),
    };
    match authorize {
        "" => Ok(asks),
        named => match named.strip_prefix("a=").filter(|name| !name.is_empty() && is_name(name)) {
            // In this order, or a code would be read twice.
            Some(name) if name.replace("=2C", ",").replace("=3D", "=") == user => Ok(asks),
            Some(_) => Err(Flaw::SomebodyElse),
            None => Err(Flaw::Malformed),
        },
    }
}

fn is_of_a_value(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

/// The token behind its scheme (RFC 6750, section 2.1).
fn bearer(shown: &str) -> Option<&str> {
    let (scheme, token) = shown.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let kept = token.trim_end_matches('=');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    (scheme.eq_ignore_ascii_case("bearer") && !kept.is_empty() && kept.bytes().all(plain)).then_some(token)
}
