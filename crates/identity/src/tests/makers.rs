//! Tokens made with tokens: they go with those.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_revoked_token_takes_those_that_were_made_with_it() {
    let mut house = House::build().await;
    // What is forgotten goes by the clock.
    house.now -= SignedDuration::from_hours(5);
    let other = house.another().await;
    let admin = house.admin();
    let make = async |house: &House, user: &str, by: &Authenticated, hours: u64| {
        let lasting = NewToken::for_user(user).lasting(Duration::from_secs(hours * 3600));
        house.identity.create_token(lasting, by, house.now).await.unwrap()
    };
    let (first, spared) = (make(&house, "agent-1", &admin, 1).await, make(&house, "agent-2", &admin, 24).await);
    let used = house.present(text(&first), None, HERE).await.unwrap();
    let child = make(&house, "agent-3", &used, 24).await;
    let held = house.present(text(&child), None, HERE).await.unwrap();
    let grandchild = make(&house, "agent-4", &held, 24).await;
    let gone = [held, house.present(text(&grandchild), None, HERE).await.unwrap()];
    let kept = house.present(text(&spared), None, HERE).await.unwrap();
    // That it ran out takes nothing with it.
    house.now += SignedDuration::from_hours(5);
    for one in &gone {
        assert_eq!(house.identity.standing(one, house.now), Standing::Good);
    }
    assert!(house.present(text(&grandchild), None, HERE).await.is_ok());
    house.identity.revoke_token(first.id, &admin, house.now).await.unwrap();
    // Another revocation, which is when those that are of no use any more are forgotten.
    house.identity.revoke_token(house.make("agent-5").await.id, &admin, house.now).await.unwrap();
    // Live sessions, here and elsewhere, and at a gateway that starts later; and none begins.
    let later = house.another().await;
    for one in &gone {
        assert_eq!(house.identity.standing(one, house.now), Standing::Revoked);
        assert_eq!(later.standing(one, house.now), Standing::Revoked);
        until(&other, one, house.now, Standing::Revoked).await;
    }
    for made in [&child, &grandchild] {
        assert_eq!(house.why(text(made), None).await, Why::MakerRevoked);
    }
    assert_eq!(house.identity.standing(&kept, house.now), Standing::Good);
    assert!(house.present(text(&spared), None, HERE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_makers_token_is_gone_or_damaged_opens_nothing() {
    let house = House::build().await;
    let first = house.make("a").await;
    let used = house.present(text(&first), None, HERE).await.unwrap();
    let made = house.identity.create_token(NewToken::for_user("b"), &used, house.now).await.unwrap();
    let held = house.present(text(&made), None, HERE).await.unwrap();
    let key = tokens::key_of(first.id);
    let damaged = Bytes::from_static(b"{}");
    let _ = portcullis_store::Table::put(&*house.table, key.clone(), damaged, Expect::Any, None).await.unwrap();
    assert_eq!(house.why(text(&made), None).await, Why::Unavailable);
    until(&house.identity, &held, house.now, Standing::Revoked).await;
    let _ = portcullis_store::Table::delete(&*house.table, key, Expect::Any).await.unwrap();
    assert_eq!(house.why(text(&made), None).await, Why::MakerRevoked);
}
