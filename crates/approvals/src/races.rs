//! Whoever meets whom at a desk, in every order of what they do to the store.

use crate::tests::{House, grant, one_dba, person, principal, terms};
use crate::{Ballot, Binding, Desk, Left, State, Verdict, Vote};
use jiff::Timestamp;
use portcullis_model::{ApprovalId, Connection, CredentialKind, Name, Protocol, TokenId};
use portcullis_store::{Fact, MemoryTable, Steps, explore};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// One time that a scenario is played: a house over a table in steps, and those who meet there.
struct Race {
    steps: Steps,
    house: House,
    actors: JoinSet<()>,
}

impl Race {
    async fn new(steps: Steps) -> Self {
        let house = House::over(Arc::new(steps.table(Arc::new(MemoryTable::new())))).await;
        Self { steps, house, actors: JoinSet::new() }
    }

    /// Somebody who does this; whether it succeeded.
    fn actor(&mut self, acts: impl Future<Output = bool> + Send + 'static) -> Fact {
        let succeeded = Fact::default();
        let told = succeeded.clone();
        self.actors.spawn(async move {
            if acts.await {
                told.set();
            }
        });
        succeeded
    }

    /// A claim. It may not succeed where one of these was so when it began.
    fn claims(&mut self, id: ApprovalId, binding: Binding, unless: &[Fact]) -> Fact {
        let (desk, begin, unless) = (self.house.desk.clone(), self.steps.step("claim"), unless.to_vec());
        self.actor(async move {
            begin.await;
            let late = unless.iter().any(Fact::holds);
            let claimed = desk.claim(id, &binding).await.is_ok();
            assert!(!(late && claimed), "claimed too late");
            claimed
        })
    }

    fn withdraws(&mut self, id: ApprovalId) -> Fact {
        let desk = self.house.desk.clone();
        self.actor(async move { desk.withdraw(id).await.is_ok() })
    }

    fn votes(&mut self, id: ApprovalId, user: &str, ballot: Ballot) -> Fact {
        let (desk, now) = (self.house.desk.clone(), (self.house.clock)());
        let vote = Vote::new(person(user, &["dba"]), now, now, ballot).unwrap();
        self.actor(async move { desk.vote(id, &vote).await.is_ok() })
    }

    /// So much time, at any moment.
    fn time(&mut self, secs: u64) -> Fact {
        let step = self.steps.step("time");
        self.actor(async move {
            step.await;
            tokio::time::advance(Duration::from_secs(secs)).await;
            true
        })
    }

    async fn play(&mut self) {
        self.steps.play(std::mem::take(&mut self.actors)).await;
    }
}

/// Every order of a scenario, each on a runtime of its own whose clock is paused.
fn explored<F: Future<Output = ()>>(scenario: impl Fn(Steps) -> F) -> usize {
    explore(|steps| {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(scenario(steps));
    })
}

#[test]
fn an_approval_is_used_once_and_not_after_it_was_taken_back_or_ran_out() {
    let orders = explored(async |steps| {
        let mut race = Race::new(steps).await;
        let (id, binding) = race.house.ask(one_dba()).await;
        race.house.yes(id, "dana", &["dba"]).await.unwrap();
        let gone = [race.withdraws(id), race.time(300)];
        let claims = [race.claims(id, binding, &gone), race.claims(id, binding, &gone)];
        race.play().await;
        let used = claims.iter().filter(|claim| claim.holds()).count();
        let expected: &[State] = if used == 1 { &[State::Used] } else { &[State::Withdrawn, State::Expired] };
        let state = race.house.state(id).await;
        assert!(used <= 1 && expected.contains(&state), "{used} claims, {state}, after{}", race.steps.told());
    });
    assert!(orders > 1000, "{orders}");
}

#[test]
fn a_no_is_the_end_of_it_and_people_count_once() {
    let ends = std::cell::RefCell::new(BTreeSet::new());
    let orders = explored(async |steps| {
        let mut race = Race::new(steps).await;
        let (id, binding) = race.house.ask(vec![terms("two-eyes", &["dba"], 2)]).await;
        let dana = [race.votes(id, "dana", Ballot::Yes), race.votes(id, "Dana", Ballot::Yes)];
        let (erin, fay) = (race.votes(id, "erin", Ballot::Yes), race.votes(id, "fay", Ballot::No));
        race.play().await;
        let (danas, told) = (dana.iter().filter(|vote| vote.holds()).count(), race.steps.told());
        let shown = race.house.desk.show(id).await.unwrap();
        let voters: BTreeSet<String> = shown.votes.iter().map(|cast| cast.voter.user.to_lowercase()).collect();
        assert_eq!(voters.len(), shown.votes.len(), "somebody counts twice, after{told}");
        assert_eq!(voters.len(), danas + usize::from(erin.holds()) + usize::from(fay.holds()), "after{told}");
        let expected = if fay.holds() { State::Rejected } else { State::Approved };
        assert_eq!(shown.state, expected, "after{told}");
        assert_eq!(race.house.desk.claim(id, &binding).await.is_ok(), !fay.holds(), "after{told}");
        ends.borrow_mut().insert(expected.to_string());
    });
    assert!(orders > 1000 && ends.borrow().len() == 2, "{orders} {ends:?}");
}

/// As a held command does it: it waits, and what it is told it uses.
#[test]
fn whoever_waits_is_told_how_it_ended_and_uses_only_a_yes() {
    let ends = std::cell::RefCell::new(BTreeSet::new());
    let orders = explored(async |steps| {
        let mut race = Race::new(steps).await;
        let (id, binding) = race.house.ask(one_dba()).await;
        let desk = race.house.desk.clone();
        let heard: Arc<OnceLock<Verdict>> = Arc::default();
        let verdict = Arc::clone(&heard);
        let used = race.actor(async move {
            let said = desk.watch(id).await.unwrap();
            let approved = matches!(said, Verdict::Approved { .. });
            assert!(verdict.set(said).is_ok());
            approved && desk.claim(id, &binding).await.is_ok()
        });
        let (voted, withdrawn, late) = (race.votes(id, "dana", Ballot::Yes), race.withdraws(id), race.time(600));
        race.play().await;
        let (state, said, told) = (race.house.state(id).await, heard.get().unwrap(), race.steps.told());
        assert!(withdrawn.holds() && late.holds());
        assert!(voted.holds() || !used.holds(), "used without a vote, after{told}");
        assert_eq!(used.holds(), state == State::Used, "{state} after{told}");
        assert!(voted.holds() || !matches!(said, Verdict::Approved { .. }), "{said:?} after{told}");
        ends.borrow_mut().insert(format!("{said:?} {state}"));
    });
    let approved = "Approved { by: [\"dana\"] }";
    let expected = [
        "Expired expired".to_owned(),
        // Taken back on what was read before its time was over.
        "Expired withdrawn".to_owned(),
        "Withdrawn withdrawn".to_owned(),
        format!("{approved} expired"),
        format!("{approved} used"),
        format!("{approved} withdrawn"),
    ];
    assert!(orders > 100, "{orders}");
    assert_eq!(ends.into_inner(), expected.into());
}

#[test]
fn what_an_earlier_run_asked_for_is_used_by_it_before_the_next_run_or_never() {
    let orders = explored(async |steps| {
        let mut race = Race::new(steps).await;
        let (id, binding) = race.house.ask(one_dba()).await;
        let (table, clock) = (race.house.table(), Arc::clone(&race.house.clock));
        let next: Arc<OnceLock<Desk>> = Arc::default();
        let seat = Arc::clone(&next);
        let restarted = race.actor(async move {
            let desk = Desk::open_at(table, "one", clock).await.unwrap();
            seat.set(desk).is_ok()
        });
        let voted = race.votes(id, "dana", Ballot::Yes);
        let claimed = race.claims(id, binding, std::slice::from_ref(&restarted));
        race.play().await;
        let next = next.get().unwrap();
        let state = race.house.state(id).await;
        let told = race.steps.told();
        assert!(voted.holds() || !claimed.holds(), "after{told}");
        assert_eq!(state, if claimed.holds() { State::Used } else { State::Withdrawn }, "after{told}");
        assert!(next.claim(id, &binding).await.is_err(), "the next run used it, after{told}");
    });
    assert!(orders > 100, "{orders}");
}

#[test]
fn a_grant_is_revoked_once_and_counts_nowhere_after_that() {
    let orders = explored(async |steps| {
        let mut race = Race::new(steps).await;
        let other = race.house.run("two").await;
        let (given, now) = (grant(&[]), (race.house.clock)());
        let agent = principal("agent-7", CredentialKind::Token(TokenId::new()));
        let here = Connection {
            name: given.connection.clone(),
            protocol: Protocol::Postgres,
            address: "127.0.0.1:5432".into(),
            database: Some(Name::canonical("shop")),
            login: Arc::clone(&given.login),
        };
        let id = given.id;
        let in_force = move |desk: &Desk, now: Timestamp| desk.granted(&agent, &here, now).len();
        race.house.desk.give(given).await.unwrap();
        assert_eq!(in_force(&race.house.desk, now), 1);
        let revoked = ["dana", "erin"].map(|by| {
            let (desk, in_force) = (race.house.desk.clone(), in_force.clone());
            race.actor(async move {
                let revoked = desk.revoke(id, &by.into()).await.is_ok();
                assert_eq!(in_force(&desk, now), 0, "in force after it was revoked");
                revoked
            })
        });
        race.play().await;
        let told = race.steps.told();
        assert_eq!(revoked.iter().filter(|revoked| revoked.holds()).count(), 1, "after{told}");
        for desk in [&race.house.desk, &other] {
            assert_eq!(in_force(desk, now), 0, "in force, after{told}");
        }
    });
    assert!(orders > 100, "{orders}");
}

#[test]
fn of_two_of_the_same_that_are_left_one_stays_open_and_is_found() {
    let orders = explored(async |steps| {
        let mut race = Race::new(steps).await;
        let terms = one_dba();
        let request = race.house.request(terms.clone());
        let (requester, binding) = (request.requester.clone(), request.binding);
        let asked = [request.id, ApprovalId::new()];
        for id in asked {
            race.house.desk.open(crate::Request { id, ..request.clone() }).await.unwrap();
        }
        let left = asked.map(|id| {
            let desk = race.house.desk.clone();
            race.actor(async move { desk.leave(id).await.is_ok() })
        });
        race.play().await;
        let told = race.steps.told();
        assert!(left.iter().all(Fact::holds), "after{told}");
        let mut open = Vec::new();
        for id in asked {
            if race.house.state(id).await == State::Open {
                open.push(id);
            }
        }
        let found = race.house.desk.left(&requester, &binding, &terms).await.unwrap();
        assert!(matches!(found, Some(Left::Open { id, .. }) if open == [id]), "{found:?} of {open:?}, after{told}");
    });
    assert!(orders > 10, "{orders}");
}
