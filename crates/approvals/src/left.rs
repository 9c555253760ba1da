//! Requests that stay open with nobody waiting: whoever asks for the same again finds them by their binding.
//!
//! Promises: a request that was left is found by exactly its binding, under exactly the terms that it was asked under, at
//! the run of the gateway that asked, and no longer than it can still be decided or used; one is found for one binding,
//! also where several are left at once; a principal has at most [`LEFT`] of them, and of those that lapsed little is kept when
//! others take their place. Finding one takes nothing: that is
//! [`Desk::claim`](crate::Desk::claim), with all of its rules.
//! Does not promise to find a request that somebody waits for: it is theirs.
//! Held by: `left/tests.rs`.

use crate::binding::Binding;
use crate::error::{DeskError, LeaveError};
use crate::request::{State, Stored};
use crate::{Core, TRIES, Verdict};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{ApprovalId, Digest, HoldTerms, Principal};
use portcullis_store::{Expect, Put, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Requests that one principal may leave at once.
pub const LEFT: usize = 64;

const KEYS: &[u8] = b"left/";

/// A request that was left, as whoever asks for the same again finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// People have not decided yet.
    Open {
        /// Which.
        id: ApprovalId,
        /// Undecided by then: refused.
        until: Timestamp,
    },
    /// People said yes, and nobody used it yet.
    Approved {
        /// Which.
        id: ApprovalId,
        /// The users who said yes.
        by: Vec<Arc<str>>,
    },
    /// Somebody said no. It is found until the time is over in which it could be decided.
    Rejected {
        /// Which.
        id: ApprovalId,
        /// Who.
        by: Arc<str>,
    },
}

impl Left {
    /// Which request.
    #[must_use]
    pub const fn id(&self) -> ApprovalId {
        match self {
            Self::Open { id, .. } | Self::Approved { id, .. } | Self::Rejected { id, .. } => *id,
        }
    }
}

/// What one principal has left at one run of a gateway. It is one value, so that its bound and its bindings hold whoever
/// changes it at the same time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    entries: Vec<Entry>,
    /// The last moment of all that were ever entered.
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    binding: Binding,
    id: ApprovalId,
}

impl Stored {
    /// What whoever asks for the same again finds of it.
    fn left(&self, now: Timestamp) -> Option<Left> {
        let id = self.request.id;
        match (self.state(now), self.verdict(now)) {
            (State::Open, _) => Some(Left::Open { id, until: self.deadline }),
            (State::Approved, Some(Verdict::Approved { by })) => Some(Left::Approved { id, by }),
            (State::Rejected, Some(Verdict::Rejected { by })) if now < self.deadline => Some(Left::Rejected { id, by }),
            (State::Approved | State::Rejected | State::Expired | State::Withdrawn | State::Used, _) => None,
        }
    }

    /// Whether it was asked under exactly these terms.
    fn is_under(&self, terms: &[HoldTerms]) -> bool {
        let among = |some: &[HoldTerms], all: &[HoldTerms]| some.iter().all(|terms| all.contains(terms));
        among(&self.request.terms, terms) && among(terms, &self.request.terms)
    }
}

impl Core {
    fn ledger_key(&self, requester: &Principal) -> Bytes {
        let person: [&[u8]; 6] = [
            b"left by",
            requester.issuer.as_bytes(),
            b"\0",
            requester.subject.as_bytes(),
            b"\0",
            requester.user.as_bytes(),
        ];
        let person = Digest::of_parts(&person).to_string();
        [KEYS, self.run.to_string().as_bytes(), b"/", person.as_bytes()].concat().into()
    }

    async fn ledger(&self, key: &[u8]) -> Result<Option<(Ledger, u64)>, DeskError> {
        let Some(found) = self.table.get(key).await? else { return Ok(None) };
        let ledger = serde_json::from_slice(&found.value)
            .map_err(|_| StoreError::Damaged("the list of requests that wait cannot be read".to_owned()))?;
        Ok(Some((ledger, found.version)))
    }

    /// What an entry stands for, while it does for anything.
    async fn entered(&self, entry: Entry) -> Result<Option<(Stored, Left)>, DeskError> {
        let stored = match self.load(entry.id).await {
            Ok((stored, _)) => stored,
            Err(DeskError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let left = stored.left(self.now()).filter(|_| stored.run == self.run);
        Ok(left.map(|left| (stored, left)))
    }

    pub(crate) async fn left(
        &self,
        requester: &Principal,
        binding: &Binding,
        terms: &[HoldTerms],
    ) -> Result<Option<Left>, DeskError> {
        let Some((ledger, _)) = self.ledger(&self.ledger_key(requester)).await? else { return Ok(None) };
        let Some(entry) = ledger.entries.iter().find(|entry| entry.binding == *binding) else { return Ok(None) };
        let found = self.entered(*entry).await?;
        Ok(found.filter(|(stored, _)| stored.is_under(terms)).map(|(_, left)| left))
    }

    pub(crate) async fn leave(&self, id: ApprovalId) -> Result<Left, LeaveError> {
        let (stored, _) = self.load(id).await?;
        if stored.run != self.run {
            return Err(LeaveError::NotOurs);
        }
        let binding = stored.request.binding;
        let key = self.ledger_key(&stored.request.requester);
        for _ in 0..TRIES {
            let (mut ledger, expect) = match self.ledger(&key).await? {
                Some((ledger, version)) => (ledger, Expect::Version(version)),
                None => (Ledger { entries: Vec::new(), until: stored.deadline }, Expect::Absent),
            };
            let before = ledger.entries.iter().position(|entry| entry.binding == binding);
            let before = before.map(|at| ledger.entries.swap_remove(at)).filter(|before| before.id != id);
            if let Some(before) = before
                && let Some((earlier, left)) = self.entered(before).await?
                && earlier.is_under(&stored.request.terms)
            {
                // Two of one kind were left at once: the first stays.
                self.withdraw(id).await?;
                return Ok(left);
            }
            if ledger.entries.len() >= LEFT {
                self.forget_what_is_over(&mut ledger).await?;
            }
            if ledger.entries.len() >= LEFT {
                return Err(LeaveError::TooMany);
            }
            ledger.entries.push(Entry { binding, id });
            ledger.until = ledger.until.max(stored.last_possible_moment());
            if self.enter(&key, &ledger, expect).await? {
                // What was asked under other terms, or lapsed, is not found any more.
                if let Some(before) = before {
                    self.put_away(before.id).await?;
                }
                return Ok(Left::Open { id, until: stored.deadline });
            }
        }
        Err(DeskError::from(StoreError::Unavailable("the list of requests that wait keeps changing".to_owned())).into())
    }

    async fn forget_what_is_over(&self, ledger: &mut Ledger) -> Result<(), DeskError> {
        let mut kept = Vec::new();
        for entry in ledger.entries.drain(..) {
            if self.entered(entry).await?.is_some() {
                kept.push(entry);
            } else {
                self.put_away(entry.id).await?;
            }
        }
        ledger.entries = kept;
        Ok(())
    }

    /// Takes back what is not found any more, and keeps little of it where nobody decided: whoever leaves requests to lapse,
    /// again and again, fills nothing.
    async fn put_away(&self, id: ApprovalId) -> Result<(), DeskError> {
        let put = self.change(id, |stored, now| Ok((stored.withdraw(now) || stored.shorten_lapsed(now), ())));
        match put.await {
            // It lapsed so long ago that it is gone.
            Err(DeskError::NotFound(_)) => Ok(()),
            put => put,
        }
    }

    /// Writes it; false where something changed it in between.
    async fn enter(&self, key: &Bytes, ledger: &Ledger, expect: Expect) -> Result<bool, DeskError> {
        let json = serde_json::to_vec(ledger).map_err(|error| StoreError::Damaged(error.to_string()))?;
        match self.table.put(key.clone(), json.into(), expect, Some(ledger.until)).await? {
            Put::Done(_) => Ok(true),
            Put::Conflict => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests;
