//! One caller on one connection: everything it asks, everything it is told.
//!
//! Promises: `ask` is decide, append to the record, rule, in that order, and never waits for the disk; every command gets
//! the next ordinal at `seal`; policy, identity and catalogue may change at any moment and the next command is judged by
//! what is then in force; a session that is dropped unended is recorded as interrupted.
//! A session is shared (`&self`): one held channel must not stop the others. Room in the record is the caller's matter:
//! its pumps wait on [`Session::room`] before they read more.
//! Held by: `tests/it/asking.rs`, `tests/it/durability.rs`.

use crate::answer::{Answer, Released};
use crate::clearance::{Cleared, Own, Passage, Pending, Permit, Ruling, Stale};
use crate::door::Shared;
use crate::hold::Hold;
use jiff::Timestamp;
use portcullis_audit::{Durability, RecordUnavailable, Stream, Watermark};
use portcullis_identity::{Authenticated, Standing};
use portcullis_model::{
    Command, Connection, Decision, DecisionId, Denial, Digest, Effect, EventBody, Outcome, Principal, Reason,
    RecordedMatch, RecordedOperation, SessionId, Verdict,
};
use portcullis_policy::Case;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One caller on one connection. Made only by [`Gate::enter`](crate::Gate::enter).
pub struct Session {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stream: Stream,
    pub(crate) authenticated: Authenticated,
    pub(crate) connection: Connection,
    pub(crate) ended: CancellationToken,
    pub(crate) commands: AtomicU64,
    /// The record's sequence number of the newest command.
    pub(crate) newest: AtomicU64,
}

impl Session {
    /// Its id: the stream of its events.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.stream.id()
    }

    /// Who called.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.inner.authenticated.principal
    }

    /// What was called.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// Seals a frame with the command read from it and gives the command its ordinal. Dropping what comes back forwards
    /// nothing and records `abandoned`.
    pub fn seal<F>(&self, frame: F, command: Command) -> Pending<F> {
        let number = self.inner.commands.fetch_add(1, Ordering::Relaxed) + 1;
        Pending { frame: Some(frame), command: Some(Arc::new(command)), number, session: Arc::clone(&self.inner) }
    }

    /// Decides, appends to the record, and rules. Never waits for the disk.
    pub fn ask<F>(&self, pending: Pending<F>) -> Ruling<F> {
        let number = pending.number;
        match pending.open() {
            Some((frame, command)) => self.inner.rule(frame, command, number),
            // A pending frame is whole until it is opened, and opening it consumes it.
            None => Ruling::Refuse(self.inner.denial(None, Reason::RecordUnavailable, None)),
        }
    }

    /// Clears data of a running command: COPY data, Execute of a judged portal, exec stdin, body chunks. The command is
    /// judged again when policy has moved on since.
    ///
    /// # Errors
    /// [`Stale`], with the frame and the denial: the command may not go on.
    pub fn follow<F>(&self, permit: &Permit, frame: F) -> Result<Cleared<F>, Stale<F>> {
        match self.inner.still_allowed(permit) {
            Ok(()) => {
                let wait_for = self.inner.wait_to_send(&permit.command, permit.sequence);
                Ok(Cleared { frame, wait_for })
            }
            Err(denial) => Err(Stale { frame, denial }),
        }
    }

    /// Clears a frame that carries neither command nor data.
    pub fn pass<P: Passage>(&self, passage: P) -> Cleared<P::Frame> {
        Cleared { frame: passage.into_frame(), wait_for: 0 }
    }

    /// Clears a frame of the gateway's own.
    pub fn own<O: Own>(&self, own: O) -> Cleared<O::Frame> {
        Cleared { frame: own.into_frame(), wait_for: 0 }
    }

    /// The way back of one command's answer, or of what the backend says unasked.
    #[must_use]
    pub fn answer(&self, permit: Option<&Permit>) -> Answer {
        let sequence = permit.map_or_else(|| self.inner.newest.load(Ordering::Relaxed), |permit| permit.sequence);
        let wait_for = self.inner.wait_to_release(sequence);
        Answer::new(Arc::clone(&self.inner), permit.map(|permit| permit.number), wait_for)
    }

    /// Releases what the gateway itself says: denials, notices, its own errors. It leaves once the newest command is in
    /// the record, so that nobody is told of a decision that is not kept.
    pub fn say<F>(&self, frame: F) -> Released<F> {
        Released { frame, wait_for: self.inner.wait_to_release(self.inner.newest.load(Ordering::Relaxed)) }
    }

    /// Records how a command ended, with the digest of the data that followed it where some did.
    pub fn settle(&self, mut permit: Permit, outcome: Outcome, data: Option<Digest>) {
        permit.settled = true;
        if !permit.command.prepares() {
            self.inner.record_settled(permit.number, outcome, data);
        }
    }

    /// Waits until the record has room for more of this session (256 KiB not yet durable).
    pub async fn room(&self) {
        self.inner.stream.room().await;
    }

    /// Whether [`Session::room`] would return at once.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.inner.stream.has_room()
    }

    /// Done when an administrator ends the session, or its record has failed and must be left.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.inner.ended.clone()
    }

    /// Ends the session in the record. Dropping it instead records `interrupted`.
    pub fn end(self, reason: &str) {
        // A record that failed has latched: there is nothing left to end.
        let _ended = self.inner.stream.end(Timestamp::now(), reason);
    }

    /// The lease on the backend's credential.
    ///
    /// # Errors
    /// [`portcullis_credentials::CredentialError`]; nobody may log in without it.
    pub async fn lease(&self) -> Result<portcullis_credentials::Lease, portcullis_credentials::CredentialError> {
        self.inner.shared.credentials.lease(&self.inner.connection.name, self.principal()).await
    }

    pub(crate) fn watermark(&self) -> watch::Receiver<Watermark> {
        self.inner.shared.recorder.durable()
    }
}

// === impl Inner ===

impl Inner {
    pub(crate) fn rule<F>(self: &Arc<Self>, frame: F, command: Arc<Command>, number: u64) -> Ruling<F> {
        let now = Timestamp::now();
        let (decision, epoch) = self.judge(&command, now);
        let effect = decision.verdict.effect();
        self.shared.counters.decided(effect);
        let Ok(sequence) = self.record_decision(&command, number, &decision, now) else {
            return Ruling::Refuse(self.denial(None, Reason::RecordUnavailable, None));
        };
        self.newest.store(sequence, Ordering::Relaxed);
        match decision.verdict {
            Verdict::Allow => {
                let permit = self.permit(&command, number, sequence, epoch);
                Ruling::Forward(Cleared { frame, wait_for: self.wait_to_send(&command, sequence) }, permit)
            }
            Verdict::Deny(reason) => Ruling::Refuse(self.denial(Some(number), reason, decision.message)),
            // Preparing runs nothing: people are asked when it is run.
            Verdict::Hold(_) if command.prepares() => {
                let permit = self.permit(&command, number, sequence, epoch);
                Ruling::Forward(Cleared { frame, wait_for: self.wait_to_send(&command, sequence) }, permit)
            }
            Verdict::Hold(terms) => Ruling::Hold(Hold::new(Arc::clone(self), frame, command, number, sequence, terms)),
        }
    }

    /// The decision on a command now, and the policy epoch it was made under.
    pub(crate) fn judge(&self, command: &Command, now: Timestamp) -> (Decision, u64) {
        let policy = self.shared.policy.load();
        let refuse = |reason| Decision {
            verdict: Verdict::Deny(reason),
            matches: Vec::new(),
            message: None,
            policy: Arc::clone(policy.set.digest()),
        };
        let standing = self.shared.identity.standing(&self.authenticated, now);
        let decision = match (standing, &command.fault) {
            (Standing::Expired | Standing::Revoked, _) => refuse(Reason::IdentityRevoked),
            (Standing::Good, Some(fault)) => refuse(Reason::Unreadable(fault.clone())),
            (Standing::Good, None) => policy.set.decide(&Case {
                principal: &self.authenticated.principal,
                connection: &self.connection,
                operations: command.operations(),
                at: now,
            }),
        };
        (self.unless_nobody_can_approve(decision), policy.epoch)
    }

    /// A hold where nobody can vote is a refusal, at once and in the record.
    fn unless_nobody_can_approve(&self, mut decision: Decision) -> Decision {
        if let Verdict::Hold(terms) = &decision.verdict
            && !self.shared.desk.can_approve()
            && let Some(terms) = terms.first()
        {
            decision.verdict = Verdict::Deny(Reason::ApprovalUnavailable { rule: terms.rule.clone() });
        }
        decision
    }

    fn still_allowed(&self, permit: &Permit) -> Result<(), Denial> {
        let now = Timestamp::now();
        let epoch = self.shared.policy.load().epoch;
        let good = matches!(self.shared.identity.standing(&self.authenticated, now), Standing::Good);
        if good && epoch == permit.judged_under() {
            return Ok(());
        }
        let (decision, epoch) = self.judge(&permit.command, now);
        let reason = match decision.verdict {
            Verdict::Allow => {
                permit.epoch.store(epoch, Ordering::Relaxed);
                return Ok(());
            }
            // What already runs cannot wait for a person.
            Verdict::Hold(terms) => match terms.into_iter().next() {
                Some(terms) => Reason::ApprovalUnavailable { rule: terms.rule },
                None => Reason::Withdrawn,
            },
            Verdict::Deny(reason) => reason,
        };
        Err(self.denial(Some(permit.number), reason, decision.message))
    }

    pub(crate) fn permit(self: &Arc<Self>, command: &Arc<Command>, number: u64, sequence: u64, epoch: u64) -> Permit {
        Permit {
            session: Arc::clone(self),
            command: Arc::clone(command),
            number,
            sequence,
            epoch: AtomicU64::new(epoch),
            settled: false,
        }
    }

    pub(crate) fn denial(&self, number: Option<u64>, reason: Reason, message: Option<Arc<str>>) -> Denial {
        let decision = number.map(|number| DecisionId { session: self.stream.id(), number });
        Denial { decision, reason, message }
    }

    /// The place in the record that must be durable before a frame of this command is sent.
    pub(crate) fn wait_to_send(&self, command: &Command, sequence: u64) -> u64 {
        match self.shared.durability {
            Durability::Strict if command.can_write() => sequence,
            Durability::Strict | Durability::Batched => 0,
        }
    }

    fn wait_to_release(&self, sequence: u64) -> u64 {
        match self.shared.durability {
            Durability::Strict => sequence,
            Durability::Batched => 0,
        }
    }

    /// Bytes of one answer that go into the record.
    pub(crate) fn result_budget(&self) -> usize {
        self.shared.result_bytes
    }

    fn record_decision(
        &self,
        command: &Command,
        number: u64,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<u64, RecordUnavailable> {
        let operations = command.operations().iter().map(RecordedOperation::from).collect();
        if command.prepares() && decision.verdict.effect() != Effect::Deny {
            let prepared = EventBody::CommandPrepared {
                command: number,
                source: command.source,
                text: command.text.clone(),
                digest: command.digest,
                operations,
                policy: Arc::clone(&decision.policy),
            };
            return self.stream.append(now, [prepared]);
        }
        let reason = match &decision.verdict {
            Verdict::Deny(reason) => Some(reason.clone()),
            Verdict::Allow | Verdict::Hold(_) => None,
        };
        let decided = EventBody::CommandDecided {
            command: number,
            verdict: decision.verdict.effect(),
            told: reason.as_ref().map(|reason| reason.to_string().into()),
            reason,
            matches: RecordedMatch::all(decision),
            policy: Arc::clone(&decision.policy),
        };
        self.stream.append(now, [received(command, number, operations), decided])
    }

    pub(crate) fn record<const N: usize>(&self, events: [EventBody; N]) {
        // What cannot be appended any more ends the session through the watermark; nothing passes unrecorded, since
        // both writers wait for a record that has then failed.
        if self.stream.append(Timestamp::now(), events).is_err() {
            self.ended.cancel();
        }
    }

    pub(crate) fn record_settled(&self, number: u64, outcome: Outcome, data: Option<Digest>) {
        self.record([EventBody::CommandSettled { command: number, outcome, data }]);
    }

    /// Records a command that was sealed and never asked.
    pub(crate) fn record_unasked(&self, number: u64, command: &Command, outcome: Outcome) {
        let operations = command.operations().iter().map(RecordedOperation::from).collect();
        let settled = EventBody::CommandSettled { command: number, outcome, data: None };
        self.record([received(command, number, operations), settled]);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.registry.leave(self.stream.id());
    }
}

fn received(command: &Command, number: u64, operations: Vec<RecordedOperation>) -> EventBody {
    EventBody::CommandReceived {
        command: number,
        source: command.source,
        text: command.text.clone(),
        digest: command.digest,
        operations,
        parameters: command.parameters.clone(),
        fault: command.fault.clone(),
        prepared_by: command.prepared_by,
    }
}
