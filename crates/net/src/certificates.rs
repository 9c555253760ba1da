//! TLS towards clients: the certificate the gateway proves itself with, and the server side of the handshake.
//!
//! Promises: TLS 1.2 and 1.3 only; the certificate can be exchanged while connections live, and new handshakes use the
//! new one; sessions are resumed with tickets whose keys rotate; a key that does not belong to its certificate is
//! refused at load, not at the first handshake. A set of application protocols can be required of the client.
//! Does not promise: client certificates. The identity of a client is proven by its protocol.
//! Held by: the tests in `client_tls/tests.rs`, which run both sides against each other.

use crate::client_tls::{bad, read_certificates};
use crate::error::{Error, Result};
use crate::io::Io;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The gateway's certificate and key, exchangeable; cheap to clone, and clones see the exchange.
#[derive(Clone)]
pub struct Certificates {
    current: Arc<ArcSwap<CertifiedKey>>,
}

impl Certificates {
    /// Reads a certificate chain and its key from PEM files.
    ///
    /// # Errors
    /// [`Error::Certificate`] when a file cannot be read or the two do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self> {
        let loaded = load(certificate, key)?;
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(loaded)) })
    }

    /// Reads the files again; handshakes from now on use what they hold. On an error the old certificate stays.
    ///
    /// # Errors
    /// As [`Certificates::from_files`].
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<()> {
        self.current.store(Arc::new(load(certificate, key)?));
        Ok(())
    }

    /// The server side of TLS for one listener, agreeing on one of `alpn` if the client offers any.
    ///
    /// # Errors
    /// [`Error::Settings`] when rustls refuses the settings.
    pub fn server(&self, alpn: &[&[u8]]) -> Result<ServerTls> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Settings(error.to_string()))?
            .with_no_client_auth()
            // Each handshake has one of its own.
            .with_cert_resolver(Arc::new(Shown(self.current.load_full())));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| Error::Settings(error.to_string()))?;
        Ok(ServerTls { config: Arc::new(config), certificates: self.clone() })
    }

    /// The certificate in force, in DER.
    #[must_use]
    pub fn leaf(&self) -> Vec<u8> {
        self.current.load().cert.first().map_or_else(Vec::new, |leaf| leaf.to_vec())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

/// The certificate of one handshake, so that it is known which one that was.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain = read_certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    let provider = rustls::crypto::ring::default_provider();
    let loaded = CertifiedKey::from_der(chain, private, &provider).map_err(|error| bad(key, &error))?;
    loaded.keys_match().map_err(|error| bad(key, &format!("not the key of {}: {error}", certificate.display())))?;
    Ok(loaded)
}

/// The server side of TLS for one listener; cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certificates: Certificates,
}

impl ServerTls {
    /// Performs the handshake over `io`. Bound its time: a client may never finish.
    ///
    /// # Errors
    /// What the handshake failed with; the alert was sent.
    pub async fn accept(&self, io: Io) -> io::Result<Io> {
        let shown = self.certificates.current.load_full();
        // Tickets and their keys are shared by all copies.
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::new(Shown(Arc::clone(&shown)));
        let stream = TlsAcceptor::from(Arc::new(config)).accept(io).await?;
        Ok(Io::tls_server(stream, shown))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}
