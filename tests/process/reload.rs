//! A configuration that changes under a running server: what takes effect, what is refused, and that no query is lost.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use kube_sandbox::kind::Kind;
use serde_json::Value;
use tempfile::TempDir;

use super::drain::{Cluster, Load};
use crate::support::common::{PATIENCE, exchange, extended_errors, query};
use crate::support::mirrored::service;
use crate::support::peers::{Ran, bounded, output_of, until};
use crate::support::program::{Program, message, run_program};
use crate::support::upstream::FakeUpstream;

const ZONE: &str = "cluster.local.";
const NAME: &str = "pg.db.svc.cluster.local.";
const ABSENT: &str = "absent.db.svc.cluster.local.";
/// What a refused reload says in the log.
const NOT_RELOADED: &str = "not reloaded; the configuration of before stays in force";

/// A configuration file that changes.
struct File {
    folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a folder") };
        file.write(text);
        file
    }

    /// Puts another file in its place, as ConfigMaps and tools do.
    fn write(&self, text: &str) {
        let next = self.folder.path().join("next");
        fs::write(&next, text).expect("written");
        fs::rename(next, self.path()).expect("renamed");
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("headless-dns.toml")
    }

    fn flags(&self) -> [String; 2] {
        ["--config".to_owned(), self.path().to_str().expect("UTF-8").to_owned()]
    }
}

/// A program with a configuration file, and its cluster.
pub(super) struct Configured {
    cluster: Cluster,
    pub program: Program,
    file: File,
}

impl Configured {
    pub async fn start(text: &str) -> Self {
        let (cluster, file) = (Cluster::start().await, File::new(text));
        let program = cluster.serve("127.0.0.1:0", &file.flags().each_ref().map(String::as_str));
        program.until_synchronised();
        Self { cluster, program, file }
    }

    /// Reloads this text with the command, and gives what that says.
    pub fn reload(&self, text: &str) -> String {
        self.file.write(text);
        let Ran { code, stdout, stderr } = run_program(&["reload", "--admin", &self.program.admin.to_string()]);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    }

    pub async fn ask(&self, name: &str, record_type: RecordType) -> Message {
        let mut query = query(name, record_type);
        query.metadata.recursion_desired = true;
        exchange(self.program.dns, &query, false).await.expect("an answer")
    }

    /// The TTL of the records of [`NAME`].
    async fn ttl(&self) -> u32 {
        self.ask(NAME, RecordType::A).await.answers[0].ttl
    }

    pub async fn end(self) {
        self.cluster.sandbox.shutdown().await;
    }
}

/// The response code of an answer, and the first extended error in it.
fn outcome(answer: &Message) -> (ResponseCode, Option<(u16, String)>) {
    (answer.metadata.response_code, extended_errors(answer).into_iter().next())
}

#[tokio::test(flavor = "multi_thread")]
async fn ttls_take_effect_and_what_needs_a_restart_is_named() {
    let server = Configured::start("ttl = 5\n").await;
    assert_eq!(server.ttl().await, 5);
    let said = server.reload("ttl = 30\nnegative_ttl = 7\nudp_workers = 3\nzones = ['other.example']\n");
    assert_eq!(said, "reloaded: changed ttl, negative_ttl; needs a restart: zones, udp_workers\n");
    assert_eq!(server.ttl().await, 30);
    let denied = server.ask(ABSENT, RecordType::A).await;
    assert_eq!((denied.metadata.response_code, denied.authorities[0].ttl), (ResponseCode::NXDomain, 7));
    let line = "reloaded: changed ttl, negative_ttl; needs a restart: zones, udp_workers";
    server.program.until_logged("the report", |entry| message(entry) == line);
    // The pages show what is answered.
    let (_, zone) = server.program.page("/zone?name=cluster.local");
    assert!(zone.contains("pg.db.svc.cluster.local.\t30\tIN\tA\t"), "{zone}");
    // What needs a restart is named until there is one.
    assert_eq!(
        server.reload("ttl = 30\nnegative_ttl = 7\nudp_workers = 3\n"),
        "reloaded: nothing changed; needs a restart: udp_workers\n"
    );
    assert_eq!(server.reload(""), "reloaded: changed ttl, negative_ttl\n");
    assert_eq!(server.ttl().await, 5);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reloads_and_flags_stay_stronger_than_the_file() {
    let (cluster, file) = (Cluster::start().await, File::new("ttl = 9\nnegative_ttl = 9\n"));
    let [config, path] = file.flags();
    let program = cluster.serve("127.0.0.1:0", &[&config, &path, "--ttl", "4"]);
    program.until_synchronised();
    file.write("ttl = 8\nnegative_ttl = 8\n");
    program.signal("HUP");
    program.until_logged("the report", |entry| message(entry) == "reloaded: changed negative_ttl");
    let server = Configured { cluster, program, file };
    assert_eq!(server.ttl().await, 4);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_not_valid_changes_nothing_and_says_where() {
    let server = Configured::start("ttl = 5\n").await;
    let file = server.file.path().display().to_string();
    for (text, problem) in [
        ("ttl = 30\nnegative_ttl = [\n", "not valid TOML"),
        ("ttl = 30\nnegative_ttl = -1\n", ":2: negative_ttl: found -1; expected a whole number from 0 to 3600"),
        ("ttl = 30\ntll = 3\n", ":2: found the unknown option tll"),
        ("ttl = 30\nmemory_limit = 1\n", ":2: memory_limit: found 1; expected more than"),
    ] {
        server.file.write(text);
        let (status, said) = server.program.post("/reload", "");
        assert!(
            status == 422 && said.starts_with("not reloaded: ") && said.contains(problem),
            "{text}: {status} {said}"
        );
        assert!(said.contains(&file), "{said}");
        let is_told = |entry: &Value| {
            message(entry) == NOT_RELOADED && entry["error"].as_str().is_some_and(|error| error.contains(problem))
        };
        server.program.until_logged("the problem", is_told);
        assert_eq!(server.ttl().await, 5, "{text}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_cannot_make_a_server_reload() {
    let server = Configured::start("ttl = 5\n").await;
    server.file.write("ttl = 30\n");
    assert_eq!(server.program.page("/reload").0, 405, "GET changes nothing");
    assert_eq!(server.program.post("/reload", "Origin: http://evil.example\r\n").0, 403);
    assert_eq!(server.ttl().await, 5);
    assert_eq!(server.program.post("/reload", ""), (200, "reloaded: changed ttl\n".to_owned()));
    assert_eq!(server.ttl().await, 30);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_of_the_log_takes_effect() {
    let server = Configured::start("").await;
    let debug = || server.program.log().iter().filter(|entry| entry["level"] == "DEBUG").count();
    assert_eq!(debug(), 0);
    assert_eq!(server.reload("log_level = 'debug'\n"), "reloaded: changed log_level\n");
    // The watch tells of an event.
    server.cluster.sandbox.store().create(Kind::Service, service("other")).expect("valid");
    server.program.until_logged("a line of that level", |entry| entry["level"] == "DEBUG");
    server.end().await;
}

/// Whoever opens a pipe waits until somebody writes to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_the_place_of_the_file_is_refused_and_the_file_after_it_is_taken() {
    let server = Configured::start("ttl = 5\n").await;
    fs::remove_file(server.file.path()).expect("removed");
    output_of(bounded("mkfifo").arg(server.file.path()));
    let (status, said) = server.program.post("/reload", "");
    assert!(status == 422 && said.contains("the file cannot be read: it is a pipe"), "{status} {said}");
    assert_eq!(server.reload("ttl = 30\n"), "reloaded: changed ttl\n");
    server.end().await;
}

/// Also of options that take effect with a restart alone, which would not come to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_next_start_could_not_use_is_named_and_nothing_changes() {
    let server = Configured::start("ttl = 5\n").await;
    let folder = server.file.folder.path().display().to_string();
    let of_transfers = "transfer_clients = ['127.0.0.0/8']\n";
    for (option, value, more) in [
        (
            "tls_cert",
            format!("'{folder}/nothing'"),
            format!("tls_key = '{folder}/nothing'\ntls_listen = ['127.0.0.1:0']\n"),
        ),
        ("state", "'/proc/nothing'".to_owned(), String::new()),
        ("forward", format!("['{folder}/nothing']"), String::new()),
        ("transfer_keys", format!("['{folder}/nothing']"), of_transfers.to_owned()),
        (
            "public_keys",
            format!("['{folder}/nothing']"),
            format!(
                "{of_transfers}public_origin = 'db.example'\npublic_nameservers = ['ns.example']\npublic_clients = ['127.0.0.0/8']\n"
            ),
        ),
    ] {
        server.file.write(&format!("ttl = 30\n{option} = {value}\n{more}"));
        let (status, said) = server.program.post("/reload", "");
        let place = format!("{}:2: {option}: ", server.file.path().display());
        assert!(status == 422 && said.contains(&place), "{option}: {status} {said}");
        assert_eq!(said.matches("os error").count(), 1, "it says once why: {said}");
        assert_eq!(server.ttl().await, 5);
    }
    server.end().await;
}

/// F1.
#[tokio::test(flavor = "multi_thread")]
async fn upstreams_their_time_out_and_their_clients_take_effect() {
    let (one, other, hanging) =
        (FakeUpstream::sound().await, FakeUpstream::sound().await, FakeUpstream::hanging().await);
    let forward = |to: &FakeUpstream, more: &str| format!("forward = ['{}']\n{more}", to.address);
    let server = Configured::start(&forward(&one, "")).await;
    let is_answered = async |name: &str| {
        let answer = server.ask(name, RecordType::A).await;
        answer.metadata.response_code == ResponseCode::NoError && answer.answers.len() == 1
    };
    assert!(is_answered("a.example.").await);
    // Of those are the queries by which loops are found, at any time.
    let of_tests = |upstream: &FakeUpstream| {
        upstream.questions().iter().filter(|name| name.to_ascii_lowercase().ends_with(".example.")).count()
    };
    let before = (of_tests(&one), of_tests(&other));
    assert_eq!((before.0 > 0, before.1), (true, 0));

    assert_eq!(server.reload(&forward(&other, "")), "reloaded: changed forward\n");
    assert!(is_answered("b.example.").await);
    assert!(of_tests(&other) > 0);
    // What was in the cache is there still.
    let asked = of_tests(&other) + of_tests(&one);
    assert!(is_answered("a.example.").await);
    assert_eq!(of_tests(&other) + of_tests(&one), asked);

    assert_eq!(
        server.reload(&forward(&other, "forward_clients = ['192.0.2.0/24']\n")),
        "reloaded: changed forward_clients\n"
    );
    let refused = outcome(&server.ask("a.example.", RecordType::A).await);
    assert!(refused.0 == ResponseCode::Refused && refused.1.is_some_and(|(code, _)| code == 18));

    let said = server.reload(&forward(&hanging, "forward_timeout = 1\n"));
    assert_eq!(said, "reloaded: changed forward, forward_clients, forward_timeout\n");
    let (code, error) = outcome(&server.ask("c.example.", RecordType::A).await);
    let text = error.expect("an extended error").1;
    assert!(code == ResponseCode::ServFail && text.contains("no answer within 333 ms"), "{code} {text}");

    // None is forwarded any more, and then again.
    assert_eq!(server.reload(""), "reloaded: changed forward, forward_timeout\n");
    assert_eq!(outcome(&server.ask("a.example.", RecordType::A).await).0, ResponseCode::Refused);
    assert_eq!(server.reload(&forward(&one, "")), "reloaded: changed forward\n");
    assert!(is_answered("d.example.").await);
    server.end().await;
}

/// A request for the difference from a version.
fn ixfr(serial: u32) -> Message {
    let mut message = query(ZONE, RecordType::IXFR);
    let root = Name::root();
    let soa = SOA::new(root.clone(), root, serial, 0, 0, 0, 0);
    message.authorities.push(Record::from_rdata(Name::from_ascii(ZONE).expect("a name"), 0, RData::SOA(soa)));
    message
}

/// The serial of a transfer, and the TTL of its records; none if it is refused.
async fn transferred(server: SocketAddr, request: &Message) -> Option<(u32, u32)> {
    let answer = exchange(server, request, true).await.expect("an answer");
    let RData::SOA(soa) = &answer.answers.first()?.data else { return None };
    Some((soa.serial, answer.answers.get(1).map_or(0, |record| record.ttl)))
}

/// The next message that tells of a version.
fn told(secondary: &UdpSocket) -> Message {
    let mut octets = [0; 512];
    let (length, from) = secondary.recv_from(&mut octets).expect("a datagram in time");
    let heard = Message::from_vec(&octets[..length]).expect("a message");
    let mut answer = heard.clone();
    answer.metadata.message_type = MessageType::Response;
    secondary.send_to(&answer.to_vec().expect("a message"), from).expect("sent");
    heard
}

/// The serial of a version that is newer than this one, when a secondary is told of it.
fn told_of_newer(secondary: &UdpSocket, serial: u32) -> u32 {
    until("another version", || {
        let message = told(secondary);
        let RData::SOA(soa) = &message.answers.first()?.data else { return None };
        (soa.serial > serial).then_some(soa.serial)
    })
}

/// X1, X3, X4.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_transfer_with_which_keys_and_who_is_told_take_effect() {
    let secondary = UdpSocket::bind("127.0.0.1:0").expect("a port");
    secondary.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let open = "transfer_clients = ['127.0.0.0/8']\n";
    let server = Configured::start(open).await;
    let dns = server.program.dns;
    let axfr = query(ZONE, RecordType::AXFR);
    let (serial, ttl) = transferred(dns, &axfr).await.expect("a zone");
    assert_eq!(ttl, 5);

    assert_eq!(server.reload("transfer_clients = ['192.0.2.0/24']\n"), "reloaded: changed transfer_clients\n");
    assert_eq!(transferred(dns, &axfr).await, None);

    let keys = server.file.folder.path().join("keys");
    fs::write(&keys, "key one { algorithm hmac-sha256; secret c2VjcmV0LXNlY3JldC1zZWNyZXQ=; };").expect("written");
    let signed = format!("{open}transfer_keys = ['{}']\n", keys.display());
    assert_eq!(server.reload(&signed), "reloaded: changed transfer_clients, transfer_keys\n");
    assert_eq!(transferred(dns, &axfr).await, None, "it is not signed");
    fs::write(&keys, "key two { algorithm hmac-sha256; secret c2VjcmV0LXNlY3JldC1zZWNyZXQ=; };").expect("written");
    let said = server.reload(&signed);
    // The server may have noticed by itself.
    assert!(said == "reloaded: changed transfer_keys\n" || said == "reloaded: nothing changed\n", "{said}");
    server.file.write(&format!("{signed}ttl = 30\nnotify = ['{}#one']\n", secondary.local_addr().expect("an address")));
    let (status, said) = server.program.post("/reload", "");
    assert!(status == 422 && said.contains("neither transfer_keys nor public_keys has such a key"), "{said}");
    assert_eq!(server.ttl().await, 5, "nothing else of it has taken effect");

    let told_of = format!("{open}notify = ['{}']\n", secondary.local_addr().expect("an address"));
    assert_eq!(server.reload(&told_of), "reloaded: changed transfer_keys, notify\n");
    let zones: Vec<_> = (0..3).map(|_| told(&secondary).queries[0].name().to_string()).collect();
    assert!(zones.contains(&ZONE.to_owned()), "{zones:?}");
    assert_eq!(transferred(dns, &axfr).await, Some((serial, 5)));

    // With other TTLs it is another version, which nothing leads to: a difference would leave the old ones in the secondaries.
    assert_eq!(server.reload(&format!("{told_of}ttl = 60\n")), "reloaded: changed ttl\n");
    let newer = told_of_newer(&secondary, serial);
    assert_eq!(transferred(dns, &ixfr(serial)).await, Some((newer, 60)));
    let has_followed = || {
        let page: Value = serde_json::from_str(&server.program.page("/transfers").1).expect("JSON");
        page["secondaries"][0]["address"] == "127.0.0.1" && page["secondaries"][0]["behind"] == 0
    };
    until("what it has got is known", || has_followed().then_some(()));

    // From now on another one is told, and this one is not.
    let another = UdpSocket::bind("127.0.0.1:0").expect("a port");
    another.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let told_of = format!("{open}notify = ['{}']\n", another.local_addr().expect("an address"));
    assert_eq!(server.reload(&format!("{told_of}ttl = 60\n")), "reloaded: changed notify\n");
    assert!(has_followed(), "that is known still");
    secondary.set_nonblocking(true).expect("an option");
    while secondary.recv(&mut [0; 512]).is_ok() {}
    let mut newest = newer;
    for ttl in [61, 62] {
        assert_eq!(server.reload(&format!("{told_of}ttl = {ttl}\n")), "reloaded: changed ttl\n");
        newest = told_of_newer(&another, newest);
    }
    assert!(secondary.recv(&mut [0; 512]).is_err());
    server.end().await;
}

/// None of the three kinds of clients loses a query, whatever is reloaded.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reloads_again_and_again_under_load_loses_no_query() {
    let upstream = FakeUpstream::sound().await;
    let forward = format!("forward = ['{}']\n", upstream.address);
    let server = Configured::start(&forward).await;
    Load::on(server.program.dns, |load| {
        for round in 0..20 {
            load.go_on();
            let forward = if round % 4 == 3 { "" } else { &*forward };
            let said = server.reload(&format!("{forward}ttl = {}\nforward_timeout = {}\n", round + 10, round % 3 + 1));
            assert!(said.starts_with("reloaded: changed ttl"), "{said}");
        }
        load.go_on();
    });
    server.end().await;
}
