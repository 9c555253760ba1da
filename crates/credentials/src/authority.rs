//! The gateway's own SSH certificate authority: what it signs is for targets.
//!
//! A target that names this authority in `TrustedUserCAKeys` lets the gateway in without a key that lasts: for every
//! login there is a fresh key, and a certificate for one login name that is good for minutes.
//!
//! Promises: a certificate names exactly one principal or host, has a random serial number and an end; one made for a
//! session names the caller in its key id, so that the target's log says for whom the gateway came, and permits a
//! terminal and nothing else: no forwarding of ports, agents or X11, no user rc.
//!
//! Does not promise that these certificates are refused as proof by this gateway: `assemble` keeps the authority out of
//! those that clients may use, and `identity` knows only those it was given.
//! Held by: `tests/keys.rs` beside this file, which has `ssh-keygen` read them.

use crate::CredentialError;
use crate::keys::PrivateKey;
use jiff::{SignedDuration, Timestamp};
use portcullis_model::Principal;
use ssh_key::certificate::{Builder, CertType, Certificate};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};
use std::path::Path;
use std::time::Duration;

/// A certificate is good from a little before it is made, for targets whose clock is behind.
const BEFORE: Duration = Duration::from_secs(60);

/// How long the certificate of one login is good: the target looks at it once, at the login.
const LOGIN: Duration = Duration::from_secs(5 * 60);

/// Characters of a key id at most.
const LONGEST_ID: usize = 256;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Host,
    User,
}

/// Signs certificates for targets.
#[derive(Clone, Debug)]
pub struct CertificateAuthority {
    key: PrivateKey,
}

impl CertificateAuthority {
    /// The authority whose key is in this file, made on first use. Blocks: call it at start.
    ///
    /// # Errors
    /// As [`PrivateKey::load_or_create`].
    pub fn load_or_create(file: &Path) -> Result<Self, CredentialError> {
        PrivateKey::load_or_create(file, "portcullis-ca").map(|key| Self { key })
    }

    /// What targets are given: the line of `TrustedUserCAKeys`.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.key.public()
    }

    /// How logs name it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    /// A certificate that says that this key is the host's.
    ///
    /// # Errors
    /// [`CredentialError::NotSigned`] says what cannot be signed so.
    pub fn sign_host(
        &self,
        key: &PublicKey,
        host: &str,
        valid: Duration,
        now: Timestamp,
    ) -> Result<Certificate, CredentialError> {
        self.sign(Purpose::Host, key, host, host, valid, now)
    }

    /// A certificate with which this key may log in to targets as `login`.
    ///
    /// # Errors
    /// [`CredentialError::NotSigned`] says what cannot be signed so.
    pub fn sign_user(
        &self,
        key: &PublicKey,
        login: &str,
        valid: Duration,
        now: Timestamp,
    ) -> Result<Certificate, CredentialError> {
        self.sign(Purpose::User, key, login, login, valid, now)
    }

    /// A fresh key and its certificate for one login on behalf of this principal.
    pub(crate) fn issue(
        &self,
        login: &str,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<(PrivateKey, Certificate), CredentialError> {
        let key = PrivateKey::generate()?;
        let id = key_id(principal);
        let certificate = self.sign(Purpose::User, key.public(), login, &id, LOGIN, now)?;
        Ok((key, certificate))
    }

    fn sign(
        &self,
        purpose: Purpose,
        key: &PublicKey,
        name: &str,
        id: &str,
        valid: Duration,
        now: Timestamp,
    ) -> Result<Certificate, CredentialError> {
        if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace() || c == ',') {
            return Err(CredentialError::NotSigned("the name is empty, or has spaces, commas or control characters"));
        }
        match key.key_data() {
            KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => {}
            KeyData::Certificate(_) => {
                return Err(CredentialError::NotSigned("this is a certificate already, not a key"));
            }
            // RSA, DSA, and what the library may learn later.
            _ => return Err(CredentialError::NotSigned("only Ed25519 and ECDSA keys are signed")),
        }
        if key.fingerprint(HashAlg::Sha256) == self.public().fingerprint(HashAlg::Sha256) {
            return Err(CredentialError::NotSigned("an authority does not sign its own key"));
        }
        let failed = |_: ssh_key::Error| CredentialError::NotSigned("the library could not sign it");
        let (after, before) =
            period(now, valid).ok_or(CredentialError::NotSigned("the clock or the time asked for is out of range"))?;
        let mut made =
            Builder::new_with_random_nonce(&mut rand::rng(), key.key_data().clone(), after, before).map_err(failed)?;
        made.serial(rand::random()).map_err(failed)?;
        made.key_id(id).map_err(failed)?;
        made.valid_principal(name).map_err(failed)?;
        match purpose {
            Purpose::Host => made.cert_type(CertType::Host).map_err(failed)?,
            Purpose::User => {
                made.cert_type(CertType::User).and_then(|made| made.extension("permit-pty", "")).map_err(failed)?
            }
        };
        made.comment(name).map_err(failed)?;
        made.sign(&**self.key.key()).map_err(failed)
    }
}

/// From a little before now until `valid` from now, in seconds since 1970.
fn period(now: Timestamp, valid: Duration) -> Option<(u64, u64)> {
    let seconds = |at: Timestamp| u64::try_from(at.as_second()).ok();
    let after = now.checked_sub(SignedDuration::try_from(BEFORE).ok()?).ok()?;
    let before = now.checked_add(SignedDuration::try_from(valid).ok()?).ok()?;
    (valid > Duration::ZERO).then_some(()).and(Some((seconds(after)?, seconds(before)?)))
}

/// For whom the gateway comes, in one line that cannot be taken for two.
fn key_id(principal: &Principal) -> String {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let id = format!("portcullis for {} ({})", principal.user, principal.issuer);
    id.chars().map(plain).take(LONGEST_ID).collect()
}
