//! Sessions that go on with a newer login, and those that do not.

use super::oidc::Gateway;
use super::*;
use serde_json::{Value, json};

/// A login of now that lasts this many minutes.
async fn login(house: &Gateway, subject: &str, minutes: i64, more: Value) -> Authenticated {
    let mut claims = json!({"exp": house.now.as_second() + minutes * 60, "groups": ["dba"], "team": "payments"});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    house.present(&house.token(subject, &claims), None).await.unwrap()
}

fn later(house: &mut Gateway, minutes: i64) {
    house.now += SignedDuration::from_mins(minutes);
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_with_a_new_login_here_and_elsewhere_until_that_runs_out() {
    let mut house = Gateway::build().await;
    let other = Gateway::open(&house.table, &house.forge).await;
    let session = login(&house, "alice", 10, json!({})).await;
    later(&mut house, 9);
    let again = login(&house, "alice", 10, json!({"jti": "another", "auth_time": house.now.as_second()})).await;
    assert_eq!(house.identity.renew(&again, house.now).await.unwrap(), again.expires.unwrap());
    later(&mut house, 9);
    assert_eq!(house.identity.standing(&session, house.now), Standing::Good);
    until(&other, &session, house.now, Standing::Good).await;
    // A gateway that starts later knows of it too.
    let third = Gateway::open(&house.table, &house.forge).await;
    assert_eq!(third.standing(&session, house.now), Standing::Good);
    later(&mut house, 1);
    for identity in [&house.identity, &other, &third] {
        assert_eq!(identity.standing(&session, house.now), Standing::Expired);
    }
    // And once more.
    let more = login(&house, "alice", 10, json!({})).await;
    house.identity.renew(&more, house.now).await.unwrap();
    assert_eq!(house.identity.standing(&session, house.now), Standing::Good);
}

#[tokio::test(start_paused = true)]
async fn who_is_another_by_now_keeps_nothing() {
    for more in [json!({"groups": []}), json!({"groups": ["dba", "more"]}), json!({"team": "sales"}), json!({"new": 1})]
    {
        let mut house = Gateway::build().await;
        let (session, bob) = (login(&house, "alice", 10, json!({})).await, login(&house, "bob", 10, json!({})).await);
        later(&mut house, 1);
        // First as the same, then as another: the newest counts.
        let same = login(&house, "alice", 20, json!({})).await;
        house.identity.renew(&same, house.now).await.unwrap();
        later(&mut house, 10);
        assert_eq!(house.identity.standing(&session, house.now), Standing::Good, "{more}");
        let other = login(&house, "alice", 20, more.clone()).await;
        house.identity.renew(&other, house.now).await.unwrap();
        assert_eq!(house.identity.standing(&session, house.now), Standing::Expired, "{more}");
        assert_eq!(house.identity.standing(&bob, house.now), Standing::Expired, "nobody else's");
        // The older one, presented again, changes nothing.
        assert_eq!(house.identity.renew(&same, house.now).await.unwrap(), other.expires.unwrap());
        assert_eq!(house.identity.standing(&session, house.now), Standing::Expired, "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_what_was_renewed_before_it_and_no_renewal_undoes_it() {
    let mut house = Gateway::build().await;
    let admin = Authenticated::local_admin(None);
    let session = login(&house, "alice", 10, json!({})).await;
    later(&mut house, 9);
    let again = login(&house, "alice", 20, json!({})).await;
    house.identity.renew(&again, house.now).await.unwrap();
    later(&mut house, 2);
    house.identity.revoke_oidc(crate::oidc::fuzz::ISSUER, "alice", &admin, house.now).await.unwrap();
    assert_ne!(house.identity.standing(&session, house.now), Standing::Good);
    assert!(matches!(house.identity.renew(&again, house.now).await, Err(IdentityError::NoLongerStands)));
    later(&mut house, 2);
    let after = login(&house, "alice", 20, json!({})).await;
    house.identity.renew(&after, house.now).await.unwrap();
    assert_eq!(house.identity.standing(&session, house.now), Standing::Revoked);
    assert_eq!(house.identity.standing(&after, house.now), Standing::Good);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_login_or_is_over_renews_nothing() {
    let mut house = Gateway::build().await;
    let session = login(&house, "alice", 10, json!({})).await;
    let mut token = login(&house, "alice", 20, json!({})).await;
    token.principal.credential = CredentialKind::Token(TokenId::new());
    let admin = Authenticated::local_admin(None);
    later(&mut house, 10);
    for by in [&session, &token, &admin] {
        assert!(matches!(house.identity.renew(by, house.now).await, Err(IdentityError::Invalid(_))));
    }
    assert_eq!(house.identity.standing(&session, house.now), Standing::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_keeps_nothing_open_and_an_entry_that_cannot_be_read_renews_nothing() {
    let mut house = Gateway::build().await;
    let session = login(&house, "alice", 10, json!({})).await;
    later(&mut house, 9);
    let again = login(&house, "alice", 20, json!({})).await;
    house.table.probe.outage.begin();
    assert!(matches!(house.identity.renew(&again, house.now).await, Err(IdentityError::Store(_))));
    house.table.probe.outage.end();
    later(&mut house, 2);
    assert_eq!(house.identity.standing(&session, house.now), Standing::Expired);
    house.identity.renew(&again, house.now).await.unwrap();
    let [(key, _)] = house.table.inner.scan(b"oidc-renewed/").await.unwrap().try_into().unwrap();
    assert_eq!(house.identity.standing(&session, house.now), Standing::Good);
    let _done = house.table.inner.put(key, Bytes::from_static(b"{}"), Expect::Any, None).await.unwrap();
    until(&house.identity, &session, house.now, Standing::Expired).await;
    // It can be replaced.
    house.identity.renew(&again, house.now).await.unwrap();
    assert_eq!(house.identity.standing(&session, house.now), Standing::Good);
}
