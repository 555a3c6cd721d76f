//! How the program begins and ends when something is wrong: what can never work ends it with a message that a person can act
//! on, and what may come right by itself is waited for.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use kube_sandbox::faults::{Fault, Scope};
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::peers::{Ran, dig, dig_short, missing, until};
use crate::support::program::{ANSWERING, Program, message, run_program, start_program};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sandbox/redis.yaml");
const POD: &str = "redis-0.redis.default.svc.cluster.local";

/// Free ports, so that a test that should have ended does not disturb the others.
const ON_LOOPBACK: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// A folder for the files of one test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.path().join(name), text).expect("written");
        self.path(name)
    }

    /// A kubeconfig for a server at this address, which need not exist.
    fn kubeconfig(&self, server: &str) -> String {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             clusters: [{{name: here, cluster: {{server: 'http://{server}'}}}}]\n\
             contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n\
             users: [{{name: me, user: {{}}}}]\n"
        );
        self.write("kubeconfig", &text)
    }
}

/// Holds that `serve` with these arguments ends at once with this code, and gives what it says.
fn refused(arguments: &[&str], code: i32) -> String {
    let Ran { code: ended, stdout, stderr } = run_program(&[&ON_LOOPBACK, arguments].concat());
    assert_eq!((ended, stdout.as_str()), (Some(code), ""), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

#[test]
fn a_kubeconfig_that_cannot_be_used_ends_it_and_is_named() {
    let folder = Folder::new();
    let advice = "name another with --kubeconfig, or choose one of its contexts with --context\n";
    let missing = folder.path("missing");
    let said = refused(&["--kubeconfig", &missing], 1);
    assert!(said.starts_with(&format!("error: the kubeconfig {missing} cannot be used: ")), "{said}");
    assert!(said.contains("No such file or directory") && said.ends_with(advice), "{said}");

    let broken = folder.write("broken", "apiVersion: v1\nkind: Config\nclusters: [\n");
    let said = refused(&["--kubeconfig", &broken], 1);
    assert!(said.starts_with(&format!("error: the kubeconfig {broken} cannot be used: ")), "{said}");
    assert!(said.contains("line 3") && said.contains(advice.trim_end()), "{said}");

    let good = folder.kubeconfig("127.0.0.1:9");
    let said = refused(&["--kubeconfig", &good, "--context", "elsewhere"], 1);
    assert_eq!(
        said,
        format!("error: there is no context elsewhere in the kubeconfig {good}; choose one with --context: here\n")
    );
}

#[test]
fn without_any_kubeconfig_it_ends_and_says_how_to_try_it_without_a_cluster() {
    let said = refused(&[], 1);
    assert!(said.starts_with("error: no kubeconfig can be used: "), "{said}");
    assert!(said.contains("name one with --kubeconfig or KUBECONFIG"), "{said}");
    assert!(said.contains("headless-dns serve --sandbox PATH"), "{said}");
}

#[test]
fn a_port_in_use_ends_it_and_is_named_with_its_protocol() {
    let folder = Folder::new();
    let kubeconfig = folder.kubeconfig("127.0.0.1:9");
    let end = |arguments: [&str; 4]| {
        let Ran { code, stderr, .. } = run_program(&[&["serve", "--kubeconfig", &kubeconfig], &arguments[..]].concat());
        assert_eq!(code, Some(1), "{stderr}");
        stderr
    };
    // An address that no other test uses: the program binds TCP first, and there the port has to be free.
    let (udp, tcp) =
        (UdpSocket::bind("127.0.33.1:0").expect("a port"), TcpListener::bind("127.0.33.2:0").expect("a port"));
    let taken = [("UDP", udp.local_addr().expect("an address")), ("TCP", tcp.local_addr().expect("an address"))];
    for (protocol, address) in taken {
        let (port, address) = (address.port(), address.to_string());
        assert_eq!(
            end(["--listen", &address, "--admin", "127.0.0.1:0"]),
            format!(
                "error: cannot listen on {address} ({protocol}): Address already in use (os error 98); another program \
                 has it (see: ss -lntup 'sport = :{port}'), choose another with --listen\n"
            )
        );
    }
    let address = taken[1].1.to_string();
    assert_eq!(
        end(["--listen", "127.0.0.1:0", "--admin", &address]),
        format!(
            "error: cannot listen on the admin address {address}; choose another with --admin, or none with --admin \
             off: Address already in use (os error 98)\n"
        )
    );
}

#[test]
fn a_configuration_that_is_not_valid_ends_it_with_every_mistake_and_its_line() {
    let folder = Folder::new();
    let file = folder.write("options.toml", "ttl = 9999\n\nnope = 1\n");
    let said = refused(&["--config", &file], 2);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "error: the configuration is not valid");
    assert_eq!(lines[1], format!("  {file}:1: ttl: found 9999; expected a whole number from 0 to 3600"));
    assert!(lines[2].starts_with(&format!("  {file}:3: found the unknown option nope; allowed are ")), "{said}");
    assert_eq!(lines.len(), 3);

    let file = folder.path("missing.toml");
    let said = refused(&["--config", &file], 2);
    assert!(said.contains(&format!("{file}: the file cannot be read: No such file or directory")), "{said}");
}

#[test]
fn a_manifest_that_is_not_valid_ends_it_with_its_file_line_object_and_field() {
    let folder = Folder::new();
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  clusterIP: None\n";
    let cases = [
        ("  prots: []\n", "document 1 (line 1): Service default/a: ", "unknown field \"spec.prots\""),
        ("  ports: [{port: 70000}]\n", "document 1 (line 1): Service default/a: ", "spec.ports[0].port"),
        ("---\nkind: Service\n", "document 2 (line 7): ", "apiVersion and kind"),
        ("---\na: [b\n", "document 2 (line 7): ", "did not find expected ',' or ']'"),
    ];
    for (mistake, place, problem) in cases {
        let file = folder.write("broken.yaml", &format!("{service}{mistake}"));
        let said = refused(&["--sandbox", &file], 1);
        assert!(said.starts_with(&format!("error: {file}: {place}")) && said.contains(problem), "{said}");
    }
    let file = folder.path("missing.yaml");
    assert_eq!(refused(&["--sandbox", &file], 1), format!("error: {file}: No such file or directory (os error 2)\n"));
}

/// A sandbox in this process, where it can be made to misbehave.
async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start(Options::default()).await.expect("a sandbox");
    sandbox.apply(&[Path::new(MANIFEST).to_owned()]).expect("applied");
    sandbox
}

/// What it warns of.
fn warnings(program: &Program) -> Vec<Value> {
    program.log().into_iter().filter(is_warning).collect()
}

fn is_warning(entry: &Value) -> bool {
    entry["level"] == "WARN" || entry["level"] == "ERROR"
}

/// How often the watch of a resource has failed for a reason.
fn failures(program: &Program, resource: &str, reason: &str) -> u64 {
    let (status, metrics) = program.page("/metrics");
    assert_eq!(status, 200);
    let labels = [resource, reason].map(|label| format!("\"{label}\""));
    let is_it = |line: &&str| line.contains("watch_errors") && labels.iter().all(|label| line.contains(label));
    let count = metrics.lines().find(is_it).and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.unwrap_or_default()
}

fn until_ready(program: &Program) {
    until("readiness", || (program.page("/readyz") == (200, "ok\n".to_owned())).then_some(()));
}

/// T1.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_waited_for_with_one_warning() {
    if missing(&["dig"]) {
        return;
    }
    let (sandbox, folder) = (sandbox().await, Folder::new());
    let down = sandbox.faults().inject(Fault::Down { milliseconds: None }).expect("a fault");
    until("the end of the API", || TcpStream::connect(sandbox.address()).is_err().then_some(()));

    let program = Program::serve(&["--kubeconfig", &folder.kubeconfig(&sandbox.address().to_string())]);
    let warning = program.until_logged("a warning", is_warning);
    let url = format!("http://{}/", sandbox.address());
    assert!(message(&warning).starts_with(&format!("no answer from the API server at {url}: ")), "{warning}");
    assert!(message(&warning).contains("check that it is running, and the address and certificate in the kubeconfig"));
    let answer = dig(program.dns, POD);
    assert!(answer.contains("status: SERVFAIL") && answer.contains("EDE: 14 (Not Ready)"), "{answer}");
    let pending = "pending: services of all namespaces\npending: endpointslices of all namespaces\n";
    assert_eq!(program.page("/readyz"), (503, pending.to_owned()));
    assert_eq!(program.page("/livez").0, 200);
    for resource in ["services", "endpointslices"] {
        until("a second attempt", || (failures(&program, resource, "unreachable") > 1).then_some(()));
    }
    assert_eq!(warnings(&program).len(), 1);

    sandbox.faults().remove(down);
    program.until_synchronised();
    until_ready(&program);
    until("an answer", || (dig_short(program.dns, POD).len() == 1).then_some(()));
    assert_eq!(warnings(&program), [warning]);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_is_forbidden_is_named_once_with_what_to_grant_and_served_when_it_is_allowed() {
    for (kind, resource, denied) in [
        (Kind::Service, "services", "services"),
        (Kind::EndpointSlice, "endpointslices", "endpointslices.discovery.k8s.io"),
    ] {
        let (sandbox, folder) = (sandbox().await, Folder::new());
        let fault = Fault::Answer { on: Scope::kind(kind), code: 403, retry_after: None, times: None };
        let forbidden = sandbox.faults().inject(fault).expect("a fault");
        let program = Program::serve(&["--kubeconfig", &folder.kubeconfig(&sandbox.address().to_string())]);
        let warning = program.until_logged("a warning", is_warning);
        assert_eq!(
            message(&warning),
            format!(
                "forbidden: this account cannot watch {denied} in all namespaces; grant it list and watch on {denied} with \
                 a ClusterRole; retrying"
            )
        );
        let pending = (503, format!("pending: {resource} of all namespaces\n"));
        until("the other watch", || (program.page("/readyz") == pending).then_some(()));
        until("a second attempt", || (failures(&program, resource, "forbidden") > 1).then_some(()));
        sandbox.faults().remove(forbidden);
        program.until_synchronised();
        until_ready(&program);
        assert_eq!(warnings(&program), [warning]);
        sandbox.shutdown().await;
    }
}

#[test]
fn sigterm_ends_it_with_code_0_after_a_drain_in_which_it_is_not_ready_and_answers() {
    if missing(&["dig"]) {
        return;
    }
    let program = Program::serve(&["--sandbox", MANIFEST, "--drain-timeout", "300"]);
    program.until_synchronised();
    until("an answer", || (dig_short(program.dns, POD).len() == 1).then_some(()));
    program.signal("TERM");
    let draining = "draining: not ready any more, and answering on until clients have turned to others";
    assert_eq!(program.until_logged("the drain", |entry| message(entry) == draining)["seconds"], 300);
    let stopping = (503, "pending: the server is stopping\n".to_owned());
    until("the drain", || (program.page("/readyz") == stopping).then_some(()));
    assert_eq!(dig_short(program.dns, POD).len(), 1);
    assert_eq!(program.page("/livez").0, 200);
    // Who has no time for that says so again.
    program.signal("TERM");
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.lines().last().is_some_and(|line| line.contains("\"stopped\"")), "{log}");
}

#[test]
fn a_signal_ends_it_with_code_0_whether_or_not_the_cluster_answers() {
    let folder = Folder::new();
    let unreachable = folder.kubeconfig("127.0.0.1:9");
    let (played, unreachable) = (["--sandbox", MANIFEST], ["--kubeconfig", &unreachable]);
    // Without the cluster nobody relies on its answers, and there is nothing to drain.
    for (cluster, signal, drain) in [
        (played, "TERM", "0"),
        (played, "QUIT", "0"),
        (played, "INT", "300"),
        (unreachable, "TERM", "300"),
        (unreachable, "INT", "300"),
    ] {
        let program = Program::serve(&[&cluster[..], &["--drain-timeout", drain]].concat());
        program.signal(signal);
        let (code, log) = program.end();
        assert_eq!(code, Some(0), "{signal}: {log}");
    }
    let sandbox = start_program(&["sandbox", MANIFEST]);
    sandbox.until("the kubeconfig", |lines| {
        lines.iter().find(|line| line.text.contains("kubectl --kubeconfig")).map(drop)
    });
    sandbox.signal("TERM");
    let (code, log) = sandbox.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn the_signals_of_users_end_nothing_and_are_logged() {
    let program = Program::serve(&["--sandbox", MANIFEST, "--drain-timeout", "0"]);
    program.until_synchronised();
    for signal in ["USR1", "USR2", "USR1"] {
        program.signal(signal);
        program.until_logged(signal, |entry| message(entry).starts_with(&format!("SIG{signal} ignored: ")));
    }
    assert_eq!(program.page("/readyz").0, 200);
    program.signal("TERM");
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn how_much_can_wait_to_be_received_is_told_and_warned_of_where_the_kernel_gives_too_little() {
    const WANTED: u64 = 8 * 1024 * 1024;
    for (listen, is_loopback) in [("127.0.0.1:0", true), ("0.0.0.0:0", false)] {
        let program = Program::serve_on(listen, &["--sandbox", MANIFEST]);
        program.until_synchronised();
        let told = program.until_logged("the addresses", |entry| message(entry) == ANSWERING);
        let got = told["receive_buffer"].as_u64().expect("a number");
        assert!((1..=WANTED).contains(&got), "{told}");
        let is_warning = |entry: &Value| message(entry).contains("net.core.rmem_max to 8388608");
        if got < WANTED && !is_loopback {
            let warning = program.until_logged("a warning", is_warning);
            assert_eq!((&warning["address"], &warning["receive_buffer"]), (&told["listen"], &told["receive_buffer"]));
        } else {
            assert!(!program.log().iter().any(is_warning));
        }
    }
}

#[test]
fn help_and_version_are_printed_and_an_unknown_flag_is_refused() {
    let help = run_program(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for command in ["serve", "sandbox", "check-config", "export", "explain", "reload", "completions"] {
        assert!(help.stdout.contains(&format!("\n  {command}")), "{}", help.stdout);
        let own = run_program(&[command, "--help"]);
        assert_eq!(own.code, Some(0));
        assert!(own.stdout.contains("Usage: headless-dns"), "{}", own.stdout);
    }
    let version = run_program(&["--version"]);
    assert_eq!((version.code, version.stdout), (Some(0), format!("headless-dns {}\n", env!("CARGO_PKG_VERSION"))));
    let unknown = run_program(&["serve", "--no-such-flag"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("--no-such-flag"), "{}", unknown.stderr);
}
