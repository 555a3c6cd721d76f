//! Tests of the record table: what is published is found at once, and what is removed leaves nothing behind.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use http::StatusCode;
use jiff::Timestamp;

use super::*;
use crate::dns::name::{Label, Relative};
use crate::dns::reverse::Prefix;
use crate::records::{Addresses, LabelHash, ServiceKey, ServiceKind, ServiceRecords, Silence, Srv, SrvTarget, Stale};

/// `web/shop`, as kubectl writes it.
fn key(text: &str) -> ServiceKey {
    let (namespace, name) = text.split_once('/').unwrap();
    ServiceKey::new(&Label::parse(namespace).unwrap(), &Label::parse(name).unwrap())
}

/// A headless Service with these hosts, each at one address.
fn headless(hosts: &[(&str, &str)]) -> ServiceRecords {
    let hosts: Vec<(Label, IpAddr)> =
        hosts.iter().map(|(host, address)| (Label::parse(host).unwrap(), address.parse().unwrap())).collect();
    ServiceRecords {
        addresses: hosts.iter().map(|(_, address)| *address).collect(),
        hosts: hosts.into_iter().map(|(label, address)| (label, [address])).collect(),
        ..ServiceRecords::empty(ServiceKind::Headless)
    }
}

fn cluster_ip(address: &str) -> ServiceRecords {
    ServiceRecords {
        addresses: Addresses::from_iter([address.parse::<IpAddr>().unwrap()]),
        ..ServiceRecords::empty(ServiceKind::ClusterIp)
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The names that an address leads back to, as labels joined by dots.
fn ptr_targets(table: &Table<'_>, text: &str) -> Vec<String> {
    let names = table.reverse(address(text)).into_iter().flat_map(PtrTargets::names);
    let mut names: Vec<_> = names.map(|name| Relative(&name.concat()).to_string()).collect();
    names.sort_unstable();
    names
}

fn has_name_above(table: &Table<'_>, text: &str) -> bool {
    Prefix::above(address(text)).any(|prefix| table.has_reverse_below(prefix))
}

#[test]
fn a_new_table_is_empty_and_not_synchronised() {
    let (mut writer, reader) = table();
    assert_eq!(reader.pin().size(), TableSize { services: 0, endpoints: 0, namespaces: 0 });
    assert!(!reader.pin().is_synchronised());
    writer.set_synchronised();
    assert!(reader.pin().is_synchronised());
}

/// T2, T8.
#[test]
fn since_when_and_why_the_table_is_stale_is_read_as_it_was_written() {
    let (mut writer, reader) = table();
    assert_eq!(reader.pin().stale(), None);
    let refused = |code| Silence::Refused(StatusCode::from_u16(code).unwrap());
    for silence in [Silence::Unexplained, Silence::Unreachable, refused(100), refused(403), refused(999)] {
        for second in [1, 1_795_226_645, 253_402_207_200] {
            let stale = Some(Stale { since: Timestamp::from_second(second).unwrap(), silence });
            writer.set_stale(stale);
            assert_eq!(reader.pin().stale(), stale);
        }
    }
    writer.set_stale(None);
    assert_eq!(reader.pin().stale(), None);
}

#[test]
fn a_service_is_found_by_its_two_labels_with_all_its_names() {
    let (mut writer, reader) = table();
    let records = headless(&[("pg-0", "10.0.0.1"), ("pg-1", "fd00::1")]);
    assert_eq!(writer.publish(vec![(key("db/pg"), Some(records.clone()))]), 1);
    let table = reader.pin();
    assert_eq!(table.service(b"\x02pg\x02db"), Some(&records));
    assert_eq!(table.service(b"\x02db\x02pg"), None);
    assert!(table.has_namespace(b"\x02db") && !table.has_namespace(b"\x02pg"));
    assert_eq!(ptr_targets(&table, "10.0.0.1"), ["pg-0.pg.db"]);
    assert_eq!(ptr_targets(&table, "fd00::1"), ["pg-1.pg.db"]);
    assert!(has_name_above(&table, "10.0.0.99") && has_name_above(&table, "fd00::99"));
    assert!(!has_name_above(&table, "11.0.0.1"));
    assert_eq!(table.size(), TableSize { services: 1, endpoints: 2, namespaces: 1 });
}

/// R4: secondaries and caches learn of a change from the serial, so it changes with the records and not otherwise.
#[test]
fn the_serial_rises_once_for_each_publish_that_changes_a_record() {
    let (mut writer, reader) = table();
    let serial = || reader.pin().serial();
    let first = serial();
    let pg = || Some(headless(&[("pg-0", "10.0.0.1")]));
    let cases = [
        (vec![], 0, 0),
        (vec![(key("db/pg"), pg()), (key("db/web"), Some(cluster_ip("10.96.0.1")))], 2, 1),
        (vec![(key("db/pg"), pg())], 0, 1),
        (vec![(key("db/nope"), None)], 0, 1),
        (vec![(key("db/pg"), Some(headless(&[("pg-0", "10.0.0.2")]))), (key("db/nope"), None)], 1, 2),
        (vec![(key("db/pg"), None)], 1, 3),
    ];
    for (publications, changed, increments) in cases {
        let what = format!("{publications:?}");
        assert_eq!(writer.publish(publications), changed, "{what}");
        assert_eq!(serial().wrapping_sub(first), increments, "{what}");
    }
}

#[test]
fn a_service_that_is_removed_leaves_nothing_behind() {
    let (mut writer, reader) = table();
    writer.publish(vec![
        (key("db/pg"), Some(headless(&[("pg-0", "10.0.0.1"), ("pg-1", "fd00::1")]))),
        (key("db/web"), Some(cluster_ip("10.96.0.1"))),
    ]);
    writer.publish(vec![(key("db/pg"), None)]);
    {
        let table = reader.pin();
        assert!(table.has_namespace(b"\x02db"), "the other Service is in it");
        assert_eq!((ptr_targets(&table, "10.0.0.1").len(), ptr_targets(&table, "fd00::1").len()), (0, 0));
        assert!(!has_name_above(&table, "fd00::1"));
        assert_eq!(ptr_targets(&table, "10.96.0.1"), ["web.db"]);
        assert!(has_name_above(&table, "10.0.0.1"), "10.in-addr.arpa is above 10.96.0.1 too");
    }
    writer.publish(vec![(key("db/web"), None)]);
    let table = reader.pin();
    assert!(!table.has_namespace(b"\x02db") && !has_name_above(&table, "10.0.0.1"));
    assert!(table.services().is_empty() && table.reverse_addresses().is_empty());
    assert_eq!(table.size(), TableSize { services: 0, endpoints: 0, namespaces: 0 });
}

/// S13.
#[test]
fn an_address_of_several_services_leads_back_to_each_while_it_is_there() {
    let (mut writer, reader) = table();
    let at = |address| Some(headless(&[("pod", address)]));
    writer.publish(vec![(key("db/b"), at("10.0.0.1")), (key("db/a"), at("10.0.0.1")), (key("web/a"), at("10.0.0.1"))]);
    assert_eq!(ptr_targets(&reader.pin(), "10.0.0.1"), ["pod.a.db", "pod.a.web", "pod.b.db"]);
    writer.publish(vec![(key("db/a"), at("10.0.0.2"))]);
    assert_eq!(ptr_targets(&reader.pin(), "10.0.0.1"), ["pod.a.web", "pod.b.db"]);
    assert_eq!(ptr_targets(&reader.pin(), "10.0.0.2"), ["pod.a.db"]);
    writer.publish(vec![(key("db/b"), None), (key("web/a"), None)]);
    assert!(reader.pin().reverse(address("10.0.0.1")).is_none());
    assert!(has_name_above(&reader.pin(), "10.0.0.1"), "10.0.0.2 is below the same names");
}

/// An address that moves within one publish, as with a Pod that is replaced, always has a name.
#[test]
fn an_address_may_move_between_services_in_one_publish_in_either_order() {
    for order in [["db/a", "db/b"], ["db/b", "db/a"]] {
        let (mut writer, reader) = table();
        writer.publish(vec![(key("db/a"), Some(headless(&[("x", "10.0.0.1")])))]);
        let publications = order.map(|name| (key(name), (name == "db/b").then(|| headless(&[("x", "10.0.0.1")]))));
        assert_eq!(writer.publish(publications), 2);
        assert_eq!(ptr_targets(&reader.pin(), "10.0.0.1"), ["x.b.db"]);
        assert_eq!(reader.pin().size(), TableSize { services: 1, endpoints: 1, namespaces: 1 });
    }
}

#[test]
fn records_from_a_pinned_view_stay_valid_while_they_are_replaced() {
    let (mut writer, reader) = table();
    let version = |port| ServiceRecords {
        all_srv: [Srv { port, target: SrvTarget::Host(0) }].into(),
        ..headless(&[("pg-0", &format!("10.0.0.{port}"))])
    };
    writer.publish(vec![(key("db/pg"), Some(version(1)))]);
    let table = reader.pin();
    let held = table.service(b"\x02pg\x02db").unwrap();
    writer.publish(vec![(key("db/pg"), Some(version(2)))]);
    writer.publish(vec![(key("db/pg"), None)]);
    assert_eq!(held, &version(1));
    assert_eq!(table.service(b"\x02pg\x02db"), None, "a new look-up sees the current state");
}

#[test]
fn services_and_reverse_names_are_listed_in_order() {
    let (mut writer, reader) = table();
    let names = ["web/a", "db/pg", "db/a", "a/z"];
    writer.publish(names.map(|name| (key(name), Some(headless(&[(&name.replace('/', "-"), "10.0.0.1")])))));
    let table = reader.pin();
    let listed: Vec<_> = table.services().iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(listed, ["a/z", "db/a", "db/pg", "web/a"]);
}

/// S6, S13.
#[test]
fn an_address_of_several_hosts_leads_back_to_each_while_it_has_it() {
    let (mut writer, reader) = table();
    for (hosts, expected) in [
        (&["a", "b", "c"][..], &["a.pg.db", "b.pg.db", "c.pg.db"][..]),
        (&["b", "c"], &["b.pg.db", "c.pg.db"]),
        (&["c", "d"], &["c.pg.db", "d.pg.db"]),
        (&["e"], &["e.pg.db"]),
        (&[], &[]),
    ] {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host, "10.0.0.1")).collect();
        writer.publish(vec![(key("db/pg"), Some(headless(&hosts)))]);
        assert_eq!(ptr_targets(&reader.pin(), "10.0.0.1"), expected);
        assert_eq!(has_name_above(&reader.pin(), "10.0.0.1"), !expected.is_empty());
    }
}

/// S13. A reader that has seen the name of before finds that of after.
#[test]
fn an_address_that_moves_from_one_name_to_another_always_has_one() {
    const MOVES: usize = 20_000;
    let (mut writer, reader) = table();
    let mut publish = |hosts: &[(&str, &str)]| writer.publish([(key("db/pg"), Some(headless(hosts)))]);
    publish(&[("pg-0", "10.0.0.1"), ("pg-1", "10.0.0.2")]);
    let moved = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while moved.load(Ordering::Relaxed) < MOVES {
                assert!(
                    reader.pin().reverse(address("10.0.0.1")).is_some(),
                    "after {} moves",
                    moved.load(Ordering::Relaxed)
                );
            }
        });
        for number in 1..=MOVES {
            let [one, other] = if number % 2 == 0 { ["10.0.0.1", "10.0.0.2"] } else { ["10.0.0.2", "10.0.0.1"] };
            publish(&[("pg-0", one), ("pg-1", other)]);
            moved.store(number, Ordering::Relaxed);
        }
    });
}

/// S13: both the address of a Service and those of endpoints, of both families, with and without a name of their own.
#[test]
fn every_address_of_a_host_leads_back_to_it_and_nothing_is_left_of_those_it_had() {
    let (mut writer, reader) = table();
    let mut publish = |addresses: &[&str]| {
        let hosts = addresses.iter().map(|text| address(text));
        let hosts = [(Label::parse("pg-0").unwrap(), hosts.collect::<Vec<_>>())].into_iter().collect();
        writer.publish([(key("db/pg"), Some(ServiceRecords { hosts, ..headless(&[]) }))]);
    };
    let all = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00::2"];
    for addresses in [&all[..], &all[3..], &all[1..4], &all[..1], &[]] {
        publish(addresses);
        let table = reader.pin();
        for text in all {
            let expected: &[&str] = if addresses.contains(&text) { &["pg-0.pg.db"] } else { &[] };
            assert_eq!(ptr_targets(&table, text), expected, "{text} of {addresses:?}");
        }
        assert_eq!(table.reverse_addresses().len(), addresses.len());
    }
}

/// S13.
#[test]
fn two_names_whose_hashes_are_equal_are_given_once_each() {
    let (mut writer, reader) = table();
    let [one, other] = LabelHash::of_two_labels().map(|label| label.as_text().to_owned());
    writer.publish([(key("db/pg"), Some(headless(&[(&one, "10.0.0.1"), (&other, "10.0.0.1")])))]);
    let mut expected = [format!("{one}.pg.db"), format!("{other}.pg.db")];
    expected.sort_unstable();
    assert_eq!(ptr_targets(&reader.pin(), "10.0.0.1"), expected);
    writer.publish([(key("db/pg"), Some(headless(&[(&one, "10.0.0.1")])))]);
    assert_eq!(ptr_targets(&reader.pin(), "10.0.0.1"), [format!("{one}.pg.db")]);
    writer.publish([(key("db/pg"), None)]);
    assert!(reader.pin().reverse(address("10.0.0.1")).is_none() && !has_name_above(&reader.pin(), "10.0.0.1"));
}

/// A tenth of what a map of addresses takes.
#[test]
fn an_address_takes_eight_octets_of_the_reverse_index() {
    assert_eq!(size_of::<reverse_index::Candidate>(), 8);
}

/// R2, for IPv6, where a block of addresses is two labels deep.
#[test]
fn a_reverse_name_exists_only_above_addresses_in_the_table() {
    let (mut writer, reader) = table();
    writer.publish(vec![(key("db/pg"), Some(headless(&[("a", "fd00::12"), ("b", "fd00::34")])))]);
    let table = reader.pin();
    let names = |text: &str| Prefix::above(address(text)).filter(|prefix| table.has_reverse_below(*prefix)).count();
    let of_an_address = Prefix::above(address("fd00::12")).count();
    assert_eq!((names("fd00::1f"), names("fd00::3f")), (of_an_address, of_an_address));
    assert_eq!((names("fd00::2f"), names("fd00::112")), (of_an_address - 1, of_an_address - 2));
    assert_eq!(names("fe00::12"), 1, "an f is above both");
}

/// S13, D4. What spans Services is published before a Service appears, and removed after it is gone.
#[test]
fn an_address_leads_back_to_its_name_for_as_long_as_a_reader_finds_it() {
    const VERSIONS: u8 = 250;
    const HOSTS: u8 = 100;
    const READERS: usize = 2;
    let (mut writer, reader) = table();
    // No version has an address of another one.
    let version = |version: u8| {
        let hosts = (0..HOSTS).map(|host| (format!("pg-{host}"), format!("10.0.{version}.{host}")));
        let hosts: Vec<_> = hosts.collect();
        headless(&hosts.iter().map(|(host, address)| (&**host, &**address)).collect::<Vec<_>>())
    };
    let is_done = AtomicBool::new(false);
    let labels: Vec<_> = (0..HOSTS).map(|host| Label::parse(&format!("pg-{host}")).unwrap()).collect();
    let read = || {
        while !is_done.load(Ordering::Acquire) {
            for label in &labels {
                let table = reader.pin();
                let address = || table.service(b"\x02pg\x02db")?.hosts.get(label.as_wire())?.iter().next();
                let Some(found) = address() else { continue };
                let has_name = table.reverse(found).is_some() && has_name_above(&table, &found.to_string());
                assert!(has_name && table.has_namespace(b"\x02db") || address() != Some(found), "{found} has no name");
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(read);
        }
        for number in 0..VERSIONS {
            writer.publish(vec![(key("db/pg"), Some(version(number)))]);
            if number % 5 == 0 {
                writer.publish(vec![(key("db/pg"), None)]);
            }
        }
        is_done.store(true, Ordering::Release);
    });
}
