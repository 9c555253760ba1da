//! `identity.oidc`: whose tokens are accepted, and what they say of a person.
//!
//! Promises: an issuer is a URL over TLS (or loopback) and given once; only one may name users and groups without
//! prefixes, so that no issuer speaks for another's people (DESIGN 4); one host is met with the same authorities, whichever of
//! its issuers is asked; at most one is where people log in over SSH. Does not promise that it answers.
//! Held by: the golden files.

use crate::document::Value;
use crate::http::service_url;
use crate::settings::OidcIssuer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) fn issuers(value: &Value<'_>) -> Option<Vec<OidcIssuer>> {
    let items = value.list()?;
    let read: Vec<_> = items.iter().map(issuer).collect();
    let mut seen = BTreeSet::new();
    let (mut bare, mut sent_to, mut ssh_login): (Option<&str>, Option<&str>, Option<&str>) = (None, None, None);
    let mut hosts: BTreeMap<String, Option<&PathBuf>> = BTreeMap::new();
    for (item, issuer) in items.iter().zip(&read).filter_map(|(item, issuer)| Some((item, issuer.as_ref()?))) {
        if !seen.insert(&issuer.issuer) {
            item.problem_with(format!("`{}` is given twice", issuer.issuer), "one entry for each issuer");
        }
        if *hosts.entry(issuer.address.to_string().to_ascii_lowercase()).or_insert(issuer.tls_ca.as_ref())
            != issuer.tls_ca.as_ref()
        {
            item.problem_with(
                format!("another issuer at {} names other authorities", issuer.address),
                "give all issuers of one host the same `tls_ca`",
            );
        }
        if issuer.oauth_scope.is_some() {
            if let Some(first) = sent_to {
                item.problem_with(
                    format!("`{}` has an `oauth_scope`, and so does `{first}`: clients are sent to one", issuer.issuer),
                    "leave `oauth_scope` on one issuer",
                );
            }
            sent_to = Some(&issuer.issuer);
        }
        if issuer.ssh_login {
            if let Some(first) = ssh_login {
                item.problem_with(
                    format!("`{}` has `ssh_login`, and so does `{first}`: people are sent to one", issuer.issuer),
                    "leave `ssh_login` on one issuer",
                );
            }
            ssh_login = Some(&issuer.issuer);
        }
        let groups = issuer.groups_claim.is_none() || issuer.groups_prefix.is_some();
        if issuer.user_prefix.is_some() && groups {
            continue;
        }
        if let Some(first) = bare {
            item.problem_with(
                format!(
                    "`{}` goes without prefixes, and so does `{first}`: each could name the other's people",
                    issuer.issuer
                ),
                "give all issuers but one a `user_prefix` and a `groups_prefix`, as in `partner:`",
            );
        } else {
            bare = Some(&issuer.issuer);
        }
    }
    read.into_iter().collect()
}

fn issuer(value: &Value<'_>) -> Option<OidcIssuer> {
    let mut section = value.section()?;
    let issuer = section.require("issuer", "https://idp.example.com/realms/main");
    let issuer = issuer.and_then(|value| Some((service_url(&value)?.address, Arc::from(value.text()?))));
    let audience = section.require("audience", "portcullis").and_then(|value| value.name().map(Arc::from));
    let mut word =
        |key| section.take(key).map_or(Some(None), |value| value.name().map(|name| Some(Arc::<str>::from(name))));
    let (user_claim, groups_claim) = (word("user_claim"), word("groups_claim"));
    let (user_prefix, groups_prefix) = (word("user_prefix"), word("groups_prefix"));
    let tls_ca = section.take("tls_ca").map_or(Some(None), |value| value.file().map(Some));
    let groups_allowed = section.take("groups_allowed").map_or(Some(None), |value| value.names().map(Some));
    let oauth_scope = section.take("oauth_scope").map_or(Some(None), |value| scope(&value).map(Some));
    let ssh_login =
        section.take("ssh_login").map_or(Some(false), |value| value.choice(&[("true", true), ("false", false)]));
    section.finish();
    let (address, issuer) = issuer?;
    Some(OidcIssuer {
        issuer,
        address,
        audience: audience?,
        tls_ca: tls_ca?,
        user_claim: user_claim?.unwrap_or_else(|| "sub".into()),
        groups_claim: groups_claim?,
        groups_allowed: groups_allowed?,
        user_prefix: user_prefix?,
        groups_prefix: groups_prefix?,
        oauth_scope: oauth_scope?,
        ssh_login: ssh_login?,
    })
}

/// Words of a scope (RFC 6749, section 3.3).
fn scope(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.name()?;
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
    };
    if !text.split(' ').all(word) {
        value.problem_with(
            format!("`{}` is no scope", text.escape_debug()),
            "write words with a blank between, as in `openid email`",
        );
        return None;
    }
    Some(text.into())
}

/// The provider that clients of OAUTHBEARER are sent to: the one with a scope for them, or the only one.
pub(crate) fn sent_to(issuers: &[OidcIssuer]) -> Option<(&Arc<str>, Arc<str>)> {
    let scoped = issuers.iter().find_map(|one| Some((&one.issuer, Arc::clone(one.oauth_scope.as_ref()?))));
    let only = match issuers {
        [only] => Some((&only.issuer, "openid".into())),
        _ => None,
    };
    scoped.or(only)
}
