//! A wait for people that may end before they have decided, and a request that stays open behind it.
//!
//! Promises: of a request that is left nothing is sent: whoever sends the same again (the same command of the same
//! principal with the same proof, everything else that it means included) finds it, waits for it or is told of it, and
//! after an approval claims it, once, judged again as any held command is. One that people rejected refuses the same
//! command until its time is over. What waits for its own request without leaving it is found by nobody. A client that
//! goes away while it waits for a request that was found leaves that as it is.
//! Does not promise to find what was asked under other terms: policy that holds it otherwise by now asks anew.
//! Held by: `tests/it/leaving.rs`.

use crate::clearance::Settled;
use crate::hold::{Approved, Hold, LEFT, Waiting};
use jiff::Timestamp;
use portcullis_approvals::{Binding, ClaimError, LeaveError, Left, Verdict};
use portcullis_model::{ApprovalId, DecisionId, Denial, Digest, HoldTerms, Reason};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How often a request that was found is lost to somebody else before that is the end.
const TRIES: usize = 8;

/// How a wait with an end of its own ended.
#[must_use = "what was approved is forwarded"]
pub enum Waited<F> {
    /// People decided.
    Settled(Settled<F>),
    /// They did not, and the request stays open.
    Left(LeftOpen),
}

/// A request that stays open with nobody waiting.
#[derive(Clone, Debug)]
pub struct LeftOpen {
    /// Which.
    pub approval: ApprovalId,
    /// The command that was not run.
    pub decision: DecisionId,
    /// What each rule asks for.
    pub terms: Vec<HoldTerms>,
    /// Undecided by then: refused.
    pub until: Timestamp,
}

/// Why a wait went no further.
enum Over {
    Refused(Denial),
    Left(LeftOpen),
}

impl<F> Hold<F> {
    /// Says what the same command is where each is written with marks of its own (the number of a message): a digest over
    /// all of it that means anything. An approval is then bound to this instead of to digest and parameters.
    pub fn same_by(mut self, digest: Digest) -> Self {
        self.waiting.same = Some(digest);
        self
    }

    /// Which request is waited for: its own, until one that was left is found.
    #[must_use]
    pub fn waits_for(&self) -> watch::Receiver<ApprovalId> {
        self.waiting.told.subscribe()
    }

    /// Waits as [`Hold::settle`] does, for a request that was left for the same command where there is one. With a
    /// patience the request stays open when that is over.
    pub fn settle_within(self, patience: Option<Duration>) -> impl Future<Output = Waited<F>> + Send + 'static
    where
        F: Send + 'static,
    {
        let Self { frame, waiting } = self;
        async move {
            match waiting.within(patience.map(|patience| Instant::now() + patience)).await {
                Ok(approved) => Waited::Settled(approved.clear(frame)),
                Err(Over::Refused(denial)) => Waited::Settled(Settled::Refuse(denial)),
                Err(Over::Left(left)) => Waited::Left(left),
            }
        }
    }
}

/// How far a wait came.
enum Came {
    /// The approval is claimed.
    Through(Approved),
    /// The request is gone, or somebody else's: look again.
    Back(Waiting),
}

impl Waiting {
    async fn within(mut self, end: Option<Instant>) -> Result<Approved, Over> {
        let desk = self.session.shared.desk.clone();
        let binding = self.binding();
        for _ in 0..TRIES {
            let came = match desk.left(&self.session.authenticated.principal, &binding, &self.terms).await {
                Ok(Some(left)) => self.find(left, end, &binding).await?,
                Ok(None) => self.ask(end, binding).await?,
                Err(error) => return Err(Over::Refused(self.failed(&error))),
            };
            match came {
                Came::Through(approved) => return Ok(approved),
                Came::Back(waiting) => self = waiting,
            }
        }
        Err(Over::Refused(self.expired(Vec::new())))
    }

    /// Waits for a request that somebody left.
    async fn find(mut self, left: Left, end: Option<Instant>, binding: &Binding) -> Result<Came, Over> {
        let approval = left.id();
        self.turn_to(approval, true);
        let voted = match left {
            Left::Approved { by, .. } => Verdict::Approved { by },
            Left::Rejected { by, .. } => Verdict::Rejected { by },
            Left::Open { until, .. } => {
                let watch = self.session.shared.desk.watch(approval);
                let Some(voted) = before(end, watch).await else { return Err(Over::Left(self.leave_found(until))) };
                match voted {
                    Ok(voted) => voted,
                    Err(error) => return Err(Over::Refused(self.failed(&error))),
                }
            }
        };
        match voted {
            Verdict::Approved { by } => self.claim(by, binding).await,
            Verdict::Rejected { by } => Err(Over::Refused(self.rejected(by))),
            Verdict::Expired | Verdict::Withdrawn => Ok(self.back()),
        }
    }

    async fn claim(self, by: Vec<Arc<str>>, binding: &Binding) -> Result<Came, Over> {
        let approval = self.approval;
        match self.session.shared.desk.claim(approval, binding).await {
            Ok(offers) => self.claimed(by, offers).await.map(Came::Through).map_err(Over::Refused),
            // Somebody else used it first, or it lapsed.
            Err(ClaimError::NotApproved(_)) => Ok(self.back()),
            Err(error) => {
                tracing::warn!(%approval, %error, "an approval could not be claimed");
                Err(Over::Refused(self.expired(by)))
            }
        }
    }

    /// Asks for itself.
    async fn ask(self, end: Option<Instant>, binding: Binding) -> Result<Came, Over> {
        if let Err(not) = self.open(binding).await {
            return Err(Over::Refused(self.not_open(&not)));
        }
        let watch = self.session.shared.desk.watch(self.approval);
        match before(end, watch).await {
            Some(voted) => self.voted(voted, &binding).await.map(Came::Through).map_err(Over::Refused),
            None => self.leave().await,
        }
    }

    /// Leaves its own request open.
    async fn leave(self) -> Result<Came, Over> {
        let desk = self.session.shared.desk.clone();
        match desk.leave(self.approval).await {
            Ok(Left::Open { id, until }) if id == self.approval => Err(Over::Left(self.leave_found(until))),
            // Another one for the same was left meanwhile, and this one is withdrawn.
            Ok(_) => {
                self.record_verdict("withdrawn", Vec::new());
                Ok(self.back())
            }
            Err(error) => {
                desk.withdraw_soon(self.approval);
                Err(Over::Refused(match error {
                    LeaveError::TooMany => {
                        let message = format!("{error}: send it again when some of them are decided.");
                        let denial = self.refused("withdrawn", Vec::new(), Reason::Withdrawn);
                        Denial { message: Some(message.into()), ..denial }
                    }
                    LeaveError::Desk(error) => self.failed(&error),
                    error => {
                        tracing::error!(%error, "a request cannot be left open");
                        self.refused("withdrawn", Vec::new(), Reason::Withdrawn)
                    }
                }))
            }
        }
    }

    fn leave_found(mut self, until: Timestamp) -> LeftOpen {
        self.close(LEFT, Vec::new());
        let decision = DecisionId { session: self.session.stream.id(), number: self.number };
        LeftOpen { approval: self.approval, decision, terms: std::mem::take(&mut self.terms), until }
    }

    fn back(mut self) -> Came {
        self.turn_to(ApprovalId::new(), false);
        Came::Back(self)
    }

    fn turn_to(&mut self, approval: ApprovalId, found: bool) {
        self.approval = approval;
        self.found = found;
        self.told.send_replace(approval);
    }
}

/// What came before that moment.
async fn before<T>(end: Option<Instant>, wait: impl Future<Output = T>) -> Option<T> {
    match end {
        Some(end) => timeout_at(end, wait).await.ok(),
        None => Some(wait.await),
    }
}
