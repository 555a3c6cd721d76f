//! Address ranges and allocation from them in order: an address is reused only after the whole range was.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

/// The text is not an address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address range; write ADDRESS/BITS, such as 10.244.0.0/16 or fd00:10:244::/64")]
pub struct InvalidCidr(String);

impl Cidr {
    pub(crate) const fn v4(base: Ipv4Addr, prefix: u8) -> Self {
        Self { base: IpAddr::V4(base), prefix }
    }

    pub(crate) const fn v6(base: Ipv6Addr, prefix: u8) -> Self {
        Self { base: IpAddr::V6(base), prefix }
    }

    /// The number of usable addresses: all but the network address and the IPv4 broadcast address.
    fn usable(self) -> u128 {
        let (bits, reserved) = if self.base.is_ipv4() { (Ipv4Addr::BITS, 2) } else { (Ipv6Addr::BITS, 1) };
        let host_bits = bits.saturating_sub(u32::from(self.prefix)).min(u128::BITS - 1);
        (1_u128 << host_bits).saturating_sub(reserved)
    }

    /// The usable address at `index`, counted from 0.
    pub(crate) fn nth(self, index: u128) -> IpAddr {
        let offset = index + 1;
        match self.base {
            IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from_bits(base.to_bits().wrapping_add(offset as u32))),
            IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from_bits(base.to_bits().wrapping_add(offset))),
        }
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let invalid = || InvalidCidr(text.to_owned());
        let (base, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let base: IpAddr = base.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        let cidr = match base {
            IpAddr::V4(base) if u32::from(prefix) < Ipv4Addr::BITS => {
                let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                Self::v4(Ipv4Addr::from_bits(base.to_bits() & !host), prefix)
            }
            IpAddr::V6(base) if u32::from(prefix) < Ipv6Addr::BITS => {
                let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                Self::v6(Ipv6Addr::from_bits(base.to_bits() & !host), prefix)
            }
            _ => return Err(invalid()),
        };
        if cidr.usable() == 0 { Err(invalid()) } else { Ok(cidr) }
    }
}

/// Allocates the addresses of a range in order, and starts again at its end.
#[derive(Debug)]
pub struct Cursor {
    cidr: Cidr,
    next: u128,
}

impl Cursor {
    pub fn new(cidr: Cidr) -> Self {
        Self { cidr, next: 0 }
    }

    /// The next address that is not taken; None if all are.
    pub fn next_free(&mut self, is_taken: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
        let usable = self.cidr.usable();
        for _ in 0..usable {
            let address = self.cidr.nth(self.next);
            self.next = (self.next + 1) % usable;
            if !is_taken(&address) {
                return Some(address);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_order_and_again_only_when_the_range_wraps() {
        let mut cursor = Cursor::new("10.0.0.0/29".parse().expect("a range"));
        let free: Vec<String> = (0..7).filter_map(|_| cursor.next_free(|_| false)).map(|ip| ip.to_string()).collect();
        assert_eq!(free, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1"]);
        assert_eq!(cursor.next_free(|_| true), None);
    }

    #[test]
    fn a_range_starts_at_its_network_and_nonsense_is_refused() {
        assert_eq!("fd00::5/64".parse::<Cidr>().map(|cidr| cidr.nth(0).to_string()), Ok("fd00::1".to_owned()));
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/32", "10.0.0/8", "x/8", "fd00::/200"] {
            assert_eq!(text.parse::<Cidr>(), Err(InvalidCidr(text.to_owned())));
        }
    }
}
