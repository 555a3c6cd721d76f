//! The end of a server: what has reached it is answered, and another process on the same address takes over without a gap.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use headless_dns::server;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use kube_sandbox::faults::Fault;
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use tempfile::TempDir;

use crate::support::common::{self, LIMITS, PATIENCE, Server, options, query};
use crate::support::mirrored::{on, service, slice};
use crate::support::peers::{Ran, until};
use crate::support::program::{ANSWERING, Program, run_program};

const NAME: &str = "pg.db.svc.cluster.local.";
/// Clients that ask at the same time, each from an address of its own: none of several sockets is spared, and some queries
/// always wait.
const CLIENTS: usize = 64;
/// Queries that a client sends at once over one connection.
const PIPELINED: usize = 16;
const HANDOVERS: usize = 4;
/// What a process says that is to share an address and does not listen yet.
const WAITING: &str = "waiting for synchronisation before listening on the shared address";

fn question() -> Vec<u8> {
    query(NAME, RecordType::A).to_vec().expect("a message")
}

fn framed() -> Vec<u8> {
    let question = question();
    [&(question.len() as u16).to_be_bytes(), &*question].concat()
}

/// Holds that it is the answer to [`question`].
fn check(answer: &[u8]) {
    let answer = Message::from_vec(answer).expect("a message");
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 2), "{answer}");
}

/// Sends the question from an address that has not been seen.
fn send(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    socket.connect(server).expect("a way");
    socket.send(&question()).expect("sent");
    socket
}

/// Whether an answer comes; if not, the port was closed already.
fn is_answered(socket: &UdpSocket) -> bool {
    let mut answer = [0; 512];
    match socket.recv(&mut answer) {
        Ok(length) => check(&answer[..length]),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return false,
        Err(error) => panic!("neither an answer nor a refusal: {error}"),
    }
    true
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Reads an answer; false at the end of the stream, which may only be between two.
fn read(stream: &mut TcpStream) -> bool {
    let mut length = [0; 2];
    if stream.read(&mut length[..1]).expect("an answer or an end, not a reset") == 0 {
        return false;
    }
    stream.read_exact(&mut length[1..]).expect("a length");
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).expect("a whole answer");
    check(&answer);
    true
}

/// Clients that ask one address without a pause. Each panics if a query is lost.
pub(super) struct Load {
    server: SocketAddr,
    is_over: AtomicBool,
    answers: AtomicUsize,
}

impl Load {
    /// Runs `meanwhile` under load.
    pub fn on(server: SocketAddr, meanwhile: impl FnOnce(&Self)) {
        let load = &Self { server, is_over: AtomicBool::new(false), answers: AtomicUsize::new(0) };
        thread::scope(|scope| {
            for client in [Self::datagrams, Self::connections, Self::one_connection] {
                scope.spawn(move || {
                    // The others need not go on when one has seen enough.
                    let _over = Over(&load.is_over);
                    while !load.is_over.load(Ordering::Relaxed) {
                        client(load);
                    }
                });
            }
            let _over = Over(&load.is_over);
            meanwhile(load);
        });
    }

    fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until some more answers have come.
    pub fn go_on(&self) {
        let before = self.answers.load(Ordering::Relaxed);
        until("answers", || {
            let has_come = self.answers.load(Ordering::Relaxed) > before + 10 * CLIENTS;
            (has_come || self.is_over.load(Ordering::Relaxed)).then_some(())
        });
    }

    /// Each query is sent once, and its answer has to come.
    fn datagrams(&self) {
        let sockets: Vec<_> = (0..CLIENTS).map(|_| send(self.server)).collect();
        for socket in sockets {
            assert!(is_answered(&socket), "refused");
            self.answered();
        }
    }

    /// Whoever gets a connection gets all answers.
    fn connections(&self) {
        let mut stream = connect(self.server);
        stream.write_all(&framed().repeat(PIPELINED)).expect("sent");
        for _ in 0..PIPELINED {
            assert!(read(&mut stream), "an end before the last answer");
            self.answered();
        }
    }

    /// A connection is good until it ends, between two answers; then there is another.
    fn one_connection(&self) {
        let mut stream = connect(self.server);
        while !self.is_over.load(Ordering::Relaxed) {
            stream.write_all(&framed()).expect("sent");
            if !read(&mut stream) {
                return;
            }
            self.answered();
        }
    }
}

/// Says that it is over, in a panic too.
struct Over<'l>(&'l AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A cluster with the Service of [`question`], and its kubeconfig.
pub(super) struct Cluster {
    pub sandbox: Sandbox,
    folder: TempDir,
}

impl Cluster {
    pub async fn start() -> Self {
        let sandbox = Sandbox::start(Options { controllers: None, ..Options::default() }).await.expect("a sandbox");
        sandbox.store().create(Kind::Service, service("pg")).expect("valid");
        sandbox.store().create(Kind::EndpointSlice, slice("pg", &[1, 2])).expect("valid");
        let folder = tempfile::tempdir().expect("a folder");
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).expect("written");
        Self { sandbox, folder }
    }

    fn kubeconfig(&self) -> String {
        self.folder.path().join("kubeconfig").to_str().expect("UTF-8").to_owned()
    }

    /// A process that answers for it.
    pub fn serve(&self, listen: &str, arguments: &[&str]) -> Program {
        self.until_told(ANSWERING, listen, arguments)
    }

    fn until_told(&self, told: &str, listen: &str, arguments: &[&str]) -> Program {
        Program::until_told(told, listen, &[&["--kubeconfig", &self.kubeconfig()], arguments].concat())
    }
}

const SHARED: [&str; 6] = ["--share-address", "true", "--udp-workers", "2", "--drain-timeout", "0"];

#[tokio::test(flavor = "multi_thread")]
async fn processes_take_over_from_each_other_under_load_and_no_query_is_lost() {
    let cluster = Cluster::start().await;
    let mut program = cluster.serve("127.0.0.1:0", &SHARED);
    let address = program.dns.to_string();
    Load::on(program.dns, |load| {
        load.go_on();
        for _ in 0..HANDOVERS {
            let successor = cluster.serve(&address, &SHARED);
            assert_eq!(successor.page("/readyz"), (200, "ok\n".to_owned()));
            load.go_on();
            program.signal("TERM");
            let (code, log) = std::mem::replace(&mut program, successor).end();
            assert_eq!(code, Some(0), "{log}");
            load.go_on();
        }
    });
    cluster.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_know_the_cluster_yet_does_not_answer_beside_one_that_does() {
    let cluster = Cluster::start().await;
    let first = cluster.serve("127.0.0.1:0", &SHARED);
    let fault = Fault::Answer { on: on(Kind::EndpointSlice), code: 503, retry_after: None, times: None };
    let unknown = cluster.sandbox.faults().inject(fault).expect("a fault");
    let second = cluster.until_told(WAITING, &first.dns.to_string(), &SHARED);
    Load::on(first.dns, |load| {
        let pending = (503, "pending: endpointslices of all namespaces\npending: listening\n".to_owned());
        until("the Services", || (second.page("/readyz") == pending).then_some(()));
        load.go_on();
        assert_eq!(second.page("/readyz"), pending);
        cluster.sandbox.faults().remove(unknown);
        let line = second.until_logged("answers", |entry| entry["message"] == ANSWERING);
        assert_eq!(line["listen"], first.dns.to_string());
        until("readiness", || (second.page("/readyz") == (200, "ok\n".to_owned())).then_some(()));
        first.signal("TERM");
        assert_eq!(first.end().0, Some(0));
        load.go_on();
    });
    cluster.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_waits_for_the_cluster_ends_at_once_when_it_is_told_to_and_has_never_listened() {
    let cluster = Cluster::start().await;
    cluster.sandbox.faults().inject(Fault::Down { milliseconds: None }).expect("a fault");
    let arguments = ["--share-address", "true", "--drain-timeout", "300"];
    let program = cluster.until_told(WAITING, "127.0.0.1:0", &arguments);
    program.signal("TERM");
    let (code, log) = program.end();
    assert!(code == Some(0) && !log.contains(ANSWERING), "{log}");
    cluster.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_shared_only_by_processes_that_both_say_so() {
    let cluster = Cluster::start().await;
    let kubeconfig = cluster.kubeconfig();
    for (first, second) in [("false", "false"), ("false", "true"), ("true", "false")] {
        let first = cluster.serve("127.0.0.1:0", &["--share-address", first]);
        let address = first.dns.to_string();
        let arguments = ["serve", "--kubeconfig", &kubeconfig, "--admin", "off", "--share-address", second];
        let Ran { code, stderr, .. } = run_program(&[&arguments[..], &["--listen", &address]].concat());
        let complaint = format!("error: cannot listen on {address} (TCP): Address already in use");
        assert!(code == Some(1) && stderr.contains(&complaint), "{stderr}");
    }
    cluster.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_does_not_keep_a_server_that_stops() {
    let cluster = Cluster::start().await;
    let program = cluster.serve("127.0.0.1:0", &["--tcp-idle-timeout", "120", "--drain-timeout", "0"]);
    let mut stream = connect(program.dns);
    // Nobody takes them any more: the server waits for its answers to be read.
    stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).expect("a time limit");
    let queries = framed().repeat(PIPELINED);
    while stream.write_all(&queries).is_ok() {}
    program.signal("TERM");
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("closing connections that did not finish in time"), "{log}");
    cluster.sandbox.shutdown().await;
}

/// A server in this process, of so many workers.
fn server(udp_workers: usize) -> Server {
    let bound = server::bind(&[([127, 0, 0, 1], 0).into()], udp_workers).expect("a free port");
    let mut server = Server::bound(bound, options(), LIMITS);
    let slice = slice("pg", &[1, 2]);
    let kinds = [("Service", service("pg")), ("EndpointSlice", slice)];
    let manifests = kinds.map(|(kind, mut object)| {
        object["kind"] = kind.into();
        object.to_string()
    });
    server.apply(&manifests.join("\n---\n"));
    server.writer.set_synchronised();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_that_reaches_a_server_that_stops_is_answered_or_refused() {
    // The moment of the end falls between any two steps of a worker.
    for workers in [1, 2].repeat(8) {
        let server = server(workers);
        let address = server.address;
        let (answered, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _over = Over(&is_over);
                    while !is_over.load(Ordering::Relaxed) {
                        let sockets: Vec<_> = (0..CLIENTS).map(|_| send(address)).collect();
                        let answers = sockets.iter().filter(|socket| is_answered(socket)).count();
                        answered.fetch_add(answers, Ordering::Relaxed);
                        if answers < CLIENTS {
                            break;
                        }
                    }
                });
            }
            until("answers", || {
                let is_over = is_over.load(Ordering::Relaxed);
                (is_over || answered.load(Ordering::Relaxed) > 10 * CLIENTS).then_some(())
            });
            drop(server.stop());
        });
    }
}

/// On the one thread of this test the server does nothing until it is waited for.
#[tokio::test]
async fn what_nobody_has_received_or_accepted_when_the_server_is_told_to_stop_is_answered() {
    let server = server(1);
    // More than the worker takes at once.
    let sockets: Vec<_> = (0..3 * CLIENTS).map(|_| send(server.address)).collect();
    let clients = LIMITS.connections_per_client;
    let mut streams: Vec<_> = (0..clients).map(|_| connect(server.address)).collect();
    for stream in &mut streams {
        stream.write_all(&framed()).expect("sent");
    }
    let ended = server.stop();
    tokio::time::timeout(PATIENCE, ended).await.expect("an end in time").expect("no panic").expect("no error");
    assert!(sockets.iter().all(is_answered));
    for stream in &mut streams {
        assert!(read(stream) && !read(stream), "an answer, and then the end");
    }
}

#[tokio::test]
async fn a_query_that_comes_after_the_last_answer_finds_an_end_and_no_reset() {
    let server = server(1);
    let stream = connect(server.address);
    stream.set_nonblocking(true).expect("an option");
    let mut stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &framed()).await.expect("sent");
    check(&common::read_framed(&mut stream).await.expect("an answer"));
    let ended = server.stop();
    assert_eq!(common::read_framed(&mut stream).await, None);
    // On loopback a reset would be there as soon as what it is for has been sent.
    for _ in 0..2 {
        stream.try_write(&framed()).expect("sent");
    }
    assert!(stream.take_error().expect("an option").is_none(), "reset");
    drop(stream);
    tokio::time::timeout(PATIENCE, ended).await.expect("an end in time").expect("no panic").expect("no error");
}
