//! A command that waits for people.
//!
//! Promises: nothing of a held command is sent before [`Hold::settle`] says so; it says so only after the desk's approval
//! was claimed, once, for exactly this command by exactly this principal, and after the command was judged again and is
//! still at most held by the rules that were approved, on the terms that were satisfied. Dropping a hold, or the future of
//! its settling, withdraws the request and records that; one that was approved and used by then stays so. A desk that
//! fails is a refusal, and so is a record that does not take the request or the approval. [`Hold::settle_within`] ends its
//! wait without ending its request (`leaving.rs`).
//! Held by: `tests/it/holding.rs`, `tests/it/leaving.rs`, `tests/it/granting.rs`.

use crate::clearance::{Cleared, Settled};
use crate::granting::{self, Held};
use crate::judging::Judged;
use crate::session::Inner;
use jiff::Timestamp;
use portcullis_approvals::{Binding, DeskError, Offer, OpenError, Request, Verdict as Vote};
use portcullis_audit::RecordUnavailable;
use portcullis_model::{
    ApprovalId, Command, DecisionId, Denial, Digest, EventBody, GrantId, HoldTerms, Operation, Outcome, Parameter,
    Preview, Reason, RuleId, Text, Verdict,
};
use std::sync::Arc;
use tokio::sync::watch;

/// What the record says of a request that nobody waits for any more, and that stays open.
pub(crate) const LEFT: &str = "left";

/// Bytes of its text that are shown to whoever is asked.
const TEXT: usize = 64 * 1024;

/// Bytes of one value that are.
const READ: usize = 16 * 1024;

/// Bytes of all values that are, together.
const PARAMETERS: usize = 128 * 1024;

/// Operations that are, and bytes of them together.
const OPERATIONS: (usize, usize) = (256, 64 * 1024);

/// A command that waits for people. Dropping it withdraws the request.
#[must_use = "a hold is settled, or its request is withdrawn"]
pub struct Hold<F> {
    pub(crate) frame: F,
    pub(crate) waiting: Waiting,
}

/// The wait itself, without the frame: dropping it armed is the withdrawal.
pub(crate) struct Waiting {
    pub(crate) session: Arc<Inner>,
    pub(crate) command: Arc<Command>,
    pub(crate) number: u64,
    pub(crate) approval: ApprovalId,
    pub(crate) terms: Vec<HoldTerms>,
    /// Which of its operations each rule holds.
    pub(crate) held: Held,
    /// The grants without which more rules would hold it.
    granted: Vec<GrantId>,
    /// What tells this command from others, where that is not all of it.
    pub(crate) same: Option<Digest>,
    /// Which request is waited for.
    pub(crate) told: watch::Sender<ApprovalId>,
    /// What it would write, as those who decide are told.
    pub(crate) preview: Option<Preview>,
    /// The request was left by somebody before: whoever stops waiting for it leaves it as it is.
    pub(crate) found: bool,
    /// The approval is used, and the record says so.
    claimed: bool,
    armed: bool,
}

/// Why nobody is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpen {
    #[error(transparent)]
    Desk(#[from] OpenError),
    #[error(transparent)]
    Unrecorded(#[from] RecordUnavailable),
}

/// A wait whose approval was claimed, and where the record says so.
pub(crate) struct Approved {
    waiting: Waiting,
    sequence: u64,
}

impl Approved {
    /// Judges again and clears: what was approved must still be at most what was held.
    pub(crate) fn clear<F>(self, frame: F) -> Settled<F> {
        let Self { mut waiting, sequence } = self;
        let judged = match waiting.judged_again() {
            Ok(judged) => judged,
            Err(reason) => return Settled::Refuse(waiting.refused("overtaken", Vec::new(), reason)),
        };
        waiting.armed = false;
        // The approval itself must be in the record before what it allowed is sent, or answered where it only reads.
        let mut permit = waiting.session.permit(&waiting.command, waiting.number, sequence, &judged);
        permit.satisfied.clone_from(&waiting.terms);
        let wait_for = waiting.session.wait_to_send(&waiting.command, sequence);
        Settled::Forward(Cleared { frame, wait_for }, permit)
    }
}

impl<F> Hold<F> {
    pub(crate) fn new(
        session: Arc<Inner>,
        frame: F,
        command: Arc<Command>,
        number: u64,
        terms: Vec<HoldTerms>,
        judged: &Judged,
    ) -> Self {
        let approval = ApprovalId::new();
        let (told, _) = watch::channel(approval);
        let (held, granted) = (Held::of(judged), granting::names(&judged.granted));
        let (same, preview) = (None, None);
        let (found, claimed, armed) = (false, false, true);
        let waiting = Waiting {
            session,
            command,
            number,
            approval,
            terms,
            held,
            granted,
            same,
            told,
            preview,
            found,
            claimed,
            armed,
        };
        Self { frame, waiting }
    }

    /// Whether a rule wants the rows counted that it would write.
    #[must_use]
    pub fn counts_rows(&self) -> bool {
        self.waiting.terms.iter().any(|terms| terms.counts_rows)
    }

    /// Says what it would write: for those who decide and the record, never for whoever asks.
    pub fn previewed(mut self, preview: Preview) -> Self {
        self.waiting.preview = Some(preview);
        self
    }

    /// The request.
    #[must_use]
    pub const fn approval(&self) -> ApprovalId {
        self.waiting.approval
    }

    /// What each rule asks for.
    #[must_use]
    pub fn terms(&self) -> &[HoldTerms] {
        &self.waiting.terms
    }

    /// The command's ordinal in its session.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.waiting.number
    }

    /// Refuses it at once, where the protocol cannot wait now.
    #[must_use]
    pub fn refuse(self, reason: Reason) -> Denial {
        self.waiting.refused("unavailable", Vec::new(), reason)
    }

    /// Asks the desk, waits, and judges again.
    pub fn settle(self) -> impl Future<Output = Settled<F>> + Send + 'static
    where
        F: Send + 'static,
    {
        let Self { frame, waiting } = self;
        async move {
            match waiting.approved().await {
                Ok(approved) => approved.clear(frame),
                Err(denial) => Settled::Refuse(denial),
            }
        }
    }
}

impl Waiting {
    /// What the command comes to now that it was approved, where it may pass: what was approved is still at most what is
    /// held.
    pub(crate) fn judged_again(&self) -> Result<Judged, Reason> {
        let mut judged = self.session.judge(&self.command, Timestamp::now());
        // Grants stand beside what was approved only where the decision named them.
        judged.granted = granting::beside(judged.granted, &self.terms);
        let named = judged.granted.iter().all(|grant| self.granted.contains(&grant.id));
        // A rule that asks for more by now (other people, more of them) was not satisfied.
        let approved = |terms: &HoldTerms| self.terms.contains(terms);
        match &judged.decision.verdict {
            Verdict::Allow if named => Ok(judged),
            Verdict::Hold(terms) if named && terms.iter().all(approved) => Ok(judged),
            Verdict::Allow | Verdict::Hold(_) => {
                Err(self.because_of(|rule| Reason::Expired { approval: self.approval, rule }))
            }
            Verdict::Deny(reason) => Err(reason.clone()),
        }
    }

    async fn approved(self) -> Result<Approved, Denial> {
        let desk = self.session.shared.desk.clone();
        let binding = self.binding();
        if let Err(not) = self.open(binding).await {
            return Err(self.not_open(&not));
        }
        let voted = desk.watch(self.approval).await;
        self.voted(voted, &binding).await
    }

    /// Takes what people said about its own request.
    pub(crate) async fn voted(self, voted: Result<Vote, DeskError>, binding: &Binding) -> Result<Approved, Denial> {
        let approval = self.approval;
        match voted {
            Ok(Vote::Approved { by }) => match self.session.shared.desk.claim(approval, binding).await {
                Ok(offers) => self.claimed(by, offers).await,
                Err(error) => {
                    tracing::warn!(%approval, %error, "an approval could not be claimed");
                    Err(self.expired(by))
                }
            },
            Ok(Vote::Rejected { by }) => Err(self.rejected(by)),
            Ok(Vote::Expired) => Err(self.expired(Vec::new())),
            Ok(Vote::Withdrawn) => {
                let reason = self.because_of(|rule| Reason::Recalled { approval, rule });
                Err(self.refused("withdrawn", Vec::new(), reason))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Records that its approval was claimed; without that nothing of it may be sent.
    pub(crate) async fn claimed(mut self, by: Vec<Arc<str>>, offers: Vec<Offer>) -> Result<Approved, Denial> {
        match self.session.append([self.verdict("approved", by)]) {
            Ok(sequence) => {
                self.claimed = true;
                self.give(offers).await;
                Ok(Approved { waiting: self, sequence })
            }
            Err(_) => Err(self.refused("unavailable", Vec::new(), Reason::RecordUnavailable)),
        }
    }

    /// Asks people.
    pub(crate) async fn open(&self, binding: Binding) -> Result<(), NotOpen> {
        let expires = self.session.shared.desk.open(self.request(binding)).await?;
        self.session.append([EventBody::ApprovalRequested {
            command: self.number,
            approval: self.approval,
            rule: self.rule().map_or_else(|| "".into(), |rule| rule.to_string().into()),
            expires,
            reason: self.session.reason(&self.command),
            preview: self.preview.clone(),
        }])?;
        Ok(())
    }

    fn request(&self, binding: Binding) -> Request {
        let (text, parameters) = self.shown();
        Request {
            id: self.approval,
            decision: DecisionId { session: self.session.stream.id(), number: self.number },
            connection: self.session.connection.name.clone(),
            text,
            parameters,
            operations: listed(self.command.operations()).0,
            reason: self.session.reason(&self.command),
            preview: self.preview.clone(),
            binding,
            terms: self.terms.clone(),
            requester: self.session.authenticated.principal.clone(),
            makers: self.session.authenticated.makers.clone(),
            created: Timestamp::now(),
        }
    }

    /// The command as people read it before they say yes: as recorded, since auditors may read it too, with what is long
    /// cut. What is approved is the whole of it.
    fn shown(&self) -> (Text, Vec<Parameter>) {
        let catalogue = self.command.followed.as_ref().map(|followed| &followed.catalogue);
        let masking = self.session.masking(&self.session.shared.policy.load(), catalogue);
        let (text, parameters) = masking.recorded(&self.command);
        let text = cut(text.as_str(), TEXT).map_or(text, Text::plain);
        let mut left = PARAMETERS;
        let parameters = parameters.into_iter().map(|parameter| {
            let Some(value) = parameter.value.as_deref() else { return parameter };
            let shown = cut(value, READ.min(left));
            left -= value.len().min(READ).min(left);
            match shown {
                Some(shown) => Parameter { value: Some(shown.into()), ..parameter },
                None => parameter,
            }
        });
        (text, parameters.collect())
    }

    /// Whether people see each of its operations.
    pub(crate) fn shows_each_operation(&self) -> bool {
        listed(self.command.operations()).1 == 0
    }

    pub(crate) fn binding(&self) -> Binding {
        let connection = &self.session.connection;
        let database = connection.database.as_ref().map(ToString::to_string).unwrap_or_default();
        let context = self.command.context.map(|digest| *digest.as_bytes()).unwrap_or_default();
        let mut parameters = Vec::new();
        // What tells it from others is over its parameters, too.
        for parameter in self.command.parameters.iter().filter(|_| self.same.is_none()) {
            // Type, whether it is NULL, length and value: no two lists run together.
            let value = parameter.value.as_deref().unwrap_or_default();
            let head = format!("{}\0{}\0{}\0", parameter.type_name, parameter.value.is_some(), value.len());
            parameters.extend_from_slice(head.as_bytes());
            parameters.extend_from_slice(value.as_bytes());
        }
        let digest = self.same.unwrap_or(self.command.digest);
        Binding::of(
            &self.session.authenticated.principal,
            &[
                (if self.same.is_some() { "same" } else { "digest" }, digest.as_bytes()),
                ("parameters", &parameters),
                ("connection", connection.name.as_str().as_bytes()),
                ("database", database.as_bytes()),
                ("login", connection.login.as_bytes()),
                ("context", &context),
            ],
        )
    }

    fn rule(&self) -> Option<&RuleId> {
        self.terms.first().map(|terms| &terms.rule)
    }

    /// A reason that names the rule which holds it.
    pub(crate) fn because_of(&self, reason: impl FnOnce(RuleId) -> Reason) -> Reason {
        self.rule().cloned().map_or(Reason::Withdrawn, reason)
    }

    pub(crate) fn nobody(&self) -> Reason {
        self.because_of(|rule| Reason::ApprovalUnavailable { rule })
    }

    /// People did not decide in time, or what they said could not be used any more.
    pub(crate) fn expired(self, voters: Vec<Arc<str>>) -> Denial {
        let reason = self.because_of(|rule| Reason::Expired { approval: self.approval, rule });
        self.refused("expired", voters, reason)
    }

    pub(crate) fn rejected(self, by: Arc<str>) -> Denial {
        let who = Arc::clone(&by);
        let reason = self.because_of(|rule| Reason::Rejected { approval: self.approval, rule, by: who });
        self.refused("rejected", vec![by], reason)
    }

    pub(crate) fn not_open(self, not: &NotOpen) -> Denial {
        let reason = match not {
            NotOpen::Desk(error) => {
                tracing::warn!(approval = %self.approval, %error, "no approval could be asked for");
                self.nobody()
            }
            NotOpen::Unrecorded(_) => {
                self.session.shared.desk.withdraw_soon(self.approval);
                Reason::RecordUnavailable
            }
        };
        self.refused("unavailable", Vec::new(), reason)
    }

    pub(crate) fn failed(self, error: &DeskError) -> Denial {
        tracing::error!(approval = %self.approval, %error, "the approval service failed");
        let reason = self.nobody();
        self.refused("unavailable", Vec::new(), reason)
    }

    /// Ends the wait with a refusal, recorded.
    pub(crate) fn refused(mut self, verdict: &'static str, voters: Vec<Arc<str>>, reason: Reason) -> Denial {
        self.close(verdict, voters);
        self.session.denial(Some(self.number), reason, None)
    }

    /// Ends the wait, recorded, without anything that would be sent.
    pub(crate) fn close(&mut self, verdict: &'static str, voters: Vec<Arc<str>>) {
        self.armed = false;
        self.record_verdict(verdict, voters);
        self.session.record_settled(self.number, Outcome::REFUSED, None);
    }

    pub(crate) fn record_verdict(&self, verdict: &'static str, voters: Vec<Arc<str>>) {
        self.session.record([self.verdict(verdict, voters)]);
    }

    fn verdict(&self, verdict: &'static str, voters: Vec<Arc<str>>) -> EventBody {
        let (command, approval) = (self.number, self.approval);
        EventBody::ApprovalSettled { command, approval, verdict: verdict.into(), voters }
    }
}

/// What is shown of these operations, and how many are not.
fn listed(operations: &[Operation]) -> (Vec<Arc<str>>, usize) {
    let (most, mut left) = OPERATIONS;
    let fits = |text: &String| {
        let rest = left.checked_sub(text.len());
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let shown = operations.iter().take(most).map(ToString::to_string).take_while(fits);
    let mut shown: Vec<Arc<str>> = shown.map(Into::into).collect();
    let rest = operations.len() - shown.len();
    if rest > 0 {
        shown.push(format!("… ({rest} more)").into());
    }
    (shown, rest)
}

/// The beginning of what is longer than this many bytes.
fn cut(text: &str, longest: usize) -> Option<String> {
    let (shown, rest) = text.split_at_checked(text.floor_char_boundary(longest))?;
    (!rest.is_empty()).then(|| format!("{shown}… ({} bytes more)", rest.len()))
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.armed {
            // Of what was approved and used the record has its one verdict.
            if !self.claimed {
                if !self.found {
                    self.session.shared.desk.withdraw_soon(self.approval);
                }
                self.record_verdict(if self.found { LEFT } else { "withdrawn" }, Vec::new());
            }
            self.session.record_settled(self.number, Outcome::Withdrawn, None);
        }
    }
}
