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
fn an_address_leads_to_the_label_of_each_host_that_has_it_by_the_hash_of_the_label() {
    for count in [0, 1, 2, 3, 10, 1_000, 70_000] {
        let mut all = hosts(count);
        all.push((label(1_000_000), [address(3), v6(50)].into_iter().collect()));
        let built = laid_out(&all);
        for (label, addresses) in &all {
            let hash = LabelHash::of(label.as_wire());
            for address in addresses.iter() {
                assert!(built.labels_of(address, hash).eq([label.as_wire()]), "{label} {address} of {count}");
            }
            assert_eq!(built.labels_of(address(999_999), hash).count(), 0, "{label} of {count}");
        }
        let other = LabelHash::of(label(1_000_001).as_wire());
        assert!(built.labels_of(address(3), other).all(|label| LabelHash::of(label) == other));
    }
}

#[test]
fn labels_with_equal_hashes_are_told_apart_by_their_addresses() {
    let [one, other] = LabelHash::of_two_labels();
    let hash = LabelHash::of(one.as_wire());
    let built = laid_out(&[
        (one.clone(), [address(1), address(2)].into_iter().collect()),
        (other.clone(), [address(2), address(3)].into_iter().collect()),
    ]);
    let found = |number| {
        let mut labels: Vec<_> = built.labels_of(address(number), hash).collect();
        labels.sort_unstable();
        labels
    };
    let mut both = [one.as_wire(), other.as_wire()];
    both.sort_unstable();
    assert_eq!((found(1), found(2), found(3)), (vec![one.as_wire()], both.to_vec(), vec![other.as_wire()]));
}

/// A third of the slots is vacant, so a look-up from the home of a label that is there to the next vacant slot probes seven on average
/// (Knuth, *Sorting and Searching*, 6.4, on linear probing: five for one that is not there). Of fewer hosts the average scatters widely.
#[test]
fn a_reverse_look_up_probes_a_few_slots_however_many_hosts_there_are() {
    const FEW: usize = 10;
    for count in [10_000, 70_000] {
        let all = hosts(count);
        let built = laid_out(&all);
        let probed = |label: &Label| built.slots_of(LabelHash::of(label.as_wire())).count();
        let probed: usize = all.iter().map(|(label, _)| probed(label)).sum();
        assert!(probed <= FEW * count, "{probed} slots for {count} addresses");
    }
}
