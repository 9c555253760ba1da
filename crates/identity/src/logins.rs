//! SSH certificates of logins: whoever logged in at a provider gets one for a key of theirs, for an hour at most.
//!
//! The certificate leads to a record, by the identifier in its key id; the record is kept like a token's and says who it
//! is, with which groups and claims, until when, and whether it was revoked. So it is listed and revoked as tokens are, goes
//! with the login of whoever asked for it, and never votes.
//!
//! Promises: only a login at a provider gets one, and it outlives neither that login nor [`LONGEST_CERTIFICATE`]; on a
//! certificate in this authority's name the store is asked each time, and it must be the very one that was signed; no text
//! is a token of such a record, and SCRAM does not know it; no key of the gateway's own is certified; of one person no more
//! than 32 are in force, also where they ask for many at once or of several gateways.
//! Does not promise that whoever asked holds the private half: the listener sees to that at each login (decision 19). The
//! authority is this gateway's: another one of the same store does not know its certificates. Nor that what was revoked
//! makes room: a place is taken until the certificate would have run out.
//! Held by: `tests/logins.rs` and `tests/certificates.rs` beside this file.

use crate::error::{IdentityError, Why};
use crate::oidc::revoked;
use crate::record::{Stored, StoredCertificate};
use crate::ssh::{self, SshTrust};
use crate::{Authenticated, Extensions, SshProof, tokens};
use jiff::{SignedDuration, Timestamp};
use portcullis_model::{CredentialKind, Digest, Principal, TokenId};
use portcullis_store::{Expect, Put, StoreError, Table};
use ssh_key::certificate::{Builder, CertType, Certificate};
use ssh_key::{HashAlg, PrivateKey, PublicKey};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// How long such a certificate is good at most.
pub const LONGEST_CERTIFICATE: SignedDuration = SignedDuration::from_hours(1);

/// It is good from a little before it is made: the listener's library looks at its own clock.
const BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// What key ids begin with; the identifier of the record follows.
const KEY_ID: &str = "portcullis-login ";

/// Bytes of a public key's line at most.
const LONGEST_LINE: usize = 4096;

/// Under which the places that people have are kept.
const PLACES: &str = "login-slot/";

/// How many of one person may be in force at once: each is a record, and anybody who can log in may ask.
const AT_ONCE: usize = 32;

/// Signs certificates for logins. Cheap to clone.
#[derive(Clone)]
pub struct LoginAuthority(Arc<PrivateKey>);

impl fmt::Debug for LoginAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginAuthority({})", self.public().fingerprint(HashAlg::Sha256))
    }
}

impl LoginAuthority {
    /// The authority with this key, which is for nothing else.
    #[must_use]
    pub const fn new(key: Arc<PrivateKey>) -> Self {
        Self(key)
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.0.public_key()
    }
}

/// A certificate just signed.
#[derive(Clone, Debug)]
pub struct MadeCertificate {
    /// The identifier of its record, for revoking it.
    pub id: TokenId,
    /// The certificate in OpenSSH's form. It is no secret.
    pub certificate: String,
    /// The fingerprint of its key.
    pub key: Arc<str>,
    /// When it runs out.
    pub expires: Timestamp,
}

fn invalid(why: &str) -> IdentityError {
    IdentityError::Invalid(why.to_owned())
}

pub(crate) async fn certify(
    table: &dyn Table,
    trust: &SshTrust,
    line: &str,
    by: &Authenticated,
    now: Timestamp,
) -> Result<MadeCertificate, IdentityError> {
    let Some(authority) = trust.logins() else {
        return Err(invalid(
            "this gateway signs no SSH certificates: it needs an SSH listener and an identity provider",
        ));
    };
    let expires = until(by, now)?;
    let key = usable(trust, line)?;
    let id = TokenId::new();
    let certificate = sign(authority, &key, id, &by.principal.user, (now, expires))?;
    let unreadable = |_: ssh_key::Error| invalid("the certificate could not be written");
    let bytes = certificate.to_bytes().map_err(unreadable)?;
    let fingerprint: Arc<str> = key.fingerprint(HashAlg::Sha256).to_string().into();
    let principal = &by.principal;
    let stored = Stored {
        hash: Digest::of(&bytes),
        user: Arc::clone(&principal.user),
        groups: principal.groups.clone(),
        claims: principal.claims.clone(),
        created: now,
        expires,
        makers: vec![tokens::person(principal)],
        revoked: None,
        certificate: Some(StoredCertificate {
            key: Arc::clone(&fingerprint),
            issuer: Arc::clone(&principal.issuer),
            subject: Arc::clone(&principal.subject),
        }),
    };
    take_place(table, principal, id, expires).await?;
    // Where this fails the place stays taken: the record may be there all the same.
    tokens::keep(table, id, &stored).await?;
    Ok(MadeCertificate { id, certificate: certificate.to_openssh().map_err(unreadable)?, key: fingerprint, expires })
}

/// Until when a certificate of this login is good.
fn until(by: &Authenticated, now: Timestamp) -> Result<Timestamp, IdentityError> {
    match by.principal.credential {
        CredentialKind::Oidc => {}
        CredentialKind::Saml
        | CredentialKind::Token(_)
        | CredentialKind::SshKey(_)
        | CredentialKind::SshCertificate(_)
        | CredentialKind::LocalAdmin => {
            return Err(invalid(
                "an SSH certificate stands for a login at an identity provider: log in with `portcullis login --ssh`",
            ));
        }
    }
    let longest = now.checked_add(LONGEST_CERTIFICATE).map_err(|_| invalid("the clock is out of range"))?;
    let ends = by.expires.map_or(longest, |ends| ends.min(longest));
    // Certificates know whole seconds.
    let ends = Timestamp::from_second(ends.as_second()).map_err(|_| invalid("the clock is out of range"))?;
    if ends <= now { Err(invalid("the login is about to run out: log in again")) } else { Ok(ends) }
}

/// A key that may be certified.
fn usable(trust: &SshTrust, line: &str) -> Result<PublicKey, IdentityError> {
    let line = line.trim();
    let read = if line.len() > LONGEST_LINE { None } else { PublicKey::from_openssh(line).ok() };
    let key = read.ok_or_else(|| invalid("this is not a public SSH key: a line such as `ssh-ed25519 AAAA…`"))?;
    if !ssh::accepted(key.key_data()) {
        return Err(invalid("only Ed25519 and ECDSA keys are certified"));
    }
    if trust.is_own(&key) {
        return Err(invalid("this key is the gateway's own"));
    }
    Ok(key)
}

/// Takes one of the places that a person has, until the certificate runs out. The store gives each to one only.
async fn take_place(
    table: &dyn Table,
    principal: &Principal,
    id: TokenId,
    expires: Timestamp,
) -> Result<(), IdentityError> {
    let person = revoked::person(&principal.issuer, &principal.subject);
    for place in 0..AT_ONCE {
        let key = format!("{PLACES}{person}/{place}");
        match table.put(key.into(), id.to_string().into(), Expect::Absent, Some(expires)).await? {
            Put::Done(_) => return Ok(()),
            Put::Conflict => {}
        }
    }
    Err(IdentityError::Invalid(format!(
        "{AT_ONCE} SSH certificates of this person are in force or were until they were revoked: use one, or wait for the \
         end of one"
    )))
}

fn sign(
    authority: &LoginAuthority,
    key: &PublicKey,
    id: TokenId,
    user: &str,
    (now, expires): (Timestamp, Timestamp),
) -> Result<Certificate, IdentityError> {
    let seconds = |at: Timestamp| u64::try_from(at.as_second()).map_err(|_| invalid("the clock is out of range"));
    let from = seconds(now.checked_sub(BEFORE).map_err(|_| invalid("the clock is out of range"))?)?;
    let made = || -> ssh_key::Result<Certificate> {
        let mut made = Builder::new_with_random_nonce(&mut rand::rng(), key.key_data().clone(), from, end(expires))?;
        made.serial(rand::random())?.key_id(format!("{KEY_ID}{id}"))?.valid_principal(user)?;
        made.cert_type(CertType::User)?.extension("permit-port-forwarding", "")?.extension("permit-pty", "")?;
        made.comment(format!("{user} by portcullis"))?;
        made.sign(&*authority.0)
    };
    made().map_err(|_| IdentityError::Store(StoreError::Unavailable("the library could not sign it".to_owned())))
}

/// Seconds since 1970; an end before that is none.
fn end(expires: Timestamp) -> u64 {
    u64::try_from(expires.as_second()).unwrap_or(0)
}

/// A certificate as it was presented.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'c> {
    pub(crate) certificate: &'c Certificate,
    pub(crate) claimed: Option<&'c str>,
    pub(crate) from: IpAddr,
}

/// Whom a certificate in the name of the authority of logins stands for.
pub(crate) async fn judge(table: &dyn Table, shown: Shown<'_>, now: Timestamp) -> Result<Authenticated, Why> {
    let Shown { certificate, claimed, from } = shown;
    ssh::check_kinds(certificate)?;
    ssh::check_signature(certificate, &certificate.signature_key().fingerprint(HashAlg::Sha256))?;
    let (user, ends) = ssh::named(certificate, claimed, from, now)?;
    let id = certificate.key_id().strip_prefix(KEY_ID).and_then(|id| id.parse::<TokenId>().ok());
    let id = id.ok_or(Why::UnknownCertificate)?;
    let found = table.get(&tokens::key_of(id)).await.map_err(|_| Why::Unavailable)?;
    let stored = tokens::decode(id, &found.ok_or(Why::UnknownCertificate)?).map_err(|_| Why::Unavailable)?;
    let bytes = certificate.to_bytes().map_err(|_| Why::BadCertificate)?;
    if stored.certificate.is_none() || stored.hash != Digest::of(&bytes) || user != &*stored.user {
        return Err(Why::UnknownCertificate);
    }
    if stored.revoked.is_some() {
        return Err(Why::CertificateRevoked);
    }
    if now >= stored.expires {
        return Err(Why::CertificateExpired);
    }
    if tokens::made_by_revoked(table, &stored).await? {
        return Err(Why::CertificateOfRevoked);
    }
    let proof = SshProof::of_certificate(certificate).ok_or(Why::BadCertificate)?;
    Ok(Authenticated {
        principal: stored.principal(id),
        expires: Some(stored.expires.min(ends)),
        issued: Some(stored.created),
        interactive: None,
        makers: stored.makers,
        extensions: Extensions::of(certificate),
        shown_key: Some(Arc::new(proof)),
    })
}
