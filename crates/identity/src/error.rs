//! What can go wrong, and whose fault it is.
//!
//! [`Refused`] is what a client that could not prove itself gets: its `Display` is the same for every reason, and its
//! [`Refused::why`] is for the record only. [`IdentityError`] is for administrators.

use crate::oidc::Flaw;
use portcullis_store::StoreError;
use std::fmt;
use std::time::Duration;

/// Why a proof was refused: for the auditor, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Not a token that this gateway signed.
    NotOurs,
    /// Signed by this gateway, but no such token is kept.
    Unknown,
    /// The token's identifier is kept, with another secret.
    WrongSecret,
    /// It ran out.
    Expired,
    /// It was revoked.
    Revoked,
    /// Whoever made it, or made its maker's token, was revoked after it was made.
    MakerRevoked,
    /// Presented under another user's name.
    WrongUser,
    /// A SCRAM exchange that no token of its user answers.
    NoScramToken,
    /// An SSH key that is nobody's here.
    UnknownKey,
    /// An SSH certificate over, or signed by, a key of a kind that is not accepted.
    KindOfKey,
    /// An SSH certificate of an authority that is not trusted.
    UnknownAuthority,
    /// An SSH certificate whose signature is not its authority's.
    BadCertificate,
    /// An SSH certificate that is not for users.
    NotAUserCertificate,
    /// An SSH certificate that does not name exactly one user, or names one that nobody may be.
    NotOnePrincipal,
    /// An SSH certificate from before its time.
    CertificateNotYetValid,
    /// An SSH certificate that ran out.
    CertificateExpired,
    /// An SSH certificate presented from an address that it is not good for.
    SourceAddress,
    /// An SSH certificate that is good for one command only, which the gateway cannot see to.
    ForceCommand,
    /// An SSH certificate with a critical option that is not known here, or cannot be read.
    CriticalOption,
    /// An SSH key that a list of revoked ones names, by itself or inside a certificate.
    KeyRevoked,
    /// An SSH certificate whose serial number or key id a list of revoked ones names.
    CertificateListed,
    /// An SSH certificate of an authority whose key a list of revoked ones names.
    AuthorityRevoked,
    /// An SSH key or certificate, while a list of revoked ones cannot be read.
    RevokedKeysUnread,
    /// An SSH certificate of a login, in this gateway's own name, of which nothing is kept, or something else, or whose
    /// provider is not trusted any more.
    UnknownCertificate,
    /// An SSH certificate of a login that was revoked.
    CertificateRevoked,
    /// An SSH certificate of a login; whoever logged in was revoked after it was made.
    CertificateOfRevoked,
    /// A token of an identity provider, with what is wrong with it.
    Oidc(Flaw),
    /// Too many failures from this address.
    TooManyAttempts,
    /// Too many logins at a provider begun from this address, or from all.
    TooManyLogins,
    /// The gateway could not look it up.
    Unavailable,
}

impl Why {
    /// The words for the record.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotOurs => "not a token of this gateway",
            Self::Unknown => "unknown token",
            Self::WrongSecret => "wrong token secret",
            Self::Expired => "token expired",
            Self::Revoked => "token revoked",
            Self::MakerRevoked => "token made by somebody who was revoked since",
            Self::WrongUser => "credential of another user",
            Self::NoScramToken => "SCRAM with none of the user's live tokens",
            Self::UnknownKey => "unknown SSH key",
            Self::KindOfKey => "SSH certificate with a kind of key that is not accepted",
            Self::UnknownAuthority => "SSH certificate of an unknown authority",
            Self::BadCertificate => "SSH certificate with a wrong signature",
            Self::NotAUserCertificate => "SSH certificate that is not for users",
            Self::NotOnePrincipal => "SSH certificate without exactly one user",
            Self::CertificateNotYetValid => "SSH certificate not yet valid",
            Self::CertificateExpired => "SSH certificate expired",
            Self::SourceAddress => "SSH certificate used from an address it is not good for",
            Self::ForceCommand => "SSH certificate with a forced command, which is not carried out here",
            Self::CriticalOption => "SSH certificate with an unknown critical option",
            Self::KeyRevoked => "SSH key revoked",
            Self::CertificateListed => "SSH certificate revoked",
            Self::AuthorityRevoked => "SSH certificate of a revoked authority",
            Self::RevokedKeysUnread => "SSH key while a list of revoked ones cannot be read",
            Self::UnknownCertificate => "SSH certificate of a login that is not kept",
            Self::CertificateRevoked => "SSH certificate of a login, revoked",
            Self::CertificateOfRevoked => "SSH certificate of a login of somebody who was revoked since",
            Self::Oidc(flaw) => flaw.words(),
            Self::TooManyAttempts => "too many failed attempts from this address",
            Self::TooManyLogins => "too many logins begun at the identity provider",
            Self::Unavailable => "the token store or the identity provider is unavailable",
        }
    }

    /// Whether it counts as a failed attempt of the address. What is counted is guessing. A key cannot be guessed, and
    /// clients try every one that their agent holds, certificates of other authorities and old ones included: to count
    /// those would lock out everybody behind the address of somebody with many keys. How many keys one connection may
    /// try, the protocol bounds. A certificate in a trusted authority's name that it did not sign is counted: no honest
    /// client has one.
    pub(crate) const fn counts(self) -> bool {
        match self {
            Self::NotOurs
            | Self::Unknown
            | Self::WrongSecret
            | Self::Expired
            | Self::Revoked
            | Self::MakerRevoked
            | Self::WrongUser
            | Self::NoScramToken
            | Self::Oidc(_)
            | Self::BadCertificate => true,
            Self::UnknownKey
            | Self::KindOfKey
            | Self::UnknownAuthority
            | Self::NotAUserCertificate
            | Self::NotOnePrincipal
            | Self::CertificateNotYetValid
            | Self::CertificateExpired
            | Self::SourceAddress
            | Self::ForceCommand
            | Self::CriticalOption
            | Self::KeyRevoked
            | Self::CertificateListed
            | Self::AuthorityRevoked
            | Self::RevokedKeysUnread
            | Self::UnknownCertificate
            | Self::CertificateRevoked
            | Self::CertificateOfRevoked
            | Self::TooManyAttempts
            | Self::TooManyLogins
            | Self::Unavailable => false,
        }
    }
}

/// A refused proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    why: Why,
    retry_after: Option<Duration>,
}

impl Refused {
    pub(crate) const fn because(why: Why) -> Self {
        Self { why, retry_after: None }
    }

    pub(crate) const fn limited(retry_after: Duration) -> Self {
        Self { why: Why::TooManyAttempts, retry_after: Some(retry_after) }
    }

    /// For the record.
    #[must_use]
    pub const fn why(&self) -> Why {
        self.why
    }

    /// Set where the address had too many failures: when to try again. The client may be told.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Refused {
    /// What the client may be told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retry_after {
            Some(wait) => {
                write!(f, "too many failed attempts from this address; try again in {} s", wait.as_secs().max(1))
            }
            None => f.write_str("the credential was not accepted"),
        }
    }
}

impl std::error::Error for Refused {}

/// What an administrator can get wrong, or the store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The administrator's: the request cannot be met as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The caller's: what it proved itself with was revoked, or ran out, before it was given what it asked for.
    #[error("the credential that asks for this was revoked, or ran out: log in again")]
    NoLongerStands,
    /// The gateway's: what is kept cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway's: the key file is missing, unreadable or open to others.
    #[error("the token key {file}: {why}")]
    Key {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The administrator's: a file of revoked SSH keys cannot be read, or is none.
    #[error("cannot read {file}: {why}")]
    RevokedKeys {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The gateway's: a stored token cannot be read.
    #[error("token {0} is damaged in the store")]
    Damaged(portcullis_model::TokenId),
}
