//! What a store gives back as a request for approval, under arbitrary bytes and arbitrary steps.
//!
//! Promises: [`fuzz_stored`] fails where a request is claimed that nobody approved, that was claimed before, or out of
//! its time, and where a step leads out of an end. Does not promise to notice votes that a store made up.
//! Held by: the test below, and the fuzz target `approvals_stored`.

use crate::request::{State, Stored};
use crate::{Ballot, Vote};
use jiff::{SignedDuration, Timestamp};
use portcullis_model::{CredentialKind, Principal};

/// Reads arbitrary bytes as what is kept of a request, the last eight as steps, and takes those steps.
pub fn fuzz_stored(data: &[u8]) {
    let (json, steps) = data.split_at_checked(data.len().saturating_sub(8)).unwrap_or_default();
    let Ok(mut stored) = serde_json::from_slice::<Stored>(json) else { return };
    let again = serde_json::to_vec(&stored).ok().and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
    assert!(again.is_some(), "what was read cannot be kept again");
    let mut now = stored.request.created;
    for step in steps {
        now = now.checked_add(SignedDuration::from_secs(i64::from(step >> 4) * 20)).unwrap_or(now);
        let before = stored.clone().shown(now).state;
        let claimed = match step & 15 {
            0..=7 => {
                vote(&mut stored, step & 7, now);
                false
            }
            8..=10 => stored.claim(stored.run, &stored.request.binding.clone(), now).is_ok(),
            11 => {
                stored.withdraw(now);
                false
            }
            _ => {
                stored.verdict(now);
                stored.last_moment();
                false
            }
        };
        let after = stored.clone().shown(now).state;
        assert!(!claimed || (before == State::Approved && after == State::Used), "claimed what was {before}");
        let over = matches!(before, State::Rejected | State::Withdrawn | State::Used | State::Expired);
        assert!(!over || after == before, "a step led from {before} to {after}");
    }
}

/// One of eight: four people, yes or no.
fn vote(stored: &mut Stored, which: u8, now: Timestamp) {
    let user = ["dba-1", "dba-2", "agent-7", "owner"].get(usize::from(which >> 1)).copied().unwrap_or_default();
    let voter = Principal {
        issuer: "https://idp.example.com".into(),
        subject: user.into(),
        user: user.into(),
        groups: ["dba".into()].into(),
        claims: [].into(),
        credential: CredentialKind::Oidc,
    };
    let ballot = if which & 1 == 0 { Ballot::Yes } else { Ballot::No };
    if let Ok(vote) = Vote::new(voter, now, now, ballot) {
        // That a vote does not count is one of the outcomes.
        stored.vote(&vote, now).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of a request, with every step at every place.
    #[test]
    fn a_kept_request_takes_every_step() {
        let kept = include_bytes!("../../../fuzz/seeds/approvals_stored/open.json");
        assert!(serde_json::from_slice::<Stored>(kept).is_ok(), "the seed is what is kept");
        for step in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                fuzz_stored(&[&kept[..], &[step, other, 8, step, other, 8, 11, 8]].concat());
            }
        }
    }
}
