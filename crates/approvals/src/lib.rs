//! Approvals: a held command asks people, people vote, and an approval is claimed once.
//!
//! The gate opens a [`Request`] for each held command, waits with [`Desk::watch`], and after an approval takes it with
//! [`Desk::claim`] before it forwards anything. People vote with a [`Vote`], which only an interactive login of the last
//! five minutes can make.
//!
//! Promises (DESIGN 1.3 and 3): an approval is used at most once, by the gateway run that asked for it, within its
//! `valid`, and only for exactly what was shown ([`Binding`]). Every rule that held must be satisfied by its own number of
//! distinct people; the requester and whoever made the requester's token are one person, who never counts. One no of
//! anybody entitled to vote refuses. Undecided at the deadline is refused. Requests of an earlier run of a gateway are
//! withdrawn when it starts again. Every change is made under the version of what it was judged on, so of two claims,
//! or of a claim and a withdrawal, one wins. A store that fails gives an error, never an approval.
//!
//! With a yes people may give a [`Grant`]: a revocable allow for some minutes, which is no approval.
//!
//! A request may be left open with nobody waiting for it, and whoever asks for the same again finds it ([`Desk::left`]).
//!
//! Does not promise: to know that a login was interactive; whoever makes a [`Vote`] vouches for it.
//! Held by: `tests.rs` beside this file, `races.rs` in every order, `left/tests.rs`, `grants/tests.rs`, and the unit tests of `vote.rs` and `binding.rs`.

mod binding;
mod error;
mod fuzz;
mod grant;
mod grants;
mod left;
mod request;
mod vote;

#[cfg(test)]
mod races;
#[cfg(test)]
mod tests;

pub use binding::Binding;
pub use error::{ClaimError, DeskError, GrantError, LeaveError, OpenError, VoteError};
pub use fuzz::fuzz_stored;
pub use grant::{Grant, Offer, Party, can_be_granted};
pub use grants::{Ended, GrantShown};
pub use left::{LEFT, Left};
pub use request::{Cast, Request, Shown, State, Tally};
pub use vote::{Ballot, NotAVoter, Vote};

use bytes::Bytes;
use futures_util::StreamExt as _;
use grants::Grants;
use jiff::Timestamp;
use portcullis_model::{ApprovalId, HoldTerms, Principal};
use portcullis_store::{Expect, Put, StoreError, Table, Versioned};
use request::Stored;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

const KEYS: &[u8] = b"approval/";

/// How often a change is tried again when another one came first.
const TRIES: usize = 64;

/// Withdrawals that can wait to be written; one beyond it is left to its deadline.
const WITHDRAWALS: usize = 1024;

/// Where a desk reads the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every rule that held is satisfied. It must still be claimed.
    Approved {
        /// The users who said yes.
        by: Vec<Arc<str>>,
    },
    /// Somebody entitled to said no.
    Rejected {
        /// Who.
        by: Arc<str>,
    },
    /// Nobody decided in time, or the approval was not used in time.
    Expired,
    /// The requester took it back, or its gateway went away.
    Withdrawn,
}

/// Where approvals are asked for and given. Cheap to clone; clones are one desk.
#[derive(Clone)]
pub struct Desk {
    /// `None`: nobody can vote here.
    open: Option<Arc<OpenDesk>>,
}

struct OpenDesk {
    core: Arc<Core>,
    grants: Grants,
    withdrawals: mpsc::Sender<ApprovalId>,
    /// Ends with this value.
    _writer: JoinSet<()>,
}

struct Core {
    table: Arc<dyn Table>,
    clock: Clock,
    seat: Arc<str>,
    run: Uuid,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("open", &self.open.is_some()).finish()
    }
}

impl Desk {
    /// A desk at which nobody can vote, because no provider of interactive logins is configured: every request is
    /// refused at once.
    #[must_use]
    pub const fn closed() -> Self {
        Self { open: None }
    }

    /// A desk over this table. `seat` names this gateway among those that share the table: requests that an earlier run
    /// at this seat left behind are withdrawn now. To be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The store's.
    pub async fn open_at(table: Arc<dyn Table>, seat: impl Into<Arc<str>>, clock: Clock) -> Result<Self, DeskError> {
        let core = Arc::new(Core { table, clock, seat: seat.into(), run: Uuid::now_v7() });
        core.withdraw_earlier_runs().await?;
        let grants = Grants::follow(Arc::clone(&core.table)).await?;
        let (withdrawals, mut waiting) = mpsc::channel(WITHDRAWALS);
        let mut writer = JoinSet::new();
        let writing = Arc::clone(&core);
        writer.spawn(async move {
            while let Some(id) = waiting.recv().await {
                // One that was not opened yet when its asker went never will be.
                if let Err(error) = writing.withdraw(id).await
                    && !matches!(error, DeskError::NotFound(_))
                {
                    tracing::warn!(approval = %id, %error, "a withdrawn request for approval is left to its deadline");
                }
            }
        });
        Ok(Self { open: Some(Arc::new(OpenDesk { core, grants, withdrawals, _writer: writer })) })
    }

    /// Whether anybody can vote here at all.
    #[must_use]
    pub const fn can_approve(&self) -> bool {
        self.open.is_some()
    }

    fn opened(&self) -> Result<&OpenDesk, DeskError> {
        self.open.as_deref().ok_or(DeskError::Closed)
    }

    fn core(&self) -> Result<&Arc<Core>, DeskError> {
        self.opened().map(|open| &open.core)
    }

    /// Asks for an approval, and says until when it can be given.
    ///
    /// # Errors
    /// [`OpenError::Unavailable`] when nobody can vote here or a rule names nobody who may; otherwise the request is
    /// malformed, or the store failed. Nothing is then open.
    pub async fn open(&self, request: Request) -> Result<Timestamp, OpenError> {
        let Ok(core) = self.core() else {
            return Err(OpenError::Unavailable { rule: request.terms.first().map(|terms| terms.rule.clone()) });
        };
        core.open(request).await
    }

    /// Waits until the request is decided, withdrawn or out of time.
    ///
    /// # Errors
    /// There is no such request here, or the store failed: both count as a refusal.
    pub fn watch(&self, id: ApprovalId) -> impl Future<Output = Result<Verdict, DeskError>> + Send + 'static {
        let core = self.core().cloned();
        async move { core?.watch(id).await }
    }

    /// Votes.
    ///
    /// # Errors
    /// [`VoteError`] says why the vote does not count.
    pub async fn vote(&self, id: ApprovalId, vote: &Vote) -> Result<Tally, VoteError> {
        self.core()?.vote(id, vote).await
    }

    /// Takes an approval for the one command that it was given for. Only after this returned `Ok` may it be forwarded.
    /// What comes back is what its approvers want to allow beside it: [`Desk::give`] makes a grant of each.
    ///
    /// # Errors
    /// [`ClaimError`]: not approved, out of time, used before, or for something else.
    pub async fn claim(&self, id: ApprovalId, binding: &Binding) -> Result<Vec<Offer>, ClaimError> {
        self.core()?.claim(id, binding).await
    }

    /// What became of the request that was left for this command under these terms, where there is one.
    ///
    /// # Errors
    /// Nobody can vote here, or the store failed.
    pub async fn left(
        &self,
        requester: &Principal,
        binding: &Binding,
        terms: &[HoldTerms],
    ) -> Result<Option<Left>, DeskError> {
        self.core()?.left(requester, binding, terms).await
    }

    /// Leaves a request open with nobody waiting for it, to be found with [`Desk::left`]. Where one for the same was left
    /// before, this one is withdrawn and that one is said.
    ///
    /// # Errors
    /// [`LeaveError`]: the requester has left too many, or the request is none of this run's. It is then not left, and
    /// still to be withdrawn.
    pub async fn leave(&self, id: ApprovalId) -> Result<Left, LeaveError> {
        self.core()?.leave(id).await
    }

    /// Takes a request back; one that was decided stays decided, except that an approval can no longer be claimed.
    ///
    /// # Errors
    /// There is no such request here, or the store failed.
    pub async fn withdraw(&self, id: ApprovalId) -> Result<(), DeskError> {
        self.core()?.withdraw(id).await
    }

    /// Takes a request back soon, from a place that cannot wait (a `Drop`). Where it cannot be written, the request is
    /// left to its deadline; nobody claims it.
    pub fn withdraw_soon(&self, id: ApprovalId) {
        if let Some(open) = &self.open
            && open.withdrawals.try_send(id).is_err()
        {
            tracing::warn!(approval = %id, "a withdrawn request for approval is left to its deadline");
        }
    }

    /// One request.
    ///
    /// # Errors
    /// There is no such request here, or the store failed.
    pub async fn show(&self, id: ApprovalId) -> Result<Shown, DeskError> {
        let core = self.core()?;
        let (stored, _) = core.load(id).await?;
        Ok(stored.shown(core.now()))
    }

    /// Every request that is kept, oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self) -> Result<Vec<Shown>, DeskError> {
        let core = self.core()?;
        let mut shown: Vec<_> =
            core.load_all().await?.into_iter().map(|(stored, _)| stored.shown(core.now())).collect();
        shown.sort_by_key(|shown| (shown.request.created, shown.request.id));
        Ok(shown)
    }
}

fn key_of(id: ApprovalId) -> Bytes {
    [KEYS, id.to_string().as_bytes()].concat().into()
}

fn decode(versioned: &Versioned) -> Result<Stored, DeskError> {
    serde_json::from_slice(&versioned.value)
        .map_err(|_| StoreError::Damaged("a request for approval cannot be read".to_owned()).into())
}

impl Core {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    async fn load(&self, id: ApprovalId) -> Result<(Stored, u64), DeskError> {
        let versioned = self.table.get(&key_of(id)).await?.ok_or(DeskError::NotFound(id))?;
        Ok((decode(&versioned)?, versioned.version))
    }

    async fn load_all(&self) -> Result<Vec<(Stored, u64)>, DeskError> {
        let found = self.table.scan(KEYS).await?;
        found.iter().map(|(_, versioned)| Ok((decode(versioned)?, versioned.version))).collect()
    }

    async fn store(&self, stored: &Stored, expect: Expect) -> Result<Put, DeskError> {
        let json = serde_json::to_vec(stored).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(self.table.put(key_of(stored.request.id), json.into(), expect, Some(stored.kept_until())).await?)
    }

    /// Changes a request under its version. `change` judges what is there; it is asked again when something else
    /// changed it in between. Its flag says whether anything is to be written.
    async fn change<T, E: From<DeskError>>(
        &self,
        id: ApprovalId,
        change: impl Fn(&mut Stored, Timestamp) -> Result<(bool, T), E>,
    ) -> Result<T, E> {
        for _ in 0..TRIES {
            let (mut stored, version) = self.load(id).await?;
            let (changed, answer) = change(&mut stored, self.now())?;
            if !changed {
                return Ok(answer);
            }
            match self.store(&stored, Expect::Version(version)).await? {
                Put::Done(_) => return Ok(answer),
                Put::Conflict => {}
            }
        }
        Err(DeskError::from(StoreError::Unavailable("the request keeps changing".to_owned())).into())
    }

    async fn open(&self, request: Request) -> Result<Timestamp, OpenError> {
        let stored = Stored::new(request, Arc::clone(&self.seat), self.run)?;
        match self.store(&stored, Expect::Absent).await? {
            Put::Done(_) => Ok(stored.deadline),
            Put::Conflict => Err(OpenError::Invalid("its identifier was used before")),
        }
    }

    async fn vote(&self, id: ApprovalId, vote: &Vote) -> Result<Tally, VoteError> {
        self.change(id, |stored, now| stored.vote(vote, now).map(|tally| (true, tally))).await
    }

    async fn claim(&self, id: ApprovalId, binding: &Binding) -> Result<Vec<Offer>, ClaimError> {
        self.change(id, |stored, now| stored.claim(self.run, binding, now).map(|offers| (true, offers))).await
    }

    async fn withdraw(&self, id: ApprovalId) -> Result<(), DeskError> {
        self.change(id, |stored, now| Ok((stored.withdraw(now), ()))).await
    }

    async fn withdraw_earlier_runs(&self) -> Result<(), DeskError> {
        for (stored, _) in self.load_all().await? {
            if stored.seat == self.seat && stored.run != self.run {
                self.withdraw(stored.request.id).await?;
            }
        }
        Ok(())
    }

    async fn watch(&self, id: ApprovalId) -> Result<Verdict, DeskError> {
        // Subscribed before it is first read, so that no change falls between.
        let mut changes = self.table.watch(&key_of(id));
        loop {
            let (stored, _) = self.load(id).await?;
            let now = self.now();
            if let Some(verdict) = stored.verdict(now) {
                return Ok(verdict);
            }
            let left = Duration::try_from(stored.deadline.duration_since(now)).unwrap_or_default();
            tokio::select! {
                change = changes.next() => {
                    if change.is_none() {
                        return Err(StoreError::Unavailable("its changes cannot be followed".to_owned()).into());
                    }
                }
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}
