//! Versions of the zones over random histories of objects: a difference leads from any version to the newest, and the newest is
//! what is exported. The public view is the same records under another name, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use headless_dns::admin::Records;
use headless_dns::authority::{AbsoluteName, Authority, Rrset};
use headless_dns::dns::name::{Label, Name};
use headless_dns::dns::wire::Owner;
use headless_dns::index::{Index, Options};
use headless_dns::records::ServiceKey;
use headless_dns::table::table;
use headless_dns::transfer::{
    Form, HistoryLimits, Outgoing, SerialClock, Step as Progress, TICK, Versions, Wanted, versions,
};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::support::common::with_public_view;
use crate::support::history::{Step, Watches, index_options, steps};

const HISTORIES: u32 = 96;
const PUBLIC: &str = "peers.example.com";
/// Parts of the longest history.
const PARTS: usize = 60;

/// The lines of a zone file without the SOA record.
type Contents = BTreeSet<String>;

/// What is sent, in messages of so many records.
fn sent(
    authority: &Authority,
    versions: &Versions,
    zone: &Name,
    wanted: Wanted,
    at_once: usize,
) -> (Form, Vec<String>) {
    let mut outgoing = Outgoing::new(versions, zone.clone(), wanted);
    let (mut lines, mut in_message) = (Vec::new(), 0);
    let step = |lines: &mut Vec<String>, in_message: &mut usize, outgoing: &mut Outgoing| {
        outgoing.step(authority, |rrset| {
            if *in_message == at_once {
                return false;
            }
            *in_message += 1;
            let before = lines.len();
            lines.extend(written(rrset));
            assert_eq!(lines.len(), before + 1, "one record at a time");
            true
        })
    };
    loop {
        match step(&mut lines, &mut in_message, &mut outgoing) {
            Progress::Working => {}
            Progress::Full => in_message = 0,
            Progress::Done => return (outgoing.form().expect("known at the end"), lines),
        }
    }
}

fn written(rrset: &Rrset<'_>) -> Vec<String> {
    let Owner::Name(owner) = rrset.owner else { panic!("an owner of its own") };
    let owner = owner.0.concat();
    let line = |record: headless_dns::authority::RecordText| {
        format!("{}\t{}\tIN\t{}\t{}", AbsoluteName(&owner), record.ttl, record.rr_type, record.data)
    };
    rrset.texts().map(line).collect()
}

fn is_soa(line: &str) -> bool {
    line.contains("\tSOA\t")
}

/// The serial of an SOA record.
fn serial(line: &str) -> u32 {
    assert!(is_soa(line), "{line}");
    line.split(' ').nth(2).and_then(|serial| serial.parse().ok()).expect("a serial")
}

/// What a secondary has that had `before` with the serial `from`, after it was sent this. It takes nothing away that it does not have
/// and adds nothing that it has.
fn received(before: &Contents, from: u32, (form, lines): &(Form, Vec<String>), newest: u32) -> Contents {
    let (first, rest) = lines.split_first().expect("a record");
    assert_eq!(serial(first), newest);
    if *form == Form::Serial {
        assert!(rest.is_empty(), "{rest:?}");
        return before.clone();
    }
    let (last, rest) = rest.split_last().expect("two SOA records");
    assert_eq!(first, last);
    if *form == Form::Whole {
        let contents: Contents = rest.iter().cloned().collect();
        assert_eq!(contents.len(), rest.len(), "each record once");
        assert!(!rest.iter().any(|line| is_soa(line)), "{rest:?}");
        return contents;
    }
    let (old, rest) = rest.split_first().expect("the old SOA record");
    assert_eq!(serial(old), from);
    let added_at = rest.iter().position(|line| is_soa(line)).expect("the new SOA record");
    assert_eq!(&rest[added_at], first);
    let mut contents = before.clone();
    for line in &rest[..added_at] {
        assert!(contents.remove(line), "removes {line}, which is not there");
    }
    for line in &rest[added_at + 1..] {
        assert!(contents.insert(line.clone()), "adds {line}, which is there");
    }
    contents
}

fn play(options_of_index: Options, watches: Watches, steps: &[Step], at_once: usize, limits: HistoryLimits) {
    let (mut table, reader) = table();
    table.keep_changes();
    table.set_synchronised();
    let authority = Arc::new(Authority::new(with_public_view()).unwrap());
    let records = Records::new(Arc::clone(&authority), reader.clone());
    let (mut writer, versions) = versions(limits);
    let mut clock = SerialClock::new(7, 0);
    let mut index = Index::new(options_of_index.clone());
    let mut known: BTreeMap<(Name, u32), Contents> = BTreeMap::new();
    let mut newest = None;
    for (number, step) in (1..).zip(steps.iter().chain([&Step::Publish])) {
        watches.updates(step).into_iter().for_each(|update| index.apply(update));
        if matches!(step, Step::Expiry) {
            index.expire_tombstones();
        }
        if !matches!(step, Step::Publish) {
            continue;
        }
        table.publish(index.take_publications());
        let changes = table.take_changes();
        if changes.is_empty() {
            continue;
        }
        let tick = clock.next(UNIX_EPOCH + TICK * number);
        let to = clock.serial(tick);
        assert!(newest.is_none_or(|newest| newest < to));
        newest = Some(to);
        writer.cut(to, changes);
        table.set_serial(to);
        let versions = versions.now().expect("a version");
        let mut internal = Contents::new();
        for zone in records.zones() {
            let sent = |wanted| sent(&authority, &versions, &zone, wanted, at_once);
            let whole = sent(Wanted::Axfr);
            let contents = received(&Contents::new(), 0, &whole, to);
            let mut exported: Contents = records.zone_file(&zone).unwrap().lines().map(str::to_owned).collect();
            assert!(exported.remove(&whole.1[0]), "the SOA record is that of answers: {}", whole.1[0]);
            assert_eq!(contents, exported, "AXFR of {zone} is not what is exported");
            for ((_, from), before) in known.iter().filter(|((of, _), _)| *of == zone) {
                let sent = sent(Wanted::Ixfr(*from));
                assert_eq!(received(before, *from, &sent, to), contents, "IXFR of {zone} from {from} to {to}");
                let is_known = versions.behind(*from).is_some();
                assert!(is_known || sent.0 == Form::Whole, "{from} is not in the history");
                assert!(sent.1.len() <= whole.1.len() + 2, "longer than the zone");
            }
            for (from, form) in [(to, Form::Serial), (to + 16, Form::Serial), (to - 1, Form::Whole)] {
                let sent = sent(Wanted::Ixfr(from));
                assert_eq!(sent.0, form, "IXFR from {from} to {to}");
                assert_eq!(received(&contents, from, &sent, to), contents);
            }
            if zone == name("cluster.local") {
                internal.clone_from(&contents);
            } else if zone == name(PUBLIC) {
                assert_eq!(
                    contents,
                    public_view(&internal, &index, &options_of_index),
                    "the public view of {internal:#?}"
                );
            }
            known.insert((zone, to), contents);
        }
    }
}

/// What the public view has of what the cluster's zone has, found in the text.
fn public_view(internal: &Contents, index: &Index, options: &Options) -> Contents {
    const BEFORE: &str = ".svc.cluster.local.";
    let is_public = |service: &str| {
        let (service, namespace) = service.split_once('.').expect("two labels");
        let key = ServiceKey::new(&Label::parse(namespace).unwrap(), &Label::parse(service).unwrap());
        let annotated = index.service(&key).expect("a Service with records").public;
        let Some(namespaces) = &options.public_namespaces else { return false };
        annotated.unwrap_or_else(|| namespaces.iter().any(|public| public.as_text() == namespace))
    };
    let renamed = |line: &String| {
        let (owner, _) = line.split_once(BEFORE)?;
        let labels: Vec<_> = owner.split('.').collect();
        let service = labels[labels.len() - 2..].join(".");
        let is_own = line.contains("\tSRV\t") || !line.ends_with(".cluster.local.");
        (is_public(&service) && is_own).then(|| line.replace(BEFORE, &format!(".{PUBLIC}.")))
    };
    let servers = ["ns1", "ns2"].map(|server| format!("{PUBLIC}.\t5\tIN\tNS\t{server}.example.org."));
    internal.iter().filter_map(renamed).chain(servers).collect()
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn limits() -> impl Strategy<Value = HistoryLimits> {
    let limits = [(1000, usize::MAX), (3, usize::MAX), (1000, 2000), (0, 0)];
    proptest::sample::select(limits.to_vec()).prop_map(|(versions, octets)| HistoryLimits { versions, octets })
}

/// X2, X3, X5, X8.
#[test]
fn a_secondary_that_follows_differences_has_what_is_exported_whatever_version_it_had() {
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let histories = (index_options(), any::<bool>(), steps(PARTS), 1..40_usize, limits());
    proptest!(config, |((options, cluster_wide, steps, at_once, limits) in histories)| {
        play(options, Watches { cluster_wide }, &steps, at_once, limits);
    });
}

/// X4, X5: a storm of changes within a tick is one version, and a version that nothing leads to is not cut.
#[test]
fn changes_of_a_service_between_two_versions_are_one_change() {
    use crate::support::history::{Slot, bare_service, bare_slice};
    let (mut table, _) = table();
    table.keep_changes();
    let mut index = Index::default();
    let slot = Slot { namespace: 0, name: 0 };
    let watches = Watches { cluster_wide: true };
    for event in [bare_service(slot), bare_slice(slot)] {
        watches.updates(&Step::Event(event)).into_iter().for_each(|update| index.apply(update));
        table.publish(index.take_publications());
    }
    let changes = table.take_changes();
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert!(change.before.is_none());
    assert_eq!(change.after.as_ref().map(|after| after.records.hosts.len()), Some(1));
    assert!(!table.has_changes() && table.take_changes().is_empty());
    assert!(TICK >= Duration::from_millis(250), "no more than four versions a second");
}
