use super::*;
use crate::tests::{House, grant, principal, terms};
use crate::{Offer, VoteError};
use portcullis_model::{
    Action, CredentialKind, HoldTerms, Name, Object, Operation, Protocol, QualifiedName, RelationKind, TokenId,
};

fn drops() -> Operation {
    Operation::new(Action::Drop, Object::relation(QualifiedName::new("public", "t"), RelationKind::Table))
}

fn agent() -> Principal {
    principal("agent-7", CredentialKind::Token(TokenId::new()))
}

fn shop() -> Connection {
    Connection {
        name: Name::canonical("shop"),
        protocol: Protocol::Postgres,
        address: "127.0.0.1:5432".into(),
        database: Some(Name::canonical("shop")),
        login: "app".into(),
    }
}

fn granting(rule: &str, groups: &[&str], approvals: u32, minutes: u64) -> HoldTerms {
    HoldTerms { grant: Some(Duration::from_secs(minutes * 60)), ..terms(rule, groups, approvals) }
}

impl House {
    async fn offered(&self, rules: Vec<HoldTerms>, votes: &[(&str, &[&str], Option<u64>)]) -> Vec<Offer> {
        let (id, binding) = self.ask(rules).await;
        for (user, groups, seconds) in votes {
            match seconds {
                Some(seconds) => self.grants(id, user, groups, *seconds).await.unwrap(),
                None => self.yes(id, user, groups).await.unwrap(),
            };
        }
        self.desk.claim(id, &binding).await.unwrap()
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The grants in force for the agent in the shop.
    fn held(&self, desk: &crate::Desk) -> usize {
        desk.granted(&agent(), &shop(), self.now()).len()
    }
}

/// How long each offer lasts, by its rule.
fn lengths(house: &House, offers: &[Offer]) -> Vec<(String, i64)> {
    let left = |offer: &Offer| offer.until.duration_since(house.now()).as_secs();
    offers.iter().map(|offer| (offer.terms.rule.rule.to_string(), left(offer))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_shortest_time_that_was_asked_for_is_offered_by_each_rule() {
    let house = House::build().await;
    let dba = &["dba"][..];
    let both = &["dba", "finance"][..];
    let schema = || granting("schema", dba, 2, 30);
    let money = || granting("money", &["finance"], 1, 5);
    type Votes<'a> = &'a [(&'a str, &'a [&'a str], Option<u64>)];
    type Expected<'a> = &'a [(&'a str, i64)];
    let table: &[(Vec<HoldTerms>, Votes<'_>, Expected<'_>)] = &[
        (vec![schema()], &[("dana", dba, Some(1200)), ("erin", dba, Some(600))], &[("schema", 600)]),
        (vec![schema()], &[("dana", dba, Some(600)), ("erin", dba, Some(1800))], &[("schema", 600)]),
        // Whoever asks for none wants none.
        (vec![schema()], &[("dana", dba, Some(600)), ("erin", dba, None)], &[]),
        (vec![schema()], &[("dana", dba, None), ("erin", dba, Some(600))], &[]),
        // One vote for two rules, each with its own limit; and who does not vote on a rule says nothing about it.
        (
            vec![schema(), money()],
            &[("dana", dba, Some(900)), ("erin", both, Some(600))],
            &[("schema", 600), ("money", 300)],
        ),
        (
            vec![schema(), money()],
            &[("dana", dba, Some(900)), ("erin", dba, Some(600)), ("gil", &["finance"], None)],
            &[("schema", 600)],
        ),
        // A rule without the key grants nothing.
        (vec![schema(), terms("late", dba, 1)], &[("dana", dba, Some(60)), ("erin", dba, Some(60))], &[("schema", 60)]),
    ];
    for (rules, votes, expected) in table {
        let offers = house.offered(rules.clone(), votes).await;
        let expected: Vec<_> = expected.iter().map(|(rule, seconds)| ((*rule).to_owned(), *seconds)).collect();
        assert_eq!(lengths(&house, &offers), expected, "{votes:?}");
    }
    let offers = house.offered(vec![schema()], &[("dana", dba, Some(60)), ("erin", dba, Some(60))]).await;
    let voters: Vec<&str> = offers[0].voters.iter().map(|voter| &*voter.principal.user).collect();
    assert_eq!(voters, ["dana", "erin"]);
    assert!(offers[0].voters.iter().all(|voter| voter.issued.is_some() && voter.principal.groups.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_asked_for_only_where_a_rule_lets_it_be_given_and_for_no_longer() {
    let house = House::build().await;
    let (id, _) = house.ask(vec![granting("schema", &["dba"], 1, 30), terms("money", &["finance"], 1)]).await;
    assert!(
        matches!(house.grants(id, "dana", &["dba"], 1801).await, Err(VoteError::GrantTooLong { longest }) if longest.as_secs() == 1800)
    );
    assert!(matches!(house.grants(id, "dana", &["dba"], 0).await, Err(VoteError::NoGrant)));
    assert!(matches!(house.grants(id, "gil", &["finance"], 60).await, Err(VoteError::NoGrant)));
    // Those who asked, or made the token that asked, give themselves nothing.
    for own in ["agent-7", "AGENT-7", "maker"] {
        assert!(matches!(house.grants(id, own, &["dba"], 60).await, Err(VoteError::OwnRequest)), "{own}");
    }
    assert!(house.desk.show(id).await.unwrap().votes.is_empty(), "what was refused does not count");
    house.grants(id, "dana", &["dba"], 1800).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_the_deciding_vote() {
    let house = House::build().await;
    let (id, binding) = house.ask(vec![granting("schema", &["dba"], 1, 30)]).await;
    house.grants(id, "dana", &["dba"], 100).await.unwrap();
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(lengths(&house, &house.desk.claim(id, &binding).await.unwrap()), [("schema".to_owned(), 60)]);
    // Over before it was used.
    let (id, binding) = house.ask(vec![granting("schema", &["dba"], 1, 30)]).await;
    house.grants(id, "dana", &["dba"], 40).await.unwrap();
    tokio::time::advance(Duration::from_secs(40)).await;
    assert!(house.desk.claim(id, &binding).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_counts_from_its_giving_to_its_time_and_not_at_it() {
    let house = House::build().await;
    assert_eq!(house.held(&house.desk), 0);
    let given = Grant { until: house.now() + jiff::SignedDuration::from_secs(60), ..grant(&[drops()]) };
    house.desk.give(given.clone()).await.unwrap();
    assert!(matches!(house.desk.give(given.clone()).await, Err(GrantError::Ended)), "its name is used once");
    let before = given.until - jiff::SignedDuration::from_nanos(1);
    for (at, expected) in [(house.now(), true), (before, true), (given.until, false)] {
        assert_eq!(house.desk.granted(&agent(), &shop(), at).len() == 1, expected);
        assert_eq!(house.desk.is_in_force(&given, at), expected);
    }
    let other = Principal { user: "agent-8".into(), subject: "agent-8".into(), ..agent() };
    assert!(house.desk.granted(&other, &shop(), house.now()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_does_not_count_and_does_not_come_back() {
    let house = House::build().await;
    let given = grant(&[drops()]);
    house.desk.give(given.clone()).await.unwrap();
    house.desk.revoke(given.id, &"dana".into()).await.unwrap();
    assert_eq!(house.held(&house.desk), 0);
    assert!(!house.desk.is_in_force(&given, house.now()));
    assert!(matches!(house.desk.revoke(given.id, &"dana".into()).await, Err(GrantError::Ended)));
    let missing = GrantId::new();
    assert!(matches!(house.desk.revoke(missing, &"dana".into()).await, Err(GrantError::NotFound(id)) if id == missing));
    // The store's own word of the giving comes late.
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert_eq!(house.held(&house.desk), 0);
    }
    let shown = house.desk.grants().unwrap();
    assert_eq!((shown[0].ended, shown[0].revoked_by.as_deref()), (Some(Ended::Revoked), Some("dana")));
}

#[tokio::test(start_paused = true)]
async fn other_gateways_and_later_runs_know_it_and_that_it_was_revoked() {
    let house = House::build().await;
    let other = house.run("two").await;
    let given = grant(&[drops()]);
    house.desk.give(given.clone()).await.unwrap();
    let hears = async |count: usize| {
        while house.held(&other) != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    hears(1).await;
    let again = house.run("one").await;
    assert_eq!(house.held(&again), 1, "it survives a restart");
    other.revoke(given.id, &"erin".into()).await.unwrap();
    hears(0).await;
    while house.held(&again) != 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(house.held(&house.run("one").await), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_once_by_the_gateway_that_gave_it_and_why() {
    let house = House::build().await;
    let other = house.run("two").await;
    let stands = |_: &Grant| true;
    let soon = Grant { until: house.now() + jiff::SignedDuration::from_secs(1), ..grant(&[drops()]) };
    let (revoked, fallen, stays) = (grant(&[drops()]), grant(&[drops()]), grant(&[drops()]));
    for one in [&soon, &revoked, &fallen, &stays] {
        house.desk.give(one.clone()).await.unwrap();
    }
    assert!(house.desk.ended(house.now(), stands).is_empty());
    other.revoke(revoked.id, &"dana".into()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = |desk: &crate::Desk| {
        let mut ended: Vec<_> =
            desk.ended(house.now(), |one| one.id != fallen.id).into_iter().map(|(one, why)| (one.id, why)).collect();
        ended.sort_by_key(|(id, _)| *id);
        ended
    };
    let mut expected = [(soon.id, Ended::Time), (revoked.id, Ended::Revoked), (fallen.id, Ended::Identity)];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(ended(&house.desk), expected);
    assert!(ended(&other).is_empty(), "not given there");
    for (id, why) in expected {
        house.desk.told(id, why).await.unwrap();
    }
    assert!(ended(&house.desk).is_empty());
    // Whoever fell does not come back with time, and neither does what a later run reads.
    let again = house.run("one").await;
    assert!(again.ended(house.now(), stands).is_empty());
    assert_eq!(again.granted(&agent(), &shop(), house.now()).len(), 1);
    assert!(again.is_in_force(&stays, house.now()) && !again.is_in_force(&fallen, house.now()));
}

#[tokio::test]
async fn what_cannot_be_read_or_is_another_grants_does_not_count() {
    let house = House::build().await;
    let given = grant(&[drops()]);
    let put = async |key: GrantId, value: Vec<u8>| {
        let _ = house.table().put(key_of(key), value.into(), Expect::Any, None).await.unwrap();
    };
    house.desk.give(given.clone()).await.unwrap();
    let kept = house.table().get(&key_of(given.id)).await.unwrap().unwrap().value.to_vec();
    put(GrantId::new(), b"{}".to_vec()).await;
    put(GrantId::new(), kept).await;
    let again = house.run("one").await;
    assert_eq!(house.held(&again), 1);
    put(given.id, b"{".to_vec()).await;
    while house.held(&again) != 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(again.revoke(given.id, &"dana".into()).await, Err(GrantError::Desk(_))));
}

#[tokio::test]
async fn a_closed_desk_has_none() {
    let desk = crate::Desk::closed();
    assert!(matches!(desk.give(grant(&[])).await, Err(GrantError::Desk(DeskError::Closed))));
    assert!(desk.granted(&agent(), &shop(), Timestamp::now()).is_empty() && desk.grants().is_err());
    assert!(!desk.is_in_force(&grant(&[]), Timestamp::now()));
    assert!(desk.ended(Timestamp::now(), |_| false).is_empty());
}

/// A vote in favour of one thing is no grant by itself: without the key, or without asking, nothing is offered.
#[tokio::test]
async fn nothing_is_granted_unasked() {
    let house = House::build().await;
    let (id, binding) = house.ask(vec![granting("schema", &["dba"], 1, 30)]).await;
    house.yes(id, "dana", &["dba"]).await.unwrap();
    assert_eq!(house.desk.claim(id, &binding).await.unwrap(), []);
}
