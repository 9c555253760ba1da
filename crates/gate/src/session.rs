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
use crate::door::{InForce, Shared};
use crate::granting;
use crate::hold::Hold;
use crate::judging::Judged;
use crate::masking::Masking;
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use portcullis_audit::{Durability, RecordUnavailable, Stream, Watermark};
use portcullis_identity::{Authenticated, Extensions};
use portcullis_model::{
    Catalogue, Command, Connection, DecisionId, Denial, Digest, Effect, EventBody, Outcome, Parameter, Principal,
    Reason, RecordedMatch, RecordedOperation, SessionId, Text, Verdict,
};
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
    /// The masks that bound its newest command.
    pub(crate) masking: ArcSwapOption<Masking>,
    /// The login that somebody made for this session.
    pub(crate) kept: ArcSwapOption<portcullis_credentials::Kept>,
    /// What its commands are sent for.
    pub(crate) reason: ArcSwapOption<String>,
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
    /// judged again when policy has moved on since, and always where what policy decides depends on the moment.
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
        let sequence = permit.map_or_else(|| self.inner.stream.newest(), |permit| permit.sequence);
        let wait_for = self.inner.wait_to_release(sequence);
        Answer::new(Arc::clone(&self.inner), permit, wait_for)
    }

    /// Releases what the gateway itself says: denials, notices, its own errors. It leaves once everything before it is in
    /// the record, the votes and outcomes of held commands too, so that nobody is told of a decision that is not kept.
    pub fn say<F>(&self, frame: F) -> Released<F> {
        Released { frame, wait_for: self.inner.wait_to_release(self.inner.stream.newest()) }
    }

    /// Records how a command ended, with the digest of the data that followed it where some did.
    pub fn settle(&self, mut permit: Permit, mut outcome: Outcome, data: Option<Digest>) {
        permit.settled = true;
        if let Outcome::Failed { message: Some(message), .. } = &mut outcome
            && let Some(searched) = permit.masking.searched(message)
        {
            *message = searched.into();
        }
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

    /// Whether the record has failed: nothing of this session may pass any more.
    #[must_use]
    pub fn record_failed(&self) -> bool {
        matches!(*self.inner.shared.recorder.durable().borrow(), Watermark::Failed)
    }

    /// Ends the session in the record. Dropping it instead records `interrupted`.
    pub fn end(self, reason: &str) {
        // A record that failed has latched: there is nothing left to end.
        let _ended = self.inner.stream.end(Timestamp::now(), reason);
    }

    /// The lease on the backend's credential, for the login of this session's connection.
    ///
    /// # Errors
    /// [`portcullis_credentials::CredentialError`]; nobody may log in without it.
    pub async fn lease(&self) -> Result<portcullis_credentials::Lease, portcullis_credentials::CredentialError> {
        let connection = &self.inner.connection;
        let mut lease =
            self.inner.shared.credentials.lease(&connection.name, Some(&connection.login), self.principal()).await?;
        if let Some(kept) = lease.kept.take() {
            // The server's own log knows the session by this name only.
            self.inner.record([EventBody::SessionLogin { login: Arc::clone(&lease.username) }]);
            // Given back when the session ends, however it does.
            self.inner.kept.store(Some(Arc::new(kept)));
        }
        Ok(lease)
    }

    /// What the proof of this session's caller permits besides commands.
    #[must_use]
    pub fn extensions(&self) -> Extensions {
        self.inner.authenticated.extensions
    }

    pub(crate) fn watermark(&self) -> watch::Receiver<Watermark> {
        self.inner.shared.recorder.durable()
    }
}

// === impl Inner ===

impl Inner {
    pub(crate) fn rule<F>(self: &Arc<Self>, frame: F, command: Arc<Command>, number: u64) -> Ruling<F> {
        let now = Timestamp::now();
        let mut judged = self.judge(&command, now);
        self.unless_unexplained(&mut judged, &command);
        self.count_comparisons(&mut judged);
        let effect = judged.decision.verdict.effect();
        self.shared.counters.decided(effect);
        let Ok(sequence) = self.record_decision(&command, number, &judged, now) else {
            // What failed before this command was asked may have left nothing waiting that would tell the session.
            self.ended.cancel();
            return Ruling::Refuse(self.denial(None, Reason::RecordUnavailable, None));
        };
        // Preparing runs nothing: people are asked when it is run.
        let passes = effect == Effect::Allow || (effect == Effect::Hold && command.prepares());
        if passes {
            let wait_for = self.wait_to_send(&command, sequence);
            return Ruling::Forward(Cleared { frame, wait_for }, self.permit(&command, number, sequence, &judged));
        }
        match judged.decision.verdict {
            Verdict::Deny(reason) => Ruling::Refuse(self.denial(Some(number), reason, judged.decision.message)),
            Verdict::Hold(ref terms) => {
                Ruling::Hold(Hold::new(Arc::clone(self), frame, command, number, terms.clone(), &judged))
            }
            // It passed above.
            Verdict::Allow => Ruling::Refuse(self.denial(Some(number), Reason::Withdrawn, None)),
        }
    }

    /// The masks in force for a command read against this catalogue, or against the newest that one was.
    pub(crate) fn masking(&self, policy: &InForce, catalogue: Option<&Arc<Catalogue>>) -> Arc<Masking> {
        let newest = self.masking.load_full();
        if let Some(masking) = newest.as_ref().filter(|masking| masking.is_of(policy.epoch, catalogue)) {
            return Arc::clone(masking);
        }
        let catalogue = match (catalogue, &newest) {
            (Some(catalogue), _) => Arc::clone(catalogue),
            (None, Some(newest)) => Arc::clone(newest.catalogue()),
            (None, None) => Arc::new(Catalogue::unknown()),
        };
        let principal = &self.authenticated.principal;
        let masking = Arc::new(Masking::new(&self.shared, policy, principal, &self.connection, &catalogue));
        self.masking.store(Some(Arc::clone(&masking)));
        masking
    }

    /// The masks in force for what answers no command.
    pub(crate) fn masking_now(&self) -> Arc<Masking> {
        self.masking(&self.shared.policy.load(), None)
    }

    pub(crate) fn permit(
        self: &Arc<Self>,
        command: &Arc<Command>,
        number: u64,
        sequence: u64,
        judged: &Judged,
    ) -> Permit {
        Permit {
            session: Arc::clone(self),
            command: Arc::clone(command),
            number,
            sequence,
            epoch: AtomicU64::new(judged.epoch),
            settled: false,
            masking: Arc::clone(&judged.masking),
            touches: judged.touches,
            satisfied: match &judged.decision.verdict {
                Verdict::Hold(terms) => terms.clone(),
                Verdict::Allow | Verdict::Deny(_) => Vec::new(),
            },
            granted: judged.granted.clone(),
            limit: judged.decision.limit.clone(),
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

    pub(crate) fn wait_to_release(&self, sequence: u64) -> u64 {
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
        judged: &Judged,
        now: Timestamp,
    ) -> Result<u64, RecordUnavailable> {
        let decision = &judged.decision;
        let operations = judged.operations.iter().map(RecordedOperation::from).collect();
        let (text, parameters) = judged.masking.recorded(command);
        if command.prepares() && decision.verdict.effect() != Effect::Deny {
            let prepared = EventBody::CommandPrepared {
                command: number,
                source: command.source,
                text,
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
            grants: granting::names(&judged.granted),
            limit: decision.limit.clone().filter(|_| decision.verdict.effect() != Effect::Deny),
        };
        self.stream.append(now, [received(command, number, operations, text, parameters), decided])
    }

    /// Records what permits nothing: what cannot be appended ends the session.
    pub(crate) fn record<const N: usize>(&self, events: [EventBody; N]) {
        self.record_at(Timestamp::now(), events);
    }

    /// Records what happened at this moment, behind what was recorded before; it permits nothing.
    pub(crate) fn record_at<const N: usize>(&self, at: Timestamp, events: [EventBody; N]) {
        self.append_at(at, events).ok();
    }

    /// Records what something is permitted by, and says where; the session ends where it cannot be.
    pub(crate) fn append<const N: usize>(&self, events: [EventBody; N]) -> Result<u64, RecordUnavailable> {
        self.append_at(Timestamp::now(), events)
    }

    fn append_at<const N: usize>(&self, at: Timestamp, events: [EventBody; N]) -> Result<u64, RecordUnavailable> {
        self.stream.append(at, events).inspect_err(|_| self.ended.cancel())
    }

    pub(crate) fn record_settled(&self, number: u64, outcome: Outcome, data: Option<Digest>) {
        self.record([EventBody::CommandSettled { command: number, outcome, data }]);
    }

    /// Records a command that was sealed and never asked.
    pub(crate) fn record_unasked(&self, number: u64, command: &Command, outcome: Outcome) {
        let operations = command.operations().iter().map(RecordedOperation::from).collect();
        let settled = EventBody::CommandSettled { command: number, outcome, data: None };
        let (text, parameters) = self
            .masking(&self.shared.policy.load(), command.followed.as_ref().map(|followed| &followed.catalogue))
            .recorded(command);
        self.record([received(command, number, operations, text, parameters), settled]);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.registry.leave(self.stream.id());
    }
}

fn received(
    command: &Command,
    number: u64,
    operations: Vec<RecordedOperation>,
    text: Text,
    parameters: Vec<Parameter>,
) -> EventBody {
    EventBody::CommandReceived {
        command: number,
        source: command.source,
        text,
        digest: command.digest,
        operations,
        parameters,
        fault: command.fault.clone(),
        prepared_by: command.prepared_by,
    }
}
