//! Names of the reverse trees: `1.0.1.10.in-addr.arpa` (RFC 1035 section 3.5), `….ip6.arpa` (RFC 3596 section 2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dns::name::{self, Labels};

const IN_ADDR_ARPA: &[u8] = b"\x07in-addr\x04arpa\x00";
const IP6_ARPA: &[u8] = b"\x03ip6\x04arpa\x00";

/// Octets of an IPv4 address, one label each.
const OCTETS: usize = 4;
/// Nibbles of an IPv6 address, one label each.
const NIBBLES: usize = 32;

/// Leading bits that the addresses of one block share.
const V4_BLOCK: u8 = 24;
const V6_BLOCK: u8 = 120;

/// What a name in one of the reverse trees stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReverseName {
    Address(IpAddr),
    /// A name with addresses below it: some of an address's leading labels, or none.
    Prefix(Prefix),
}

/// The leading bits of an address, as many as a name above the address's own spells out; the other bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// The names above `address` in its reverse tree, from the one right below the tree's root down.
    pub fn above(address: IpAddr) -> impl Iterator<Item = Prefix> {
        let (labels, bits_each) = match address {
            IpAddr::V4(_) => (OCTETS, 8),
            IpAddr::V6(_) => (NIBBLES, 4),
        };
        (1..labels).map(move |count| Prefix::of(address, count as u8 * bits_each))
    }

    /// The name right above `address`, and what it leaves open of it: the last octet, which is two labels of IPv6. The
    /// 256 addresses below it are its *block*.
    pub fn block(address: IpAddr) -> (Self, u8) {
        match address {
            IpAddr::V4(v4) => (Self::of(address, V4_BLOCK), v4.octets()[3]),
            IpAddr::V6(v6) => (Self::of(address, V6_BLOCK), v6.octets()[15]),
        }
    }

    /// The address in the block of this name that ends in `last`.
    pub fn address(&self, last: u8) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() | u32::from(last)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() | u128::from(last)).into(),
        }
    }

    /// Whether `address` is below this name.
    pub fn covers(&self, address: IpAddr) -> bool {
        Self::of(address, self.bits) == *self
    }

    /// Whether this name is above whole blocks.
    pub fn is_above_blocks(&self) -> bool {
        self.bits < if self.address.is_ipv4() { V4_BLOCK } else { V6_BLOCK }
    }

    fn of(address: IpAddr, bits: u8) -> Self {
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(u32::BITS - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(u128::BITS - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self { address, bits }
    }
}

impl ReverseName {
    /// Reads an absolute lower-case name in wire form; none if no address could ever have it.
    pub fn parse(name: &[u8]) -> Option<Self> {
        if let Some(labels) = name::strip_suffix(name, IN_ADDR_ARPA) {
            let (bits, count) = collect::<OCTETS>(labels, octet)?;
            let bits = bits.iter().rev().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet));
            Some(Self::with(Ipv4Addr::from_bits(bits).into(), count, OCTETS, 8))
        } else if let Some(labels) = name::strip_suffix(name, IP6_ARPA) {
            let (nibbles, count) = collect::<NIBBLES>(labels, nibble)?;
            let bits = nibbles.iter().rev().fold(0u128, |bits, nibble| bits << 4 | u128::from(*nibble));
            Some(Self::with(Ipv6Addr::from_bits(bits).into(), count, NIBBLES, 4))
        } else {
            None
        }
    }

    fn with(address: IpAddr, count: usize, whole: usize, bits_each: u8) -> Self {
        if count == whole { Self::Address(address) } else { Self::Prefix(Prefix::of(address, count as u8 * bits_each)) }
    }
}

/// Whether a name is in the tree of IPv6 addresses.
pub fn is_ipv6(name: &[u8]) -> bool {
    name::strip_suffix(name, IP6_ARPA).is_some()
}

/// The absolute name, in wire form, of an address in its reverse tree.
pub fn name_of(address: IpAddr) -> Vec<u8> {
    let (labels, root): (Vec<String>, _) = match address {
        IpAddr::V4(v4) => (v4.octets().iter().map(u8::to_string).collect(), IN_ADDR_ARPA),
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 0xf]);
            (nibbles.map(|nibble| format!("{nibble:x}")).collect(), IP6_ARPA)
        }
    };
    let mut name = Vec::new();
    for label in labels.iter().rev() {
        // Three digits at most.
        name.push(label.len() as u8);
        name.extend_from_slice(label.as_bytes());
    }
    name.extend_from_slice(root);
    name
}

/// The values of up to `N` labels. The rightmost label is the address's first, so with fewer than `N` labels the values
/// are moved to the end: what is missing is the address's last part, zero here.
fn collect<const N: usize>(labels: &[u8], value: fn(&[u8]) -> Option<u8>) -> Option<([u8; N], usize)> {
    let count = Labels(labels).count();
    let start = N.checked_sub(count)?;
    let mut values = [0; N];
    for (to, label) in values[start..].iter_mut().zip(Labels(labels)) {
        *to = value(&label[1..])?;
    }
    Some((values, count))
}

/// A decimal number up to 255 without leading zeros, as RFC 1035 section 3.5 has it.
fn octet(label: &[u8]) -> Option<u8> {
    if label.len() > 1 && label[0] == b'0' || !label.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(label).ok()?.parse().ok()
}

fn nibble(label: &[u8]) -> Option<u8> {
    match *label {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        [digit @ b'a'..=b'f'] => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::Name;

    fn parse(name: &str) -> Option<ReverseName> {
        ReverseName::parse(Name::parse(name).unwrap().as_wire())
    }

    #[test]
    fn a_whole_reverse_name_is_an_address() {
        assert_eq!(parse("10.0.1.10.in-addr.arpa"), Some(ReverseName::Address("10.1.0.10".parse().unwrap())));
        let v6 = "a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(parse(v6), Some(ReverseName::Address("fd00::a".parse().unwrap())));
    }

    #[test]
    fn the_name_of_an_address_is_read_back_as_the_address() {
        for address in ["10.1.0.10", "0.0.0.0", "255.255.255.255", "fd00::a", "::"] {
            let address = address.parse().unwrap();
            assert_eq!(ReverseName::parse(&name_of(address)), Some(ReverseName::Address(address)));
        }
        assert_eq!(name_of("10.1.0.10".parse().unwrap()), Name::parse("10.0.1.10.in-addr.arpa").unwrap().as_wire());
    }

    #[test]
    fn a_part_of_one_is_a_prefix_of_the_addresses_below_it() {
        let above: Vec<_> = Prefix::above("10.1.0.10".parse().unwrap()).map(ReverseName::Prefix).collect();
        let names = ["10.in-addr.arpa", "1.10.in-addr.arpa", "0.1.10.in-addr.arpa"].map(|name| parse(name).unwrap());
        assert_eq!(above, names);
        assert_eq!(Prefix::above("fd00::a".parse().unwrap()).count(), 31);
        assert_eq!(Prefix::above("fd00::a".parse().unwrap()).nth(1).map(ReverseName::Prefix), parse("d.f.ip6.arpa"));
    }

    #[test]
    fn a_name_that_no_address_has_is_none() {
        for name in
            ["1.2.3.4.5.in-addr.arpa", "256.in-addr.arpa", "01.in-addr.arpa", "x.ip6.arpa", "10.ip6.arpa", "a.org"]
        {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
