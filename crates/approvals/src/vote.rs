//! A vote, and who may cast one.
//!
//! Promises: a [`Vote`] exists only for a login of a kind that a person makes (OIDC or SAML), made at most five minutes
//! before; its age is checked again when it is cast. Tokens of this gateway, SSH keys and the administration socket
//! cannot vote (DESIGN 3). Does not promise that an OIDC login was interactive: whoever calls [`Vote::new`] gives the
//! time of the interactive login (`auth_time`, `AuthnInstant`), not that of a token's issue.
//! Held by: the tests below.

use jiff::{SignedDuration, Timestamp};
use portcullis_model::{CredentialKind, Principal};
use std::time::Duration;

/// An interactive login lets somebody vote for so long.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ballot {
    /// The command may run.
    Yes,
    /// It may not.
    No,
}

/// Why somebody cannot vote as they are logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAVoter {
    /// Not a login that a person makes.
    #[error("only an interactive login at the identity provider can vote")]
    NotInteractive,
    /// It is older than five minutes, or from the future.
    #[error("log in again to vote: a login counts for five minutes")]
    NotFresh,
}

/// A vote of somebody who logged in for it.
#[derive(Clone, Debug)]
pub struct Vote {
    voter: Principal,
    logged_in: Timestamp,
    ballot: Ballot,
    grant: Option<Duration>,
}

impl Vote {
    /// The vote of whoever made this interactive login at that time.
    ///
    /// # Errors
    /// [`NotAVoter`].
    pub fn new(voter: Principal, logged_in: Timestamp, now: Timestamp, ballot: Ballot) -> Result<Self, NotAVoter> {
        match voter.credential {
            CredentialKind::Oidc | CredentialKind::Saml => {}
            CredentialKind::Token(_)
            | CredentialKind::SshKey(_)
            | CredentialKind::SshCertificate(_)
            | CredentialKind::LocalAdmin => return Err(NotAVoter::NotInteractive),
        }
        let vote = Self { voter, logged_in, ballot, grant: None };
        vote.fresh_at(now)?;
        Ok(vote)
    }

    /// The same, asking for a grant of this length with a yes: see [`Grant`](crate::Grant).
    #[must_use]
    pub const fn granting(mut self, length: Duration) -> Self {
        self.grant = Some(length);
        self
    }

    /// Whether the login is young enough.
    pub(crate) fn fresh_at(&self, now: Timestamp) -> Result<(), NotAVoter> {
        let age = now.duration_since(self.logged_in);
        if age.is_negative() || age > FRESH { Err(NotAVoter::NotFresh) } else { Ok(()) }
    }

    pub(crate) const fn voter(&self) -> &Principal {
        &self.voter
    }

    pub(crate) const fn ballot(&self) -> Ballot {
        self.ballot
    }

    pub(crate) const fn grant(&self) -> Option<Duration> {
        self.grant
    }

    pub(crate) const fn logged_in(&self) -> Timestamp {
        self.logged_in
    }
}

/// Whether two principals are one person: the same subject of the same issuer, or the same user name, however it is
/// capitalised. Rather two people taken for one than one for two.
pub(crate) fn same_person(one: &Principal, other: &Principal) -> bool {
    (one.issuer == other.issuer && one.subject == other.subject) || one.user.to_lowercase() == other.user.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::principal;
    use portcullis_model::TokenId;

    #[test]
    fn only_a_fresh_interactive_login_makes_a_vote() {
        let now = Timestamp::now();
        let vote = |credential, age| {
            let logged_in = now - SignedDuration::from_secs(age);
            Vote::new(principal("dana", credential), logged_in, now, Ballot::Yes).map(|_| ())
        };
        for interactive in [CredentialKind::Oidc, CredentialKind::Saml] {
            assert_eq!(vote(interactive.clone(), 0), Ok(()));
            assert_eq!(vote(interactive.clone(), 300), Ok(()));
            assert_eq!(vote(interactive.clone(), 301), Err(NotAVoter::NotFresh));
            assert_eq!(vote(interactive, -1), Err(NotAVoter::NotFresh));
        }
        let others = [
            CredentialKind::Token(TokenId::new()),
            CredentialKind::LocalAdmin,
            CredentialKind::SshKey("SHA256:x".into()),
            CredentialKind::SshCertificate("dana".into()),
        ];
        for other in others {
            assert_eq!(vote(other, 0), Err(NotAVoter::NotInteractive));
        }
    }

    #[test]
    fn one_person_under_two_issuers_or_two_names_is_one_person() {
        let dana = principal("dana", CredentialKind::Oidc);
        let elsewhere = Principal { issuer: "other".into(), subject: "17".into(), ..dana.clone() };
        let capital = Principal { user: "Dana".into(), ..elsewhere.clone() };
        let renamed = Principal { user: "dana-admin".into(), ..dana.clone() };
        let other = Principal { user: "erin".into(), subject: "erin".into(), ..dana.clone() };
        for same in [&elsewhere, &capital, &renamed] {
            assert!(same_person(&dana, same));
        }
        assert!(!same_person(&dana, &other));
    }
}
