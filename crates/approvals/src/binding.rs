//! What an approval is bound to, as one digest.
//!
//! Promises: two commands have the same binding only if they were asked by the same proof of the same principal and every
//! named part is equal, byte for byte: parts are written with their names and lengths, so no two lists run together.
//! Which parts change what a command means (DESIGN 3, "Approvals") its gate knows: text, parameter types and values,
//! connection, database, login, role, search path, resolved objects, directory, environment.
//! Held by: the tests below.

use portcullis_model::{CredentialKind, Digest, Principal};
use serde::{Deserialize, Serialize};

/// A digest over who asked and everything that changes what the command means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Binding(Digest);

impl Binding {
    /// The binding of a command asked by this principal, with these named parts.
    #[must_use]
    pub fn of(principal: &Principal, parts: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        let mut put = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        };
        put(b"portcullis approval v1");
        for part in [&principal.issuer, &principal.subject, &principal.user] {
            put(part.as_bytes());
        }
        let (kind, which) = match &principal.credential {
            CredentialKind::Token(id) => ("token", id.to_string()),
            CredentialKind::Oidc => ("oidc", String::new()),
            CredentialKind::Saml => ("saml", String::new()),
            CredentialKind::SshKey(key) => ("ssh-key", key.to_string()),
            CredentialKind::SshCertificate(id) => ("ssh-certificate", id.to_string()),
            CredentialKind::LocalAdmin => ("local-admin", String::new()),
        };
        put(kind.as_bytes());
        put(which.as_bytes());
        for (name, value) in parts {
            put(name.as_bytes());
            put(value);
        }
        Self(Digest::of(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::principal;
    use portcullis_model::TokenId;

    #[test]
    fn every_change_of_meaning_changes_the_binding() {
        let asked = principal("agent-7", CredentialKind::Token(TokenId::new()));
        let base = Binding::of(&asked, &[("text", b"drop table t"), ("role", b"app")]);
        assert_eq!(base, Binding::of(&asked, &[("text", b"drop table t"), ("role", b"app")]));
        let other_token = Principal { credential: CredentialKind::Token(TokenId::new()), ..asked.clone() };
        let other_user = Principal { user: "agent-8".into(), ..asked.clone() };
        type Parts<'a> = &'a [(&'a str, &'a [u8])];
        let others: [(&Principal, Parts<'_>); 8] = [
            (&asked, &[("text", b"drop table u"), ("role", b"app")]),
            (&asked, &[("text", b"drop table t"), ("role", b"admin")]),
            (&asked, &[("text", b"drop table t")]),
            (&asked, &[("role", b"app"), ("text", b"drop table t")]),
            (&asked, &[("text", b"drop table trole"), ("", b"app")]),
            (&asked, &[("text", b"drop table t"), ("role", b"ap"), ("p", b"")]),
            (&other_token, &[("text", b"drop table t"), ("role", b"app")]),
            (&other_user, &[("text", b"drop table t"), ("role", b"app")]),
        ];
        for (who, parts) in others {
            assert_ne!(base, Binding::of(who, parts), "{parts:?}");
        }
    }
}
