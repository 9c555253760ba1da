//! A request for approval: what is asked, what is kept of it, and every step it can take. No I/O and no clock.
//!
//! ```text
//! open --votes--> approved --claim--> used          open: past its deadline it is expired
//!   |--a no-----> rejected                           approved: past its last moment it is expired
//!   `--withdraw-> withdrawn <--withdraw-- approved
//! ```
//! Promises: no step leads out of `rejected`, `withdrawn` or `used`; time alone turns `open` and `approved` into
//! `expired`, whoever looks. Held by: `tests.rs`.

use crate::Verdict;
use crate::binding::Binding;
use crate::error::{ClaimError, OpenError, VoteError};
use crate::grant::{Offer, Party};
use crate::vote::{Ballot, Vote, same_person};
use jiff::Timestamp;
use portcullis_model::{ApprovalId, DecisionId, HoldTerms, Name, Parameter, Preview, Principal, Text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A request that people decided is kept so long for the listing.
pub(crate) const KEPT_DECIDED: Duration = Duration::from_secs(24 * 60 * 60);

/// One that nobody decided, or that was taken back.
const KEPT_UNDECIDED: Duration = Duration::from_secs(60 * 60);

/// Bytes that are kept of the text of a request that was taken back, or lapsed with nobody waiting.
const SHORT: usize = 256;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Fresh, chosen by whoever asks, so that it can be told to the client at once.
    pub id: ApprovalId,
    /// The command.
    pub decision: DecisionId,
    /// Where it would run.
    pub connection: Name,
    /// Its text as recorded: with every secret replaced; cut where it is long.
    pub text: Text,
    /// The values bound to it, or the body that it comes with, as recorded; long ones cut.
    pub parameters: Vec<Parameter>,
    /// What it would do, as printed in rules.
    pub operations: Vec<Arc<str>>,
    /// Why, in the requester's words, after masking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// What it would write, where it writes rows of a database. Whoever asks is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// What an approval is bound to.
    pub binding: Binding,
    /// What each rule that holds asks for; all must be satisfied. Never empty.
    pub terms: Vec<HoldTerms>,
    /// Who asks.
    pub requester: Principal,
    /// Who made the requester's token, and so on: they count as the requester.
    pub makers: Vec<Principal>,
    /// When.
    pub created: Timestamp,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It can be voted on.
    Open,
    /// It can be claimed.
    Approved,
    /// Somebody said no.
    Rejected,
    /// Undecided or unused in time.
    Expired,
    /// Taken back.
    Withdrawn,
    /// Claimed.
    Used,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Used => "used",
        })
    }
}

/// A vote that was cast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// Who.
    pub voter: Principal,
    /// What they said.
    pub yes: bool,
    /// When.
    pub at: Timestamp,
    /// When they had logged in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged_in: Option<Timestamp>,
    /// The grant that they asked for with their yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Duration>,
}

/// What a vote led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Where the request stands now.
    pub state: State,
    /// How many more people must say yes, at least.
    pub missing: u32,
}

/// A request as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
    /// Where it stands.
    pub state: State,
    /// Undecided by then: refused.
    pub deadline: Timestamp,
    /// Who voted what.
    pub votes: Vec<Cast>,
    /// How many more people must say yes, at least.
    pub missing: u32,
}

/// What is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    pub(crate) request: Request,
    pub(crate) seat: Arc<str>,
    pub(crate) run: Uuid,
    pub(crate) deadline: Timestamp,
    /// Set by the vote that approved it: an approval not used by then lapses.
    valid_until: Option<Timestamp>,
    /// Never [`State::Expired`]: that is a matter of the clock.
    state: State,
    votes: Vec<Cast>,
}

impl Request {
    /// Whether this person asks, or made the token with which somebody does.
    #[must_use]
    pub fn is_of(&self, who: &Principal) -> bool {
        std::iter::once(&self.requester).chain(&self.makers).any(|own| same_person(own, who))
    }
}

impl Stored {
    pub(crate) fn new(request: Request, seat: Arc<str>, run: Uuid) -> Result<Self, OpenError> {
        let soonest = request.terms.iter().map(|terms| terms.expires).min();
        let soonest = soonest.ok_or(OpenError::Invalid("no rule holds it"))?;
        if let Some(terms) = request.terms.iter().find(|terms| terms.groups.is_empty() && terms.users.is_empty()) {
            return Err(OpenError::Unavailable { rule: Some(terms.rule.clone()) });
        }
        let deadline = request.created.checked_add(soonest).map_err(|_| OpenError::Invalid("it would never end"))?;
        Ok(Self { request, seat, run, deadline, valid_until: None, state: State::Open, votes: Vec::new() })
    }

    /// Where it stands at this moment.
    pub(crate) fn state(&self, now: Timestamp) -> State {
        let over = match self.state {
            State::Open => now >= self.deadline,
            State::Approved => self.valid_until.is_none_or(|until| now >= until),
            State::Rejected | State::Expired | State::Withdrawn | State::Used => false,
        };
        if over { State::Expired } else { self.state }
    }

    /// The last moment at which anything can happen to it.
    pub(crate) fn last_moment(&self) -> Timestamp {
        self.valid_until.map_or(self.deadline, |until| until.max(self.deadline))
    }

    /// Until when it is kept for the listing.
    pub(crate) fn kept_until(&self) -> Timestamp {
        let after = match self.state {
            State::Approved | State::Rejected | State::Used => KEPT_DECIDED,
            State::Open | State::Expired | State::Withdrawn => KEPT_UNDECIDED,
        };
        self.last_moment().checked_add(after).unwrap_or(Timestamp::MAX)
    }

    /// The last moment at which anything could happen to it, whenever it is approved.
    pub(crate) fn last_possible_moment(&self) -> Timestamp {
        let valid = self.request.terms.iter().map(|terms| terms.valid).min().unwrap_or_default();
        self.last_moment().max(self.deadline.checked_add(valid).unwrap_or(Timestamp::MAX))
    }

    /// What became of it; `None` while it is open.
    pub(crate) fn verdict(&self, now: Timestamp) -> Option<Verdict> {
        match self.state(now) {
            State::Open => None,
            State::Approved | State::Used => Some(Verdict::Approved {
                by: self.votes.iter().filter(|cast| cast.yes).map(|cast| Arc::clone(&cast.voter.user)).collect(),
            }),
            State::Rejected => {
                let against = self.votes.iter().find(|cast| !cast.yes);
                Some(Verdict::Rejected { by: against.map_or_else(|| "?".into(), |cast| Arc::clone(&cast.voter.user)) })
            }
            State::Expired => Some(Verdict::Expired),
            State::Withdrawn => Some(Verdict::Withdrawn),
        }
    }

    pub(crate) fn shown(self, now: Timestamp) -> Shown {
        let (state, missing) = (self.state(now), self.missing());
        Shown { request: self.request, state, deadline: self.deadline, votes: self.votes, missing }
    }

    pub(crate) fn vote(&mut self, vote: &Vote, now: Timestamp) -> Result<Tally, VoteError> {
        vote.fresh_at(now)?;
        let state = self.state(now);
        if state != State::Open {
            return Err(VoteError::Decided(state));
        }
        let voter = vote.voter();
        if self.request.is_of(voter) {
            return Err(VoteError::OwnRequest);
        }
        if !self.request.terms.iter().any(|terms| names(terms, voter)) {
            return Err(VoteError::NotNamed);
        }
        let yes = vote.ballot() == Ballot::Yes;
        let grant = vote.grant().filter(|_| yes);
        self.may_grant(grant, voter)?;
        let before = self.votes.iter().position(|cast| same_person(&cast.voter, voter));
        match before {
            Some(_) if yes => return Err(VoteError::AlreadyVoted),
            // Whoever said yes may still say no.
            Some(before) => drop(self.votes.remove(before)),
            None => {}
        }
        let logged_in = Some(vote.logged_in());
        self.votes.push(Cast { voter: voter.clone(), yes, at: now, logged_in, grant });
        if !yes {
            self.state = State::Rejected;
        } else if self.missing() == 0 {
            self.state = State::Approved;
            let valid = self.request.terms.iter().map(|terms| terms.valid).min().unwrap_or_default();
            self.valid_until = Some(now.checked_add(valid).unwrap_or(now));
        }
        Ok(Tally { state: self.state, missing: self.missing() })
    }

    /// Whether somebody may ask for a grant of this length: a rule that names them lets grants last that long.
    fn may_grant(&self, length: Option<Duration>, voter: &Principal) -> Result<(), VoteError> {
        let Some(length) = length else { return Ok(()) };
        let longest = self.request.terms.iter().filter(|terms| names(terms, voter)).filter_map(|terms| terms.grant);
        match longest.max() {
            None => Err(VoteError::NoGrant),
            Some(longest) if length > longest => Err(VoteError::GrantTooLong { longest }),
            Some(_) if length.is_zero() => Err(VoteError::NoGrant),
            Some(_) => Ok(()),
        }
    }

    /// What its approvers want to allow beside it: for each rule under which grants are given, the shortest time that those
    /// who said yes to it asked for, from the vote that approved it on. Somebody who asked for none wants none.
    pub(crate) fn offers(&self, now: Timestamp) -> Vec<Offer> {
        let yes = || self.votes.iter().filter(|cast| cast.yes);
        let Some(decided) = yes().map(|cast| cast.at).max() else { return Vec::new() };
        let offer = |terms: &HoldTerms| {
            let voters = || yes().filter(|cast| names(terms, &cast.voter));
            let asked = voters().map(|cast| cast.grant).min().flatten()?;
            let until = decided.checked_add(asked.min(terms.grant?)).ok()?;
            let voters = voters().map(|cast| Party::of(&cast.voter, cast.logged_in)).collect();
            Some(Offer { approval: self.request.id, terms: terms.clone(), voters, until })
        };
        self.request.terms.iter().filter_map(offer).filter(|offer| now < offer.until).collect()
    }

    /// How many more people must say yes, at least: the most that any one rule still misses.
    fn missing(&self) -> u32 {
        let yes_to = |terms: &HoldTerms| self.votes.iter().filter(|cast| cast.yes && names(terms, &cast.voter)).count();
        let misses = |terms: &HoldTerms| {
            let counted = u32::try_from(yes_to(terms)).unwrap_or(u32::MAX);
            // A rule that asks for nobody still asks for somebody.
            terms.approvals.max(1).saturating_sub(counted)
        };
        self.request.terms.iter().map(misses).max().unwrap_or(u32::MAX)
    }

    pub(crate) fn claim(&mut self, run: Uuid, binding: &Binding, now: Timestamp) -> Result<Vec<Offer>, ClaimError> {
        if self.run != run {
            return Err(ClaimError::NotOurs);
        }
        let state = self.state(now);
        if state != State::Approved {
            return Err(ClaimError::NotApproved(state));
        }
        if self.request.binding != *binding {
            return Err(ClaimError::Changed);
        }
        self.state = State::Used;
        Ok(self.offers(now))
    }

    /// Whether that changed anything.
    pub(crate) fn withdraw(&mut self, now: Timestamp) -> bool {
        match self.state(now) {
            State::Open | State::Approved => {
                self.state = State::Withdrawn;
                self.shorten();
                true
            }
            State::Rejected | State::Expired | State::Withdrawn | State::Used => false,
        }
    }
}

impl Stored {
    /// Leaves little of what lapsed and was never approved; whether that changed anything.
    pub(crate) fn shorten_lapsed(&mut self, now: Timestamp) -> bool {
        let lapsed = self.state(now) == State::Expired && self.valid_until.is_none();
        let long = self.request.text.as_str().len() > SHORT
            || !self.request.parameters.is_empty()
            || self.request.operations.len() > 1;
        if lapsed && long {
            self.shorten();
        }
        lapsed && long
    }

    /// Leaves of a command that nobody decides on any more what tells it from others in a listing: whoever asks and takes
    /// back, again and again, fills nothing.
    fn shorten(&mut self) {
        let text = self.request.text.as_str();
        self.request.text = Text::plain(text.get(..text.floor_char_boundary(SHORT)).unwrap_or_default());
        self.request.parameters.clear();
        self.request.operations.truncate(1);
    }
}

/// Whether the rule lets this person vote.
fn names(terms: &HoldTerms, voter: &Principal) -> bool {
    terms.users.contains(&voter.user) || !terms.groups.is_disjoint(&voter.groups)
}
