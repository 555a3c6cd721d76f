//! One question to servers that know the cluster, knew it, and do not know it yet: what is not known is not denied (T1), what may
//! be old is the same as before and says so (T2), and no cache may hold the denial of a name that is on its way (D7).

use std::sync::{LazyLock, Mutex};

use headless_dns::cluster::{Change, ClusterEvent, Scope, read_json};
use headless_dns::index::Index;
use headless_dns::records::{Silence, Stale};
use headless_dns::table::{TableReader, TableWriter, table};
use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData};
use jiff::Timestamp;

use crate::support::answering::{Answering, big, names, respond_as};
use crate::support::fixture::objects;
use crate::support::oracle::EDNS_UDP_SIZE;
use crate::support::reference::extended_errors;
use crate::support::targets::question;

const STALE_ANSWER: u16 = 3;
const NOT_READY: u16 = 14;
/// Octets of an extended error without its text.
const ERROR: usize = 6;
/// Endpoints of a Service that fits no datagram.
const BIG: usize = 40;

/// `db/pg` with a Pod that is ready, one that is not and one without an address; `db/none`, of which no Pod is ready; aliases.
pub const CLUSTER: &str = r#"
kind: Service
metadata: {namespace: db, name: pg}
spec: {clusterIP: None, selector: {app: pg}, ports: [{name: sql, port: 5432}]}
---
kind: Service
metadata: {namespace: db, name: none}
spec: {clusterIP: None, selector: {app: none}, ports: [{name: sql, port: 5432}]}
---
kind: Service
metadata: {namespace: db, name: soon}
spec: {type: ExternalName, externalName: pg-1.pg.db.svc.cluster.local}
---
kind: Service
metadata: {namespace: db, name: here}
spec: {type: ExternalName, externalName: pg.db.svc.cluster.local}
---
kind: Service
metadata: {namespace: db, name: never}
spec: {type: ExternalName, externalName: pg-9.pg.db.svc.cluster.local}
---
kind: Service
metadata: {namespace: web, name: web}
spec: {clusterIP: 10.96.0.7, ports: [{name: http, port: 80}]}
---
kind: Pod
metadata: {namespace: db, name: pg-0, uid: 0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a00, labels: {app: pg}}
spec: {hostname: pg-0, subdomain: pg}
status: {podIPs: [{ip: 10.1.0.10}], conditions: [{type: Ready, status: "True"}]}
---
kind: Pod
metadata: {namespace: db, name: pg-1, uid: 0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01, labels: {app: pg}}
spec: {hostname: pg-1, subdomain: pg}
status: {podIPs: [{ip: 10.1.0.11}], conditions: [{type: Ready, status: "False"}]}
---
kind: Pod
metadata: {namespace: db, name: pg-2, uid: 0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a02, labels: {app: pg}}
spec: {hostname: pg-2, subdomain: pg}
---
kind: Pod
metadata: {namespace: db, name: none-0, uid: 0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a03, labels: {app: none}}
spec: {hostname: none-0, subdomain: none}
status: {podIPs: [{ip: 10.1.0.12}], conditions: [{type: Ready, status: "False"}]}
"#;
/// The names that are on their way.
const AWAITED: [&str; 4] = ["pg-1.pg.db", "pg-2.pg.db", "none.db", "none-0.none.db"];
const ZONES: [&str; 2] = ["svc.cluster.local.", "svc.k8s.example."];

struct Servers {
    /// Knows the cluster. Whether it may be out of date is set for each answer.
    knowing: Answering,
    writer: Mutex<TableWriter>,
    /// Do not know it yet: not at all, or only a part.
    unsynchronised: [Answering; 2],
    names: Vec<Vec<u8>>,
}

static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    let (mut writer, reader) = table_of_cluster();
    let mut names = names(&reader);
    let is_listed = |zone: &str| AWAITED.map(|name| wire(&format!("{name}.{zone}")));
    names.extend(ZONES.into_iter().flat_map(is_listed));
    let partial = table_of_cluster().1;
    writer.set_synchronised();
    Servers {
        knowing: Answering::new(reader),
        writer: Mutex::new(writer),
        unsynchronised: [table().1, partial].map(Answering::new),
        names,
    }
});

/// The table of the cluster, which is not said to be complete.
fn table_of_cluster() -> (TableWriter, TableReader) {
    let mut index = Index::default();
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistStarted));
    for (resource, json) in objects(CLUSTER).into_iter().chain(objects(&big(BIG))) {
        index.apply(read_json(resource, Scope::All, &json).expect("JSON").0);
    }
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistDone));
    let (mut writer, reader) = table();
    writer.publish(index.take_publications());
    writer.publish_reasons(index.take_reasons());
    (writer, reader)
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
    labels.collect()
}

pub fn run(octets: &[u8]) {
    let asked = question::read(octets, &SERVERS.names).message();
    for transport in [Transport::Udp, Transport::Tcp] {
        let fresh = respond_when(None, &asked, transport);
        let stale = respond_when(Some(Timestamp::UNIX_EPOCH + jiff::Span::new().hours(1)), &asked, transport);
        let limit = if transport == Transport::Udp { payload_of(&asked) } else { u16::MAX };
        let mut problems: Vec<_> = check_stale(&fresh, &stale, limit.into()).err().into_iter().collect();
        problems.extend(check_awaited(&fresh).err());
        for server in &SERVERS.unsynchronised {
            problems.extend(check_unsynchronised(&fresh, &respond(server, &asked, transport)).err());
        }
        assert!(problems.is_empty(), "{problems:?}\n  {transport:?} {asked:02x?}");
    }
}

fn respond(server: &Answering, asked: &[u8], transport: Transport) -> Vec<u8> {
    let responder = server.new_responder();
    respond_as(&responder, &mut responder.worker(transport), asked).expect("every question is answered")
}

/// The answer of the server that knows the cluster, while it may be out of date since then.
fn respond_when(since: Option<Timestamp>, asked: &[u8], transport: Transport) -> Vec<u8> {
    let mut writer = SERVERS.writer.lock().expect("no panic");
    writer.set_stale(since.map(|since| Stale { since, silence: Silence::default() }));
    respond(&SERVERS.knowing, asked, transport)
}

/// The longest answer that a client takes over UDP.
fn payload_of(asked: &[u8]) -> u16 {
    let edns = Message::from_vec(asked).ok().and_then(|asked| asked.edns);
    edns.map_or(512, |edns| edns.max_payload().clamp(512, EDNS_UDP_SIZE))
}

fn read(octets: &[u8]) -> Message {
    Message::from_vec(octets).expect("an answer that can be read")
}

/// T2: the same records, and that they may be old for whoever can read it.
fn check_stale(fresh: &[u8], stale: &[u8], limit: usize) -> Result<(), String> {
    let (before, after) = (read(fresh), read(stale));
    if !before.metadata.authoritative || before.edns.is_none() {
        return hold(fresh == stale, "an answer that nothing old is in is the same");
    }
    let is_tight = fresh.len() + ERROR > limit;
    hold(before.metadata == after.metadata, "the header is the same")?;
    hold(before.answers == after.answers && before.authorities == after.authorities, "the records are the same")?;
    hold(before.additionals == after.additionals || is_tight, "additional records go only where there is no room")?;
    let codes = |answer: &Message| extended_errors(answer).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    let expected = [vec![STALE_ANSWER], codes(&before)].concat();
    hold(codes(&after) == expected || is_tight, "Stale Answer comes first, and other errors stay")
}

/// T1: SERVFAIL with Not Ready for all that the table answers.
fn check_unsynchronised(fresh: &[u8], unsynchronised: &[u8]) -> Result<(), String> {
    let (known, unknown) = (read(fresh), read(unsynchronised));
    if !known.metadata.authoritative {
        return hold(fresh == unsynchronised, "what the table is not asked for is answered the same");
    }
    hold(unknown.metadata.response_code == ResponseCode::ServFail, "SERVFAIL before the first synchronisation")?;
    hold(!unknown.metadata.authoritative, "nothing is authoritative yet")?;
    let records = unknown.answers.len() + unknown.authorities.len() + unknown.additionals.len();
    hold(records == 0, "no records")?;
    let codes: Vec<_> = extended_errors(&unknown).into_iter().map(|(code, _)| code).collect();
    hold(codes == vec![NOT_READY; usize::from(known.edns.is_some())], "Not Ready, and nothing else")
}

/// D7: the denial of a name has TTL 0 if and only if it is on its way.
fn check_awaited(fresh: &[u8]) -> Result<(), String> {
    let answer = read(fresh);
    if answer.metadata.response_code != ResponseCode::NXDomain || answer.metadata.truncation {
        return Ok(());
    }
    let target = answer.answers.iter().rev().find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    });
    let denied = target.unwrap_or_else(|| answer.queries[0].name().clone());
    let [soa] = &answer.authorities[..] else { return Err("one SOA record".to_owned()) };
    let RData::SOA(data) = &soa.data else { return Err("an SOA record".to_owned()) };
    let expected = u32::from(!is_awaited(&denied));
    hold((soa.ttl, data.minimum) == (expected, expected), "TTL and MINIMUM of a denial: 0 if the name is on its way")
}

fn is_awaited(name: &Name) -> bool {
    let name = name.to_ascii().to_ascii_lowercase();
    let Some(relative) = ZONES.iter().find_map(|zone| name.strip_suffix(zone)?.strip_suffix('.')) else { return false };
    // Its ports have names as soon as one of its Pods is ready.
    let is_port = |name: &str| name.split('.').count() <= 2 && name.split('.').all(|label| label.starts_with('_'));
    AWAITED.contains(&relative) || relative.strip_suffix(".none.db").is_some_and(is_port)
}

fn hold(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
