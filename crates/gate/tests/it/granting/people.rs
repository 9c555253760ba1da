//! Who passes under a grant, and with whom it falls.

use super::*;
use portcullis_model::CredentialKind;

/// Somebody with a login of a provider.
fn person(user: &str) -> Authenticated {
    let admin = Authenticated::local_admin(None);
    Authenticated { principal: dba(user), issued: Some(Timestamp::now()), ..admin }
}

impl Shop {
    /// A session of this agent by a token that somebody made.
    async fn session_by(&self, maker: &str, user: &str) -> Session {
        let (_, token) = self.world.token_by(&person(maker), user, "agents").await;
        self.world.arrive("shop", token).await.unwrap()
    }
}

/// Whoever made the token that asks, and whoever asks, are one person: neither grants themselves anything.
#[tokio::test]
async fn nobody_passes_under_what_they_gave_themselves() {
    let shop = Shop::open(&BUNDLE.replace("grant: 30m", "grant: 30m\n    approvals: 2")).await;
    let session = shop.session_by("bob", "agent-7").await;
    drop(shop.approved(&session, &[create("t")], &[("dana", Some(60)), ("erin", Some(60))]).await);
    for (expected, maker) in [('+', "bob"), ('?', "dana"), ('?', "Dana"), ('?', "erin"), ('+', "gus")] {
        let session = shop.session_by(maker, "agent-7").await;
        assert_eq!(ruled(&session, &[create("t")]), expected, "{maker}");
    }
    // A token made with a token that one of them made.
    let (id, _) = shop.world.token_by(&person("dana"), "agent-6", "agents").await;
    let by = Authenticated::local_admin(None);
    let principal = Principal { credential: CredentialKind::Token(id), user: "agent-6".into(), ..by.principal.clone() };
    let by = Authenticated { principal, makers: vec![dba("dana")], ..by };
    let (_, token) = shop.world.token_by(&by, "agent-7", "agents").await;
    let session = shop.world.arrive("shop", token).await.unwrap();
    assert_eq!(ruled(&session, &[create("t")]), '?');
}

#[tokio::test]
async fn it_falls_with_whoever_made_the_token_that_asked_for_it() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.session_by("bob", "agent-7").await;
    drop(shop.granted(&session, &[create("t")], 60).await);
    let other = shop.session_by("gus", "agent-7").await;
    let running = passes(&other, &[create("t")]);
    let admin = Authenticated::local_admin(None);
    shop.world.identity.revoke_oidc("https://idp", "bob", &admin, Timestamp::now()).await.unwrap();
    assert_eq!(ruled(&other, &[create("t")]), '?');
    assert!(other.follow(&running, Bytes::new()).is_err());
    assert_eq!(shop.world.gate.end_grants(Timestamp::now()).await, 1);
    let again = shop.again(BUNDLE).await;
    let (_, token) = again.token_by(&person("gus"), "agent-7", "agents").await;
    let session = again.arrive("shop", token).await.unwrap();
    assert_eq!(ruled(&session, &[create("t")]), '?', "where nobody knows of the revocation, either");
    drop(running);
}
