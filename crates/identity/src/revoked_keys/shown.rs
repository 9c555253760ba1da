//! What a client showed of SSH, as far as a list of revoked keys can name it.
//!
//! Promises: a session that keeps this can be looked up in any list that is read later, without the key or certificate
//! itself. It holds nothing secret. Held by: `tests/revoked_keys.rs`.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use sha2::{Digest as _, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};

/// The key that a client proved itself with, and the certificate that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshProof {
    pub(super) key: Marks,
    pub(super) certificate: Option<Signed>,
}

/// What lists know a key by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// Only lists are told by it what they mean; nothing is trusted for it.
    pub(super) sha1: [u8; 20],
    pub(super) sha256: [u8; 32],
}

/// What lists know a certificate by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) authority: Marks,
    pub(super) serial: u64,
    /// The digest of its key id.
    pub(super) id: [u8; 32],
}

impl Marks {
    /// `None` for a key that has no form to be sent in.
    pub(super) fn of(key: &KeyData) -> Option<Self> {
        let sent = PublicKey::from(key.clone()).to_bytes().ok()?;
        let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, &sent).as_ref().try_into().ok()?;
        Some(Self { sha1, sha256: Sha256::digest(&sent).into() })
    }
}

impl SshProof {
    /// Of a key without a certificate.
    pub(crate) fn of_key(key: &KeyData) -> Option<Self> {
        Some(Self { key: Marks::of(key)?, certificate: None })
    }

    pub(crate) fn of_certificate(certificate: &Certificate) -> Option<Self> {
        let authority = Marks::of(certificate.signature_key())?;
        // A NUL at its end is none of it, there as in lists.
        let id = certificate.key_id();
        let id = Sha256::digest(id.strip_suffix('\0').unwrap_or(id)).into();
        let signed = Signed { authority, serial: certificate.serial(), id };
        Some(Self { key: Marks::of(certificate.public_key())?, certificate: Some(signed) })
    }
}
