//! How often a principal may compare a protected column with a value of its own (`predicates: equality`).
//!
//! Promises: a fixed number of comparisons in a minute for each principal on each connection, spread evenly behind a
//! burst; no lock and no growth: principals share a fixed table of counters by a keyed hash, so two that meet in one
//! counter only have less. Does not promise to count across gateways.
//! Held by: the tests below.

use portcullis_model::{Connection, Principal};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Comparisons in a minute.
const EACH_MINUTE: u64 = 30;

/// Milliseconds that one comparison uses up.
const COST: u64 = 60_000 / EACH_MINUTE;

/// Counters.
const SLOTS: usize = 4096;

/// The allowance of every principal: the generic cell rate algorithm's theoretical arrival times.
pub(crate) struct Allowance {
    slots: Box<[AtomicU64]>,
    hash: RandomState,
    began: Instant,
}

impl Default for Allowance {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { slots, hash: RandomState::new(), began: Instant::now() }
    }
}

impl Allowance {
    /// Takes so many comparisons; false, and none taken, where they are more than is left.
    pub(crate) fn take(&self, principal: &Principal, connection: &Connection, count: usize) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.take_at(&(&principal.issuer, &principal.subject, &connection.name), count, now)
    }

    fn take_at(&self, who: &impl std::hash::Hash, count: usize, now: u64) -> bool {
        let slot = usize::try_from(self.hash.hash_one(who) % SLOTS as u64).unwrap_or(0);
        let Some(arrival) = self.slots.get(slot) else { return false };
        let cost = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(COST);
        arrival
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |arrival| {
                let next = arrival.max(now).saturating_add(cost);
                (next <= now.saturating_add(60_000)).then_some(next)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_may_be_used_at_once_and_comes_back_evenly() {
        let allowance = Allowance::default();
        let many = usize::try_from(EACH_MINUTE).unwrap();
        assert!((0..many).all(|_| allowance.take_at(&"a", 1, 1_000)));
        assert!(!allowance.take_at(&"a", 1, 1_000));
        assert!(allowance.take_at(&"b", many, 1_000), "another principal has its own");
        assert!(allowance.take_at(&"a", 1, 1_000 + COST));
        assert!(!allowance.take_at(&"a", 1, 1_000 + COST));
        assert!(!allowance.take_at(&"c", many + 1, 1_000), "never more than a minute's worth at once");
    }
}
