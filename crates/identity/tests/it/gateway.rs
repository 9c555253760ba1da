//! A gateway's identity, and how it fetches what a provider on loopback publishes.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use portcullis_identity::{
    Authenticated, Fetch, FetchError, Identity, Issuer, OidcTrust, Proof, Refused, Settings, TokenKey,
};
use portcullis_store::MemoryTable;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Fetches over plain HTTP, one connection for each document.
pub(crate) struct Plain;

impl Fetch for Plain {
    fn get<'a>(&'a self, url: &'a str, _: usize) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        let failed = |error: std::io::Error| FetchError::Failed(error.to_string());
        Box::pin(async move {
            let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
            let mut stream = TcpStream::connect(host).await.map_err(failed)?;
            let head = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.map_err(failed)?;
            let mut answer = Vec::new();
            let (head, length) = loop {
                if stream.read_buf(&mut answer).await.map_err(failed)? == 0 {
                    return Err(FetchError::Failed("it broke off".to_owned()));
                }
                let text = String::from_utf8_lossy(&answer);
                let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                let length: usize = head.split_once("content-length: ").unwrap().1.parse().unwrap();
                break (head.to_owned(), length);
            };
            answer.drain(..head.len() + 4);
            while answer.len() < length {
                stream.read_buf(&mut answer).await.map_err(failed)?;
            }
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            if status == 200 { Ok(answer.into()) } else { Err(FetchError::Status(status)) }
        })
    }
}

/// A gateway that trusts these providers.
pub(crate) struct Gateway {
    pub(crate) identity: Identity,
    addresses: AtomicU32,
}

impl Gateway {
    pub(crate) async fn trusting(issuers: Vec<Issuer>) -> Self {
        let oidc = OidcTrust::new(issuers, Arc::new(Plain)).unwrap();
        let settings = Settings { oidc, ..Settings::default() };
        let identity = Identity::open(Arc::new(MemoryTable::new()), TokenKey::generate(), settings).await.unwrap();
        Self { identity, addresses: AtomicU32::new(0x0a00_0001) }
    }

    /// Presents it, each time from another address, so that the limit of attempts stays out of it.
    pub(crate) async fn present(&self, token: &str) -> Result<Authenticated, Refused> {
        let from = IpAddr::V4(self.addresses.fetch_add(1, Ordering::SeqCst).into());
        let proof = Proof::Token { token: token.into(), claimed_user: None };
        self.identity.authenticate(proof, from, Timestamp::now()).await
    }
}
