//! A certificate authority for tests and the demo: servers get leaves that real clients verify with `verify-full`.
//!
//! Promises: ECDSA P-256 leaves signed by one CA, valid from yesterday, for the given names and addresses; files with
//! private keys are 0600. Does not promise revocation or intermediates.
//! Held by: every test that connects with `sslmode=verify-full`.

use crate::error::TestkitError;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A CA and its key.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, both PEM.
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS#8.
    pub key: String,
}

impl TestCa {
    /// Makes a new CA with this common name.
    ///
    /// # Errors
    /// [`TestkitError::Certificate`].
    pub fn new(common_name: &str) -> Result<Self, TestkitError> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The CA's certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for these names and IP addresses.
    ///
    /// # Errors
    /// [`TestkitError::Certificate`] for a name that is none.
    pub fn server(&self, names: &[&str]) -> Result<Leaf, TestkitError> {
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("server"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Leaf { certificate, key: key.serialize_pem() })
    }
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// [`TestkitError::Io`].
pub fn write_private(path: &Path, text: &str) -> Result<(), TestkitError> {
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(TestkitError::io(format!("write {}", path.display())))
}
