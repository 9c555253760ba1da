//! What can stand against opening, voting and claiming, and whose fault it is.

use crate::request::State;
use crate::vote::NotAVoter;
use portcullis_model::{ApprovalId, GrantId, RuleId};
use portcullis_store::StoreError;

/// What can go wrong at a desk whatever is asked of it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// Nobody can vote on this gateway.
    #[error("nobody can approve on this gateway")]
    Closed,
    /// The caller's: there is no such request.
    #[error("there is no request for approval {0}")]
    NotFound(ApprovalId),
    /// The gateway's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a request was not opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration's: nobody may vote on it.
    #[error("nobody can approve this")]
    Unavailable {
        /// The rule that asks for it.
        rule: Option<RuleId>,
    },
    /// The gate's: the request is malformed.
    #[error("the request for approval is malformed: {0}")]
    Invalid(&'static str),
    /// The gateway's.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// Why a vote does not count. Always for the voter to read, except the desk's own errors.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoteError {
    /// The voter's: the login is not one that may vote, or not any more.
    #[error(transparent)]
    NotAVoter(#[from] NotAVoter),
    /// The voter's: they asked for it themselves, or made the token that asked.
    #[error("whoever asked for an approval, or made the token that asked, cannot vote on it")]
    OwnRequest,
    /// The voter's: no rule that holds names them or a group of theirs.
    #[error("no rule that holds this command names you as an approver")]
    NotNamed,
    /// The voter's: their yes is already counted.
    #[error("you have voted on this already")]
    AlreadyVoted,
    /// The voter's: no rule that names them lets a grant be given.
    #[error("no rule that names you as an approver lets a grant be given: say yes or no")]
    NoGrant,
    /// The voter's: the rule lets grants last less long.
    #[error("a grant lasts {} s at most here", longest.as_secs())]
    GrantTooLong {
        /// The most.
        longest: std::time::Duration,
    },
    /// Nobody's: it is not open any more.
    #[error("this request is {0} already")]
    Decided(State),
    /// The gateway's, or no such request.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// Why an approval cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// It is not approved: still open, refused, withdrawn, out of time, or used before.
    #[error("the request for approval is {0}")]
    NotApproved(State),
    /// What would be forwarded is not what was approved.
    #[error("the command, or what it depends on, is no longer what was approved")]
    Changed,
    /// It was asked for by another gateway, or by an earlier run of this one.
    #[error("the approval was given to another run of the gateway")]
    NotOurs,
    /// The gateway's, or no such request.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// Why a request was not left.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// The requester's: so many of theirs wait already.
    #[error("{} requests of this principal wait for people already", crate::LEFT)]
    TooMany,
    /// It was asked for by another gateway, or by an earlier run of this one.
    #[error("the request is another run's of the gateway")]
    NotOurs,
    /// The gateway's, or no such request.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// Why a grant was not given or not revoked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The caller's: there is no such grant.
    #[error("there is no grant {0}")]
    NotFound(GrantId),
    /// Nobody's: it is over.
    #[error("this grant has ended already")]
    Ended,
    /// The gateway's.
    #[error(transparent)]
    Desk(#[from] DeskError),
}
