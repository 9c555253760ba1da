//! TLS towards backends.
//!
//! Promises: `verify-full` checks chain, validity and the host name or address; `verify-ca` the same without the name;
//! `require` only encrypts and says so in its documentation; `disable` never reaches this code. Signatures of the
//! handshake are verified in every mode, so a recorded certificate is of no use. Sessions are resumed. The roots are
//! the system's or one given file, never both: naming a CA means trusting that one.
//!
//! Does not promise: revocation checks, or reading a host name from a certificate's common name; a certificate for
//! `verify-full` carries subject alternative names.
//! Held by: the tests in `client_tls/tests.rs`.

use crate::error::{Error, Result};
use crate::io::Io;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

#[cfg(test)]
mod tests;

/// How much of a backend's certificate must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum VerifyMode {
    /// No TLS. Accepted for loopback addresses and Unix sockets only; whoever dials enforces that.
    Disable,
    /// Encrypted, but with whoever answers: no protection against someone between the gateway and the backend.
    Require,
    /// The chain must end in a trusted root; any name will do.
    VerifyCa,
    /// Chain and name must hold.
    #[default]
    VerifyFull,
}

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Roots {
    /// Those of the operating system.
    #[default]
    Native,
    /// Those in this PEM file, and no other.
    File(PathBuf),
}

/// TLS settings towards one backend; cheap to clone, and clones share resumption.
#[derive(Clone)]
pub struct ClientTls {
    mode: VerifyMode,
    config: Option<Arc<ClientConfig>>,
}

impl ClientTls {
    /// Settings without TLS.
    #[must_use]
    pub fn disabled() -> Self {
        Self { mode: VerifyMode::Disable, config: None }
    }

    /// Settings for `mode`, trusting `roots`, offering `alpn` in this order (none if empty).
    ///
    /// # Errors
    /// [`Error::Certificate`] when the roots cannot be read or are empty where they are needed.
    pub fn new(mode: VerifyMode, roots: &Roots, alpn: &[&[u8]]) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Settings(error.to_string()))?;
        let mut config = match mode {
            VerifyMode::Disable => return Ok(Self::disabled()),
            VerifyMode::VerifyFull => builder.with_root_certificates(load(roots)?).with_no_client_auth(),
            VerifyMode::VerifyCa => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName { roots: Some(load(roots)?), provider }))
                .with_no_client_auth(),
            VerifyMode::Require => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName { roots: None, provider }))
                .with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Self { mode, config: Some(Arc::new(config)) })
    }

    /// The mode these settings were made with.
    #[must_use]
    pub const fn mode(&self) -> VerifyMode {
        self.mode
    }

    /// The same, offering these application protocols instead.
    #[must_use]
    pub fn offering(&self, alpn: &[&[u8]]) -> Self {
        let config = self.config.as_deref().cloned().map(|mut config| {
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        });
        Self { mode: self.mode, config }
    }

    /// Performs the handshake over `io`, verifying `name` as the mode says.
    ///
    /// # Errors
    /// [`Error::Handshake`] when the peer fails verification or breaks the protocol; [`Error::Settings`] when the mode
    /// is [`VerifyMode::Disable`] or the name is no host name.
    pub async fn connect(&self, io: Io, name: &str) -> Result<Io> {
        let config = self.config.clone().ok_or_else(|| Error::Settings("TLS is disabled for this backend".into()))?;
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| Error::Settings(format!("{name:?} cannot be a name in a certificate")))?;
        let stream = TlsConnector::from(config)
            .connect(server_name, io)
            .await
            .map_err(|source| Error::Handshake { name: name.to_owned(), source })?;
        Ok(stream.into())
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.mode).finish()
    }
}

fn load(roots: &Roots) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Native => {
            let found = rustls_native_certs::load_native_certs();
            let (_, ignored) = store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                let reason = format!("the system has no certificate authorities ({ignored} unreadable)");
                return Err(Error::Certificate { path: PathBuf::from("the system's store"), reason });
            }
        }
        Roots::File(path) => {
            for certificate in read_certificates(path)? {
                store.add(certificate).map_err(|error| bad(path, &error))?;
            }
        }
    }
    Ok(store)
}

/// Every certificate of a PEM file, at least one.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(|found| found.collect::<std::result::Result<_, _>>())
        .map_err(|error| bad(path, &error))?;
    if certificates.is_empty() {
        return Err(Error::Certificate { path: path.to_owned(), reason: "no certificate in the file".into() });
    }
    Ok(certificates)
}

pub(crate) fn bad(path: &Path, reason: &dyn fmt::Display) -> Error {
    Error::Certificate { path: path.to_owned(), reason: reason.to_string() }
}

/// Verifies the chain, if it has roots, and never the name; always the handshake's signatures.
#[derive(Debug)]
struct AnyName {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
