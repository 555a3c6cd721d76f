//! The program and its configuration, from outside: what it prints and how it exits.

use std::{
    io::Write,
    net::TcpListener,
    process::{Command, Output},
};

use tempfile::NamedTempFile;

/// Runs the program with these arguments and variables, and none of ours.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headless-dns"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the program runs")
}

fn file(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// What `check-config` says about a file of this text, with the file's name as FILE.
fn complaint(text: &str) -> String {
    let file = file(text);
    let path = file.path().to_str().expect("UTF-8");
    let output = run(&["check-config", "--config", path], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(stdout(&output), "");
    stderr(&output).replace(path, "FILE")
}

#[test]
fn a_good_file_is_ok() {
    let file = file("zones = ['k8s.example']\nreverse_zones = ['10.0.0.0/8']\nttl = 30\n");
    let output = run(&["check-config", "--config", file.path().to_str().expect("UTF-8")], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("OK\n"), "{output:?}");
}

#[test]
fn the_documented_file_is_ok() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/headless-dns.toml");
    assert!(stdout(&run(&["check-config", "--config", path], &[])).starts_with("OK\n"));
}

/// F1.
#[test]
fn a_server_that_forwards_for_everybody_is_warned_of() {
    let said = |listen: &str, clients: &str, forward: &str| {
        let flags = ["check-config", "--listen", listen, "--forward-clients", clients, "--forward", forward];
        let output = run(&flags[..if forward.is_empty() { 5 } else { 7 }], &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        stdout(&output)
    };
    for (listen, clients) in [("0.0.0.0:53", "0.0.0.0/0"), ("[::]:53", "::/0"), ("10.0.0.7:53", "0.0.0.0/0")] {
        let warning = format!("warning: forward_clients has {clients} and the server listens on {listen}: everybody");
        assert!(said(listen, clients, "10.96.0.10").contains(&warning), "{listen} {clients}");
    }
    for (listen, clients, forward) in [
        ("0.0.0.0:53", "10.0.0.0/8", "10.96.0.10"),
        ("127.0.0.1:53", "0.0.0.0/0", "10.96.0.10"),
        ("0.0.0.0:53", "0.0.0.0/0", ""),
    ] {
        assert!(!said(listen, clients, forward).contains("warning: forward"), "{listen} {clients} {forward}");
    }
}

#[test]
fn a_memory_limit_that_clients_alone_can_exceed_is_refused_with_the_calculation() {
    let few = "udp_workers = 2\ntcp_max_connections = 128\ntcp_max_connections_per_client = 64\n";
    let enough = file(&format!("{few}memory_limit = 256\n"));
    let output = run(&["check-config", "--config", enough.path().to_str().expect("UTF-8")], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = stdout(&output);
    assert!(
        printed.contains("128 connections of ") && printed.contains("left of memory_limit for records: "),
        "{printed}"
    );
    for (limit, more) in [
        (100, ""),
        (256, "tls_listen = ['127.0.0.1:853']\nhttps_listen = ['127.0.0.1:443']\ntls_cert = 'c'\ntls_key = 'k'\n"),
    ] {
        let complaint = complaint(&format!("{few}{more}memory_limit = {limit}\n"));
        assert!(complaint.contains(&format!("memory_limit: found {limit}; expected more than ")), "{complaint}");
        assert!(complaint.contains("lower tcp_max_connections or udp_workers"), "{complaint}");
    }
    let default = complaint("memory_limit = 256\nudp_workers = 2\n");
    assert!(default.contains("1024 connections"), "{default}");
}

#[test]
fn the_files_that_a_configuration_names_are_opened_and_what_is_wrong_with_each_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let names = ["tls.crt", "tls.key", "keys", "resolv.conf", "taken"].map(path);
    let [certificate, key, keys, upstreams, taken] = &names;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let write = |path: &str, text: &str| std::fs::write(path, text).expect("written");
    write(certificate, &made.cert.pem());
    write(key, &other.signing_key.serialize_pem());
    write(keys, "key one { algorithm hmac-md5; secret eA==; };");
    write(upstreams, "search a.example\n");
    write(taken, "");
    let text = |state: &str| {
        format!(
            "tls_cert = '{certificate}'\ntls_key = '{key}'\nforward = ['{upstreams}']\n\
             transfer_clients = ['10.0.0.0/8']\ntransfer_keys = ['{keys}']\nstate = '{state}'\n"
        )
    };
    let state = path("new/state");
    let complaint = complaint(&text(&format!("{taken}/state")));
    for problem in [
        format!("FILE:1: tls_cert: the private key in {key} does not match the certificate in {certificate}"),
        format!("FILE:3: forward: {upstreams} names no name server"),
        format!("FILE:5: transfer_keys: {keys}: key one: found the algorithm hmac-md5"),
        format!("FILE:6: state: cannot keep state in {taken}/state: Not a directory"),
    ] {
        assert!(complaint.contains(&problem), "{problem}\nis not in\n{complaint}");
    }
    write(key, &made.signing_key.serialize_pem());
    write(keys, "key one { algorithm hmac-sha256; secret c2VjcmV0LXNlY3JldC1zZWNyZXQ=; };");
    write(upstreams, "nameserver 10.96.0.10\n");
    let file = file(&text(&state));
    let output = run(&["check-config", "--config", file.path().to_str().expect("UTF-8")], &[]);
    assert!(stdout(&output).starts_with("OK\n"), "{output:?}");
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("one").path()).collect();
    left.sort_unstable();
    let mut given = names.map(std::path::PathBuf::from).to_vec();
    given.sort_unstable();
    assert_eq!(left, given, "nothing is made by a check");
}

#[test]
fn the_effective_configuration_says_where_each_value_came_from() {
    let file = file("ttl = 30\nnegative_ttl = 3\n");
    let path = file.path().to_str().expect("UTF-8");
    let variables = [("HEADLESS_DNS_NEGATIVE_TTL", "4"), ("HEADLESS_DNS_CONFIG", path)];
    let printed = stdout(&run(&["check-config", "--print", "--zone", "k8s"], &variables));
    for line in [
        "zones = [\"k8s\"]  # --zone",
        &format!("ttl = 30  # {path}:1"),
        "negative_ttl = 4  # HEADLESS_DNS_NEGATIVE_TTL",
        "admin = \"127.0.0.1:8053\"  # default",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\nis not in\n{printed}");
    }
}

#[test]
fn every_problem_of_a_broken_file_is_told_at_once() {
    assert_eq!(
        complaint("zones = ['a..b']\nttl = 4000\nlisten = ['localhost:53']\nlog_format = 'xml'\nnegative_ttl = 'x'\n"),
        "\
error: the configuration is not valid
  FILE:1: zones: found \"a..b\"; expected a domain name of at most 253 characters: \
   labels of 1 to 63 letters, digits, - (not at an end) or _
  FILE:2: ttl: found 4000; expected a whole number from 0 to 3600
  FILE:3: listen: found \"localhost:53\"; expected ADDRESS:PORT, such as \"127.0.0.1:5300\" or \"[::1]:5300\"
  FILE:4: log_format: found \"xml\"; expected \"text\" or \"json\"
  FILE:5: negative_ttl: found the string \"x\"; expected a whole number without quotes
"
    );
}

#[test]
fn an_unknown_key_is_refused_with_what_is_meant_or_the_known_ones() {
    let complaint = complaint("ttl = 5\nzone = 'cluster.local'\nport = 53\n");
    assert!(complaint.contains("FILE:2: found the unknown option zone; did you mean zones?\n"), "{complaint}");
    assert!(
        complaint.contains("FILE:3: found the unknown option port; allowed are zones, reverse_zones, "),
        "{complaint}"
    );
}

#[test]
fn broken_toml_is_refused_with_the_line() {
    let complaint = complaint("ttl = 5\nzones = [\n");
    assert!(
        complaint.contains("FILE:2: not valid TOML: ") || complaint.contains("FILE:3: not valid TOML: "),
        "{complaint}"
    );
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let complaint = complaint("admin = '127.0.0.1:5300'\ntcp_max_connections = 10\n");
    assert!(complaint.contains("FILE:1: admin: found 127.0.0.1:5300, which listen uses"), "{complaint}");
    assert!(
        complaint.contains("FILE:2: tcp_max_connections: with tcp_max_connections_per_client: found 256"),
        "{complaint}"
    );
}

#[test]
fn a_bad_variable_and_a_bad_flag_are_named() {
    let output = run(&["check-config", "--ttl", "-1"], &[("HEADLESS_DNS_EDNS_UDP_SIZE", "many")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "\
error: the configuration is not valid
  HEADLESS_DNS_EDNS_UDP_SIZE: found \"many\"; expected a whole number
  --ttl: found -1; expected a whole number from 0 to 3600
"
    );
}

#[test]
fn a_bad_flag_is_told_with_what_fits_it() {
    for (flags, told) in [
        (["--namespace", "db,"], "; --namespace is repeated for each\n"),
        (["--forward", "8.8.8.8,1.1.1.1"], "\"/etc/resolv.conf\"; --forward is repeated for each\n"),
        (["--listen", "127.0.0.1:53,127.0.0.2:53"], "\"[::1]:5300\"; --listen is repeated for each\n"),
        (["--listen", "localhost"], "such as \"127.0.0.1:5300\" or \"[::1]:5300\"\n"),
        (["--admin", "none"], "such as \"127.0.0.1:8053\" or \"[::1]:8053\", or \"off\"\n"),
        (["--notify", "10.0.0.2"], "such as [\"10.0.0.2/32\"], as notify is about nobody else\n"),
    ] {
        let output = run(&[&["check-config"], &flags[..]].concat(), &[]);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains(told), "{flags:?}: {}", stderr(&output));
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = run(&["check-config", "--config", "/nonexistent/headless-dns.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("/nonexistent/headless-dns.toml: the file cannot be read: No such file"),
        "{output:?}"
    );
}

#[test]
fn the_variables_of_a_service_of_the_same_name_are_no_mistake() {
    let variables = [("HEADLESS_DNS_SERVICE_HOST", "10.0.0.1"), ("HEADLESS_DNS_PORT", "udp://10.0.0.1:53")];
    assert_eq!(run(&["check-config"], &variables).status.code(), Some(0));
}

#[test]
fn help_teaches_with_questions_to_ask() {
    let help = stdout(&run(&["--help"], &[]));
    assert!(help.contains("dig @127.0.0.1 -p 5300 db-0.db.default.svc.cluster.local +short"), "{help}");
    let help = stdout(&run(&["serve", "--help"], &[]));
    assert!(help.contains("[env: HEADLESS_DNS_NEGATIVE_TTL] [default: 1]"), "{help}");
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = stdout(&run(&["--version"], &[]));
    assert_eq!(version, concat!("headless-dns ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn no_subcommand_and_an_unknown_flag_are_usage_errors() {
    for arguments in [&[][..], &["serve", "--no-such-flag"], &["export", "--admin", "off"]] {
        assert_eq!(run(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_export_without_a_server_says_where_it_looked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let output = run(&["export", "--admin", &address], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("no server answers at the admin address {address}")), "{output:?}");
}

#[test]
fn completions_are_printed() {
    let output = run(&["completions", "bash"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("--negative-ttl"));
}

#[test]
fn a_certificate_that_cannot_be_read_ends_the_start_with_the_file_and_the_reason() {
    let kubeconfig = file(
        "{clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}], contexts: [{name: x, context: {cluster: x, \
         user: x}}], users: [{name: x, user: {}}], current-context: x}",
    );
    let not_pem = file("not PEM");
    let [kubeconfig, not_pem] = [&kubeconfig, &not_pem].map(|file| file.path().to_str().expect("UTF-8"));
    for (certificate, complaint) in [
        ("/nowhere/tls.crt", "cannot read /nowhere/tls.crt: No such file or directory".to_owned()),
        (not_pem, format!("{not_pem} is not a PEM file with a certificate: ")),
    ] {
        let mut arguments = vec!["serve", "--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0", "--admin", "off"];
        arguments.extend(["--tls-listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", not_pem]);
        let output = run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(&complaint), "{output:?}");
    }
}
