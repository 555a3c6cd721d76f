//! The layout of hosts: each is found, and nothing else is.

use std::net::Ipv6Addr;

use super::*;
use crate::dns::name::Label;

fn label(number: usize) -> Label {
    Label::parse(&format!("db-{number}")).unwrap()
}

fn address(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(number as u32).into()
}

fn v6(number: usize) -> IpAddr {
    Ipv6Addr::from_bits(0xfd00 << 112 | number as u128).into()
}

/// `count` hosts, every fifth at an IPv6 address too, and every seventh at two.
fn hosts(count: usize) -> Vec<(Label, Addresses)> {
    let addresses = |number: usize| {
        let v6 = number.is_multiple_of(5).then(|| v6(number));
        let second = number.is_multiple_of(7).then(|| address(1_000_000 + number));
        [address(number)].into_iter().chain(v6).chain(second).collect()
    };
    (0..count).map(|number| (label(number), addresses(number))).collect()
}

fn laid_out(hosts: &[(Label, Addresses)]) -> Hosts {
    hosts.iter().map(|(label, addresses)| (label.clone(), addresses.iter())).collect()
}

#[test]
fn each_host_is_found_by_its_label_and_by_its_place_and_no_other_is() {
    for count in [0, 1, 2, 3, 10, 1_000, 70_000] {
        let mut expected = hosts(count);
        let built = laid_out(&expected);
        assert_eq!((built.len(), built.is_empty()), (count, count == 0));
        expected.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (place, (label, addresses)) in (0..).zip(&expected) {
            assert_eq!(built.get(label.as_wire()), Some(addresses.borrowed()), "{label}");
            assert_eq!(built.at(place), Some((label.as_wire(), addresses.borrowed())));
        }
        assert!(built.iter().eq(expected.iter().map(|(label, addresses)| (label.as_wire(), addresses.borrowed()))));
        assert!(built.labels().eq(expected.iter().map(|(label, _)| label.as_wire())));
        assert!((count..count + 1_000).all(|number| built.get(label(number).as_wire()).is_none()));
        assert_eq!(built.at(count as u32), None);
    }
}

#[test]
fn hosts_are_equal_in_whatever_order_they_came_and_only_with_all_the_same_addresses() {
    let ordered = hosts(100);
    let mut reversed = ordered.clone();
    reversed.reverse();
    assert_eq!(laid_out(&ordered), laid_out(&reversed));
    let mut again = ordered.clone();
    again.push((label(3), Addresses::default()));
    assert_eq!(laid_out(&ordered), laid_out(&again), "the first of a label counts");
    for changed in [3, 35] {
        let mut other = ordered.clone();
        other[changed].1 = [address(7_777)].into_iter().collect();
        assert_ne!(laid_out(&ordered), laid_out(&other));
    }
    assert_ne!(laid_out(&ordered), laid_out(&ordered[1..]));
}

#[test]
fn an_address_leads_to_the_labels_of_all_hosts_that_have_it() {
    let mut all = hosts(100);
    all.push((label(1_000), [address(3), v6(50)].into_iter().collect()));
    let built = laid_out(&all);
    let labels_of = |address: IpAddr| {
        let mut labels: Vec<_> = built.labels_of(address).map(|label| Relative(label).to_string()).collect();
        labels.sort();
        labels
    };
    assert_eq!(labels_of(address(3)), ["db-1000", "db-3"]);
    assert_eq!(labels_of(address(1_000_007)), ["db-7"]);
    assert_eq!(labels_of(v6(50)), ["db-1000", "db-50"]);
    assert!(labels_of(address(100)).is_empty());
}
