//! Any history of objects, whatever they look like: it ends in the table that a rebuild from the final objects gives and in the
//! records that the plain oracle expects, and questions about it are answered.
//!
//! The input is text, one event a line: `S {json}`, `E {json}` and `P {json}` apply a Service, an EndpointSlice and a Pod,
//! `s db/pg`, `e db/pg-a` and `p db/pg-0` delete one, `<S`, `<E` and `<P` begin a relist, `>S`, `>E` and `>P` end it, `!`
//! publishes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use headless_dns::cluster::{Change, ClusterEvent, ObjectKey, Resource, Scope, Uid, read_json};
use headless_dns::index::Index;
use headless_dns::table::table;
use headless_dns::telemetry::metrics::Transport;

use crate::support::answering::{Answering, respond_as};
use crate::support::oracle;
use crate::support::rebuild::{self, Model};

/// The change that a line tells of.
fn update(line: &[u8]) -> Option<ClusterEvent> {
    let scope = Scope::All;
    let key = |text: &[u8]| {
        let (namespace, name) = std::str::from_utf8(text).ok()?.split_once('/')?;
        Some(ObjectKey::new(namespace, name))
    };
    Some(match line {
        [b'S', b' ', json @ ..] => read_json(Resource::Services, scope, json).ok()?.0,
        [b'E', b' ', json @ ..] => read_json(Resource::EndpointSlices, scope, json).ok()?.0,
        [b'P', b' ', json @ ..] => read_json(Resource::Pods, scope, json).ok()?.0,
        [b's', b' ', object @ ..] => ClusterEvent::Service(scope, Change::Delete(key(object)?)),
        [b'e', b' ', object @ ..] => ClusterEvent::Slice(scope, Change::Delete(key(object)?)),
        [b'p', b' ', object @ ..] => ClusterEvent::Pod(scope, Change::Delete(key(object)?)),
        b"<S" => ClusterEvent::Service(scope, Change::RelistStarted),
        b"<E" => ClusterEvent::Slice(scope, Change::RelistStarted),
        b"<P" => ClusterEvent::Pod(scope, Change::RelistStarted),
        b">S" => ClusterEvent::Service(scope, Change::RelistDone),
        b">E" => ClusterEvent::Slice(scope, Change::RelistDone),
        b">P" => ClusterEvent::Pod(scope, Change::RelistDone),
        _ => return None,
    })
}

/// A question for `name`, with a client that takes the largest datagrams.
fn question(name: &[u8], qtype: u8) -> Vec<u8> {
    const OPT: [u8; 11] = [0, 0, 41, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], name, &[0, qtype, 0, 1], &OPT].concat()
}

/// Whether no Pod of another namespace has had a UID that this names: API servers never give one twice.
fn has_own_uids(update: &ClusterEvent, namespaces: &mut HashMap<Uid, Arc<str>>) -> bool {
    let (namespace, uids): (Arc<str>, Vec<Uid>) = match update {
        ClusterEvent::Pod(_, Change::Apply(pod)) => (pod.namespace().into(), pod.uid.into_iter().collect()),
        ClusterEvent::Slice(_, Change::Apply(slice)) => {
            (Arc::clone(&slice.object.namespace), slice.endpoints.pods().collect())
        }
        _ => return true,
    };
    uids.into_iter().all(|uid| *namespaces.entry(uid).or_insert_with(|| Arc::clone(&namespace)) == namespace)
}

pub fn run(history: &[u8]) {
    let (mut writer, reader) = table();
    writer.set_synchronised();
    let mut index = Index::default();
    let mut model = Model::default();
    let mut namespaces = HashMap::new();
    for line in history.split(|octet| *octet == b'\n') {
        if line == b"!" {
            writer.publish(index.take_publications());
        } else if let Some(update) = update(line).filter(|update| has_own_uids(update, &mut namespaces)) {
            model.apply(&update);
            index.apply(update);
        }
    }
    writer.publish(index.take_publications());
    assert_eq!(writer.publish(index.take_publications()), 0, "nothing is left to publish");
    if let Err(difference) = rebuild::compare(&reader, &model.rebuild(), &BTreeSet::new()) {
        panic!("{difference}");
    }

    if let Err(difference) = model.check(&reader) {
        panic!("{difference}");
    }

    let names: Vec<Vec<u8>> = {
        let table = reader.pin();
        let forward = table.services().into_iter().flat_map(|(key, records)| {
            let below = |label: &[u8]| [label, key.as_wire(), b"\x03svc\x07cluster\x05local\x00"].concat();
            let hosts = records.hosts.labels().map(below);
            let ports = records.srv.owners().map(below);
            std::iter::once(below(b"")).chain(hosts).chain(ports).collect::<Vec<_>>()
        });
        let reverse = table.reverse_addresses().into_iter().map(headless_dns::dns::reverse::name_of);
        forward.chain(reverse).filter(|name| name.len() <= 255).collect()
    };
    let responder = Answering::new(reader.clone()).responder;
    for name in names {
        for qtype in [1, 28, 33, 12, 255] {
            let message = question(&name, qtype);
            for transport in [Transport::Udp, Transport::Tcp] {
                let answer = respond_as(&responder, &mut responder.worker(transport), &message);
                if let Err(problem) = oracle::check(&message, transport == Transport::Udp, answer.as_deref()) {
                    panic!("{problem}");
                }
            }
        }
    }

    // What came goes again, and leaves nothing.
    for change in [Change::RelistStarted, Change::RelistDone] {
        index.apply(ClusterEvent::Service(Scope::All, change));
    }
    for change in [Change::RelistStarted, Change::RelistDone] {
        index.apply(ClusterEvent::Slice(Scope::All, change));
    }
    for change in [Change::RelistStarted, Change::RelistDone] {
        index.apply(ClusterEvent::Pod(Scope::All, change));
    }
    writer.publish(index.take_publications());
    if let Err(difference) = rebuild::compare(&reader, &Model::default().rebuild(), &BTreeSet::new()) {
        panic!("after the end: {difference}");
    }
}
