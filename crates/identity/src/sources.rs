//! The `source-address` option of a certificate: a list of addresses and networks.
//!
//! Promises: the whole list is read before any of it is believed, and one word in it that is no address refuses it:
//! wildcards, negations, names, a network with bits behind its prefix, an empty word, an empty list. An IPv4 client is
//! the same client in its IPv6 form. Held by: the tests below, and those of `ssh.rs`.

use std::net::IpAddr;

/// Addresses from which a certificate may be used; never none.
pub(crate) struct Sources(Vec<Network>);

struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Sources {
    /// `10.0.0.0/8,2001:db8::1`; `None` where any of it cannot be read.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split(',').map(Network::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix.parse().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        let network = Self { address, prefix };
        (prefix <= bits && network.behind_prefix() == 0).then_some(network)
    }

    /// The bits of the address behind its prefix; none are set in a network's.
    fn behind_prefix(&self) -> u128 {
        match self.address {
            IpAddr::V4(v4) => u128::from(v4.to_bits() & u32::MAX.checked_shr(self.prefix).unwrap_or(0)),
            IpAddr::V6(v6) => v6.to_bits() & u128::MAX.checked_shr(self.prefix).unwrap_or(0),
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix,
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_networks_and_in_no_other() {
        let sources = Sources::parse("10.1.0.0/16,192.0.2.7,2001:db8::/32,::1").unwrap();
        for inside in ["10.1.0.0", "10.1.255.255", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8:ffff::1", "::1"] {
            assert!(sources.contain(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["10.0.255.255", "10.2.0.0", "192.0.2.8", "2001:db9::", "::2", "127.0.0.1"] {
            assert!(!sources.contain(outside.parse().unwrap()), "{outside}");
        }
        let everywhere = Sources::parse("0.0.0.0/0").unwrap();
        assert!(everywhere.contain("255.255.255.255".parse().unwrap()));
        assert!(!everywhere.contain("::1".parse().unwrap()));
        assert!(Sources::parse("::/0").unwrap().contain("::1".parse().unwrap()));
    }

    #[test]
    fn a_list_with_one_unreadable_word_is_refused_whole() {
        let words = [
            "",
            ",",
            "10.0.0.0/8,",
            "*",
            "10.*",
            "!10.0.0.0/8",
            "10.0.0.0/8,host",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "10.0.0.0/8, ::1",
            "::1/0",
        ];
        for word in words {
            assert!(Sources::parse(word).is_none(), "{word:?}");
        }
    }
}
