//! Logins that are begun at a provider for somebody who has shown nothing yet: how many there may be.
//!
//! Each one is a request to the provider that any stranger can bring about, so an address begins [`OF_ADDRESS`] of them a
//! minute at most, and all addresses together [`OF_ALL`]; none begins from an address that has failed too often. Promises: what
//! is refused here costs nobody anything, failed attempts of the address included. Does not promise fairness between
//! addresses: many of them can use up what there is for all. How many may wait at once, and for how long, the protocol
//! bounds. Held by: the tests below.

use crate::Identity;
use crate::attempts::{AttemptLimit, Attempts, Network};
use crate::error::{Refused, Why};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// Of one address.
const OF_ADDRESS: AttemptLimit = AttemptLimit { failures: 20, window: MINUTE };

/// Of all.
const OF_ALL: AttemptLimit = AttemptLimit { failures: 120, window: MINUTE };

/// Who has begun how many.
pub(crate) struct Begun {
    of_address: Attempts,
    of_all: Attempts,
    /// Under what all are counted: one account.
    everybody: Network,
}

impl Begun {
    pub(crate) fn new() -> Self {
        let everybody = Network::of(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        Self { of_address: Attempts::new(OF_ADDRESS), of_all: Attempts::new(OF_ALL), everybody }
    }

    /// Begins one from this address.
    pub(crate) fn begin(&self, from: IpAddr, now: Instant) -> Result<(), Refused> {
        let network = Network::of(from);
        let admitted = self.of_address.admit(network, now).and_then(|()| self.of_all.admit(self.everybody, now));
        admitted.map_err(|_| Refused::because(Why::TooManyLogins))?;
        // Booked as failures are, but in accounts of their own.
        self.of_address.failed(network, now);
        self.of_all.failed(self.everybody, now);
        Ok(())
    }
}

impl Identity {
    /// Whether a login at a provider may be begun for somebody at this address, who has shown nothing yet; counts it.
    ///
    /// # Errors
    /// [`Refused`]: the address has failed too often, or begun too many, or too many were begun by all.
    pub fn begin_login(&self, from: IpAddr) -> Result<(), Refused> {
        let now = Instant::now();
        self.attempts.admit(Network::of(from), now).map_err(Refused::limited)?;
        self.begun.begin(from, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn begun(all: &Begun, hosts: impl Iterator<Item = u32>, now: Instant) -> usize {
        hosts.filter(|host| all.begin(Ipv4Addr::from_bits(*host).into(), now).is_ok()).count()
    }

    #[test]
    fn an_address_begins_twenty_logins_a_minute_and_all_of_them_six_times_that() {
        let (all, now) = (Begun::new(), Instant::now());
        assert_eq!(begun(&all, std::iter::repeat_n(1, 100), now), 20);
        assert_eq!(all.begin(Ipv4Addr::from_bits(1).into(), now).unwrap_err().why(), Why::TooManyLogins);
        assert_eq!(begun(&all, 2..1000, now), 100);
        // They come back evenly.
        let later = now + Duration::from_secs(3);
        assert_eq!(begun(&all, std::iter::repeat_n(1, 100), later), 1);
        assert_eq!(begun(&all, 2000..3000, later), 5);
        assert_eq!(begun(&all, 3000..4000, later + MINUTE), 120);
    }
}
