//! Proving who somebody is, on both sides: a client's token to the gateway, the gateway's headers to a backend.
//!
//! Promises: what a client presents goes to the judge of identities and nowhere else; what a backend is shown is leased
//! for one request, marked as sensitive, so that no `Debug` form and no compression table of HTTP/2 keeps it, and is the
//! only value of its name in the request.
//! Does not promise that the backend accepts it.
//! Held by: the tests below and `upstream/tests.rs`.

use crate::error::{Error, Result};
use crate::head::put;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_gate::{Lease, Proof};
use secrecy::{ExposeSecret as _, SecretString};

/// What a client proves itself with: a token, whoever it says it is.
pub(crate) const fn proof(credential: SecretString) -> Proof {
    Proof::Token { token: credential, claimed_user: None }
}

/// Puts the gateway's own headers into a request, in the place of any that are there.
pub(crate) fn show(lease: Lease, headers: &mut HeaderMap) -> Result<()> {
    let unusable = |what: &str| Error::Credential(what.into());
    for (name, value) in lease.into_headers().map_err(|error| unusable(&error.to_string()))? {
        let name: HeaderName = name.parse().map_err(|_| unusable("the name of a header is not one"))?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| unusable("the value of a header has characters that no header has"))?;
        value.set_sensitive(true);
        put(headers, name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_gate::Secret;

    fn shown(headers: &[(&str, &str)]) -> Result<HeaderMap> {
        let secrets = headers.iter().map(|(name, value)| ((*name).into(), SecretString::from(*value))).collect();
        let mut map = HeaderMap::new();
        map.append("x-api-key", HeaderValue::from_static("of the client"));
        map.append("x-api-key", HeaderValue::from_static("of the client, too"));
        show(Lease { username: "".into(), secret: Secret::Headers(secrets), kept: None }, &mut map)?;
        Ok(map)
    }

    #[test]
    fn the_gateways_header_is_the_only_one_and_unseen() {
        let map = shown(&[("x-api-key", "hunter2")]).unwrap();
        assert_eq!(map.get_all("x-api-key").iter().collect::<Vec<_>>(), ["hunter2"]);
        assert!(!format!("{map:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_header_is_an_error_that_does_not_quote_it() {
        for (name, value) in [("x-api-key", "hunter2\r\nx: y"), ("x-api-key", "hunter2\0"), ("x api key", "hunter2")] {
            let error = shown(&[(name, value)]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let lease = Lease { username: "".into(), secret: Secret::Password("hunter2".into()), kept: None };
        assert!(show(lease, &mut HeaderMap::new()).is_err());
    }
}
