use super::*;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use portcullis_model::{
    CredentialKind, DecisionId, GrantId, HoldTerms, Name, Operation, Principal, RuleId, SessionId, Text, TokenId,
};
use portcullis_store::{MemoryTable, Probe, ProbedTable, TableOperation};
use tokio::time::Instant;

/// What is read is old by the time it is used, so that changes at the same time do meet.
struct Slow;

impl Probe for Slow {
    fn after<'p>(&'p self, operation: TableOperation, _: &'p [u8]) -> BoxFuture<'p, ()> {
        Box::pin(async move {
            if operation == TableOperation::Get {
                tokio::task::yield_now().await;
            }
        })
    }
}

pub(crate) fn principal(user: &str, credential: CredentialKind) -> Principal {
    Principal {
        issuer: "https://idp.example.com".into(),
        subject: user.into(),
        user: user.into(),
        groups: [].into(),
        claims: [].into(),
        credential,
    }
}

pub(crate) fn person(user: &str, groups: &[&str]) -> Principal {
    Principal {
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        ..principal(user, CredentialKind::Oidc)
    }
}

pub(crate) fn terms(rule: &str, groups: &[&str], approvals: u32) -> HoldTerms {
    HoldTerms {
        rule: RuleId { bundle: "shop".into(), rule: rule.into() },
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        users: [].into(),
        approvals,
        expires: Duration::from_secs(600),
        valid: Duration::from_secs(300),
        in_transaction: false,
        grant: None,
        needs_reason: false,
        counts_rows: false,
    }
}

/// A grant of these operations for `agent-7` on `shop`, for ten minutes from now.
pub(crate) fn grant(operations: &[Operation]) -> Grant {
    let given = Timestamp::now();
    Grant {
        id: GrantId::new(),
        approval: ApprovalId::new(),
        terms: terms("schema-change", &["dba"], 1),
        holder: Party::of(&principal("agent-7", CredentialKind::Token(TokenId::new())), None),
        connection: Name::canonical("shop"),
        database: Some(Name::canonical("shop")),
        login: "app".into(),
        operations: operations.to_vec(),
        voters: vec![Party::of(&person("dana", &["dba"]), Some(given))],
        given,
        until: given + SignedDuration::from_secs(600),
    }
}

/// A desk whose clock is the runtime's, which a test can move.
pub(crate) struct House {
    table: Arc<dyn Table>,
    pub(crate) clock: Clock,
    pub(crate) desk: Desk,
}

impl House {
    pub(crate) async fn build() -> Self {
        Self::over(Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), Slow))).await
    }

    pub(crate) async fn over(table: Arc<dyn Table>) -> Self {
        let (wall, start) = (Timestamp::now(), Instant::now());
        let clock: Clock = Arc::new(move || wall + start.elapsed());
        let desk = Self::sit(&table, "one", &clock).await;
        Self { table, clock, desk }
    }

    /// A yes that asks for a grant of so many seconds.
    pub(crate) async fn grants(
        &self,
        id: ApprovalId,
        user: &str,
        groups: &[&str],
        seconds: u64,
    ) -> Result<Tally, VoteError> {
        let vote = self.ballot(person(user, groups), Ballot::Yes).granting(Duration::from_secs(seconds));
        self.desk.vote(id, &vote).await
    }

    async fn sit(table: &Arc<dyn Table>, seat: &str, clock: &Clock) -> Desk {
        Desk::open_at(Arc::clone(table), seat, Arc::clone(clock)).await.unwrap()
    }

    pub(crate) fn table(&self) -> Arc<dyn Table> {
        Arc::clone(&self.table)
    }

    /// Another run of a gateway over the same table.
    pub(crate) async fn run(&self, seat: &str) -> Desk {
        Self::sit(&self.table, seat, &self.clock).await
    }

    pub(crate) fn request(&self, terms: Vec<HoldTerms>) -> Request {
        let requester = principal("agent-7", CredentialKind::Token(TokenId::new()));
        Request {
            id: ApprovalId::new(),
            decision: DecisionId { session: SessionId::new(), number: 1 },
            connection: Name::canonical("shop"),
            text: Text::plain("alter table t add x int"),
            parameters: Vec::new(),
            operations: vec!["alter table public.t".into()],
            reason: None,
            preview: None,
            binding: Binding::of(&requester, &[("text", b"alter table t add x int")]),
            terms,
            requester,
            makers: vec![principal("maker", CredentialKind::LocalAdmin)],
            created: (self.clock)(),
        }
    }

    /// An open request held by these.
    pub(crate) async fn ask(&self, terms: Vec<HoldTerms>) -> (ApprovalId, Binding) {
        let request = self.request(terms);
        let asked = (request.id, request.binding);
        self.desk.open(request).await.unwrap();
        asked
    }

    fn ballot(&self, voter: Principal, ballot: Ballot) -> Vote {
        let now = (self.clock)();
        Vote::new(voter, now, now, ballot).unwrap()
    }

    pub(crate) async fn yes(&self, id: ApprovalId, user: &str, groups: &[&str]) -> Result<Tally, VoteError> {
        self.desk.vote(id, &self.ballot(person(user, groups), Ballot::Yes)).await
    }

    pub(crate) async fn no(&self, id: ApprovalId, user: &str, groups: &[&str]) -> Result<Tally, VoteError> {
        self.desk.vote(id, &self.ballot(person(user, groups), Ballot::No)).await
    }

    pub(crate) async fn state(&self, id: ApprovalId) -> State {
        self.desk.show(id).await.unwrap().state
    }
}

pub(crate) fn one_dba() -> Vec<HoldTerms> {
    vec![terms("schema-change", &["dba"], 1)]
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_waited_for_and_used_once() {
    let house = House::build().await;
    let (id, binding) = house.ask(one_dba()).await;
    let waiting = tokio::task::JoinSet::from_iter([house.desk.watch(id)]);
    assert_eq!(house.state(id).await, State::Open);
    assert!(matches!(house.desk.claim(id, &binding).await, Err(ClaimError::NotApproved(State::Open))));
    let tally = house.yes(id, "dana", &["dba"]).await.unwrap();
    assert_eq!(tally, Tally { state: State::Approved, missing: 0 });
    let verdicts = waiting.join_all().await;
    assert_eq!(verdicts[0].as_ref().unwrap(), &Verdict::Approved { by: vec!["dana".into()] });
    house.desk.claim(id, &binding).await.unwrap();
    assert!(matches!(house.desk.claim(id, &binding).await, Err(ClaimError::NotApproved(State::Used))));
    assert!(matches!(house.no(id, "erin", &["dba"]).await, Err(VoteError::Decided(State::Used))));
    house.desk.withdraw(id).await.unwrap();
    assert_eq!(house.state(id).await, State::Used);
}

#[tokio::test]
async fn of_many_claims_at_once_one_wins() {
    let house = House::build().await;
    let (id, binding) = house.ask(one_dba()).await;
    house.yes(id, "dana", &["dba"]).await.unwrap();
    let claims = futures_util::future::join_all((0..8).map(|_| house.desk.claim(id, &binding))).await;
    assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_claim_and_a_withdrawal_at_once_leave_one_of_both() {
    let house = House::build().await;
    for claim_first in [true, false] {
        let (id, binding) = house.ask(one_dba()).await;
        house.yes(id, "dana", &["dba"]).await.unwrap();
        let (claim, withdrawal) = (house.desk.claim(id, &binding), house.desk.withdraw(id));
        let claimed = if claim_first {
            let (claimed, withdrawn) = tokio::join!(biased; claim, withdrawal);
            withdrawn.unwrap();
            claimed
        } else {
            let (withdrawn, claimed) = tokio::join!(biased; withdrawal, claim);
            withdrawn.unwrap();
            claimed
        };
        assert_eq!(claimed.is_ok(), claim_first);
        let expected = if claimed.is_ok() { State::Used } else { State::Withdrawn };
        assert_eq!(house.state(id).await, expected);
    }
}

#[tokio::test]
async fn an_approval_holds_for_exactly_what_was_shown() {
    let house = House::build().await;
    let (id, binding) = house.ask(one_dba()).await;
    house.yes(id, "dana", &["dba"]).await.unwrap();
    let other = Binding::of(&principal("agent-7", CredentialKind::Oidc), &[("text", b"alter table t add x int")]);
    assert!(matches!(house.desk.claim(id, &other).await, Err(ClaimError::Changed)));
    house.desk.claim(id, &binding).await.unwrap();
}

#[tokio::test]
async fn another_gateway_cannot_use_it() {
    let house = House::build().await;
    let (id, binding) = house.ask(one_dba()).await;
    let other = house.run("two").await;
    // Votes may come in anywhere.
    other.vote(id, &house.ballot(person("dana", &["dba"]), Ballot::Yes)).await.unwrap();
    assert!(matches!(other.claim(id, &binding).await, Err(ClaimError::NotOurs)));
    house.desk.claim(id, &binding).await.unwrap();
}

#[tokio::test]
async fn requesters_and_makers_never_count_and_only_named_people_do() {
    let house = House::build().await;
    let (id, _) = house.ask(one_dba()).await;
    for own in ["agent-7", "AGENT-7", "maker"] {
        assert!(matches!(house.yes(id, own, &["dba"]).await, Err(VoteError::OwnRequest)), "{own}");
        assert!(matches!(house.no(id, own, &["dba"]).await, Err(VoteError::OwnRequest)), "{own}");
    }
    assert!(matches!(house.yes(id, "erin", &["audit", "DBA"]).await, Err(VoteError::NotNamed)));
    assert!(matches!(house.no(id, "erin", &[]).await, Err(VoteError::NotNamed)));
    assert_eq!(house.state(id).await, State::Open);
    let by_name = vec![HoldTerms { users: ["erin".into()].into(), ..terms("named", &[], 1) }];
    let (id, _) = house.ask(by_name).await;
    assert_eq!(house.yes(id, "erin", &[]).await.unwrap().state, State::Approved);
}

#[tokio::test]
async fn approvals_come_from_distinct_people() {
    let house = House::build().await;
    let (id, _) = house.ask(vec![terms("two-eyes", &["dba"], 2)]).await;
    assert_eq!(house.yes(id, "dana", &["dba"]).await.unwrap(), Tally { state: State::Open, missing: 1 });
    assert!(matches!(house.yes(id, "dana", &["dba"]).await, Err(VoteError::AlreadyVoted)));
    let capital = house.ballot(Principal { subject: "other".into(), ..person("DANA", &["dba"]) }, Ballot::Yes);
    assert!(matches!(house.desk.vote(id, &capital).await, Err(VoteError::AlreadyVoted)));
    assert_eq!(house.yes(id, "erin", &["dba"]).await.unwrap().state, State::Approved);
}

#[tokio::test]
async fn votes_of_one_person_at_once_count_once() {
    let house = House::build().await;
    let (id, _) = house.ask(vec![terms("two-eyes", &["dba"], 2)]).await;
    let votes = futures_util::future::join_all((0..8).map(|_| house.yes(id, "dana", &["dba"]))).await;
    assert_eq!(votes.iter().filter(|vote| vote.is_ok()).count(), 1);
    assert_eq!(house.desk.show(id).await.unwrap().missing, 1);
}

#[tokio::test]
async fn every_rule_that_holds_must_be_satisfied() {
    let house = House::build().await;
    let (id, _) = house.ask(vec![terms("schema", &["dba"], 1), terms("money", &["finance"], 2)]).await;
    assert_eq!(house.yes(id, "dana", &["dba"]).await.unwrap().missing, 2);
    // One person in both groups counts for both rules.
    assert_eq!(house.yes(id, "erin", &["dba", "finance"]).await.unwrap().missing, 1);
    assert_eq!(house.yes(id, "fay", &["dba"]).await.unwrap(), Tally { state: State::Open, missing: 1 });
    assert_eq!(house.yes(id, "gil", &["finance"]).await.unwrap().state, State::Approved);
}

#[tokio::test]
async fn one_no_refuses_also_from_whoever_said_yes() {
    let house = House::build().await;
    let (id, binding) = house.ask(vec![terms("two-eyes", &["dba"], 2)]).await;
    house.yes(id, "dana", &["dba"]).await.unwrap();
    assert_eq!(house.no(id, "dana", &["dba"]).await.unwrap().state, State::Rejected);
    assert_eq!(house.desk.watch(id).await.unwrap(), Verdict::Rejected { by: "dana".into() });
    assert!(matches!(house.yes(id, "erin", &["dba"]).await, Err(VoteError::Decided(State::Rejected))));
    assert!(matches!(house.desk.claim(id, &binding).await, Err(ClaimError::NotApproved(State::Rejected))));
}

#[tokio::test(start_paused = true)]
async fn undecided_at_the_deadline_is_expired_and_stays_so() {
    let house = House::build().await;
    let soon = HoldTerms { expires: Duration::from_secs(60), ..terms("soon", &["dba"], 1) };
    let (id, binding) = house.ask(vec![terms("late", &["dba"], 1), soon]).await;
    let asked = Instant::now();
    assert_eq!(house.desk.watch(id).await.unwrap(), Verdict::Expired);
    assert_eq!(asked.elapsed().as_secs(), 60, "the soonest of the rules counts");
    assert!(matches!(house.yes(id, "dana", &["dba"]).await, Err(VoteError::Decided(State::Expired))));
    assert!(matches!(house.desk.claim(id, &binding).await, Err(ClaimError::NotApproved(State::Expired))));
}

#[tokio::test(start_paused = true)]
async fn an_approval_not_used_in_time_lapses() {
    let house = House::build().await;
    let (id, binding) = house.ask(one_dba()).await;
    house.yes(id, "dana", &["dba"]).await.unwrap();
    tokio::time::advance(Duration::from_secs(300)).await;
    assert!(matches!(house.desk.claim(id, &binding).await, Err(ClaimError::NotApproved(State::Expired))));
    assert_eq!(house.desk.watch(id).await.unwrap(), Verdict::Expired);
    // One millisecond earlier it would have been good.
    let (id, binding) = house.ask(one_dba()).await;
    house.yes(id, "dana", &["dba"]).await.unwrap();
    tokio::time::advance(Duration::from_millis(299_999)).await;
    house.desk.claim(id, &binding).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_vote_kept_back_until_its_login_is_old_does_not_count() {
    let house = House::build().await;
    let (id, _) = house.ask(one_dba()).await;
    let vote = house.ballot(person("dana", &["dba"]), Ballot::Yes);
    tokio::time::advance(Duration::from_secs(301)).await;
    let late = house.desk.vote(id, &vote).await;
    assert!(matches!(late, Err(VoteError::NotAVoter(NotAVoter::NotFresh))));
    assert_eq!(house.state(id).await, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_wakes_whoever_waits_and_cannot_be_undone() {
    let house = House::build().await;
    let (id, binding) = house.ask(one_dba()).await;
    let waiting = tokio::task::JoinSet::from_iter([house.desk.watch(id)]);
    house.desk.withdraw_soon(id);
    assert_eq!(waiting.join_all().await[0].as_ref().unwrap(), &Verdict::Withdrawn);
    assert!(matches!(house.yes(id, "dana", &["dba"]).await, Err(VoteError::Decided(State::Withdrawn))));
    assert!(matches!(house.desk.claim(id, &binding).await, Err(ClaimError::NotApproved(State::Withdrawn))));
    // Also once it was approved.
    let (id, binding) = house.ask(one_dba()).await;
    house.yes(id, "dana", &["dba"]).await.unwrap();
    house.desk.withdraw(id).await.unwrap();
    assert!(matches!(house.desk.claim(id, &binding).await, Err(ClaimError::NotApproved(State::Withdrawn))));
}

#[tokio::test]
async fn a_gateway_that_starts_again_withdraws_what_its_earlier_run_left() {
    let house = House::build().await;
    let (open, _) = house.ask(one_dba()).await;
    let (approved, binding) = house.ask(one_dba()).await;
    house.yes(approved, "dana", &["dba"]).await.unwrap();
    let (used, used_binding) = house.ask(one_dba()).await;
    house.yes(used, "dana", &["dba"]).await.unwrap();
    house.desk.claim(used, &used_binding).await.unwrap();
    // Another gateway's start leaves them alone.
    house.run("two").await;
    assert_eq!(house.state(open).await, State::Open);
    let again = house.run("one").await;
    for id in [open, approved] {
        assert_eq!(again.show(id).await.unwrap().state, State::Withdrawn);
    }
    assert_eq!(again.show(used).await.unwrap().state, State::Used);
    assert!(matches!(again.claim(approved, &binding).await, Err(ClaimError::NotOurs)));
    assert!(matches!(house.desk.claim(approved, &binding).await, Err(ClaimError::NotApproved(State::Withdrawn))));
}

#[tokio::test]
async fn what_nobody_could_vote_on_is_not_opened() {
    let house = House::build().await;
    let nobody = house.desk.open(house.request(vec![terms("a", &["dba"], 1), terms("b", &[], 1)])).await;
    assert!(matches!(nobody, Err(OpenError::Unavailable { rule: Some(rule) }) if &*rule.rule == "b"));
    assert!(matches!(house.desk.open(house.request(Vec::new())).await, Err(OpenError::Invalid(_))));
    let request = house.request(one_dba());
    house.desk.open(request.clone()).await.unwrap();
    assert!(matches!(house.desk.open(request).await, Err(OpenError::Invalid(_))), "an identifier is used once");
    assert_eq!(house.desk.list().await.unwrap().len(), 1);
    // A rule that asks for nobody's approval still asks for somebody's.
    let (id, _) = house.ask(vec![terms("zero", &["dba"], 0)]).await;
    assert_eq!(house.desk.show(id).await.unwrap().missing, 1);
}

#[tokio::test]
async fn a_closed_desk_refuses_at_once() {
    let house = House::build().await;
    let desk = Desk::closed();
    assert!(!desk.can_approve() && house.desk.can_approve());
    let refused = desk.open(house.request(one_dba())).await;
    assert!(matches!(refused, Err(OpenError::Unavailable { rule: Some(rule) }) if &*rule.rule == "schema-change"));
    let id = ApprovalId::new();
    assert!(matches!(desk.watch(id).await, Err(DeskError::Closed)));
    assert!(matches!(desk.list().await, Err(DeskError::Closed)));
    let binding = Binding::of(&person("a", &[]), &[]);
    assert!(matches!(desk.claim(id, &binding).await, Err(ClaimError::Desk(DeskError::Closed))));
    desk.withdraw_soon(id);
}

#[tokio::test]
async fn an_unknown_request_and_a_damaged_one_are_errors() {
    let house = House::build().await;
    let id = ApprovalId::new();
    assert!(matches!(house.desk.watch(id).await, Err(DeskError::NotFound(missing)) if missing == id));
    let damaged = Bytes::from_static(b"{}");
    let _ = house.table().put(key_of(id), damaged, Expect::Any, None).await.unwrap();
    assert!(matches!(house.desk.watch(id).await, Err(DeskError::Store(StoreError::Damaged(_)))));
    assert!(matches!(house.yes(id, "dana", &["dba"]).await, Err(VoteError::Desk(DeskError::Store(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_in_order_and_tells_who_voted() {
    let house = House::build().await;
    let (first, _) = house.ask(vec![terms("two-eyes", &["dba"], 2)]).await;
    tokio::time::advance(Duration::from_millis(5)).await;
    let (second, _) = house.ask(one_dba()).await;
    house.yes(first, "dana", &["dba"]).await.unwrap();
    let listed = house.desk.list().await.unwrap();
    let ids: Vec<_> = listed.iter().map(|shown| shown.request.id).collect();
    assert_eq!(ids, [first, second]);
    assert_eq!((listed[0].missing, &*listed[0].votes[0].voter.user), (1, "dana"));
    let deadline = listed[0].request.created + SignedDuration::from_secs(600);
    assert_eq!(listed[0].deadline, deadline);
    let json = serde_json::to_string(&listed).unwrap();
    assert!(json.contains("\"state\":\"open\"") && json.contains("alter table"), "{json}");
}
