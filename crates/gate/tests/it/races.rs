//! What can happen to a held command while it waits, in every order of what happens to the stores: somebody votes, its
//! token is revoked, its policy changes, its client goes, its time runs out, its gateway starts again.

use crate::holding::dba;
use crate::world::{BUNDLE, World, command, policy, table};
use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use portcullis_approvals::{Ballot, Clock, Desk, State, Vote};
use portcullis_audit::Durability;
use portcullis_gate::{Ruling, Session, Settled};
use portcullis_identity::Authenticated;
use portcullis_model::{Action, ApprovalId, EventBody, Operation, Outcome, Reason, TokenId};
use portcullis_store::{Fact, MemoryTable, Steps, Table, explore};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How the command ended, and what was so by then.
struct End {
    said: Result<(), Reason>,
    overtaken: bool,
}

/// One time that a scenario is played.
struct Race {
    steps: Steps,
    world: Arc<World>,
    /// The desk's.
    clock: Clock,
    /// What the desk keeps, without steps.
    kept: Arc<MemoryTable>,
    session: Session,
    token: TokenId,
    approval: ApprovalId,
    actors: JoinSet<()>,
    end: Arc<OnceLock<End>>,
    /// Whether nobody waits any more.
    over: watch::Sender<bool>,
}

impl Race {
    /// A held command whose client stays, or may go at any moment; it may not pass where one of these was so.
    async fn new(steps: Steps, stays: bool, unless: &[Fact]) -> Self {
        let (wall, start) = (Timestamp::now(), Instant::now());
        let kept = Arc::new(MemoryTable::new());
        let clock: Clock = Arc::new(move || wall + start.elapsed());
        let stepped = steps.table(Arc::clone(&kept) as _);
        // Only who goes away meets a write that was done and not answered.
        let stepped = if stays { stepped } else { stepped.answering_late() };
        let desk = Desk::open_at(Arc::new(stepped), "gateway-1", Arc::clone(&clock)).await.unwrap();
        let identities = Arc::new(steps.table(Arc::new(MemoryTable::new())));
        let wait = Duration::from_secs(3600);
        let world = Arc::new(World::over(identities, Durability::Strict, desk, wait).await);
        let (token, text) = world.token("agents").await;
        let session = world.arrive("shop", text).await.unwrap();
        // What was set going so far has come to its end when a paused clock moves.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let create = command("create table t ()", Operation::new(Action::Create, table("t")));
        let Ruling::Hold(hold) = session.ask(session.seal(Bytes::from_static(b"create"), create)) else {
            panic!("not held")
        };
        let (approval, end, over) = (hold.approval(), Arc::default(), watch::Sender::new(false));
        let mut race = Self { steps, world, clock, kept, session, token, approval, actors: JoinSet::new(), end, over };
        let (end, gone, unless) = (Arc::clone(&race.end), race.steps.step("gone"), unless.to_vec());
        let over = race.over.clone();
        race.actor(async move {
            let gone = async move {
                match stays {
                    true => std::future::pending().await,
                    false => gone.await,
                }
            };
            let settled = tokio::select! { biased; settled = hold.settle() => Some(settled), () = gone => None };
            over.send_replace(true);
            let Some(settled) = settled else { return };
            let said = match &settled {
                Settled::Forward(..) => Ok(()),
                Settled::Refuse(denial) => Err(denial.reason.clone()),
            };
            let ended = End { said, overtaken: unless.iter().any(Fact::holds) };
            assert!(end.set(ended).is_ok());
        });
        race
    }

    fn actor(&mut self, acts: impl Future<Output = ()> + Send + 'static) {
        self.actors.spawn(acts);
    }

    /// Somebody who votes at any moment after the request was opened; whether it counted.
    fn votes(&mut self, ballot: Ballot) -> Fact {
        let (counted, desk, approval) = (Fact::default(), self.world.desk.clone(), self.approval);
        let (told, mut opened, mut over) = (counted.clone(), self.kept.watch(b"approval/"), self.over.subscribe());
        let clock = Arc::clone(&self.clock);
        self.actor(async move {
            tokio::select! {
                biased;
                _ = opened.next() => {}
                _ = over.wait_for(|over| *over) => return,
            }
            let now = clock();
            let vote = Vote::new(dba("dana"), now, now, ballot).unwrap();
            if desk.vote(approval, &vote).await.is_ok() {
                told.set();
            }
        });
        counted
    }

    /// The command's token is revoked at any moment.
    fn revokes(&mut self, revoked: &Fact) {
        let (world, token, revoked) = (Arc::clone(&self.world), self.token, revoked.clone());
        self.actor(async move {
            let by = Authenticated::local_admin(None);
            world.identity.revoke_token(token, &by, Timestamp::now()).await.unwrap();
            revoked.set();
        });
    }

    /// The policy changes at any moment.
    fn changes(&mut self, to: &str, changed: &Fact) {
        let (world, set, step, changed) =
            (Arc::clone(&self.world), policy(to), self.steps.step("policy"), changed.clone());
        self.actor(async move {
            step.await;
            world.gate.set_policy(set);
            changed.set();
        });
    }

    /// The time in which people could decide is over, at any moment.
    fn time(&mut self) {
        let step = self.steps.step("time");
        self.actor(async move {
            step.await;
            // A minute more than they have: a request is dated by the real clock, which may be ahead of this one by what
            // it took to get here.
            tokio::time::advance(Duration::from_secs(660)).await;
        });
    }

    /// Another run of the gateway takes the seat, at any moment.
    fn restarts(&mut self) {
        let (kept, steps, seat) = (Arc::clone(&self.kept), self.steps.clone(), self.world.desk.clone());
        let clock = Arc::clone(&self.clock);
        let step = self.steps.step("restart");
        self.actor(async move {
            step.await;
            let next = Desk::open_at(Arc::new(steps.table(kept)), "gateway-1", clock).await;
            assert!(next.unwrap().can_approve() && seat.can_approve());
        });
    }

    /// Plays it to its end, and holds against it what is so in every order; says how it ended.
    async fn ends(mut self) -> String {
        self.steps.play(std::mem::take(&mut self.actors)).await;
        let told = self.steps.told();
        let state = self.world.desk.show(self.approval).await.map(|shown| shown.state);
        let end = self.end.get();
        let said = match end.map(|end| &end.said) {
            None => "gone",
            Some(Ok(())) => "forwarded",
            Some(Err(Reason::Rejected { .. })) => "rejected",
            Some(Err(Reason::Expired { .. })) => "expired",
            Some(Err(Reason::Recalled { .. })) => "recalled",
            Some(Err(Reason::IdentityRevoked)) => "revoked",
            Some(Err(Reason::Rule { .. })) => "denied",
            Some(Err(other)) => panic!("{other} after{told}"),
        };
        if said == "forwarded" {
            assert_eq!(state.as_ref().ok(), Some(&State::Used), "forwarded on what was not used, after{told}");
            assert!(!end.unwrap().overtaken, "forwarded all the same, after{told}");
        }
        self.world.settle(&self.session).await;
        let (mut requested, mut ended) = (0, Vec::new());
        for event in self.world.events(self.session.id()) {
            match event.body {
                EventBody::ApprovalRequested { .. } => requested += 1,
                EventBody::ApprovalSettled { verdict, .. } => ended.push(verdict.to_string()),
                EventBody::CommandSettled { outcome, .. } => ended.push(match outcome {
                    Outcome::Refused { .. } => "refused".to_owned(),
                    Outcome::Withdrawn => "withdrawn".to_owned(),
                    other => format!("{other:?}"),
                }),
                _ => {}
            }
        }
        assert!(requested <= 1 && (requested == 1 || said == "gone"), "{requested} requests, after{told}");
        let record = ended.join(" ");
        let expected: &[&str] = match said {
            // Its permit is dropped with the test.
            "forwarded" => &["approved Interrupted"],
            "gone" => &["withdrawn withdrawn"],
            "rejected" => &["rejected refused"],
            "expired" => &["expired refused", "approved overtaken refused"],
            "recalled" => &["withdrawn refused"],
            "revoked" | "denied" => &["approved overtaken refused"],
            other => panic!("{other}"),
        };
        assert!(expected.contains(&record.as_str()), "{said}: {record}, after{told}");
        format!("{said} {}", state.map_or_else(|_| "absent".to_owned(), |state| state.to_string()))
    }
}

/// Every order of a scenario, each on a runtime of its own whose clock is paused: how it can end.
fn ends<F: Future<Output = String>>(scenario: impl Fn(Steps) -> F) -> BTreeSet<String> {
    let mut ends = BTreeSet::new();
    let orders = explore(|steps| {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        ends.insert(runtime.block_on(scenario(steps)));
    });
    assert!(orders > 5, "{orders}");
    ends
}

fn set(ends: &[&str]) -> BTreeSet<String> {
    ends.iter().map(|end| (*end).to_owned()).collect()
}

#[test]
fn a_token_that_is_revoked_while_people_say_yes() {
    let ends = ends(async |steps| {
        let revoked = Fact::default();
        let mut race = Race::new(steps, true, std::slice::from_ref(&revoked)).await;
        race.votes(Ballot::Yes);
        race.revokes(&revoked);
        race.ends().await
    });
    assert_eq!(ends, set(&["forwarded used", "revoked used"]));
}

#[test]
fn a_policy_that_changes_while_people_say_yes() {
    let denies = BUNDLE
        .replace("hold: { actions: [create]", "deny: { actions: [create]")
        .replace("    approvers: { groups: [dba] }\n    expires: 10m\n", "");
    let asks_more = BUNDLE.replace("expires: 10m", "approvals: 2\n    expires: 10m");
    for (to, refused) in [(denies, "denied used"), (asks_more, "expired used")] {
        let ends = ends(async |steps| {
            let changed = Fact::default();
            let mut race = Race::new(steps, true, std::slice::from_ref(&changed)).await;
            race.votes(Ballot::Yes);
            race.changes(&to, &changed);
            race.ends().await
        });
        assert_eq!(ends, set(&["forwarded used", refused]));
    }
}

/// Whoever goes may leave an approval that was claimed and used for nothing, never one that could be.
#[test]
fn a_client_that_goes_while_people_say_yes() {
    let ends = ends(async |steps| {
        let mut race = Race::new(steps, false, &[]).await;
        race.votes(Ballot::Yes);
        race.ends().await
    });
    assert_eq!(ends, set(&["forwarded used", "gone absent", "gone used", "gone withdrawn"]));
}

#[test]
fn a_no_and_the_end_of_the_time_while_people_decide() {
    for (ballot, decided) in [(Ballot::Yes, "forwarded used"), (Ballot::No, "rejected rejected")] {
        let ends = ends(async |steps| {
            let mut race = Race::new(steps, true, &[]).await;
            race.votes(ballot);
            race.time();
            race.ends().await
        });
        assert!(ends.contains(decided) && ends.contains("expired expired"), "{ends:?}");
        assert!(ends.iter().all(|end| end == decided || end.starts_with("expired ")), "{ends:?}");
    }
}

#[test]
fn a_gateway_that_starts_again_while_people_say_yes() {
    let ends = ends(async |steps| {
        let mut race = Race::new(steps, true, &[]).await;
        race.votes(Ballot::Yes);
        race.restarts();
        race.ends().await
    });
    assert_eq!(ends, set(&["expired withdrawn", "forwarded used", "recalled withdrawn"]));
}
