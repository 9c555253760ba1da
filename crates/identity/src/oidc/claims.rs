//! What a token that its provider signed says: for whom, for how long, who.
//!
//! Promises: a token is good only for the configured audience, and where it has several only if its authorized party is
//! that audience; only until it runs out, and not at all if it lives longer than [`LONGEST_LIFE`], since a revocation is
//! remembered that long; clocks may differ by [`SKEW`] for its beginning, never for its end. A token bound to a key of its
//! bearer (`cnf`) is refused, since nobody proved it here; so are refresh, logout and event tokens. An issuer's users and
//! groups carry its prefixes and never another issuer's. A user from `email` needs `email_verified`. Nothing is shortened
//! or left out to make it fit: a claim that a rule may refuse must not vanish. An interactive login is one that an ID token
//! gives the time of (`auth_time`), never its issue. Does not promise that a claim means what a rule's author thinks.
//! Held by: the tests below, and `tests/it` by `fixtures/identity/oidc.tsv`.

use super::token::{LONGEST, Token};
use super::{Flaw, Issuer};
use crate::RESERVED_USER;
use crate::record::LONGEST_LIFE;
use jiff::{SignedDuration, Timestamp};
use portcullis_model::{CredentialKind, Principal};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Clocks may differ by this much.
pub(crate) const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Characters of a user, a group and a subject.
const LONGEST_NAME: usize = 255;

/// Claims that say something about the token and not about its bearer, and an address of several lines.
const ABOUT_THE_TOKEN: &[&str] = &[
    "address",
    "at_hash",
    "aud",
    "auth_time",
    "c_hash",
    "exp",
    "iat",
    "jti",
    "nbf",
    "nonce",
    "s_hash",
    "sid",
    "sub",
    "typ",
];

/// What Keycloak's claim `typ` says of tokens to be presented; its others are for refreshing and logging out.
const PRESENTABLE: &[&str] = &["bearer", "id", "jwt"];

/// Claims that only access tokens have.
const OF_ACCESS: &[&str] = &["client_id", "scope", "scp"];

type Claims = BTreeMap<Arc<str>, BTreeSet<Arc<str>>>;

/// Whom a token names, and when.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) principal: Principal,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) interactive: Option<Timestamp>,
}

/// Reads a token of this issuer whose signature is good. `others` are the issuers beside it.
pub(crate) fn judge<'i>(
    token: &Token<'_>,
    issuer: &Issuer,
    others: impl Iterator<Item = &'i Issuer> + Clone,
    now: Timestamp,
) -> Result<Named, Flaw> {
    let claims = &token.claims;
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer.issuer) {
        return Err(Flaw::Issuer);
    }
    check_audience(claims, &issuer.audience)?;
    check_kind(claims)?;
    let (issued, expires) = in_force(claims, now)?;
    let interactive = interactive(token, issuer, issued, now)?;
    let subject = text(claims, "sub").filter(|subject| plain(subject)).ok_or(Flaw::Subject)?;
    let user = user(claims, issuer)?;
    let groups = groups(claims, issuer)?;
    let begins = |name: &str, prefix: &Option<Arc<str>>| {
        prefix.as_ref().is_some_and(|prefix| name.to_lowercase().starts_with(&prefix.to_lowercase()))
    };
    if others.clone().any(|other| begins(&user, &other.user_prefix))
        || others.clone().any(|other| groups.iter().any(|group| begins(group, &other.groups_prefix)))
    {
        return Err(Flaw::AnothersName);
    }
    let principal = Principal {
        issuer: Arc::clone(&issuer.issuer),
        subject: subject.into(),
        user,
        groups,
        claims: further(claims, issuer)?,
        credential: CredentialKind::Oidc,
    };
    Ok(Named { principal, issued, expires, interactive })
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// Whether it can be a name: short, seen as it is.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && name.trim() == name
        && !name.chars().any(char::is_control)
}

fn check_audience(claims: &Map<String, Value>, ours: &str) -> Result<(), Flaw> {
    let audiences = match claims.get("aud") {
        Some(Value::String(one)) => return if one == ours { Ok(()) } else { Err(Flaw::Audience) },
        Some(Value::Array(many)) => many,
        Some(_) | None => return Err(Flaw::Audience),
    };
    if audiences.iter().any(|audience| !audience.is_string()) || !audiences.iter().any(|audience| audience == ours) {
        return Err(Flaw::Audience);
    }
    let party = claims.get("azp");
    if audiences.len() > 1 && party.is_none_or(|party| party != ours) {
        return Err(Flaw::AuthorizedParty);
    }
    Ok(())
}

fn check_kind(claims: &Map<String, Value>) -> Result<(), Flaw> {
    let presentable = |kind: &Value| {
        kind.as_str().is_some_and(|kind| PRESENTABLE.iter().any(|known| known.eq_ignore_ascii_case(kind)))
    };
    if claims.get("typ").is_some_and(|kind| !presentable(kind)) || claims.contains_key("events") {
        return Err(Flaw::Type);
    }
    if claims.contains_key("cnf") { Err(Flaw::Bound) } else { Ok(()) }
}

/// A time as tokens state it. One with a fraction counts from its whole second.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Flaw> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    #[expect(clippy::cast_possible_truncation, reason = "no fraction, and its size was looked at")]
    let seconds = match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => whole,
        (None, Some(fraction)) if fraction.abs() < 1e12 => fraction.floor() as i64,
        (None, _) => return Err(Flaw::Time),
    };
    if seconds < 0 {
        return Err(Flaw::Time);
    }
    Timestamp::from_second(seconds).map(Some).map_err(|_| Flaw::Time)
}

fn in_force(claims: &Map<String, Value>, now: Timestamp) -> Result<(Timestamp, Timestamp), Flaw> {
    let expires = time(claims, "exp")?.ok_or(Flaw::Time)?;
    let issued = time(claims, "iat")?.ok_or(Flaw::Time)?;
    let begins = time(claims, "nbf")?.unwrap_or(issued);
    let soonest = now.checked_add(SKEW).map_err(|_| Flaw::Time)?;
    if issued > soonest || begins > soonest {
        return Err(Flaw::NotYetValid);
    }
    if now >= expires {
        return Err(Flaw::Expired);
    }
    let life = expires.duration_since(issued);
    let longest = SignedDuration::try_from(LONGEST_LIFE).unwrap_or(SignedDuration::ZERO);
    if life > longest || expires <= begins {
        return Err(Flaw::Lifetime);
    }
    Ok((issued, expires))
}

/// When its bearer logged in, if this is the ID token of a login here that was interactive.
fn interactive(
    token: &Token<'_>,
    issuer: &Issuer,
    issued: Timestamp,
    now: Timestamp,
) -> Result<Option<Timestamp>, Flaw> {
    let claims = &token.claims;
    let Some(at) = time(claims, "auth_time")? else { return Ok(None) };
    if issued.checked_add(SKEW).is_ok_and(|latest| at > latest) {
        return Err(Flaw::Time);
    }
    let of_a_login = !token.is_access
        && !OF_ACCESS.iter().any(|name| claims.contains_key(*name))
        && claims.get("token_use").is_none_or(|kind| kind == "id")
        && text(claims, "typ").is_none_or(|kind| kind.eq_ignore_ascii_case("id"))
        && claims.get("azp").is_none_or(|party| party == &*issuer.audience);
    Ok(of_a_login.then(|| at.min(now)))
}

fn user(claims: &Map<String, Value>, issuer: &Issuer) -> Result<Arc<str>, Flaw> {
    let stated = text(claims, &issuer.user_claim).ok_or(Flaw::User)?;
    if &*issuer.user_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(Flaw::User);
    }
    // An empty one is nobody, also behind a prefix.
    let user = format!("{}{stated}", issuer.user_prefix.as_deref().unwrap_or_default());
    let reserved = user.eq_ignore_ascii_case(RESERVED_USER);
    if plain(stated) && plain(&user) && !reserved { Ok(user.into()) } else { Err(Flaw::User) }
}

/// The value under this name, or under its parts one in the other (`realm_access.roles`).
fn at<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

fn groups(claims: &Map<String, Value>, issuer: &Issuer) -> Result<BTreeSet<Arc<str>>, Flaw> {
    let Some(claim) = &issuer.groups_claim else { return Ok(BTreeSet::new()) };
    let stated: Vec<&str> = match at(claims, claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Flaw::Groups)?,
        Some(_) => return Err(Flaw::Groups),
    };
    let prefix = issuer.groups_prefix.as_deref().unwrap_or_default();
    let allowed = |group: &&str| issuer.groups_allowed.as_ref().is_none_or(|allowed| allowed.contains(*group));
    let prefixed = |group: &str| {
        let whole = format!("{prefix}{group}");
        if plain(group) && plain(&whole) { Ok(whole.into()) } else { Err(Flaw::Groups) }
    };
    stated.into_iter().filter(allowed).map(prefixed).collect()
}

/// Everything else, as names with values; what lies inside another is named with points between. What has no such form
/// (an object in a list, null) cannot be named by a rule and is left out.
fn further(claims: &Map<String, Value>, issuer: &Issuer) -> Result<Claims, Flaw> {
    let mut found = Claims::new();
    for (name, value) in claims.iter().filter(|(name, _)| !ABOUT_THE_TOKEN.contains(&name.as_str())) {
        take(&mut found, name, value)?;
    }
    if let Some(groups) = &issuer.groups_claim {
        // They are groups, with a prefix, and only those that are allowed.
        found.remove(groups);
    }
    // What lies deep inside others repeats their names; the record takes it all.
    let bytes: usize = found.iter().flat_map(|(name, values)| values.iter().chain([name])).map(|text| text.len()).sum();
    if bytes > LONGEST { Err(Flaw::Claims) } else { Ok(found) }
}

fn take(found: &mut Claims, name: &str, value: &Value) -> Result<(), Flaw> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let values: BTreeSet<Arc<str>> = match value {
        Value::Object(members) => {
            return members.iter().try_for_each(|(inner, value)| take(found, &format!("{name}.{inner}"), value));
        }
        Value::Array(many) => many.iter().filter_map(one).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => one(value).into_iter().collect(),
    };
    if values.iter().map(|value| &**value).chain([name]).any(|text| text.chars().any(char::is_control)) {
        return Err(Flaw::Claims);
    }
    // Two ways to one name would let one claim pass for another.
    if found.insert(name.into(), values).is_some() { Err(Flaw::Claims) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn claims_inside_others_are_named_with_points_and_none_passes_for_another() {
        let mut issuer = Issuer::new("https://idp.example", "portcullis");
        issuer.groups_claim = Some("realm_access.roles".into());
        let claims = object(json!({
            "iss": "i", "sub": "s", "exp": 1, "team": "payments", "level": 3, "on": true, "no": null, "list": ["a", 1, {}],
            "kubernetes.io": {"namespace": "shop", "pod": {"name": "p"}}, "realm_access": {"roles": ["dba"]},
        }));
        let found = further(&claims, &issuer).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|(n, v)| format!("{n}={}", v.iter().map(|v| &**v).collect::<Vec<_>>().join(",")))
            .collect();
        assert_eq!(
            shown,
            [
                "iss=i",
                "kubernetes.io.namespace=shop",
                "kubernetes.io.pod.name=p",
                "level=3",
                "list=1,a",
                "no=",
                "on=true",
                "team=payments"
            ]
        );
        assert_eq!(groups(&claims, &issuer).unwrap(), ["dba".into()].into());
        for wrong in [json!({"a.b": 1, "a": {"b": 2}}), json!({"a": "x\ny"}), json!({"a\u{0}": 1})] {
            assert_eq!(further(&object(wrong), &issuer), Err(Flaw::Claims));
        }
    }

    #[test]
    fn claims_that_grow_by_their_names_are_refused() {
        let issuer = Issuer::new("https://idp.example", "portcullis");
        let many: Map<_, _> = (0..100).map(|n| (n.to_string(), json!(n))).collect();
        let deep = |name: &str| (0..50).fold(Value::Object(many.clone()), |inner, _| json!({ name: inner }));
        assert_eq!(further(&object(deep("abc")), &issuer), Err(Flaw::Claims));
        assert_eq!(further(&object(deep("a")), &issuer).unwrap().len(), 100);
    }

    #[test]
    fn a_time_is_a_number_of_seconds_and_nothing_else() {
        let read = |value: Value| time(&object(json!({ "exp": value })), "exp");
        assert_eq!(read(json!(1.9)), Ok(Some(Timestamp::from_second(1).unwrap())));
        assert_eq!(read(json!(0)), Ok(Some(Timestamp::UNIX_EPOCH)));
        for wrong in [json!(-1), json!("1"), json!(1e300), json!(u64::MAX), json!(null), json!([1]), json!(-0.5)] {
            assert_eq!(read(wrong.clone()), Err(Flaw::Time), "{wrong}");
        }
    }
}
