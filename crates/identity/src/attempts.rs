//! Failed attempts per address, in bounded memory.
//!
//! Promises: after `failures` in `window` from one address, attempts from it are refused until one is due again; they
//! come back evenly, not all at once. Failures of one address never count for another, a success clears nothing, and
//! memory is bounded whatever number of addresses try. An IPv6 client counts by its /64, an IPv4 address written as IPv6
//! as itself. Time is the monotonic clock, passed in. Does not promise an exact count when two failures of one address
//! are booked in the same instant on two threads: then both count. Held by: the tests below.
//!
//! The account is one number per address, the generic cell rate algorithm's theoretical arrival time.

use quick_cache::sync::Cache;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How many failures an address may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimit {
    /// So many at once; at least one.
    pub failures: u32,
    /// And so many again after this long.
    pub window: Duration,
}

impl Default for AttemptLimit {
    fn default() -> Self {
        Self { failures: 10, window: Duration::from_secs(60) }
    }
}

/// Addresses remembered; beyond it those that failed least and longest ago are forgotten.
const REMEMBERED: usize = 65_536;

/// What an attempt is counted under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(u128);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() & (u128::MAX << 64)),
        }
    }
}

pub(crate) struct Attempts {
    start: Instant,
    /// Microseconds that one failure costs.
    cost: u64,
    /// Microseconds that an address may be in debt.
    credit: u64,
    /// When each address would be free of debt, in microseconds since `start`.
    debts: Cache<Network, Arc<AtomicU64>>,
}

impl Attempts {
    pub(crate) fn new(limit: AttemptLimit) -> Self {
        let failures = u64::from(limit.failures.max(1));
        let window = u64::try_from(limit.window.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        let cost = (window / failures).max(1);
        Self { start: Instant::now(), cost, credit: cost.saturating_mul(failures), debts: Cache::new(REMEMBERED) }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether an attempt may be made now; if not, when.
    pub(crate) fn admit(&self, network: Network, now: Instant) -> Result<(), Duration> {
        let Some(debt) = self.debts.get(&network) else { return Ok(()) };
        let paid_off = debt.load(Ordering::Relaxed);
        let allowed_from = paid_off.saturating_add(self.cost).saturating_sub(self.credit);
        match allowed_from.saturating_sub(self.micros(now)) {
            0 => Ok(()),
            wait => Err(Duration::from_micros(wait)),
        }
    }

    /// Books a failure.
    pub(crate) fn failed(&self, network: Network, now: Instant) {
        let now = self.micros(now);
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(AtomicU64::new(0)));
        let Ok(debt) = self.debts.get_or_insert_with(&network, fresh);
        // The debt never grows beyond the credit by more than one failure, so that attempts side by side do not lock
        // an address out for longer than the window.
        let ceiling = now.saturating_add(self.credit);
        let booked = |paid_off: u64| Some(paid_off.max(now).saturating_add(self.cost).min(ceiling));
        let (Ok(_) | Err(_)) = debt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, booked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn ten_failures_then_one_every_six_seconds() {
        let attempts = Attempts::new(AttemptLimit::default());
        let now = Instant::now();
        let (bad, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..10 {
            assert_eq!(attempts.admit(bad, now), Ok(()));
            attempts.failed(bad, now);
        }
        let wait = attempts.admit(bad, now).unwrap_err();
        assert!(wait <= Duration::from_secs(6) && wait > Duration::from_secs(5), "{wait:?}");
        assert_eq!(attempts.admit(other, now), Ok(()));
        let later = now + Duration::from_secs(6);
        assert_eq!(attempts.admit(bad, later), Ok(()));
        attempts.failed(bad, later);
        assert!(attempts.admit(bad, later).is_err());
        assert_eq!(attempts.admit(bad, later + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn a_flood_locks_an_address_out_no_longer_than_the_window() {
        let attempts = Attempts::new(AttemptLimit::default());
        let now = Instant::now();
        let bad = address("192.0.2.1");
        for _ in 0..100_000 {
            attempts.failed(bad, now);
        }
        assert_eq!(attempts.admit(bad, now + Duration::from_secs(7)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_however_many_addresses_fail() {
        let attempts = Attempts::new(AttemptLimit::default());
        let now = Instant::now();
        for n in 0..200_000_u32 {
            attempts.failed(Network::of(std::net::Ipv4Addr::from_bits(n).into()), now);
        }
        assert!(attempts.debts.len() <= REMEMBERED);
    }

    #[test]
    fn an_ipv6_client_counts_by_its_network_and_a_mapped_address_as_itself() {
        assert!(address("2001:db8:0:1::1") == address("2001:db8:0:1:ffff::2"));
        assert!(address("2001:db8:0:1::1") != address("2001:db8:0:2::1"));
        assert!(address("::ffff:192.0.2.1") == address("192.0.2.1"));
        assert!(address("::ffff:192.0.2.1") != address("::ffff:192.0.2.2"));
    }
}
