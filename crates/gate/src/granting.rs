//! Grants at the door: what people allowed for some minutes is not held by the rule that they allowed it under.
//!
//! Promises (DESIGN 3): a grant only ever takes one rule's hold away, and only where every operation that the rule holds of
//! the command is granted, to this principal, on this connection, database and login, under exactly the terms that the rule
//! still has, at the one moment at which the command is judged, and while everybody that it stands on still stands. It is
//! given only after an approval was claimed and the command would still pass, and counts only once the record of it is
//! durable; whoever goes away meanwhile, it is kept, or its end recorded. The end of each is recorded once. No token that
//! somebody made who gave it passes under it, and with whoever made the token that has it the grant falls, too. Nothing is
//! given of a command whose operations were not all shown.
//! Does not promise that the texts are alike: a grant is about operations.
//! Held by: `tests/it/granting.rs` and what is beside it.

use crate::clearance::Permit;
use crate::door::{Gate, Shared};
use crate::hold::Waiting;
use crate::judging::Judged;
use crate::session::Inner;
use jiff::Timestamp;
use portcullis_approvals::{Grant, Offer, Party, can_be_granted};
use portcullis_identity::{Authenticated, Extensions, Identity, Standing};
use portcullis_model::{
    Decision, Effect, EventBody, GrantId, HoldTerms, Match, Operation, RecordedOperation, RuleId, Verdict,
};
use std::sync::Arc;

/// The operations of a command, and which rules hold which.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    operations: Arc<[Operation]>,
    matches: Vec<Match>,
}

impl Held {
    pub(crate) fn of(judged: &Judged) -> Self {
        Self { operations: Arc::clone(&judged.operations), matches: judged.decision.matches.clone() }
    }

    fn by(&self, rule: &RuleId) -> Vec<Operation> {
        held_by(&self.matches, &self.operations, rule).cloned().collect()
    }
}

/// What of a command a rule holds.
fn held_by<'a>(
    matches: &'a [Match],
    operations: &'a [Operation],
    rule: &'a RuleId,
) -> impl Iterator<Item = &'a Operation> {
    let held = matches.iter().filter(move |one| one.effect == Effect::Hold && one.rule == *rule);
    held.filter_map(|one| operations.get(one.operation))
}

/// Whether nobody that a grant stands on was revoked since.
fn stands(identity: &Identity, grant: &Grant, now: Timestamp) -> bool {
    let mut parties = std::iter::once(&grant.holder).chain(&grant.voters);
    parties.all(|party| {
        let authenticated = Authenticated {
            principal: party.principal.clone(),
            // What was granted does not end with one login, but with what was revoked.
            expires: None,
            issued: party.issued,
            interactive: None,
            makers: party.makers.clone(),
            extensions: Extensions::all(),
            // Nor with a key: it is theirs by whatever else they prove themselves with.
            shown_key: None,
        };
        identity.standing(&authenticated, now) == Standing::Good
    })
}

impl Inner {
    /// Takes away what grants in force take away of a hold; which they are.
    pub(crate) fn not_held_by_grants(
        &self,
        decision: &mut Decision,
        operations: &[Operation],
        now: Timestamp,
    ) -> Vec<Arc<Grant>> {
        let Verdict::Hold(terms) = &mut decision.verdict else { return Vec::new() };
        let mut granted = self.shared.desk.granted(&self.authenticated.principal, &self.connection, now);
        granted.retain(|grant| stands(&self.shared.identity, grant, now) && !self.gave(grant));
        if granted.is_empty() {
            return granted;
        }
        let mut used: Vec<Arc<Grant>> = Vec::new();
        terms.retain(|terms| {
            let by = |operation| granted.iter().find(|grant| grant.terms == *terms && grant.covers(operation));
            let held: Option<Vec<_>> = held_by(&decision.matches, operations, &terms.rule).map(by).collect();
            // A hold that matches nothing would be no hold.
            let Some(grants) = held.filter(|grants| !grants.is_empty()) else { return true };
            for grant in grants {
                if !used.iter().any(|one| one.id == grant.id) {
                    used.push(Arc::clone(grant));
                }
            }
            false
        });
        if terms.is_empty() {
            decision.verdict = Verdict::Allow;
        }
        used
    }

    /// Whether whoever asks here gave it, or made the token that asks: they and the requester are one person, and nobody
    /// grants themselves anything.
    fn gave(&self, grant: &Grant) -> bool {
        let Authenticated { principal, makers, .. } = &self.authenticated;
        grant.is_given_by(std::slice::from_ref(principal)) || grant.is_given_by(makers)
    }

    /// The first grant under which a command was let through that is not in force any more.
    pub(crate) fn ended_grant<'p>(&self, permit: &'p Permit, now: Timestamp) -> Option<&'p Grant> {
        let in_force =
            |grant: &Grant| self.shared.desk.is_in_force(grant, now) && stands(&self.shared.identity, grant, now);
        permit.granted.iter().map(AsRef::as_ref).find(|grant| !in_force(grant))
    }
}

impl Waiting {
    /// Lets what its approvers allow beside the command count from now on. Where that cannot be recorded or kept, it does
    /// not count, and the command passes as it was approved.
    pub(crate) async fn give(&self, offers: Vec<Offer>) {
        if offers.is_empty() || self.judged_again().is_err() {
            return;
        }
        if !self.shows_each_operation() {
            tracing::info!(approval = %self.approval, "nothing is granted of what nobody was shown");
            return;
        }
        for offer in offers {
            let operations = self.held.by(&offer.terms.rule);
            if operations.is_empty() || !operations.iter().all(can_be_granted) {
                tracing::info!(rule = %offer.terms.rule, "nothing is granted of what is not wholly known");
                continue;
            }
            self.give_one(offer, operations).await;
        }
    }

    async fn give_one(&self, offer: Offer, operations: Vec<Operation>) {
        let (session, connection) = (&self.session, &self.session.connection);
        let Authenticated { principal, issued, makers, .. } = &session.authenticated;
        let Offer { approval, terms, voters, until } = offer;
        let rule: Arc<str> = terms.rule.to_string().into();
        let grant = Grant {
            id: GrantId::new(),
            approval,
            terms,
            holder: Party::of(principal, *issued).made_by(makers),
            connection: connection.name.clone(),
            database: connection.database.clone(),
            login: Arc::clone(&connection.login),
            operations,
            voters,
            given: Timestamp::now(),
            until,
        };
        let recorded = session.append([EventBody::GrantGiven {
            command: self.number,
            approval,
            grant: grant.id,
            rule: Arc::clone(&rule),
            operations: grant.operations.iter().map(RecordedOperation::from).collect(),
            voters: grant.voters.iter().map(|voter| Arc::clone(&voter.principal.user)).collect(),
            until,
        }]);
        let Ok(sequence) = recorded else { return };
        // Whoever waits here may go away: what the record says was given is kept nevertheless.
        let kept = session.shared.giving.spawn(keep(Arc::clone(&session.shared), grant, sequence));
        if let Err(error) = kept.await {
            tracing::error!(%error, "the keeping of a grant broke off");
        }
    }
}

/// Lets a grant count once the record of it is durable, or records that it was not kept.
async fn keep(shared: Arc<Shared>, grant: Grant, sequence: u64) {
    let mut durable = shared.recorder.durable();
    let recorded = durable.wait_for(|mark| mark.reached(sequence).unwrap_or(true)).await;
    if !recorded.is_ok_and(|mark| mark.reached(sequence) == Ok(true)) {
        return;
    }
    let (id, ended) = (grant.id, ended(&grant, "unkept"));
    if let Err(error) = shared.desk.give(grant).await {
        tracing::error!(grant = %id, %error, "a grant could not be kept, and does not count");
        shared.record(ended);
    }
}

fn ended(grant: &Grant, why: &str) -> EventBody {
    EventBody::GrantEnded {
        grant: grant.id,
        rule: grant.terms.rule.to_string().into(),
        user: Arc::clone(&grant.holder.principal.user),
        connection: grant.connection.as_str().into(),
        why: why.into(),
    }
}

impl Gate {
    /// Waits until each grant that the record says was given is kept, or its end recorded: nothing is given any more when a
    /// gateway stops.
    pub async fn finish_giving(&self) {
        let giving = &self.shared().giving;
        giving.close();
        giving.wait().await;
    }

    /// Ends the grants given here whose time is over or whose people were revoked, and records the end of each; how many. To
    /// be called when standings change ([`Identity::changes`]) and from time to time: no command waits for it, since each
    /// looks at the grants itself.
    pub async fn end_grants(&self, now: Timestamp) -> usize {
        let shared = self.shared();
        let mut count = 0;
        // Where nobody knows who was revoked, no grant counts, and none is said to have ended with somebody. Asked on both
        // sides: that it was known before and after means that it was known.
        let unknown = || !shared.identity.is_following();
        let not_fallen = |grant: &Grant| unknown() || stands(&shared.identity, grant, now) || unknown();
        for (grant, why) in shared.desk.ended(now, not_fallen) {
            // Kept first: a store that fails must not fill the record with one end.
            match shared.desk.told(grant.id, why).await {
                Ok(()) => {
                    shared.record(ended(&grant, why.word()));
                    count += 1;
                }
                Err(error) => tracing::error!(grant = %grant.id, %error, "the end of a grant could not be kept"),
            }
        }
        count
    }
}

/// The names of these grants.
pub(crate) fn names(granted: &[Arc<Grant>]) -> Vec<GrantId> {
    granted.iter().map(|grant| grant.id).collect()
}

/// Those that are needed beside what people approved.
pub(crate) fn beside(mut granted: Vec<Arc<Grant>>, approved: &[HoldTerms]) -> Vec<Arc<Grant>> {
    granted.retain(|grant| !approved.contains(&grant.terms));
    granted
}
