//! Proof to principal: who is calling, and whether that still holds.
//!
//! A protocol hands over what the client presented as a [`Proof`] with the address it came from, and gets either
//! [`Authenticated`] or [`Refused`]. A live session asks [`Identity::standing`] before every command.
//!
//! Promises: a proof that is malformed, unknown, wrong, expired, revoked or presented under another user's name is
//! refused with one and the same public answer, given no sooner than [`REFUSAL_FLOOR`] after it was asked: the words never
//! tell which it was, and the time only where the answer comes later than that, which is where the store is slow, and for
//! a provider's token whose key is not known here, which may wait twenty seconds for the provider to be asked. That its key
//! is not known says nothing of anybody's credential. The reason goes to the auditor only ([`Refused::why`]). A text that
//! this gateway did not sign is refused before the store is asked. Failures are counted per address in bounded memory,
//! but for SSH keys that are merely not known here: clients try all they have. What is trusted in SSH says `ssh.rs`; how
//! a token is proven without being shown, `scram.rs`.
//! A revoked token is refused at once, also in sessions that it opened; where the gateway cannot learn of revocations
//! any more, no session on a token or a provider's word stands, and where it cannot read what SSH keys are revoked, none on
//! such a key: `revoked_keys.rs`. What is trusted of identity providers says `oidc.rs`. No secret is stored, printed or logged: the store holds keyed hashes.
//!
//! Does not promise: that many gateways agree on the count of failed attempts (each counts its own), or that a token of
//! another gateway with another [`TokenKey`] is known here.
//! Held by: `tests.rs` and `tests/ssh.rs` beside this file, and the unit tests of each module.

mod attempts;
mod begun;
mod error;
mod fuzz;
mod key;
mod logins;
mod oidc;
mod record;
mod renewals;
mod revocations;
mod revoked_keys;
mod roles;
mod scram;
mod sources;
mod ssh;
mod text;
mod tokens;

#[cfg(test)]
mod tests;

pub use attempts::AttemptLimit;
pub use error::{IdentityError, Refused, Why};
pub use fuzz::{fuzz_certificate, fuzz_stored, fuzz_token};
pub use key::TokenKey;
pub use logins::{LONGEST_CERTIFICATE, LoginAuthority, MadeCertificate};
pub use oidc::fuzz::fuzz_oidc;
pub use oidc::{Fetch, FetchError, Flaw, Issuer, OidcTrust};
pub use record::{NewToken, TokenInfo};
pub use revoked_keys::fuzz::fuzz_krl;
pub use revoked_keys::{RevokedKeys, SshProof};
pub use roles::{Role, Roles};
pub use scram::{ScramChallenge, ScramProof, ServerSignature};
pub use ssh::{Extensions, LONGEST_SESSION, SSH_AUTHORITY_ISSUER, SSH_KEY_ISSUER, SshTrust};
pub use tokens::{MadeToken, Revocation};

use attempts::{Attempts, Network};
use begun::Begun;
use jiff::Timestamp;
use oidc::Oidc;
use portcullis_model::{CredentialKind, Principal};
use portcullis_store::Table;
use renewals::Login;
use revocations::Revocations;
use revoked_keys::Following;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The user name under which any token may be presented; nobody may bear it.
pub const RESERVED_USER: &str = "token";

/// The issuer of principals that proved themselves with a token of this gateway.
pub const TOKEN_ISSUER: &str = "portcullis";

/// The issuer of the local administrator.
pub const LOCAL_ISSUER: &str = "local";

/// A refusal is answered no sooner than this after the proof was presented, whatever its reason.
pub const REFUSAL_FLOOR: Duration = Duration::from_millis(100);

/// What a client presented.
#[derive(Debug)]
pub enum Proof {
    /// A token made by this gateway or by a trusted identity provider; its text tells which.
    Token {
        /// The token, as presented.
        token: SecretString,
        /// The user name that came with it, where the protocol has one; it must be the token's user or
        /// [`RESERVED_USER`].
        claimed_user: Option<Arc<str>>,
    },
    /// The token that a login gave which the gateway itself asked a trusted identity provider for.
    Login {
        /// The token.
        token: SecretString,
        /// The provider that was asked: it must be that one's.
        issuer: Arc<str>,
    },
    /// A SCRAM-SHA-256 exchange over a token of this gateway, which itself was not presented; the protocol has verified
    /// the nonce and the channel binding.
    Scram(ScramProof),
    /// An SSH key; the protocol has verified that the client holds its private half.
    SshKey {
        /// The key.
        key: ssh_key::PublicKey,
        /// The user name that came with it, where the protocol has one that means a user; it must be the key's.
        claimed_user: Option<Arc<str>>,
    },
    /// An OpenSSH user certificate; the protocol has verified that the client holds the private half of its key, and
    /// nothing else of it.
    SshCertificate {
        /// The certificate.
        certificate: Box<ssh_key::Certificate>,
        /// The user name that came with it, where the protocol has one that means a user; it must be the principal.
        claimed_user: Option<Arc<str>>,
    },
}

/// A principal that proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Who it is.
    pub principal: Principal,
    /// When its proof runs out.
    pub expires: Option<Timestamp>,
    /// When its proof was issued, by a provider or, of a token, by this gateway.
    pub issued: Option<Timestamp>,
    /// When it logged in at its provider, where it did so itself and the provider said when: what a vote needs.
    pub interactive: Option<Timestamp>,
    /// Who made the token it used, and who made theirs: none of them counts as another person when an approval is
    /// voted on (DESIGN 3). Without groups and claims.
    pub makers: Vec<Principal>,
    /// What its proof permits besides commands.
    pub extensions: Extensions,
    /// What it showed of SSH, to be looked for in lists of revoked keys.
    pub shown_key: Option<Arc<SshProof>>,
}

impl Authenticated {
    /// The local administrator: whoever may open the administration socket or the data directory. `user` is the
    /// operating system's name for them, where it is known.
    #[must_use]
    pub fn local_admin(user: Option<&str>) -> Self {
        Self {
            principal: local_admin(user),
            expires: None,
            issued: None,
            interactive: None,
            makers: Vec::new(),
            extensions: Extensions::all(),
            shown_key: None,
        }
    }
}

/// The principal of whoever may open the administration socket or the data directory.
#[must_use]
pub fn local_admin(user: Option<&str>) -> Principal {
    let name: Arc<str> = user.unwrap_or("admin").into();
    Principal {
        issuer: LOCAL_ISSUER.into(),
        subject: Arc::clone(&name),
        user: name,
        groups: BTreeSet::new(),
        claims: BTreeMap::new(),
        credential: CredentialKind::LocalAdmin,
    }
}

/// Whether an identity still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Good,
    /// Its proof ran out.
    Expired,
    /// It was revoked, or this gateway can no longer learn whether it was.
    Revoked,
}

/// Settings with good defaults.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How many failures an address may have.
    pub attempts: AttemptLimit,
    /// The SSH keys and authorities that are trusted.
    pub ssh: SshTrust,
    /// The SSH keys and certificates that were taken back.
    pub revoked_keys: RevokedKeys,
    /// The identity providers that are trusted.
    pub oidc: OidcTrust,
}

/// The one judge of proofs. Share it behind an `Arc`.
pub struct Identity {
    table: Arc<dyn Table>,
    key: TokenKey,
    attempts: Attempts,
    begun: Begun,
    revocations: Revocations,
    revoked_keys: Following,
    ssh: SshTrust,
    oidc: Oidc,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Opens the identities kept in `table`, and follows their revocations, the files of revoked SSH keys and the keys of
    /// identity providers until it is dropped; it waits for no provider. To be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The store's, when what was revoked earlier cannot be read.
    pub async fn open(table: Arc<dyn Table>, key: TokenKey, settings: Settings) -> Result<Self, IdentityError> {
        let revocations = Revocations::follow(Arc::clone(&table)).await?;
        let attempts = Attempts::new(settings.attempts);
        let revoked_keys = Following::start(settings.revoked_keys, revocations.teller());
        let (begun, oidc) = (Begun::new(), Oidc::start(settings.oidc));
        Ok(Self { table, key, attempts, begun, revocations, revoked_keys, ssh: settings.ssh, oidc })
    }

    /// Judges a proof that was presented from this address. `now` is the wall clock, for expiry; failures are counted
    /// on the monotonic clock.
    ///
    /// # Errors
    /// [`Refused`]: what the client may be told, with the reason for the auditor.
    pub async fn authenticate(&self, proof: Proof, from: IpAddr, now: Timestamp) -> Result<Authenticated, Refused> {
        let asked = Instant::now();
        let network = Network::of(from);
        if let Err(retry_after) = self.attempts.admit(network, asked) {
            return Err(Refused::limited(retry_after));
        }
        let judged = self.judge(proof, from, now).await;
        match judged.and_then(|found| self.check_keys(&found).map(|()| found)) {
            Ok(authenticated) => Ok(authenticated),
            Err(why) => {
                // Nothing is awaited between the verdict and the count, so that attempts side by side all count.
                if why.counts() {
                    self.attempts.failed(network, Instant::now());
                }
                tokio::time::sleep_until(asked + REFUSAL_FLOOR).await;
                Err(Refused::because(why))
            }
        }
    }

    async fn judge(&self, proof: Proof, from: IpAddr, now: Timestamp) -> Result<Authenticated, Why> {
        match proof {
            Proof::Token { token, claimed_user } if oidc::looks_like_one(token.expose_secret()) => {
                self.oidc.judge(&*self.table, token.expose_secret(), claimed_user.as_deref(), now).await
            }
            Proof::Token { token, claimed_user } => {
                tokens::judge(&*self.table, &self.key, &token, claimed_user.as_deref(), now).await
            }
            Proof::Login { token, issuer } => {
                let found = self.oidc.judge(&*self.table, token.expose_secret(), None, now).await?;
                // Whoever else is trusted, a provider speaks for its own people only.
                if found.principal.issuer == issuer { Ok(found) } else { Err(Why::Oidc(Flaw::Issuer)) }
            }
            Proof::Scram(shown) => scram::judge(&*self.table, &self.key, &shown, now).await,
            Proof::SshKey { key, claimed_user } => self.ssh.judge_key(&key, claimed_user.as_deref()),
            Proof::SshCertificate { certificate, claimed_user } => match self.ssh.logins_of(&certificate) {
                Some(_) => {
                    let shown = logins::Shown { certificate: &certificate, claimed: claimed_user.as_deref(), from };
                    let found = logins::judge(&*self.table, shown, now).await?;
                    // What a provider gave ends with the trust in it.
                    if self.oidc.trusts(&found.principal.issuer) { Ok(found) } else { Err(Why::UnknownCertificate) }
                }
                None => self.ssh.judge_certificate(&certificate, claimed_user.as_deref(), from, now),
            },
        }
    }

    /// Whether no list of revoked SSH keys names what this was proved with.
    fn check_keys(&self, authenticated: &Authenticated) -> Result<(), Why> {
        authenticated.shown_key.as_ref().map_or(Ok(()), |shown| self.revoked_keys.judge(shown))
    }

    /// What SCRAM with this user begins with. The same whether or not the user exists; counts nothing, waits for nothing.
    #[must_use]
    pub fn scram_challenge(&self, user: &str) -> ScramChallenge {
        scram::challenge(&self.key, user)
    }

    /// Whether it is worth asking a client for a signature of this key: somebody is registered with it, or it may come
    /// with a certificate, which is not seen before. Proves nothing, counts nothing, waits for nothing.
    #[must_use]
    pub fn knows_key(&self, key: &ssh_key::PublicKey) -> bool {
        self.ssh.knows(key)
    }

    /// Whether this identity still holds, by itself or by a newer login of the same person. Cheap: a clock comparison and a
    /// look-up in a snapshot.
    #[must_use]
    pub fn standing(&self, authenticated: &Authenticated, now: Timestamp) -> Standing {
        let ran_out = authenticated.expires.is_some_and(|expires| now >= expires);
        if ran_out && !self.revocations.renews(authenticated, now) {
            return Standing::Expired;
        }
        let revoked = |one: &Principal| match &one.credential {
            CredentialKind::Token(id) => self.revocations.holds(*id),
            CredentialKind::Oidc => self.revocations.holds_person(one, authenticated.issued),
            CredentialKind::Saml
            | CredentialKind::SshKey(_)
            | CredentialKind::SshCertificate(_)
            | CredentialKind::LocalAdmin => false,
        };
        // Made by somebody, or with a token, that was revoked since: it goes with them.
        if revoked(&authenticated.principal) || authenticated.makers.iter().any(revoked) {
            return Standing::Revoked;
        }
        if self.check_keys(authenticated).is_ok() { Standing::Good } else { Standing::Revoked }
    }

    /// Whether it is known who was revoked: where it is not, everybody who can be counts as revoked, and may stand again later.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.revocations.is_following()
    }

    /// Changes whenever a standing may have changed by something other than the clock, be it a list of revoked SSH keys, for sessions that want to end
    /// while they are idle.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revocations.changes()
    }

    /// Makes a token. Its text is in the answer and nowhere else. `now` is to be the time at which all of the request was
    /// there: whoever was revoked while it was on its way gets nothing.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] names what is wrong with the request, [`IdentityError::NoLongerStands`] that the caller
    /// does not stand; otherwise the store's.
    pub async fn create_token(
        &self,
        request: NewToken,
        by: &Authenticated,
        now: Timestamp,
    ) -> Result<MadeToken, IdentityError> {
        self.check_stands(by, now)?;
        tokens::create(&*self.table, &self.key, request, by, now).await
    }

    /// Signs a certificate for this public key (in OpenSSH's form), with which its holder is whoever logged in as `by`, over
    /// SSH and until then at the latest. It is kept, listed and revoked like a token. `now` as for [`Self::create_token`].
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] says why this key or this caller gets none, [`IdentityError::NoLongerStands`] that the
    /// caller does not stand; otherwise the store's.
    pub async fn certify_login(
        &self,
        key: &str,
        by: &Authenticated,
        now: Timestamp,
    ) -> Result<MadeCertificate, IdentityError> {
        self.check_stands(by, now)?;
        logins::certify(&*self.table, &self.ssh, key, by, now).await
    }

    /// Lets the sessions that earlier logins of this caller opened, as the very same principal, go on until this one runs
    /// out; when they end now. That is later where a still newer login was presented before.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] where the caller's proof is no login at a provider, or is over,
    /// [`IdentityError::NoLongerStands`] where it was revoked; otherwise the store's.
    pub async fn renew(&self, by: &Authenticated, now: Timestamp) -> Result<Timestamp, IdentityError> {
        let login = Login::of(by, now)?;
        self.check_stands(by, now)?;
        let newest = renewals::keep(&*self.table, login).await?;
        self.revocations.renewed(&newest);
        Ok(newest.expires)
    }

    /// Who was revoked after this `now` is revoked in what is made, too: it says when it was made, and by whom.
    fn check_stands(&self, by: &Authenticated, now: Timestamp) -> Result<(), IdentityError> {
        match self.standing(by, now) {
            Standing::Good => Ok(()),
            Standing::Expired | Standing::Revoked => Err(IdentityError::NoLongerStands),
        }
    }

    /// Every token that is kept, revoked ones and those that ran out within a day included, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_tokens(&self) -> Result<Vec<TokenInfo>, IdentityError> {
        tokens::list(&*self.table).await
    }

    /// Revokes a token, and every token that was made with it or with one of those: when this returns, no session of this
    /// gateway stands on any of them, and none opens with one.
    ///
    /// # Errors
    /// The store's; the token is then revoked nowhere.
    pub async fn revoke_token(
        &self,
        id: portcullis_model::TokenId,
        by: &Authenticated,
        now: Timestamp,
    ) -> Result<Revocation, IdentityError> {
        let done = tokens::revoke(&*self.table, id, by, now).await?;
        match done {
            Revocation::Revoked { expires } | Revocation::AlreadyRevoked { expires } => {
                self.revocations.revoked(id, expires);
            }
            Revocation::Unknown => {}
        }
        Ok(done)
    }

    /// Revokes everything that a provider gave this person until now, and every token that they made with it, themselves or
    /// by tokens of theirs: when this returns, no session of this gateway stands on any of it, and none opens with it. What
    /// is issued after counts, once the clocks' skew of a minute has passed.
    ///
    /// # Errors
    /// The store's; nothing is revoked then.
    pub async fn revoke_oidc(
        &self,
        issuer: &str,
        subject: &str,
        by: &Authenticated,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let entry = oidc::revoked::revoke(&*self.table, issuer, subject, by.principal.user.clone(), now).await?;
        self.revocations.revoked_person(&entry);
        Ok(())
    }
}
