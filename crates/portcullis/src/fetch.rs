//! Requests to identity providers: of the gateway for their keys and for logins over SSH, of the command line for logins.
//!
//! Promises: over TLS with a verified name, in plaintext only to a loopback address; a host that was named with authorities
//! of its own is met with them, and any other with the rest; one answer, bounded in bytes and time;
//! a redirect is an answer, and is not followed. Does not promise connections that are kept: keys and logins are rare.
//! Held by: `tests/it` (logins end to end), and the tests below.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use portcullis_net::{Address, ClientTls, DialOptions, Error as NetError, Roots, VerifyMode, dial};
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use tokio::task::JoinSet;

/// Bytes of an answer.
const ANSWER: usize = 1 << 20;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Why there is no answer. Always the provider's fault, or the network's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("`{0}` is not a URL over TLS or of a loopback address")]
    Url(String),
    #[error("this system has no certificate authorities to verify it with")]
    NoAuthorities,
    #[error("no connection: {0}")]
    Connection(#[from] NetError),
    #[error("the exchange broke off: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("the answer is longer than {ANSWER} bytes, or broke off")]
    Body,
    #[error("no answer within {} s", WITHIN.as_secs())]
    Late,
}

/// A way to providers.
pub(crate) struct Fetch {
    /// Hosts with ports that are met with authorities of their own.
    own: Vec<(String, ClientTls)>,
    /// `None` where the system has no authorities: then only what needs none is reached.
    tls: Option<ClientTls>,
}

fn verified_by(roots: &Roots) -> Result<ClientTls, NetError> {
    ClientTls::new(VerifyMode::VerifyFull, roots, &[b"http/1.1"])
}

impl Fetch {
    /// Trusting these authorities, or the system's.
    ///
    /// # Errors
    /// These cannot be read. A system without any is found when it is asked to verify something.
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, NetError> {
        match verified_by(&authorities.map_or(Roots::Native, |file| Roots::File(file.to_owned()))) {
            Ok(tls) => Ok(Self { own: Vec::new(), tls: Some(tls) }),
            Err(_) if authorities.is_none() => Ok(Self { own: Vec::new(), tls: None }),
            Err(error) => Err(error),
        }
    }

    /// The same, trusting these authorities for this host and port.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn also(mut self, address: &str, authorities: &Path) -> Result<Self, NetError> {
        self.own.push((address.to_ascii_lowercase(), verified_by(&Roots::File(authorities.to_owned()))?));
        Ok(self)
    }

    /// One request to an absolute URL.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, NoAnswer> {
        tokio::time::timeout(WITHIN, self.exchange(request)).await.map_err(|_| NoAnswer::Late)?
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, NoAnswer> {
        let to = Target::of(request.uri()).ok_or_else(|| NoAnswer::Url(request.uri().to_string()))?;
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(HOST, to.authority);
        parts.uri = Uri::from(to.path);
        let dialed = dial(&to.address, DialOptions::default()).await?;
        let at = to.address.to_string().to_ascii_lowercase();
        let own = self.own.iter().find(|(own, _)| *own == at).map(|(_, tls)| tls);
        let io = match own.or(self.tls.as_ref()) {
            _ if !to.tls => dialed.io,
            Some(tls) => tls.connect(dialed.io, &to.name).await?,
            None => return Err(NoAnswer::NoAuthorities),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
        let mut carrier = JoinSet::new();
        carrier.spawn(async move {
            // How the connection ended shows in the answer.
            let _ended = connection.await;
        });
        let answer = sender.send_request(Request::from_parts(parts, Full::new(Bytes::from(body)))).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(|_| NoAnswer::Body)?;
        Ok(Response::from_parts(parts, body.to_bytes().to_vec()))
    }
}

impl<'c> AsyncHttpClient<'c> for Fetch {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Whether a URL is one that a person may be sent to: over TLS, or of a loopback address.
pub(crate) fn is_safe(url: &str) -> bool {
    url.parse().is_ok_and(|url| Target::of(&url).is_some())
}

/// Where a URL leads.
struct Target {
    address: Address,
    name: String,
    tls: bool,
    authority: HeaderValue,
    path: PathAndQuery,
}

impl Target {
    fn of(url: &Uri) -> Option<Self> {
        let tls = match url.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = url.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = Address::Tcp { host: host.clone(), port };
        if !tls && !host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback()) {
            return None;
        }
        let path = url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Some(Self { address, name: host, tls, authority: HeaderValue::from_str(authority.as_str()).ok()?, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_over_tls_or_of_loopback_addresses_lead_anywhere() {
        let target = |url: &str| {
            let target = Target::of(&url.parse().unwrap())?;
            Some(format!("{} {} {} {}", target.address, target.tls, target.authority.to_str().unwrap(), target.path))
        };
        for (url, expected) in [
            ("https://idp.example.com/a?b=c", Some("idp.example.com:443 true idp.example.com /a?b=c")),
            ("https://idp.example.com:8443", Some("idp.example.com:8443 true idp.example.com:8443 /")),
            ("http://127.0.0.1:8080/x", Some("127.0.0.1:8080 false 127.0.0.1:8080 /x")),
            ("http://[::1]:8080/x", Some("[::1]:8080 false [::1]:8080 /x")),
            ("http://idp.example.com/x", None),
            ("http://localhost/x", None),
            ("https://user@idp.example.com/", None),
            ("ftp://127.0.0.1/", None),
            ("/x", None),
        ] {
            assert_eq!(target(url).as_deref(), expected, "{url}");
        }
    }
}
