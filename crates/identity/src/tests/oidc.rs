//! Tokens of identity providers at the door: accepted, refused alike, revoked.

use super::*;
use crate::oidc::fuzz::{AUDIENCE, Forge, ISSUER};
use crate::{Fetch, FetchError, Flaw, Issuer, OidcTrust};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

struct Provider(String);

impl Fetch for Provider {
    fn get<'a>(&'a self, url: &'a str, _: usize) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        let document = json!({"issuer": ISSUER, "jwks_uri": "https://idp.example/keys"}).to_string();
        let body = if url.ends_with("/keys") { self.0.clone() } else { document };
        Box::pin(std::future::ready(Ok(body.into())))
    }
}

/// A gateway that trusts one provider.
struct Gateway {
    table: Arc<Table>,
    forge: Forge,
    identity: Identity,
    now: Timestamp,
}

impl Gateway {
    async fn build() -> Self {
        let (table, forge) = (Arc::new(Table::default()), Forge::new("k"));
        let identity = Self::open(&table, &forge).await;
        Self { table, forge, identity, now: Timestamp::now() }
    }

    async fn open(table: &Arc<Table>, forge: &Forge) -> Identity {
        let mut issuer = Issuer::new(ISSUER, AUDIENCE);
        issuer.groups_claim = Some("groups".into());
        let oidc = OidcTrust::new(vec![issuer], Arc::new(Provider(forge.set()))).unwrap();
        let settings = Settings { oidc, ..Settings::default() };
        let table = Arc::clone(table) as Arc<dyn portcullis_store::Table>;
        Identity::open(table, TokenKey::generate(), settings).await.unwrap()
    }

    fn token(&self, subject: &str, more: &Value) -> String {
        let at = self.now.as_second();
        let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": at, "exp": at + 3600});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.forge.sign(claims.to_string().as_bytes())
    }

    async fn present(&self, text: &str, user: Option<&str>) -> Result<Authenticated, Refused> {
        present(&self.identity, text, user, HERE, self.now).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_providers_token_authenticates_its_user_until_it_runs_out() {
    let mut house = Gateway::build().await;
    let token =
        house.token("alice", &json!({"groups": ["dba"], "team": "payments", "auth_time": house.now.as_second()}));
    for user in [None, Some("alice"), Some(RESERVED_USER)] {
        let found = house.present(&token, user).await.unwrap();
        assert_eq!((&*found.principal.user, &*found.principal.issuer), ("alice", ISSUER));
        assert_eq!(
            (&found.principal.groups, &found.principal.credential),
            (&["dba".into()].into(), &CredentialKind::Oidc)
        );
        assert_eq!(found.principal.claims.get("team"), Some(&["payments".into()].into()));
        assert_eq!(found.interactive.map(Timestamp::as_second), Some(house.now.as_second()));
        assert_eq!(found.expires.map(Timestamp::as_second), Some(house.now.as_second() + 3600));
        assert!(found.makers.is_empty());
    }
    assert_eq!(house.present(&token, Some("bob")).await.unwrap_err().why(), Why::WrongUser);
    let held = house.present(&token, None).await.unwrap();
    house.now += SignedDuration::from_secs(3600);
    assert_eq!(house.identity.standing(&held, house.now), Standing::Expired);
    assert_eq!(house.present(&token, None).await.unwrap_err().why(), Why::Oidc(Flaw::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_refused_like_any_other_and_counts() {
    let house = Gateway::build().await;
    let bad = house.token("alice", &json!({"aud": "somebody-else"}));
    for _ in 0..10 {
        let asked = Instant::now();
        let refused = house.present(&bad, None).await.unwrap_err();
        assert_eq!(refused.why(), Why::Oidc(Flaw::Audience));
        assert_eq!((refused.to_string().as_str(), asked.elapsed()), ("the credential was not accepted", REFUSAL_FLOOR));
    }
    assert_eq!(house.present(&bad, None).await.unwrap_err().why(), Why::TooManyAttempts);
    // A gateway that trusts no provider knows no such token.
    let other = House::build().await;
    assert_eq!(other.why(&house.token("alice", &json!({})), None).await, Why::NotOurs);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_sessions_here_and_elsewhere_and_refuses_what_was_issued_before() {
    let mut house = Gateway::build().await;
    let other = Gateway::open(&house.table, &house.forge).await;
    let (alice, bob) = (house.token("alice", &json!({})), house.token("bob", &json!({})));
    let unpresented = house.token("alice", &json!({"iat": house.now.as_second() + 30}));
    let here = house.present(&alice, None).await.unwrap();
    let there = present(&other, &alice, None, HERE, house.now).await.unwrap();
    let untouched = house.present(&bob, None).await.unwrap();
    let admin = Authenticated::local_admin(Some("root"));
    house.identity.revoke_oidc(ISSUER, "alice", &admin, house.now).await.unwrap();
    house.identity.revoke_oidc("https://elsewhere.example", "bob", &admin, house.now).await.unwrap();
    assert_eq!(house.identity.standing(&here, house.now), Standing::Revoked);
    until(&other, &there, house.now, Standing::Revoked).await;
    assert_eq!(house.identity.standing(&untouched, house.now), Standing::Good);
    // Also one of a provider whose clock runs ahead.
    for token in [&alice, &unpresented] {
        assert_eq!(house.present(token, None).await.unwrap_err().why(), Why::Oidc(Flaw::Revoked));
    }
    // A gateway that starts later knows of it too.
    let later = Gateway::open(&house.table, &house.forge).await;
    assert_eq!(later.standing(&here, house.now), Standing::Revoked);
    // A login a minute later counts, and the sessions from before still do not.
    house.now += SignedDuration::from_secs(62);
    let again = house.token("alice", &json!({}));
    let again = house.present(&again, None).await.unwrap();
    assert_eq!(house.identity.standing(&again, house.now), Standing::Good);
    assert_eq!(house.identity.standing(&here, house.now), Standing::Revoked);
    // An earlier revocation, told late, takes nothing back.
    let earlier = house.now - SignedDuration::from_hours(1);
    house.identity.revoke_oidc(ISSUER, "alice", &admin, earlier).await.unwrap();
    assert_eq!(house.identity.standing(&here, house.now), Standing::Revoked);
    assert_eq!(house.present(&alice, None).await.unwrap_err().why(), Why::Oidc(Flaw::Revoked));
}

#[tokio::test(start_paused = true)]
async fn of_revocations_at_once_the_latest_holds() {
    let house = Gateway::build().await;
    let admin = Authenticated::local_admin(Some("root"));
    let at = |minutes| house.now - SignedDuration::from_mins(minutes);
    let revoke = |minutes| house.identity.revoke_oidc(ISSUER, "alice", &admin, at(minutes));
    let all = futures_util::future::join_all([30, 10, 50, 20, 40].map(revoke)).await;
    assert!(all.iter().all(Result::is_ok));
    let issued = |minutes| house.token("alice", &json!({"iat": at(minutes).as_second()}));
    assert_eq!(house.present(&issued(10), None).await.unwrap_err().why(), Why::Oidc(Flaw::Revoked));
    let found = house.present(&issued(8), None).await.unwrap();
    assert_eq!(house.identity.standing(&found, house.now), Standing::Good);
    // What the store holds of somebody and cannot be read refuses them.
    let (key, row) = portcullis_store::Table::scan(&*house.table, b"oidc-revoked/").await.unwrap().remove(0);
    let expect = Expect::Version(row.version);
    let _ = portcullis_store::Table::put(&*house.table, key, Bytes::from_static(b"{}"), expect, None).await.unwrap();
    assert_eq!(house.present(&issued(8), None).await.unwrap_err().why(), Why::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn while_revocations_cannot_be_followed_nobody_from_a_provider_stands() {
    let house = Gateway::build().await;
    let held = house.present(&house.token("alice", &json!({})), None).await.unwrap();
    house.table.failing.store(true, Ordering::SeqCst);
    let refused = house.present(&house.token("alice", &json!({})), None).await.unwrap_err();
    assert_eq!(refused.why(), Why::Unavailable);
    house.table.cut.notify_one();
    until(&house.identity, &held, house.now, Standing::Revoked).await;
    house.table.failing.store(false, Ordering::SeqCst);
    until(&house.identity, &held, house.now, Standing::Good).await;
    // An entry that cannot be read may be anybody's.
    let damaged = Bytes::from_static(b"{}");
    let key = Bytes::from_static(b"oidc-revoked/x");
    let _ = portcullis_store::Table::put(&*house.table, key, damaged, Expect::Any, None).await.unwrap();
    until(&house.identity, &held, house.now, Standing::Revoked).await;
}
