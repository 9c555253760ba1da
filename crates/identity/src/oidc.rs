//! Tokens of identity providers: OpenID Connect.
//!
//! A client presents one where it would present a token of this gateway; its three parts tell them apart. Workloads
//! (Kubernetes service accounts, CI providers, JWT-SVIDs) come from issuers like any other.
//!
//! Promises: a token is accepted only if a configured issuer's key signed it, for the configured audience, and it is in
//! force (`token.rs`, `keys.rs`, `claims.rs`); every flaw is refused alike and counts as a failed attempt, except that the
//! provider's keys could not be had. Issuers cannot name each other's users or groups: all but one have prefixes, and no
//! prefix begins with another. Who was revoked is looked up in the store, and no token issued before counts.
//! Does not promise to know a logout at the provider, nor, for a session that is open, that the key of its token was taken
//! back: it is good until the token runs out, or its bearer is revoked here.
//! Held by: the tests of each module, and `tests/it/oidc.rs`, against a real provider.

mod claims;
pub(crate) mod fuzz;
mod json;
mod keys;
mod provider;
pub(crate) mod revoked;
mod token;

pub use provider::{Fetch, FetchError};
pub(crate) use token::looks_like_one;

use crate::error::{IdentityError, Why};
use crate::{Authenticated, Extensions, RESERVED_USER};
use jiff::Timestamp;
use portcullis_store::Table;
use provider::Provider;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use token::Token;

/// Characters of a prefix.
const LONGEST_PREFIX: usize = 64;

/// What is wrong with a token of an identity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`words` says it")]
pub enum Flaw {
    TooLong,
    Shape,
    Header,
    Algorithm,
    Type,
    Issuer,
    UnknownKey,
    Signature,
    Audience,
    AuthorizedParty,
    Bound,
    Time,
    NotYetValid,
    Expired,
    Lifetime,
    Subject,
    User,
    Groups,
    Claims,
    AnothersName,
    Revoked,
}

impl Flaw {
    /// The words for the record.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::TooLong => "OIDC token too long",
            Self::Shape => "OIDC token that cannot be read",
            Self::Header => "OIDC token with a header that is not accepted",
            Self::Algorithm => "OIDC token with an algorithm that is not accepted",
            Self::Type => "OIDC token that is for something else",
            Self::Issuer => "OIDC token of an unknown issuer",
            Self::UnknownKey => "OIDC token of an unknown key",
            Self::Signature => "OIDC token with a wrong signature",
            Self::Audience => "OIDC token for another audience",
            Self::AuthorizedParty => "OIDC token for several audiences, given to another party",
            Self::Bound => "OIDC token bound to a key of its bearer, who did not prove it",
            Self::Time => "OIDC token without a time that it must have",
            Self::NotYetValid => "OIDC token not yet valid",
            Self::Expired => "OIDC token expired",
            Self::Lifetime => "OIDC token that lives longer than a day, or not at all",
            Self::Subject => "OIDC token without a subject",
            Self::User => "OIDC token without a user that may be one",
            Self::Groups => "OIDC token with groups that cannot be ones",
            Self::Claims => "OIDC token with claims that cannot be told apart or recorded",
            Self::AnothersName => "OIDC token with a user or group of another issuer",
            Self::Revoked => "OIDC token of somebody who was revoked after it was issued",
        }
    }
}

/// A provider that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its URL, exactly as its tokens say it.
    pub issuer: Arc<str>,
    /// Whom its tokens must be for.
    pub audience: Arc<str>,
    /// The claim that the user is taken from; `email` also needs `email_verified`.
    pub user_claim: Arc<str>,
    /// The claim that groups are taken from, points between what lies inside one another; nobody has any where not said.
    pub groups_claim: Option<Arc<str>>,
    /// Groups that are taken, as the provider names them; all where not said.
    pub groups_allowed: Option<BTreeSet<Arc<str>>>,
    /// What users are given before their name.
    pub user_prefix: Option<Arc<str>>,
    /// What groups are given before their name.
    pub groups_prefix: Option<Arc<str>>,
}

impl Issuer {
    /// This issuer's tokens for this audience; users are its subjects, in no groups.
    #[must_use]
    pub fn new(issuer: impl Into<Arc<str>>, audience: impl Into<Arc<str>>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            user_claim: "sub".into(),
            groups_claim: None,
            groups_allowed: None,
            user_prefix: None,
            groups_prefix: None,
        }
    }

    fn has_prefixes(&self) -> bool {
        self.user_prefix.is_some() && (self.groups_claim.is_none() || self.groups_prefix.is_some())
    }

    fn check(&self) -> Result<(), IdentityError> {
        let wrong = |why: &str| Err(IdentityError::Invalid(format!("the issuer `{}` {why}", self.issuer)));
        if provider::issuer_url(&self.issuer).is_none() {
            return wrong("is no https URL without a query (http is for loopback addresses only)");
        }
        if self.audience.is_empty() || self.user_claim.is_empty() {
            return wrong("needs an audience and a claim for the user");
        }
        let blank = |prefix: &Arc<str>| {
            prefix.is_empty()
                || prefix.chars().count() > LONGEST_PREFIX
                || prefix.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        if self.user_prefix.iter().chain(&self.groups_prefix).any(blank) {
            return wrong("has a prefix that is empty, too long or with spaces");
        }
        Ok(())
    }
}

/// The providers that this gateway trusts.
#[derive(Clone, Default)]
pub struct OidcTrust {
    issuers: Arc<[Issuer]>,
    fetch: Option<Arc<dyn Fetch>>,
}

impl std::fmt::Debug for OidcTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcTrust").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl OidcTrust {
    /// Trusts these, asking for their keys with `fetch`.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] says which of them cannot be trusted so, or not beside which other.
    pub fn new(issuers: Vec<Issuer>, fetch: Arc<dyn Fetch>) -> Result<Self, IdentityError> {
        for (n, one) in issuers.iter().enumerate() {
            one.check()?;
            for other in issuers.iter().skip(n + 1) {
                check_apart(one, other)?;
            }
        }
        Ok(Self { issuers: issuers.into(), fetch: Some(fetch) })
    }
}

/// Whether neither can name the other's users or groups.
fn check_apart(one: &Issuer, other: &Issuer) -> Result<(), IdentityError> {
    let wrong =
        |why: &str| Err(IdentityError::Invalid(format!("the issuers `{}` and `{}` {why}", one.issuer, other.issuer)));
    if one.issuer == other.issuer {
        return wrong("are one: it is given twice");
    }
    if !one.has_prefixes() && !other.has_prefixes() {
        return wrong("need prefixes for users and groups: only one may go without");
    }
    let overlap = |one: &Option<Arc<str>>, other: &Option<Arc<str>>| {
        let (Some(one), Some(other)) = (one, other) else { return false };
        let (one, other) = (one.to_lowercase(), other.to_lowercase());
        one.starts_with(&other) || other.starts_with(&one)
    };
    if overlap(&one.user_prefix, &other.user_prefix) || overlap(&one.groups_prefix, &other.groups_prefix) {
        return wrong("have prefixes of which one begins with the other");
    }
    Ok(())
}

/// The judge of providers' tokens.
pub(crate) struct Oidc {
    issuers: Arc<[Issuer]>,
    /// One for each, in their order.
    providers: Vec<Provider>,
}

impl Oidc {
    /// To be called inside a Tokio runtime.
    pub(crate) fn start(trust: OidcTrust) -> Self {
        let OidcTrust { issuers, fetch } = trust;
        let start = |fetch: Arc<dyn Fetch>| {
            issuers.iter().map(|issuer| Provider::start(Arc::clone(&issuer.issuer), Arc::clone(&fetch))).collect()
        };
        let providers = fetch.map_or_else(Vec::new, start);
        Self { issuers, providers }
    }

    /// Whether this issuer is one of them.
    pub(crate) fn trusts(&self, issuer: &str) -> bool {
        self.of(issuer).is_some()
    }

    fn of(&self, issuer: &str) -> Option<(&Issuer, &Provider)> {
        self.issuers.iter().zip(&self.providers).find(|(known, _)| &*known.issuer == issuer)
    }

    pub(crate) async fn judge(
        &self,
        table: &dyn Table,
        text: &str,
        claimed_user: Option<&str>,
        now: Timestamp,
    ) -> Result<Authenticated, Why> {
        if self.issuers.is_empty() {
            return Err(Why::NotOurs);
        }
        let token = Token::read(text).map_err(Why::Oidc)?;
        let stated = token.claims.get("iss").and_then(Value::as_str);
        let (issuer, provider) = stated.and_then(|stated| self.of(stated)).ok_or(Why::Oidc(Flaw::Issuer))?;
        provider.key(&token).await?.verify(&token).map_err(Why::Oidc)?;
        let others = self.issuers.iter().filter(|other| other.issuer != issuer.issuer);
        let named = claims::judge(&token, issuer, others, now).map_err(Why::Oidc)?;
        let user = &*named.principal.user;
        if claimed_user.is_some_and(|claimed| claimed != RESERVED_USER && claimed != user) {
            return Err(Why::WrongUser);
        }
        if revoked::is_kept(table, &named.principal, named.issued).await? {
            return Err(Why::Oidc(Flaw::Revoked));
        }
        Ok(Authenticated {
            principal: named.principal,
            expires: Some(named.expires),
            issued: Some(named.issued),
            interactive: named.interactive,
            makers: Vec::new(),
            extensions: Extensions::all(),
            shown_key: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::future::BoxFuture;

    struct Nobody;

    impl Fetch for Nobody {
        fn get<'a>(&'a self, _: &'a str, _: usize) -> BoxFuture<'a, Result<Bytes, FetchError>> {
            Box::pin(std::future::ready(Err(FetchError::Status(503))))
        }
    }

    fn trust(issuers: Vec<Issuer>) -> Result<OidcTrust, IdentityError> {
        OidcTrust::new(issuers, Arc::new(Nobody))
    }

    fn issuer(name: &str, user: Option<&str>, groups: Option<&str>) -> Issuer {
        Issuer {
            groups_claim: Some("groups".into()),
            user_prefix: user.map(Into::into),
            groups_prefix: groups.map(Into::into),
            ..Issuer::new(format!("https://{name}.example"), "portcullis")
        }
    }

    #[tokio::test]
    async fn issuers_that_could_name_each_others_users_are_not_trusted_together() {
        let plain = || issuer("a", None, None);
        for (second, good) in [
            (issuer("b", Some("b:"), Some("b:")), true),
            (issuer("b", None, Some("b:")), false),
            (issuer("b", Some("b:"), None), false),
            (Issuer { groups_claim: None, ..issuer("b", Some("b:"), None) }, true),
            (issuer("b", None, None), false),
            (issuer("a", Some("b:"), Some("b:")), false),
        ] {
            assert_eq!(trust(vec![plain(), second.clone()]).is_ok(), good, "{second:?}");
        }
        for (one, other, good) in [("b:", "c:", true), ("b", "b:", false), ("B:", "b:", false), ("b:", "b:", false)] {
            let issuers = vec![issuer("b", Some(one), Some("x:")), issuer("c", Some(other), Some("y:"))];
            assert_eq!(trust(issuers).is_ok(), good, "{one} {other}");
            let issuers = vec![issuer("b", Some("x:"), Some(one)), issuer("c", Some("y:"), Some(other))];
            assert_eq!(trust(issuers).is_ok(), good, "{one} {other}");
        }
    }

    #[test]
    fn only_https_is_asked_except_on_loopback() {
        for good in ["https://idp.example/realms/x", "http://127.0.0.1:80", "http://[::1]:9/a/", "https://localhost:1"]
        {
            assert!(trust(vec![Issuer::new(good, "portcullis")]).is_ok(), "{good}");
        }
        for bad in [
            "http://idp.example",
            "http://localhost:1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "https://u@idp.example",
            "https://u:p@idp.example",
            "https://idp.example?a=b",
            "https://idp.example#a",
            "idp.example",
            "portcullis",
            "",
        ] {
            assert!(trust(vec![Issuer::new(bad, "portcullis")]).is_err(), "{bad}");
        }
        assert!(trust(vec![Issuer::new("https://idp.example", "")]).is_err());
        for prefix in ["", "a b", "a\n", &"x".repeat(65)] {
            assert!(trust(vec![issuer("a", Some(prefix), Some("g:"))]).is_err(), "{prefix:?}");
        }
    }
}
