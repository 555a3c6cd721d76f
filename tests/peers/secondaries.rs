//! Knot, NSD, BIND, PowerDNS and unbound as secondaries of two replicas, while the cluster changes, replicas are killed and
//! secondaries are stopped for longer than the history goes back: in the end each has what is exported, and no serial goes back.
//!
//! ```text
//! HEADLESS_DNS_SECONDARIES_SECONDS=60 HEADLESS_DNS_SECONDARIES_RATE=2000 \
//!     cargo test --release --test suite peers::secondaries -- --nocapture --test-threads 1
//! ```

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind as ObjectKind;
use kube_sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::mirrored;
use crate::support::peers::secondary::{KEY, Kind, Secondary, ZONES, lines, wait_for};
use crate::support::peers::{bounded, free_address, missing, run, until};
use crate::support::program::Program;

/// How long the cluster changes, and how often a second: more by hand.
const SECONDS: &str = "HEADLESS_DNS_SECONDARIES_SECONDS";
const RATE: &str = "HEADLESS_DNS_SECONDARIES_RATE";
const DEFAULT_SECONDS: u64 = 4;
const DEFAULT_RATE: u64 = 100;
/// Services that change.
const SERVICES: u64 = 50;
/// Endpoints of each while the history is outrun.
const MANY: u8 = 50;
/// Megabytes of the replicas' histories.
const HISTORY: &str = "1";

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// A cluster, and what two replicas of a primary need to start.
struct Cluster {
    sandbox: Sandbox,
    folder: TempDir,
    replicas: [SocketAddr; 2],
    is_signed: bool,
}

impl Cluster {
    async fn start(is_signed: bool) -> Self {
        let options = Options { controllers: None, ..Options::default() };
        let sandbox = Sandbox::start(options).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).expect("a file");
        fs::write(folder.path().join("keys"), KEY).expect("written");
        let cluster = Self { sandbox, folder, replicas: [free_address(), free_address()], is_signed };
        for service in 0..SERVICES {
            let name = format!("s{service}");
            cluster.put(ObjectKind::Service, &name, mirrored::service(&name));
            cluster.put(ObjectKind::EndpointSlice, &name, mirrored::slice(&name, &[1]));
        }
        cluster
    }

    fn put(&self, kind: ObjectKind, name: &str, object: Value) {
        let store = self.sandbox.store();
        let is_there = store.get(kind, "db", name).is_some();
        if is_there { store.update(kind, object) } else { store.create(kind, object) }.expect("a valid object");
    }

    /// Changes the endpoints of Services for a while, at the rate that is asked for.
    fn change(&self, from: u64, lasting: Duration) -> u64 {
        let (began, rate) = (Instant::now(), number(RATE, DEFAULT_RATE));
        let mut changes = 0;
        while began.elapsed() < lasting {
            let change = from + changes;
            let name = format!("s{}", change % SERVICES);
            let endpoints: Vec<u8> = (0..1 + change % 5).map(|n| ((change + n) % 250 + 1) as u8).collect();
            self.put(ObjectKind::EndpointSlice, &name, mirrored::slice(&name, &endpoints));
            changes += 1;
            thread::park_timeout(Duration::from_secs(changes).div_f64(rate as f64).saturating_sub(began.elapsed()));
        }
        println!("{changes} changes, {:.0} a second", changes as f64 / began.elapsed().as_secs_f64());
        from + changes
    }

    /// Changes so much that the history of a replica does not reach back to what it has now.
    fn outrun_history(&self, replica: &Program) {
        let cut = || counted(replica, "zone_versions_total");
        let before = cut();
        let mut first = 0;
        until("a history that has been outrun", || {
            first = (first + 1) % MANY;
            let endpoints: Vec<_> = (first..MANY).chain(0..first).map(|last| last + 1).collect();
            for name in (0..SERVICES).map(|service| format!("s{service}")) {
                self.put(ObjectKind::EndpointSlice, &name, mirrored::slice(&name, &endpoints));
            }
            (cut() - before > counted(replica, "zone_history_versions")).then_some(())
        });
    }

    fn replica(&self, number: usize, secondaries: &[Secondary]) -> Program {
        let path = |name: &str| self.folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let (kubeconfig, keys, replica) = (path("kubeconfig"), path("keys"), number.to_string());
        let state = path(&format!("state-{number}"));
        let notify: Vec<_> = secondaries.iter().map(Secondary::notify).collect();
        let mut arguments = vec!["--kubeconfig", &kubeconfig, "--state", &state, "--replica", &replica];
        arguments.extend(["--drain-timeout", "0", "--nameserver", "127.0.0.1", "--reverse-zone", "10.0.0.0/8"]);
        arguments.extend(["--transfer-clients", "127.0.0.0/8", "--log-level", "info"]);
        arguments.extend(["--transfer-history-size", HISTORY]);
        notify.iter().for_each(|to| arguments.extend(["--notify", to]));
        if self.is_signed {
            arguments.extend(["--transfer-keys", &keys]);
        }
        Program::serve_on(&self.replicas[number].to_string(), &arguments)
    }
}

/// The integral part of a metric.
fn counted(replica: &Program, series: &str) -> u64 {
    let text = replica.page("/metrics").1;
    let line = text.lines().find_map(|line| line.strip_prefix("headless_dns_")?.strip_prefix(series));
    line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or_else(|| panic!("no {series} in\n{text}")) as u64
}

/// How many zones were transferred: whole, and as differences.
fn transferred(replica: &Program) -> [u64; 2] {
    ["axfr", "ixfr"].map(|form| counted(replica, &format!("transfers_total{{form=\"{form}\"}}")))
}

/// Waits until these have the newest version of a replica.
fn until_current(replica: &Program, secondaries: &[Secondary]) {
    for (secondary, zone) in secondaries.iter().flat_map(|secondary| ZONES.map(|zone| (secondary, zone))) {
        wait_for(
            secondary,
            || replica.page("/transfers").1,
            || {
                let (newest, has) = (counted(replica, "zone_serial"), secondary.serial(zone));
                (has.map(u64::from) != Some(newest)).then(|| format!("version {newest} of {zone} but {has:?}"))
            },
        );
    }
}

/// Fails if a serial has gone back (RFC 1982).
fn check_serials(secondaries: &[Secondary], last: &mut Vec<Option<u32>>) {
    last.resize(secondaries.len() * ZONES.len(), None);
    let zones = secondaries.iter().flat_map(|secondary| ZONES.map(|zone| (secondary, zone)));
    for ((secondary, zone), last) in zones.zip(last) {
        let Some(serial) = secondary.serial(zone) else { continue };
        let is_back = last.is_some_and(|last| serial.wrapping_sub(last).cast_signed() < 0);
        assert!(!is_back, "{:?} went back from {last:?} to {serial} in {zone}", secondary.kind);
        *last = Some(serial);
    }
}

/// Waits until every secondary has what a replica exports.
fn converge(replica: &Program, secondaries: &[Secondary]) {
    for (secondary, zone) in secondaries.iter().flat_map(|secondary| ZONES.map(|zone| (secondary, zone))) {
        wait_for(
            secondary,
            || replica.page("/transfers").1,
            || {
                let (seen, exported) = (secondary.records(zone), lines(&replica.page(&format!("/zone?name={zone}")).1));
                let is_there = seen.as_ref() == Some(&exported);
                (!is_there).then(|| format!("what is exported of {zone}: {exported:#?}\nbut {seen:#?}"))
            },
        );
    }
}

async fn follow(kinds: &[Kind], is_signed: bool) {
    let programs: Vec<_> = kinds.iter().map(|kind| kind.program()).chain(["dig"]).collect();
    if missing(&programs) {
        return;
    }
    let cluster = Cluster::start(is_signed).await;
    let mut secondaries: Vec<_> = kinds.iter().map(|kind| Secondary::new(*kind, cluster.replicas)).collect();
    let mut replicas = [0, 1].map(|number| Some(cluster.replica(number, &secondaries)));
    tokio::task::block_in_place(|| {
        replicas.iter().flatten().for_each(Program::until_synchronised);
        secondaries.iter_mut().for_each(Secondary::start);
        let mut serials = Vec::new();
        let part = Duration::from_secs(number(SECONDS, DEFAULT_SECONDS)) / 4;
        let mut changes = cluster.change(0, part);
        check_serials(&secondaries, &mut serials);
        // Killed, and back while the other one goes on.
        replicas[0] = None;
        changes = cluster.change(changes, part);
        check_serials(&secondaries, &mut serials);
        replicas[0] = Some(cluster.replica(0, &secondaries));
        // Ends as it should, and a secondary with it.
        let ended = replicas[1].take().expect("a replica");
        ended.signal("TERM");
        assert_eq!(ended.end().0, Some(0));
        changes = cluster.change(changes, part);
        // Away for so long that there is no difference to what it had.
        let [first, others @ ..] = &mut secondaries[..] else { panic!("a secondary") };
        let replica = replicas[0].as_ref().expect("a replica");
        first.stop();
        cluster.outrun_history(replica);
        until_current(replica, others);
        let before = transferred(replica);
        first.start();
        until_current(replica, slice::from_ref(first));
        let after = transferred(replica);
        assert!(after[0] >= before[0] + ZONES.len() as u64, "zones transferred whole: {before:?}, then {after:?}");
        replicas[1] = Some(cluster.replica(1, &secondaries));
        cluster.change(changes, part);
        until("the end of the changes", || {
            let files = replicas.iter().flatten().map(|replica| lines(&replica.page("/zone?name=cluster.local").1));
            let files: Vec<_> = files.collect();
            files.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
        check_serials(&secondaries, &mut serials);
        for replica in replicas.iter().flatten() {
            converge(replica, &secondaries);
        }
        check_serials(&secondaries, &mut serials);
        assert!(serials.iter().all(Option::is_some), "{serials:?}");
        for replica in replicas.iter().flatten() {
            let ([whole, difference], octets) = (transferred(replica), counted(replica, "transfer_sent_bytes_total"));
            println!("{kinds:?}: {whole} zones transferred whole, {difference} differences, {octets} octets");
        }
    });
}

/// X1, X2, X3, X4, X5.
#[tokio::test(flavor = "multi_thread")]
async fn knot_nsd_and_bind_follow_two_replicas_with_signed_requests_whatever_happens() {
    follow(&[Kind::Knot, Kind::Nsd, Kind::Bind], true).await;
}

/// X1, X2, X3, X4, X5.
#[tokio::test(flavor = "multi_thread")]
async fn powerdns_follows_two_replicas_with_signed_requests_whatever_happens() {
    follow(&[Kind::PowerDns], true).await;
}

/// X1, X2, X4, X5.
#[tokio::test(flavor = "multi_thread")]
async fn unbound_follows_two_replicas_whatever_happens() {
    follow(&[Kind::Unbound], false).await;
}

/// X1: what `dig` makes of wrong keys, wrong times, and transfers of each form.
#[tokio::test(flavor = "multi_thread")]
async fn dig_and_kdig_transfer_with_a_key_and_are_told_what_is_wrong_with_another() {
    if missing(&["dig", "kdig"]) {
        return;
    }
    let cluster = Cluster::start(true).await;
    let replica = cluster.replica(0, &[]);
    tokio::task::block_in_place(|| {
        replica.until_synchronised();
        let secret = KEY.split('"').nth(1).expect("a secret");
        let port = replica.dns.port().to_string();
        let ask = |program: &str, key: &str, arguments: &[&str]| {
            let around = ["@127.0.0.1", "-p", &port, "-y", key];
            let ran = run(bounded(program).args(around).args(arguments));
            ran.stdout + &ran.stderr
        };
        let good = format!("hmac-sha256:secondary:{secret}");
        let exported = lines(&replica.page("/zone?name=cluster.local").1);
        for program in ["dig", "kdig"] {
            let whole = ask(program, &good, &["cluster.local", "AXFR"]);
            let transferred: BTreeSet<_> =
                lines(&whole).into_iter().filter(|line| !line.contains(" ANY TSIG ")).collect();
            assert_eq!(transferred, exported, "{program}: {whole}");
            let unknown = ask(program, &good, &["cluster.local", "IXFR=3000000000"]);
            assert_eq!(unknown.matches("SOA").count(), 2, "{program}: {unknown}");
            // Half of the circle behind is ahead (RFC 1982).
            let newer = ask(program, &good, &["cluster.local", "IXFR=1"]);
            assert_eq!(newer.matches("SOA").count(), 1, "{program}: {newer}");
            let wrong = format!("hmac-sha256:secondary:{}", "d3Jvbmc=");
            let said = ask(program, &wrong, &["cluster.local", "AXFR"]);
            assert!(said.contains("BADSIG"), "{program}: {said}");
            let said = ask(program, &format!("hmac-sha256:other:{secret}"), &["cluster.local", "AXFR"]);
            assert!(said.contains("BADKEY"), "{program}: {said}");
        }
    });
}
