//! Queries as they are shown: in the log, and to a collector of dnstap.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use hickory_proto::rr::RecordType;
use serde_json::Value;

use super::drain::Cluster;
use crate::support::common::{PATIENCE, exchange, query};
use crate::support::peers::{Running, bounded, command, missing, output_of, until};
use crate::support::program::{Program, message};
use crate::support::upstream::FakeUpstream;

/// Queries of a client that are on their way at a time.
const WINDOW: usize = 32;
/// Clients that ask at the same time.
const CLIENTS: usize = 4;

/// Asks for so many names, each once, and waits for every answer.
fn ask(server: SocketAddr, names: usize) {
    let of_client = |client: usize| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        socket.connect(server).expect("a way");
        let numbers: Vec<_> = (client..names).step_by(CLIENTS).collect();
        let mut answer = [0; 512];
        for window in numbers.chunks(WINDOW) {
            for number in window {
                let query = query(&format!("q{number}.pg.db.svc.cluster.local."), RecordType::A);
                socket.send(&query.to_vec().expect("a message")).expect("sent");
            }
            for _ in window {
                socket.recv(&mut answer).expect("an answer");
            }
        }
    };
    thread::scope(|scope| {
        (0..CLIENTS).for_each(|client| {
            scope.spawn(move || of_client(client));
        });
    });
}

/// The value of a metric.
fn metric(program: &Program, name: &str) -> u64 {
    let (_, page) = program.page("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

/// The lines of the query log.
fn logged(program: &Program) -> Vec<Value> {
    program.log().into_iter().filter(|entry| message(entry) == "query").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_logged_on_demand_as_the_filters_the_sample_and_the_rate_have_it() {
    let (cluster, folder) = (Cluster::start().await, tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("headless-dns.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("");
    let upstream = FakeUpstream::sound().await;
    let forward = ["--forward", &upstream.address.to_string()];
    let config = ["--config", file.to_str().expect("UTF-8")];
    let program = cluster.serve("127.0.0.1:0", &[config, forward].concat());
    program.until_synchronised();
    let reload = |text: &str| {
        write(text);
        let (status, said) = program.post("/reload", "");
        assert_eq!(status, 200, "{said}");
    };
    ask(program.dns, 10);
    assert_eq!(logged(&program), Vec::<Value>::new());

    reload("log_queries = ['rcode=NXDOMAIN', 'name=pg.db.svc.cluster.local', 'client=127.0.0.0/8']\n");
    ask(program.dns, 3);
    let lines = until("three lines", || Some(logged(&program)).filter(|lines| lines.len() == 3));
    let names: BTreeSet<_> = lines.iter().map(|line| line["name"].as_str().expect("a name").to_owned()).collect();
    let expected = (0..3).map(|number| format!("q{number}.pg.db.svc.cluster.local."));
    assert_eq!(names, expected.collect());
    for line in &lines {
        let is = |field: &str, text: &str| assert_eq!(line[field], text, "{line}");
        is("type", "A");
        is("rcode", "NXDOMAIN");
        is("transport", "udp");
        assert!(line["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{line}");
        assert!(line["bytes"].as_u64().is_some_and(|octets| octets > 50), "{line}");
        assert!(line["microseconds"].as_u64().is_some_and(|time| time > 0), "{line}");
    }

    // Nothing of these is logged: the client is another, or the code is.
    reload("log_queries = ['client=192.0.2.0/24']\n");
    ask(program.dns, 3);
    reload("log_queries = ['rcode=SERVFAIL']\n");
    ask(program.dns, 3);
    reload("log_queries = ['all']\nlog_queries_sample = 10\nlog_queries_rate = 100000\n");
    ask(program.dns, 1000);
    let lines = until("a tenth of them", || Some(logged(&program)).filter(|lines| lines.len() >= 103));
    assert_eq!(lines.len(), 103);

    reload("log_queries = ['all']\nlog_queries_rate = 1\n");
    ask(program.dns, 100);
    let dropped = metric(&program, "headless_dns_query_log_dropped_total{reason=\"rate\"}");
    assert!((90..100).contains(&dropped), "{dropped}: at most one a second");
    let of_zone = "headless_dns_responses_total{zone=\"cluster.local.\",rcode=\"NXDOMAIN\"}";
    until("all are counted", || (metric(&program, of_zone) == 10 + 3 + 3 + 3 + 1000 + 100).then_some(()));
    reload("");
    let before = logged(&program).len();
    ask(program.dns, 10);

    // Over TCP and from an upstream too, and what has been seen is written before the end.
    reload("log_queries = ['name=last.db.svc.cluster.local', 'name=last.example']\n");
    for (name, tcp) in [("last.db.svc.cluster.local.", true), ("last.example.", false)] {
        let mut query = query(name, RecordType::A);
        query.metadata.recursion_desired = true;
        exchange(program.dns, &query, tcp).await.expect("an answer");
    }
    program.signal("INT");
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told = |name: &str, transport: &str, rcode: &str| {
        let is = |line: &&Value| line["name"] == name && line["transport"] == transport && line["rcode"] == rcode;
        lines.iter().filter(is).count()
    };
    assert_eq!(told("last.db.svc.cluster.local.", "tcp", "NXDOMAIN"), 1, "{log}");
    assert_eq!(told("last.example.", "udp", "NOERROR"), 1, "{log}");
    let all = lines.iter().filter(|line| message(line) == "query").count();
    assert!(all <= before + 1 + 2, "{all}: the writer may have been behind, by one");
    cluster.sandbox.shutdown().await;
}

/// Of 100,000 queries none is missing and none is there twice, as a collector of others reads them.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_has_every_query_once() {
    const QUERIES: usize = 100_000;
    if missing(&["fstrm_capture", "dnstap-ldns"]) {
        return;
    }
    let (cluster, folder) = (Cluster::start().await, tempfile::tempdir().expect("a folder"));
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (socket, captured) = (path("dnstap.sock"), path("captured"));
    let arguments = ["-t", "protobuf:dnstap.Dnstap", "-u", &socket, "-w", &captured];
    let collector = Running::start(command("fstrm_capture").args(arguments));
    until("the socket", || std::path::Path::new(&socket).exists().then_some(()));
    let dnstap = format!("unix:{socket}");
    let program = cluster.serve("127.0.0.1:0", &["--dnstap", &dnstap, "--chaos-id", "replica-7"]);
    program.until_logged("the collector", |entry| message(entry) == "dnstap frames are taken");
    program.until_synchronised();
    ask(program.dns, QUERIES);
    assert_eq!(metric(&program, "headless_dns_dnstap_dropped_total"), 0);
    let taken = || metric(&program, "headless_dns_dnstap_frames_total");
    until("all of them are taken", || (taken() >= QUERIES as u64).then_some(()));
    assert_eq!(taken(), QUERIES as u64);
    program.signal("INT");
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    collector.signal("TERM");
    collector.end();
    let read = output_of(bounded("dnstap-ldns").args(["-q", "-r", &captured]));
    let names: Vec<_> = read.lines().filter_map(|line| Some(line.split('"').nth(1)?.to_owned())).collect();
    assert_eq!(names.len(), QUERIES, "{}", read.lines().next().unwrap_or_default());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), QUERIES, "each once");
    let first = read.lines().next().expect("a line");
    assert!(first.contains(" AR ") && first.contains(" UDP "), "{first}");
    let whole = output_of(bounded("sh").args(["-c", &format!("dnstap-ldns -y -r {captured} | head -40")]));
    for told in ["identity: \"replica-7\"", "type: AUTH_RESPONSE", "query_address: \"127.0.0.1\"", "NXDOMAIN"] {
        assert!(whole.contains(told), "{told} is not in\n{whole}");
    }
    cluster.sandbox.shutdown().await;
}

/// Speaks Frame Streams as far as START.
fn shake_hands(stream: &mut UnixStream) {
    let control = |kind: u8| {
        let content = b"protobuf:dnstap.Dnstap";
        let head =
            [0, 0, 0, 0, 0, 0, 0, 12 + content.len() as u8, 0, 0, 0, kind, 0, 0, 0, 1, 0, 0, 0, content.len() as u8];
        [&head[..], content].concat()
    };
    let mut received = vec![0; control(4).len()];
    stream.read_exact(&mut received).expect("READY");
    assert_eq!(received, control(4));
    stream.write_all(&control(1)).expect("ACCEPT");
    stream.read_exact(&mut received).expect("START");
    assert_eq!(received, control(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_stalls_holds_up_nobody_and_what_it_misses_is_counted() {
    const QUERIES: usize = 40_000;
    let (cluster, folder) = (Cluster::start().await, tempfile::tempdir().expect("a folder"));
    let socket = folder.path().join("dnstap.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let dnstap = format!("unix:{}", socket.display());
    let program = cluster.serve("127.0.0.1:0", &["--dnstap", &dnstap, "--udp-workers", "2"]);
    program.until_synchronised();
    let (mut stalled, _) = listener.accept().expect("a connection");
    shake_hands(&mut stalled);
    ask(program.dns, QUERIES);
    let dropped = metric(&program, "headless_dns_dnstap_dropped_total");
    let sent = metric(&program, "headless_dns_dnstap_frames_total");
    assert!(dropped > 0 && dropped + sent < QUERIES as u64, "{dropped} and {sent}: what waits is bounded");
    program.until_logged("a stall", |line| message(line) == "the dnstap collector stalls; frames are left out");
    let mut taken = vec![0; 64 * 1024];
    while program.log().iter().all(|line| message(line) != "the dnstap collector keeps up again") {
        assert_ne!(stalled.read(&mut taken).expect("frames"), 0);
        // Something to be sent, for as long as it takes.
        ask(program.dns, 1);
    }
    // Its end is noticed, though there is nothing to be sent.
    drop(stalled);
    let (mut next, _) = listener.accept().expect("another attempt");
    shake_hands(&mut next);
    program.signal("INT");
    assert_eq!(program.end().0, Some(0));
    cluster.sandbox.shutdown().await;
}

/// The next frame; none if it is the control frame STOP.
fn frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a frame in time");
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("a whole frame");
    if !frame.is_empty() {
        return Some(frame);
    }
    let mut stop = [0; 8];
    stream.read_exact(&mut stop).expect("a control frame");
    assert_eq!(stop, [0, 0, 0, 4, 0, 0, 0, 3]);
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_names_another_collector_connects_to_it_and_any_other_reload_leaves_it_alone() {
    let (cluster, folder) = (Cluster::start().await, tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("headless-dns.toml");
    std::fs::write(&file, "").expect("written");
    let program = cluster.serve("127.0.0.1:0", &["--config", file.to_str().expect("UTF-8")]);
    program.until_synchronised();
    let collectors = ["one", "other"].map(|name| {
        let socket = folder.path().join(name);
        (UnixListener::bind(&socket).expect("a socket"), format!("dnstap = 'unix:{}'\n", socket.display()))
    });
    let reload = |text: &str| {
        std::fs::write(&file, text).expect("written");
        program.post("/reload", "").1
    };
    let connected = |number: usize| {
        let (mut stream, _) = collectors[number].0.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        shake_hands(&mut stream);
        stream
    };
    let has = |frame: Option<Vec<u8>>| frame.is_some_and(|frame| frame.windows(2).any(|label| label == b"q0"));

    assert_eq!(reload(&collectors[0].1), "reloaded: changed dnstap\n");
    let mut one = connected(0);
    assert_eq!(reload(&format!("{}ttl = 9\n", collectors[0].1)), "reloaded: changed ttl\n");
    ask(program.dns, 1);
    assert!(has(frame(&mut one)), "over the same connection");
    assert_eq!(reload(&collectors[1].1), "reloaded: changed ttl, dnstap\n");
    let mut other = connected(1);
    assert_eq!(frame(&mut one), None, "it has ended");
    ask(program.dns, 1);
    assert!(has(frame(&mut other)));
    assert_eq!(reload(""), "reloaded: changed dnstap\n");
    assert_eq!(frame(&mut other), None);
    assert_eq!(metric(&program, "headless_dns_dnstap_frames_total"), 2);
    assert_eq!(metric(&program, "headless_dns_dnstap_dropped_total"), 0);
    cluster.sandbox.shutdown().await;
}
