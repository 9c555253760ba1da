//! SSH keys and user certificates: which are trusted, and whose they are.
//!
//! In SSH the user name that a client gives is the connection; the identity is the key. Whoever calls this has checked
//! that the client holds the private half (the protocol's signature); here it is judged whose key that is.
//!
//! Promises: a key is somebody's only if it was registered, a certificate only if a configured authority signed it for
//! users and it is in force at `now`; it must name exactly one principal, which is the user; every critical option must
//! be understood and met: `source-address` is compared with the peer, `force-command` and what is unknown refuses the
//! certificate. Keys and authorities are Ed25519 or ECDSA (in a security key or not); RSA and DSA never. Keys of the
//! gateway's own can be neither. Groups come from the settings, never from a certificate; certificates of logins, which the
//! gateway signs itself, are `logins.rs`. What does not end is given an end: no certificate session outlives
//! [`LONGEST_SESSION`].
//!
//! Does not promise that a security key was touched (the library verifies its signature, not that flag). Which of them
//! were taken back is looked at after: `revoked_keys.rs`.
//! Held by: `tests/ssh.rs` beside this file, which has `ssh-keygen` make what is judged, and [`fuzz_certificate`].
//!
//! [`fuzz_certificate`]: crate::fuzz_certificate

use crate::error::{IdentityError, Why};
use crate::logins::LoginAuthority;
use crate::record::name;
use crate::sources::Sources;
use crate::{Authenticated, RESERVED_USER, SshProof};
use jiff::{SignedDuration, Timestamp};
use portcullis_model::{CredentialKind, Principal};
use ssh_key::certificate::{CertType, Certificate};
use ssh_key::public::KeyData;
use ssh_key::{Fingerprint, HashAlg, PublicKey};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The issuer of principals that proved themselves with a registered key.
pub const SSH_KEY_ISSUER: &str = "ssh-key";

/// What the issuer of a certificate's principal begins with; its authority's fingerprint follows.
pub const SSH_AUTHORITY_ISSUER: &str = "ssh-ca:";

/// A session that a certificate opened ends after this at the latest, also where the certificate has no end.
pub const LONGEST_SESSION: SignedDuration = SignedDuration::from_hours(24);

/// Characters of a certificate's key id that are recorded.
const LONGEST_ID: usize = 256;

/// What a proof permits besides commands. Everything but a certificate permits all of it, as far as policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an extension of its own, and any may be missing")]
pub struct Extensions {
    /// A terminal (`permit-pty`).
    pub pty: bool,
    /// Forwarded ports and sockets, either way (`permit-port-forwarding`).
    pub port_forwarding: bool,
    /// A forwarded agent (`permit-agent-forwarding`).
    pub agent_forwarding: bool,
    /// Forwarded X11 (`permit-X11-forwarding`).
    pub x11_forwarding: bool,
}

impl Extensions {
    /// All of them: what a proof without extensions permits.
    #[must_use]
    pub const fn all() -> Self {
        Self { pty: true, port_forwarding: true, agent_forwarding: true, x11_forwarding: true }
    }

    pub(crate) fn of(certificate: &Certificate) -> Self {
        let has = |name: &str| certificate.extensions().contains_key(name);
        Self {
            pty: has("permit-pty"),
            port_forwarding: has("permit-port-forwarding"),
            agent_forwarding: has("permit-agent-forwarding"),
            x11_forwarding: has("permit-X11-forwarding"),
        }
    }
}

/// A user and their groups.
#[derive(Clone, Debug)]
struct Registered {
    user: Arc<str>,
    groups: BTreeSet<Arc<str>>,
}

/// The keys and authorities that this gateway trusts.
#[derive(Clone, Debug, Default)]
pub struct SshTrust {
    keys: HashMap<KeyData, Registered>,
    authorities: HashMap<KeyData, Fingerprint>,
    groups: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    own: HashSet<KeyData>,
    /// Which signs for logins; with it the gateway's own word is taken, by the record that it leads to.
    logins: Option<LoginAuthority>,
}

impl SshTrust {
    /// Trusts nobody, and never will these: keys of the gateway's own, what it signs certificates for targets with.
    #[must_use]
    pub fn without<'k>(own: impl IntoIterator<Item = &'k PublicKey>) -> Self {
        Self { own: own.into_iter().map(|key| key.key_data().clone()).collect(), ..Self::default() }
    }

    /// From now on this key is this user's.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] says what is wrong with the key or the user.
    pub fn register(
        &mut self,
        key: &PublicKey,
        user: Arc<str>,
        groups: BTreeSet<Arc<str>>,
    ) -> Result<(), IdentityError> {
        let data = self.usable(key)?;
        check_user(&user)?;
        if self.authorities.contains_key(&data) {
            return Err(invalid(key, "signs certificates: it is nobody's own"));
        }
        if self.keys.contains_key(&data) {
            return Err(invalid(key, "is registered twice"));
        }
        self.keys.insert(data, Registered { user, groups });
        Ok(())
    }

    /// From now on users are who certificates of this authority say.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] says what is wrong with the key.
    pub fn trust(&mut self, authority: &PublicKey) -> Result<(), IdentityError> {
        let data = self.usable(authority)?;
        if self.keys.contains_key(&data) {
            return Err(invalid(authority, "is registered for a user: it signs nothing"));
        }
        if self.authorities.contains_key(&data) {
            return Err(invalid(authority, "is given twice"));
        }
        let fingerprint = data.fingerprint(HashAlg::Sha256);
        self.authorities.insert(data, fingerprint);
        Ok(())
    }

    /// The groups of whoever comes with a certificate as this user.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] says what is wrong with the user.
    pub fn groups_of(&mut self, user: Arc<str>, groups: BTreeSet<Arc<str>>) -> Result<(), IdentityError> {
        check_user(&user)?;
        if self.groups.contains_key(&user) {
            return Err(IdentityError::Invalid(format!("the groups of `{user}` are given twice")));
        }
        self.groups.insert(user, groups);
        Ok(())
    }

    /// From now on certificates of logins are signed with this key, and those that it signed lead to their records.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] where the key is somebody's, or an authority that is configured.
    pub fn sign_logins(&mut self, authority: LoginAuthority) -> Result<(), IdentityError> {
        let key = authority.public();
        // It may be among the gateway's own already.
        if !accepted(key.key_data()) {
            return Err(invalid(key, "is not accepted: only Ed25519 and ECDSA keys are"));
        }
        if self.authorities.contains_key(key.key_data()) || self.keys.contains_key(key.key_data()) {
            return Err(invalid(key, "is the gateway's own, and is configured for clients"));
        }
        self.own.insert(key.key_data().clone());
        self.logins = Some(authority);
        Ok(())
    }

    /// The authority of logins, if there is one.
    pub(crate) const fn logins(&self) -> Option<&LoginAuthority> {
        self.logins.as_ref()
    }

    /// The authority of logins, if this certificate is in its name.
    pub(crate) fn logins_of(&self, certificate: &Certificate) -> Option<&LoginAuthority> {
        self.logins.as_ref().filter(|logins| logins.public().key_data() == certificate.signature_key())
    }

    /// Whether this is a key of the gateway's own.
    pub(crate) fn is_own(&self, key: &PublicKey) -> bool {
        self.own.contains(key.key_data())
    }

    fn usable(&self, key: &PublicKey) -> Result<KeyData, IdentityError> {
        let data = key.key_data();
        if !accepted(data) {
            return Err(invalid(key, "is not accepted: only Ed25519 and ECDSA keys are"));
        }
        if self.own.contains(data) {
            return Err(invalid(key, "is the gateway's own; what it signs is for targets, never for clients"));
        }
        Ok(data.clone())
    }

    /// Whether a signature of this key could prove anybody: it is registered, or a certificate may come with it.
    pub(crate) fn knows(&self, key: &PublicKey) -> bool {
        let data = key.key_data();
        accepted(data) && (self.keys.contains_key(data) || !self.authorities.is_empty() || self.logins.is_some())
    }

    /// Whose key this is.
    pub(crate) fn judge_key(&self, key: &PublicKey, claimed_user: Option<&str>) -> Result<Authenticated, Why> {
        let data = key.key_data();
        let found = self.keys.get(data).filter(|_| accepted(data) && !self.own.contains(data));
        let registered = found.ok_or(Why::UnknownKey)?;
        check_claimed(&registered.user, claimed_user)?;
        let fingerprint: Arc<str> = data.fingerprint(HashAlg::Sha256).to_string().into();
        Ok(Authenticated {
            principal: principal(SSH_KEY_ISSUER.into(), registered.clone(), CredentialKind::SshKey(fingerprint)),
            expires: None,
            issued: None,
            interactive: None,
            makers: Vec::new(),
            extensions: Extensions::all(),
            shown_key: Some(Arc::new(SshProof::of_key(data).ok_or(Why::UnknownKey)?)),
        })
    }

    /// Whom this certificate names, presented from `from`.
    pub(crate) fn judge_certificate(
        &self,
        certificate: &Certificate,
        claimed_user: Option<&str>,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<Authenticated, Why> {
        let authority = self.signed_by(certificate)?;
        let (user, expires) = named(certificate, claimed_user, from, now)?;
        let user: Arc<str> = user.into();
        let groups = self.groups.get(&user).cloned().unwrap_or_default();
        let issuer = format!("{SSH_AUTHORITY_ISSUER}{authority}").into();
        let credential = CredentialKind::SshCertificate(recorded_id(certificate));
        Ok(Authenticated {
            principal: principal(issuer, Registered { user, groups }, credential),
            expires: Some(expires),
            issued: None,
            interactive: None,
            makers: Vec::new(),
            extensions: Extensions::of(certificate),
            shown_key: Some(Arc::new(SshProof::of_certificate(certificate).ok_or(Why::BadCertificate)?)),
        })
    }

    /// The trusted authority that signed it.
    fn signed_by(&self, certificate: &Certificate) -> Result<Fingerprint, Why> {
        check_kinds(certificate)?;
        let signer = certificate.signature_key();
        let known = self.authorities.get(signer).filter(|_| !self.own.contains(signer));
        let fingerprint = *known.ok_or(Why::UnknownAuthority)?;
        check_signature(certificate, &fingerprint)?;
        Ok(fingerprint)
    }
}

/// Whether certificate and authority are of kinds that are accepted.
pub(crate) fn check_kinds(certificate: &Certificate) -> Result<(), Why> {
    let good = accepted(certificate.public_key()) && accepted(certificate.signature_key());
    good.then_some(()).ok_or(Why::KindOfKey)
}

/// Whether the authority of this fingerprint signed it.
pub(crate) fn check_signature(certificate: &Certificate, authority: &Fingerprint) -> Result<(), Why> {
    // The library checks the signature and the time as one; asked at its own beginning, a certificate that is in force at
    // any time at all fails for its signature only. The time is looked at after.
    if certificate.valid_before() <= certificate.valid_after() {
        return Err(Why::CertificateExpired);
    }
    certificate.validate_at(certificate.valid_after(), [authority]).map_err(|_| Why::BadCertificate)
}

/// Whom a certificate names, whose signature was looked at, and when the session that it opens now ends.
pub(crate) fn named<'c>(
    certificate: &'c Certificate,
    claimed_user: Option<&str>,
    from: IpAddr,
    now: Timestamp,
) -> Result<(&'c str, Timestamp), Why> {
    let expires = in_force(certificate, now)?;
    if certificate.cert_type() != CertType::User {
        return Err(Why::NotAUserCertificate);
    }
    let [user] = certificate.valid_principals() else { return Err(Why::NotOnePrincipal) };
    check_user(user).map_err(|_| Why::NotOnePrincipal)?;
    check_critical_options(certificate, from)?;
    check_claimed(user, claimed_user)?;
    Ok((user.as_str(), expires))
}

/// Whether a signature of such a key is accepted at all.
pub(crate) const fn accepted(key: &KeyData) -> bool {
    match key {
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => true,
        // RSA, DSA, a certificate in the place of a key, and what the library may learn later.
        _ => false,
    }
}

fn invalid(key: &PublicKey, why: &str) -> IdentityError {
    IdentityError::Invalid(format!("the key {} {why}", key.fingerprint(HashAlg::Sha256)))
}

fn check_user(user: &str) -> Result<(), IdentityError> {
    name("user", user)?;
    if user == RESERVED_USER {
        return Err(IdentityError::Invalid(format!("the user name `{RESERVED_USER}` is reserved")));
    }
    Ok(())
}

/// A protocol with user names of its own may claim one; it must then be the right one.
fn check_claimed(user: &str, claimed: Option<&str>) -> Result<(), Why> {
    if claimed.is_none_or(|claimed| claimed == user) { Ok(()) } else { Err(Why::WrongUser) }
}

fn principal(issuer: Arc<str>, registered: Registered, credential: CredentialKind) -> Principal {
    let Registered { user, groups } = registered;
    Principal { issuer, subject: Arc::clone(&user), user, groups, claims: BTreeMap::new(), credential }
}

/// When the session that it opens now ends.
fn in_force(certificate: &Certificate, now: Timestamp) -> Result<Timestamp, Why> {
    let seconds = u64::try_from(now.as_second()).map_err(|_| Why::CertificateNotYetValid)?;
    if seconds < certificate.valid_after() {
        return Err(Why::CertificateNotYetValid);
    }
    if seconds >= certificate.valid_before() {
        return Err(Why::CertificateExpired);
    }
    let longest = now.checked_add(LONGEST_SESSION).unwrap_or(Timestamp::MAX);
    // One that no clock can show has no end.
    let own = i64::try_from(certificate.valid_before()).ok().and_then(|end| Timestamp::from_second(end).ok());
    Ok(own.map_or(longest, |own| own.min(longest)))
}

fn check_critical_options(certificate: &Certificate, from: IpAddr) -> Result<(), Why> {
    for (option, value) in certificate.critical_options().iter() {
        match option.as_str() {
            "source-address" => {
                let sources = Sources::parse(value).ok_or(Why::CriticalOption)?;
                if !sources.contain(from) {
                    return Err(Why::SourceAddress);
                }
            }
            "force-command" => return Err(Why::ForceCommand),
            _ => return Err(Why::CriticalOption),
        }
    }
    Ok(())
}

/// How the record names a certificate. Its authority wrote the key id, and may have written anything.
fn recorded_id(certificate: &Certificate) -> Arc<str> {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let id: String = certificate.key_id().chars().map(plain).take(LONGEST_ID).collect();
    format!("{id} (serial {})", certificate.serial()).into()
}
