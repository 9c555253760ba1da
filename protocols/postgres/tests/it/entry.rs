//! Who gets in, and what those who do not are told.

use crate::speak::{ask, codes};
use crate::world::World;
use portcullis_model::EventBody;
use portcullis_testkit::wire::{RawClient, frame, startup};

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_nowhere_are_refused_with_what_to_write() {
    let world = World::new().await;
    for (database, code) in [("nowhere", "3D000"), ("shop/secret", "3D000"), ("", "3D000")] {
        let refused = RawClient::login(&world.address, "agent-7", database, &world.token).await.err().unwrap();
        assert!(refused.to_string().contains(code), "{database}: {refused}");
    }
    let mut other = RawClient::login(&world.address, "token", "shop/postgres", &world.token).await.unwrap();
    assert_eq!(ask(&mut other, "SELECT current_database()").await, Ok(vec!["postgres".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_and_another_users_token_read_the_same() {
    let world = World::new().await;
    let mut told = Vec::new();
    for (user, token) in [("agent-7", "wrong"), ("somebody-else", world.token.as_str())] {
        let refused = RawClient::login(&world.address, user, "shop", token).await.err().unwrap();
        told.push(refused.to_string().replace(user, "USER"));
    }
    assert!(told[0].contains("28P01"), "{told:?}");
    assert_eq!(told[0], told[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_turned_away_before_anything_is_judged_is_recorded() {
    let world = World::new().await;
    let bearer = b"n,a=owner,\x01auth=Bearer x\x01\x01";
    let length = u32::try_from(bearer.len()).unwrap().to_be_bytes();
    let bearer = frame(b'p', &[b"OAUTHBEARER\0", &length[..], bearer].concat());
    for (user, way, said) in [("token", "scram", None), ("agent-7", "oauth", Some(&bearer))] {
        let mut client = RawClient::connect(&world.address).await.unwrap();
        let options = format!("-c portcullis.auth={way}");
        client.send(&startup(&[("user", user), ("database", "shop"), ("options", &options)])).await.unwrap();
        if let Some(said) = said {
            client.send(said).await.unwrap();
        }
        assert_eq!(codes(&client.read_to_end().await.unwrap()), ["28000"]);
    }
    let events = world.events().await;
    let recorded: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::IdentityRefused { protocol, claimed, why, .. } => Some((&**protocol, &**claimed, &**why)),
            _ => None,
        })
        .collect();
    let expected = [
        ("postgres", "token", "SCRAM under the name that stands for any user"),
        ("postgres", "agent-7", "OAUTHBEARER as another user than the connection's"),
    ];
    assert_eq!(recorded, expected);
    assert_eq!(world.gate.counts().refused_entries, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_a_rule_gets_a_session() {
    let world = World::new().await;
    world.gate.set_policy(crate::world::policy(
        "bundle: test\napplies_to: { connections: [shop], principals: { groups: [others] } }\nrules:\n  \
         - id: reads\n    allow: { actions: [read], objects: [\"table public.*\"] }\n",
    ));
    let refused = RawClient::login(&world.address, "agent-7", "shop", &world.token).await.err().unwrap();
    assert!(refused.to_string().contains("28000"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_what_its_sessions_may_do() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, "SELECT 1").await, Ok(vec!["1".to_owned()]));
    let by = portcullis_identity::Authenticated::local_admin(None);
    for token in world.identity.list_tokens().await.unwrap() {
        let revoked = world.identity.revoke_token(token.id, &by, jiff::Timestamp::now()).await.unwrap();
        assert!(matches!(revoked, portcullis_identity::Revocation::Revoked { .. }));
    }
    assert_eq!(ask(&mut client, "SELECT 1").await, Err("42501".to_owned()));
}
