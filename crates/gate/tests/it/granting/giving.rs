//! What is given, and what becomes of it where the record, the store or whoever asked is gone.

use super::*;
use portcullis_approvals::State;
use portcullis_store::{Outage, ProbedTable, TableOperation};

/// A table where what is kept under these keys can be read one by one, and not changed, read as a whole or followed.
fn failing(keys: &'static [u8]) -> Arc<ProbedTable<Outage>> {
    let covers =
        move |asked, key: &[u8]| matches!(asked, TableOperation::Put | TableOperation::Scan) && key.starts_with(keys);
    Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), Outage::of(covers)))
}

/// Asks for this, waits until its approval is claimed, and goes away before anything more is durable.
async fn leaves_while_it_is_recorded(shop: &Shop, session: &Session, operations: &[Operation]) {
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), asks(operations))) else { panic!("not held") };
    let approval = hold.approval();
    shop.world.settle(session).await;
    shop.world.log.block();
    let mut settling = Box::pin(hold.settle());
    let claimed = async {
        shop.votes(approval, &[("dana", Some(60))]).await;
        let patience = Patience::begin();
        while shop.world.desk.show(approval).await.unwrap().state != State::Used {
            patience.turn().await;
        }
    };
    tokio::select! {
        _ = &mut settling => panic!("nothing is durable"),
        () = claimed => {}
    }
    drop(settling);
    assert!(shop.world.desk.grants().unwrap().is_empty(), "it is not durable");
    shop.world.log.release();
    shop.world.gate.finish_giving().await;
    shop.world.settle(session).await;
}

/// The grants that the record says were given.
fn given(shop: &Shop, session: &Session) -> Vec<GrantId> {
    let given = shop.world.events(session.id()).into_iter().filter_map(|event| match event.body {
        EventBody::GrantGiven { grant, .. } => Some(grant),
        _ => None,
    });
    given.collect()
}

#[tokio::test]
async fn what_the_record_says_was_given_is_kept_though_whoever_asked_went_away() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    leaves_while_it_is_recorded(&shop, &session, &[create("t")]).await;
    assert_eq!(given(&shop, &session), [shop.only_grant()]);
    assert_eq!(ruled(&session, &[create("t")]), '+');
}

#[tokio::test]
async fn of_one_that_cannot_be_kept_the_record_says_the_end() {
    let table = failing(b"grant/");
    let shop = Shop::over(Arc::clone(&table) as _, Arc::new(MemoryTable::new()), BUNDLE).await;
    let session = shop.world.session().await;
    table.probe.begin();
    table.probe.cut();
    drop(shop.granted(&session, &[create("t")], 60).await);
    shop.world.settle(&session).await;
    assert_eq!(shop.ended(), [(given(&shop, &session)[0], "shop/ask agent-7 shop unkept".to_owned())]);
    leaves_while_it_is_recorded(&shop, &session, &[create("u")]).await;
    let ended: Vec<GrantId> = shop.ended().into_iter().map(|(grant, _)| grant).collect();
    assert_eq!((ended.len(), ended), (2, given(&shop, &session)));
    table.probe.end();
    assert_eq!(ruled(&session, &[create("t")]), '?');
    assert!(shop.again(BUNDLE).await.desk.grants().unwrap().is_empty());
}

/// What would be refused now gives nothing: a grant that somebody else gave stood for a rule that this decision did not know.
#[tokio::test]
async fn what_is_judged_otherwise_by_now_gives_nothing() {
    let money = "  - id: money\n    hold: { actions: [create], objects: [\"table public.t\"] }\n    approvers: { users: [fay] }\n";
    let two = format!("{BUNDLE}{money}    grant: 5m\n");
    let shop = Shop::open(BUNDLE).await;
    let (session, other) = (shop.world.session().await, shop.world.session().await);
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), asks(&[create("t")]))) else { panic!("not held") };
    shop.world.gate.set_policy(policy(&two));
    let Ruling::Hold(both) = other.ask(other.seal(Bytes::new(), asks(&[create("t")]))) else { panic!("not held") };
    assert_eq!(both.terms().len(), 2);
    let approval = both.approval();
    let (settled, ()) = tokio::join!(both.settle(), shop.votes(approval, &[("dana", None), ("fay", Some(60))]));
    assert!(matches!(settled, Settled::Forward(..)));
    let fays = shop.only_grant();
    let approval = hold.approval();
    let (settled, ()) = tokio::join!(hold.settle(), shop.votes(approval, &[("dana", Some(60))]));
    assert!(matches!(settled, Settled::Refuse(_)));
    assert_eq!(shop.only_grant(), fays);
}

/// Approvers are shown so many operations and the count of the rest, and what they were not shown they do not grant.
#[tokio::test]
async fn nothing_is_granted_of_what_was_not_shown() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    let many = |count: usize| (0..count).map(|number| create(&format!("t{number}"))).collect::<Vec<_>>();
    let long = ["a", "b", "c"].map(|name| create(&name.repeat(30 * 1024))).to_vec();
    for (operations, shown, rest) in [(many(300), 256, 44), (long, 2, 1), (many(256), 256, 0)] {
        let permit = shop.granted(&session, &operations, 60).await;
        let requests = shop.world.desk.list().await.unwrap();
        let listed = &requests.last().unwrap().request.operations;
        assert_eq!(&*listed[0], operations[0].to_string());
        assert_eq!(listed.len(), shown + usize::from(rest > 0));
        assert_eq!(rest > 0, *listed[listed.len() - 1] == *format!("… ({rest} more)"));
        assert_eq!(shop.world.desk.grants().unwrap().len(), usize::from(rest == 0));
        drop(permit);
    }
}

/// The policy epoch that a command was last judged under.
pub(super) fn judged_under(permit: &Permit) -> u64 {
    let shown = format!("{permit:?}");
    let (_, epoch) = shown.split_once("judged_under: ").unwrap();
    epoch.split_once(',').unwrap().0.parse().unwrap()
}

/// Policy that moves on costs what runs under a grant one judgment, not one for each frame.
#[tokio::test]
async fn what_runs_under_a_grant_is_judged_once_after_policy_moved_on() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    drop(shop.granted(&session, &[create("t")], 60).await);
    let running = passes(&session, &[create("t")]);
    let before = judged_under(&running);
    shop.world.gate.set_policy(policy(&BUNDLE.replace("update]", "update, lock]")));
    assert!(session.follow(&running, Bytes::new()).is_ok());
    assert_eq!(judged_under(&running), before + 1);
    shop.world.desk.revoke(shop.only_grant(), &"dana".into()).await.unwrap();
    assert!(session.follow(&running, Bytes::new()).is_err());
    drop(running);
}

/// Where nobody knows who was revoked no grant counts, and none ends for it.
#[tokio::test]
async fn what_is_not_known_of_its_people_ends_no_grant() {
    let identities = failing(b"");
    let shop = Shop::over(Arc::new(MemoryTable::new()), Arc::clone(&identities) as _, BUNDLE).await;
    let (token, text) = shop.world.token("agents").await;
    let session = shop.world.arrive("shop", text).await.unwrap();
    drop(shop.granted(&session, &[create("t")], 60).await);
    let follows = async |expected: bool| {
        let mut changes = shop.world.identity.changes();
        while shop.world.identity.is_following() != expected {
            changes.changed().await.unwrap();
        }
    };
    identities.probe.begin();
    identities.probe.cut();
    follows(false).await;
    assert_eq!(ruled(&session, &[create("t")]), '-');
    assert_eq!(shop.world.gate.end_grants(Timestamp::now()).await, 0);
    identities.probe.end();
    follows(true).await;
    assert_eq!(ruled(&session, &[create("t")]), '+');
    let admin = Authenticated::local_admin(None);
    shop.world.identity.revoke_token(token, &admin, Timestamp::now()).await.unwrap();
    assert_eq!(shop.world.gate.end_grants(Timestamp::now()).await, 1);
    shop.world.settle(&session).await;
    assert_eq!(shop.ended(), [(shop.only_grant(), "shop/ask agent-7 shop identity".to_owned())]);
}
