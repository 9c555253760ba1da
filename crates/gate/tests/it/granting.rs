//! What people allowed for some minutes.

mod giving;
mod people;

use crate::holding::dba;
use crate::world::{Patience, World, policy, table};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use portcullis_approvals::{Ballot, Desk, Vote};
use portcullis_audit::Durability;
use portcullis_gate::{Permit, Ruling, Session, Settled};
use portcullis_identity::Authenticated;
use portcullis_model::{
    Action, Columns, Command, Digest, EventBody, GrantId, Mark, Name, Object, Operation, Outcome, Principal,
    QualifiedName, Reason, RelationKind, Source, Text,
};
use portcullis_store::{MemoryTable, StoreError, Table};
use std::sync::Arc;
use std::time::Duration;

const BUNDLE: &str = r#"
bundle: shop
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read, update], objects: ["table public.*"] }
  - id: ask
    hold: { actions: [create, drop, delete], objects: ["table public.*"] }
    approvers: { groups: [dba] }
    grant: 30m
"#;

fn create(name: &str) -> Operation {
    Operation::new(Action::Create, table(name))
}

fn asks(operations: &[Operation]) -> Command {
    let text: Vec<String> = operations.iter().map(ToString::to_string).collect();
    let text = text.join("; ");
    Command::new(Source::Sql, Text::plain(text.as_str()), operations, Digest::of(text.as_bytes()))
}

struct Shop {
    world: World,
    table: Arc<dyn Table>,
}

impl Shop {
    async fn open(text: &str) -> Self {
        Self::over(Arc::new(MemoryTable::new()), Arc::new(MemoryTable::new()), text).await
    }

    /// One whose requests and grants are kept in the first table, and its identities in the other.
    async fn over(table: Arc<dyn Table>, identities: Arc<dyn Table>, text: &str) -> Self {
        let desk = Desk::open_at(Arc::clone(&table), "gateway-1", Arc::new(Timestamp::now)).await.unwrap();
        let world = World::over(identities, Durability::Strict, desk, Duration::from_secs(3600)).await;
        world.gate.set_policy(policy(text));
        Self { world, table }
    }

    /// Another run of the gateway over the same table.
    async fn again(&self, text: &str) -> World {
        let desk = Desk::open_at(Arc::clone(&self.table), "gateway-1", Arc::new(Timestamp::now)).await.unwrap();
        let world = World::with(Durability::Strict, desk).await;
        world.gate.set_policy(policy(text));
        world
    }

    async fn votes(&self, approval: portcullis_model::ApprovalId, users: &[(&str, Option<u64>)]) {
        for (user, seconds) in users {
            let now = Timestamp::now();
            let vote = Vote::new(dba(user), now, now, Ballot::Yes).unwrap();
            let vote = seconds.map_or(vote.clone(), |seconds| vote.granting(Duration::from_secs(seconds)));
            let patience = Patience::begin();
            while self.world.desk.vote(approval, &vote).await.is_err() {
                patience.turn().await;
            }
        }
    }

    /// Has this approved with a grant of so many seconds.
    async fn granted(&self, session: &Session, operations: &[Operation], seconds: u64) -> Permit {
        self.approved(session, operations, &[("dana", Some(seconds))]).await
    }

    async fn approved(&self, session: &Session, operations: &[Operation], users: &[(&str, Option<u64>)]) -> Permit {
        let Ruling::Hold(hold) = session.ask(session.seal(Bytes::from_static(b"x"), asks(operations))) else {
            panic!("not held")
        };
        let approval = hold.approval();
        let (settled, ()) = tokio::join!(hold.settle(), self.votes(approval, users));
        match settled {
            Settled::Forward(_, permit) => permit,
            Settled::Refuse(denial) => panic!("{}", denial.reason),
        }
    }

    fn only_grant(&self) -> GrantId {
        let grants = self.world.desk.grants().unwrap();
        let [only] = grants.as_slice() else { panic!("not one: {grants:?}") };
        only.grant.id
    }
}

impl Shop {
    /// The ends of grants that are in the record.
    fn ended(&self) -> Vec<(GrantId, String)> {
        let (streams, _) = self.world.recorder.reader().sessions(None, 20).unwrap();
        let events = streams.iter().flat_map(|stream| self.world.events(stream.id));
        let ended = events.filter_map(|event| match event.body {
            EventBody::GrantEnded { grant, rule, user, connection, why } => {
                Some((grant, format!("{rule} {user} {connection} {why}")))
            }
            _ => None,
        });
        ended.collect()
    }
}

/// What becomes of a command: `+`, `?` or `-`.
fn ruled(session: &Session, operations: &[Operation]) -> char {
    match session.ask(session.seal(Bytes::from_static(b"x"), asks(operations))) {
        Ruling::Forward(_, permit) => {
            session.settle(permit, Outcome::Skipped, None);
            '+'
        }
        Ruling::Hold(hold) => {
            drop(hold);
            '?'
        }
        Ruling::Refuse(_) => '-',
    }
}

fn passes(session: &Session, operations: &[Operation]) -> Permit {
    match session.ask(session.seal(Bytes::from_static(b"x"), asks(operations))) {
        Ruling::Forward(_, permit) => permit,
        Ruling::Hold(_) => panic!("held"),
        Ruling::Refuse(denial) => panic!("{}", denial.reason),
    }
}

#[tokio::test]
async fn what_is_granted_passes_and_nothing_wider() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    let bulk = Operation::new(Action::Delete, table("t")).marked(Mark::Bulk);
    assert_eq!(ruled(&session, &[create("t")]), '?');
    drop(shop.granted(&session, &[create("t"), bulk.clone()], 60).await);
    let delete = Operation::new(Action::Delete, table("t"));
    let reads = Operation::new(Action::Read, table("orders"));
    for (expected, operations) in [
        ('+', vec![create("t")]),
        ('+', vec![create("t"), create("t")]),
        ('+', vec![bulk.clone()]),
        ('+', vec![delete.clone(), create("t")]),
        ('+', vec![create("t"), reads]),
        ('?', vec![create("u")]),
        ('?', vec![create("t"), create("u")]),
        ('?', vec![Operation::new(Action::Drop, table("t"))]),
        ('?', vec![delete.clone().marked(Mark::Unbounded)]),
        ('?', vec![delete.clone().naming(Columns::Named([Name::canonical("a")].into()))]),
        ('?', vec![create("t"), delete.clone().marked(Mark::Locks)]),
        ('-', vec![create("t"), Operation::unknown()]),
        ('-', vec![create("t"), Operation::new(Action::Truncate, table("t"))]),
        ('-', vec![create("t").marked(Mark::Dynamic)]),
    ] {
        assert_eq!(ruled(&session, &operations), expected, "{operations:?}");
    }
}

#[tokio::test]
async fn what_is_not_wholly_known_is_approved_and_not_granted() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    let unresolved = Object::relation(QualifiedName::unresolved("t"), RelationKind::Table);
    let drops = [Operation::new(Action::Drop, unresolved)];
    drop(shop.granted(&session, &drops, 60).await);
    assert!(shop.world.desk.grants().unwrap().is_empty());
    assert_eq!(ruled(&session, &drops), '?');
}

#[tokio::test]
async fn a_grant_is_one_principals_in_one_place() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    drop(shop.granted(&session, &[create("t")], 60).await);
    let same = shop.world.session().await;
    assert_eq!(ruled(&same, &[create("t")]), '+', "another session of the same user");
    let (_, token) = shop.world.token("agents").await;
    let owner = shop.world.arrive_as("shop", Some("owner"), token).await.unwrap();
    assert_eq!(ruled(&owner, &[create("t")]), '?', "another login");
    let other = shop.world.session_of("agent-8").await;
    assert_eq!(ruled(&other, &[create("t")]), '?', "another user");
}

#[tokio::test]
async fn other_rules_still_judge_it() {
    let two = format!(
        "{}  - id: money\n    hold: {{ actions: [create], objects: [\"table public.t\"] }}\n    approvers: {{ users: [fay] }}\n    grant: 5m\n",
        BUNDLE
    );
    let shop = Shop::open(&two).await;
    let session = shop.world.session().await;
    // Fay says yes to hers without a grant: hers still holds, the other does not.
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), asks(&[create("t")]))) else { panic!("not held") };
    assert_eq!(hold.terms().len(), 2);
    let approval = hold.approval();
    let votes = async {
        shop.votes(approval, &[("dana", Some(60))]).await;
        let now = Timestamp::now();
        let fay = Vote::new(Principal { groups: [].into(), ..dba("fay") }, now, now, Ballot::Yes);
        shop.world.desk.vote(approval, &fay.unwrap()).await.unwrap();
    };
    let (settled, ()) = tokio::join!(hold.settle(), votes);
    assert!(matches!(settled, Settled::Forward(..)));
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), asks(&[create("t")]))) else { panic!("not held") };
    let rules: Vec<&str> = hold.terms().iter().map(|terms| &*terms.rule.rule).collect();
    assert_eq!(rules, ["money"]);
    drop(hold);
    // A deny wins.
    shop.world.gate.set_policy(policy(&format!(
        "{}  - id: never\n    deny: {{ actions: [create], objects: [\"table public.t\"] }}\n",
        BUNDLE
    )));
    assert_eq!(ruled(&session, &[create("t")]), '-');
    shop.world.gate.set_policy(policy(BUNDLE));
    assert_eq!(ruled(&session, &[create("t")]), '+');
}

#[tokio::test]
async fn a_rule_that_asks_for_something_else_by_now_holds() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    drop(shop.granted(&session, &[create("t")], 60).await);
    for changed in [
        BUNDLE.replace("grant: 30m", "grant: 20m"),
        BUNDLE.replace("    grant: 30m\n", ""),
        BUNDLE.replace("grant: 30m", "grant: 30m\n    approvals: 2"),
        BUNDLE.replace("groups: [dba]", "groups: [dba, owners]"),
        BUNDLE.replace("id: ask", "id: asks"),
    ] {
        shop.world.gate.set_policy(policy(&changed));
        assert_eq!(ruled(&session, &[create("t")]), '?', "{changed}");
    }
    shop.world.gate.set_policy(policy(BUNDLE));
    assert_eq!(ruled(&session, &[create("t")]), '+');
}

#[tokio::test]
async fn what_runs_under_a_grant_goes_stale_with_it() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    // What was approved itself does not end with the grant that was given beside it.
    let approved = shop.granted(&session, &[create("t")], 60).await;
    let under = passes(&session, &[create("t")]);
    assert!(session.follow(&under, Bytes::new()).is_ok());
    // Also where policy moved on meanwhile, and it was judged again.
    let tightened =
        format!("{}  - id: more\n    allow: {{ actions: [lock], objects: [\"table public.*\"] }}\n", BUNDLE);
    shop.world.gate.set_policy(policy(&tightened));
    assert!(session.follow(&under, Bytes::new()).is_ok());
    let plain = passes(&session, &[Operation::new(Action::Read, table("orders"))]);
    let grant = shop.only_grant();
    shop.world.desk.revoke(grant, &"dana".into()).await.unwrap();
    let Err(stale) = session.follow(&under, Bytes::new()) else { panic!("it went on") };
    assert!(matches!(stale.denial.reason, Reason::GrantEnded { grant: ended, .. } if ended == grant));
    assert_eq!(ruled(&session, &[create("t")]), '?');
    assert!(session.follow(&plain, Bytes::new()).is_ok());
    drop((approved, under, plain));
}

#[tokio::test]
async fn what_policy_let_run_under_a_grant_only_later_goes_stale_with_it_too() {
    let allowed = BUNDLE.replace("allow: { actions: [read, update]", "allow: { actions: [read, update, create]");
    let free = allowed.replace("hold: { actions: [create, ", "hold: { actions: [");
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    drop(shop.granted(&session, &[create("t")], 60).await);
    shop.world.gate.set_policy(policy(&free));
    let running = passes(&session, &[create("t")]);
    shop.world.gate.set_policy(policy(BUNDLE));
    let under = giving::judged_under(&running);
    assert!(session.follow(&running, Bytes::new()).is_ok(), "the grant stands for it now");
    assert_eq!(giving::judged_under(&running), under, "its end is looked for each time");
    shop.world.desk.revoke(shop.only_grant(), &"dana".into()).await.unwrap();
    assert!(session.follow(&running, Bytes::new()).is_err());
    drop(running);
}

#[tokio::test]
async fn time_ends_it_at_the_next_ask_and_for_what_runs() {
    let mut seconds = 1;
    let (shop, session, until, running) = loop {
        let shop = Shop::open(BUNDLE).await;
        let session = shop.world.session().await;
        drop(shop.granted(&session, &[create("t")], seconds).await);
        let until = shop.world.desk.grants().unwrap().first().map(|shown| shown.grant.until);
        let ruling = session.ask(session.seal(Bytes::from_static(b"x"), asks(&[create("t")])));
        if let (Some(until), Ruling::Forward(_, running)) = (until, ruling) {
            break (shop, session, until, running);
        }
        // A busy machine used it too late: anew, with a longer one.
        seconds *= 4;
        assert!(seconds < 100, "nothing passes under it");
    };
    let lasts = SignedDuration::from_secs(i64::try_from(seconds).unwrap());
    while Timestamp::now() < until {
        assert!(until.duration_since(Timestamp::now()) <= lasts);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ruled(&session, &[create("t")]), '?');
    assert!(session.follow(&running, Bytes::new()).is_err());
    assert_eq!(shop.world.gate.end_grants(Timestamp::now()).await, 1);
    assert_eq!(shop.world.gate.end_grants(Timestamp::now()).await, 0, "its end is told once");
    drop(running);
}

#[tokio::test]
async fn it_ends_with_the_token_that_asked_for_it_and_does_not_come_back() {
    let shop = Shop::open(BUNDLE).await;
    let (token, text) = shop.world.token("agents").await;
    let session = shop.world.arrive("shop", text).await.unwrap();
    drop(shop.granted(&session, &[create("t")], 60).await);
    let other = shop.world.session().await;
    let running = passes(&other, &[create("t")]);
    let admin = Authenticated::local_admin(None);
    shop.world.identity.revoke_token(token, &admin, Timestamp::now()).await.unwrap();
    assert_eq!(ruled(&other, &[create("t")]), '?');
    assert!(other.follow(&running, Bytes::new()).is_err());
    assert_eq!(shop.world.gate.end_grants(Timestamp::now()).await, 1);
    let again = shop.again(BUNDLE).await;
    let session = again.session().await;
    assert_eq!(ruled(&session, &[create("t")]), '?', "where that token is not known, either");
    drop(running);
}

#[tokio::test]
async fn it_ends_with_whoever_gave_it() {
    let shop = Shop::open(&BUNDLE.replace("grant: 30m", "grant: 30m\n    approvals: 2")).await;
    let session = shop.world.session().await;
    drop(shop.approved(&session, &[create("t")], &[("dana", Some(60)), ("erin", Some(50))]).await);
    assert_eq!(ruled(&session, &[create("t")]), '+');
    let admin = Authenticated::local_admin(None);
    shop.world.identity.revoke_oidc("https://idp", "erin", &admin, Timestamp::now()).await.unwrap();
    assert_eq!(ruled(&session, &[create("t")]), '?');
}

#[tokio::test]
async fn it_survives_a_restart_and_no_longer_than_its_rule() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    drop(shop.granted(&session, &[create("t")], 60).await);
    let again = shop.again(BUNDLE).await;
    let session = again.session().await;
    assert_eq!(ruled(&session, &[create("t")]), '+');
    again.gate.set_policy(policy(&BUNDLE.replace("grant: 30m", "grant: 30m\n    approvals: 3")));
    assert_eq!(ruled(&session, &[create("t")]), '?');
}

#[tokio::test]
async fn everything_about_it_is_in_the_record() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    drop(shop.granted(&session, &[create("t")], 60).await);
    drop(passes(&session, &[create("t")]));
    let grant = shop.only_grant();
    shop.world.desk.revoke(grant, &"dana".into()).await.unwrap();
    shop.world.gate.end_grants(Timestamp::now()).await;
    shop.world.settle(&session).await;
    let mut told = Vec::new();
    for event in shop.world.events(session.id()) {
        match event.body {
            EventBody::GrantGiven { command, grant: id, rule, operations, voters, .. } => {
                assert_eq!((id, &*operations[0].shown), (grant, "create table public.t"));
                told.push(format!("{command} given by {} for {rule}", voters.join(" ")));
            }
            EventBody::CommandDecided { command, verdict, grants, .. } => {
                told.push(format!("{command} {} {}", verdict.word(), grants.contains(&grant)));
            }
            EventBody::ApprovalSettled { command, verdict, .. } => told.push(format!("{command} {verdict}")),
            _ => {}
        }
    }
    assert_eq!(told, ["1 hold false", "1 approved", "1 given by dana for shop/ask", "2 allow true"]);
    assert_eq!(shop.ended(), [(grant, "shop/ask agent-7 shop revoked".to_owned())]);
}

/// Whoever gives up while what was approved is being granted: the approval is used, and nothing runs.
#[tokio::test]
async fn a_client_that_goes_behind_the_approval_leaves_one_verdict() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), asks(&[create("t")]))) else { panic!("not held") };
    let approval = hold.approval();
    let mut settling = Box::pin(hold.settle());
    let voting = shop.votes(approval, &[("dana", Some(60))]);
    let giving_up = async {
        let patience = Patience::begin();
        while shop.world.desk.grants().unwrap().is_empty() {
            assert!(futures_util::poll!(&mut settling).is_pending());
            patience.turn().await;
        }
        drop(settling);
    };
    tokio::join!(voting, giving_up);
    shop.world.settle(&session).await;
    let told = shop.world.events(session.id()).into_iter().filter_map(|event| match event.body {
        EventBody::ApprovalSettled { verdict, .. } => Some(verdict.to_string()),
        EventBody::CommandSettled { outcome, .. } => Some(format!("{outcome:?}")),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["approved", "Withdrawn"]);
}

/// A record that cannot say that it was given: it does not count, not even after the record is whole again.
#[tokio::test]
async fn a_grant_that_is_not_in_the_record_is_none() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), asks(&[create("t")]))) else { panic!("not held") };
    let approval = hold.approval();
    shop.world.settle(&session).await;
    shop.world.log.fail_after(0, StoreError::Full);
    let (settled, ()) = tokio::join!(hold.settle(), shop.votes(approval, &[("dana", Some(60))]));
    drop(settled);
    assert!(shop.world.desk.grants().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_granted_where_policy_overtook_the_approval() {
    let shop = Shop::open(BUNDLE).await;
    let session = shop.world.session().await;
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), asks(&[create("t")]))) else { panic!("not held") };
    let approval = hold.approval();
    shop.world.gate.set_policy(policy(&BUNDLE.replace("grant: 30m", "grant: 30m\n    approvals: 2")));
    let (settled, ()) = tokio::join!(hold.settle(), shop.votes(approval, &[("dana", Some(60))]));
    assert!(matches!(settled, Settled::Refuse(_)));
    assert!(shop.world.desk.grants().unwrap().is_empty());
}
