//! The gateway's own certificate authority, for installations that bring no certificate.
//!
//! Promises: the first start makes `ca.pem` and `ca.key` and, signed by it, `gateway.pem` and `gateway.key` in the data
//! directory; later starts keep them. The leaf is made anew when its last third has begun, when the names it must carry
//! changed, when it is not of this authority, or when it cannot be read; the authority is never replaced by itself, so
//! what clients trust stays. Keys are mode 0600 from their first byte, files appear whole or not at all, and an
//! authority without its key is an error, not a reason for a new one. The authority may sign leaves only.
//!
//! Does not promise: revocation; whoever reads `ca.key` can pose as the gateway to those who trust `ca.pem`.
//! Held by: the tests in `authority/tests.rs`.

use crate::certificates::Certificates;
use crate::client_tls::{bad, read_certificates};
use crate::error::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

#[cfg(test)]
mod tests;

const AUTHORITY_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 90;

/// The authority of one data directory.
#[derive(Clone, Debug)]
pub struct Authority {
    directory: PathBuf,
    names: BTreeSet<Name>,
}

/// A self-made certificate in force.
#[derive(Clone, Debug)]
pub struct SelfMade {
    /// What listeners serve.
    pub certificates: Certificates,
    /// The authority's certificate, for clients to trust.
    pub authority: PathBuf,
    /// Whether the leaf was made just now.
    pub renewed: bool,
}

/// One name a certificate is good for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Address(IpAddr),
    Host(String),
}

impl Authority {
    /// The authority in `directory`, whose leaf is good for every listen address, for this machine's loopback names
    /// and, when a listener is open to the network, for this machine's host name and the `extra` host names.
    #[must_use]
    pub fn new(directory: &Path, listen: &[SocketAddr], extra: &[String]) -> Self {
        let mut names = BTreeSet::from([
            Name::Address(Ipv4Addr::LOCALHOST.into()),
            Name::Address(Ipv6Addr::LOCALHOST.into()),
            Name::Host("localhost".into()),
        ]);
        names.extend(extra.iter().map(|name| {
            name.parse()
                .map_or_else(|_| Name::Host(name.to_ascii_lowercase()), |address: IpAddr| Name::Address(address))
        }));
        for address in listen.iter().map(SocketAddr::ip) {
            if !address.is_unspecified() {
                names.insert(Name::Address(address));
            }
            if !address.is_loopback() {
                names.extend(host_name().map(Name::Host));
            }
        }
        Self { directory: directory.to_owned(), names }
    }

    /// Reads what the directory holds and makes what is missing or due.
    ///
    /// # Errors
    /// [`crate::Error::Certificate`] when a file cannot be written, or the authority is there without its key.
    pub fn open(&self) -> Result<SelfMade> {
        let renewed = self.ensure(OffsetDateTime::now_utc())?;
        let certificates = Certificates::from_files(&self.leaf(), &self.leaf_key())?;
        Ok(SelfMade { certificates, authority: self.certificate(), renewed })
    }

    /// Makes a new leaf if it is due, and puts it in force. For a daily timer; says whether it did.
    ///
    /// # Errors
    /// As [`Authority::open`]; the old leaf stays in force.
    pub fn renew(&self, certificates: &Certificates) -> Result<bool> {
        let renewed = self.ensure(OffsetDateTime::now_utc())?;
        if renewed {
            certificates.reload(&self.leaf(), &self.leaf_key())?;
        }
        Ok(renewed)
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.join("ca.key")
    }

    fn leaf(&self) -> PathBuf {
        self.directory.join("gateway.pem")
    }

    fn leaf_key(&self) -> PathBuf {
        self.directory.join("gateway.key")
    }

    fn ensure(&self, now: OffsetDateTime) -> Result<bool> {
        let (certificate, key) = (self.certificate(), self.key());
        match (certificate.exists(), key.exists()) {
            (true, true) => {}
            // A key alone is a first start that was interrupted before any client could trust its certificate.
            (false, _) => self.make_authority(now)?,
            (true, false) => return Err(bad(&key, &"missing, while its certificate ca.pem is there; restore it")),
        }
        let pem = fs::read_to_string(&certificate).map_err(|error| bad(&certificate, &error))?;
        if !self.leaf_is_due(&pem, now) {
            return Ok(false);
        }
        self.make_leaf(&pem, now)?;
        Ok(true)
    }

    fn make_authority(&self, now: OffsetDateTime) -> Result<()> {
        let path = self.certificate();
        let pair = KeyPair::generate().map_err(|error| bad(&path, &error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Portcullis gateway authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(AUTHORITY_DAYS);
        let certificate = params.self_signed(&pair).map_err(|error| bad(&path, &error))?;
        // The key first: a certificate is never there without its key.
        write_whole(&self.key(), pair.serialize_pem().as_bytes(), 0o600)?;
        write_whole(&path, certificate.pem().as_bytes(), 0o644)
    }

    fn make_leaf(&self, authority: &str, now: OffsetDateTime) -> Result<()> {
        let (path, key_path) = (self.leaf(), self.key());
        let key_pem = fs::read_to_string(&key_path).map_err(|error| bad(&key_path, &error))?;
        let authority_key = KeyPair::from_pem(&key_pem).map_err(|error| bad(&key_path, &error))?;
        let issuer =
            Issuer::from_ca_cert_pem(authority, authority_key).map_err(|error| bad(&self.certificate(), &error))?;
        let pair = KeyPair::generate().map_err(|error| bad(&path, &error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Portcullis gateway");
        for name in &self.names {
            params.subject_alt_names.push(match name {
                Name::Address(address) => SanType::IpAddress(*address),
                Name::Host(host) => {
                    SanType::DnsName(host.as_str().try_into().map_err(|error| bad(&path, &format!("{host}: {error}")))?)
                }
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(LEAF_DAYS);
        let leaf = params.signed_by(&pair, &issuer).map_err(|error| bad(&path, &error))?;
        // A crash between the two leaves a pair that does not match, which the next start finds due.
        write_whole(&self.leaf_key(), pair.serialize_pem().as_bytes(), 0o600)?;
        write_whole(&path, format!("{}{authority}", leaf.pem()).as_bytes(), 0o644)
    }

    fn leaf_is_due(&self, authority: &str, now: OffsetDateTime) -> bool {
        let path = self.leaf();
        let good = || -> Option<bool> {
            Certificates::from_files(&path, &self.leaf_key()).ok()?;
            let chain = read_certificates(&path).ok()?;
            let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
            let ends = OffsetDateTime::from_unix_timestamp(leaf.validity().not_after.timestamp()).ok()?;
            let begins = OffsetDateTime::from_unix_timestamp(leaf.validity().not_before.timestamp()).ok()?;
            let fresh = begins <= now && now + Duration::days(LEAF_DAYS / 3) < ends;
            // The authority travels behind the leaf, so a leaf of another authority shows.
            let same_authority = fs::read_to_string(&path).ok()?.ends_with(authority);
            Some(fresh && same_authority && names_of(&leaf)? == self.names)
        };
        good() != Some(true)
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn names_of(leaf: &X509Certificate<'_>) -> Option<BTreeSet<Name>> {
    let mut names = BTreeSet::new();
    for name in &leaf.subject_alternative_name().ok()??.value.general_names {
        match name {
            GeneralName::DNSName(host) => names.insert(Name::Host((*host).to_owned())),
            GeneralName::IPAddress(bytes) => names.insert(Name::Address(
                <[u8; 4]>::try_from(*bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                    .ok()?,
            )),
            GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::Invalid(_, _)
            | GeneralName::OtherName(_, _)
            | GeneralName::RFC822Name(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::URI(_)
            | GeneralName::X400Address(_) => return None,
        };
    }
    Some(names)
}

/// This machine's host name, where the system offers it as a file and it can stand in a certificate.
fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// Writes a file that is there whole, with this mode from its first byte, or not at all.
fn write_whole(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let write = || -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
    };
    write().map_err(|error| bad(path, &error))
}
