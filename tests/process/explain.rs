//! `headless-dns explain` against the program as it runs on the walkthrough with the classic mistake.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

use hickory_proto::op::Message;
use serde_json::{Value, json};

use crate::support::peers::{Ran, until};
use crate::support::program::{Program, run_program};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sandbox/zookeeper.yaml");

fn explain(program: &Program, name: &str) -> Ran {
    run_program(&["explain", "--admin", &program.admin.to_string(), name])
}

/// Waits until a name is explained with a text: what the sandbox plays takes its time.
fn until_explained(program: &Program, name: &str, text: &str) -> Ran {
    let what = format!("{name} explained with {text:?}");
    until(&what, || Some(explain(program, name)).filter(|ran| ran.stdout.contains(text)))
}

/// An HTTP server that is none of ours, and knows no page.
fn other_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // It may go before it has read the answer.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n404 page not found\n",
            );
        }
    });
    address
}

/// Each of the six waits for the upstream for as long as a question may take.
#[test]
fn names_of_the_cluster_are_explained_while_an_upstream_is_silent() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let upstream = silent.local_addr().expect("an address").to_string();
    let program = Program::serve(&["--sandbox", MANIFEST, "--forward", &upstream, "--forward-timeout", "20"]);
    program.until_synchronised();
    let waiting: Vec<_> = (0..6)
        .map(|number| {
            let mut stream = TcpStream::connect(program.admin).expect("a connection");
            write!(stream, "GET /explain?name=x{number}.example.org HTTP/1.0\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    let mut asked = BTreeSet::new();
    while asked.len() < 2 {
        let mut octets = [0; 512];
        let length = silent.recv(&mut octets).expect("a question");
        let question = Message::from_vec(&octets[..length]).expect("a message");
        let name = question.queries[0].name().to_lowercase().to_string();
        asked.extend(name.ends_with(".example.org.").then_some(name));
    }
    for page in ["/explain?name=zk-hs", "/service?namespace=default&service=zk-hs"] {
        let (status, said) = program.page(page);
        assert_eq!(status, 200, "{page}: {said}");
    }
    drop(waiting);
}

/// A script can tell that there is no answer from an answer that there is nothing.
#[test]
fn where_nobody_explains_that_is_said_and_is_no_denial() {
    let other = other_server();
    for (command, code) in [(["explain", "redis"].as_slice(), 2), (&["export"], 1), (&["reload"], 1)] {
        let ran = run_program(&[command, &["--admin", &other]].concat());
        let said = format!(
            "error: what answers at {other} is not the admin address of headless-dns; give that with --admin\n"
        );
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr), (Some(code), "", said), "{command:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let ran = run_program(&["explain", "redis", "--admin", &nobody]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
}

/// T3.
#[test]
fn a_name_is_explained_from_the_service_to_the_answer() {
    let program = Program::serve(&["--sandbox", MANIFEST]);
    program.until_synchronised();

    let mistake = "Service default/zk-headless does not exist, but Pod zk-lost-0 of StatefulSet zk-lost has it as its subdomain (serviceName)";
    let ran = until_explained(&program, "zk-lost-0.zk-headless.default.svc.cluster.local", mistake);
    assert_eq!(ran.code, Some(1), "it does not resolve");
    assert!(ran.stdout.starts_with("zk-lost-0.zk-headless.default.svc.cluster.local. does not resolve: NXDOMAIN\n"));
    for told in [
        "fix: create that Service: headless",
        "other Pods with this Service as their subdomain: 1\n",
        "subdomain zk-headless",
    ] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }

    let ran = until_explained(&program, "zookeeper-0.zk-hs.default.svc.cluster.local", "resolves\n  A 10.128.");
    assert_eq!(ran.code, Some(0));
    for told in ["Service default/zk-hs is headless, selects Pods with app=zookeeper", "Ready, subdomain zk-hs"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }

    let ran = explain(&program, "example.com");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("the name is in no zone of this server\n\nzones of this server: cluster.local.\nreverse zones: in-addr.arpa. ip6.arpa.\n"),
        "{}",
        ran.stdout
    );
    let whole = "zookeeper-0.zk-hs.default.svc.cluster.local. resolves\n  A 10.128.";
    for beginning in ["zookeeper-0.zk-hs", "zookeeper-0.zk-hs.default", "zookeeper-0.zk-hs.default.svc"] {
        let ran = explain(&program, beginning);
        assert!(ran.code == Some(0) && ran.stdout.starts_with(whole), "{beginning}: {}", ran.stdout);
    }
    let found = explain(&program, "zk-hs").stdout;
    assert!(found.starts_with("zk-hs.default.svc.cluster.local. resolves\n"), "{found}");
    let ran = explain(&program, "zookeeper-0.zk-hs");
    let address = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("A ")).expect("an address");
    let ran = explain(&program, address);
    let name = "resolves\n  PTR zookeeper-0.zk-hs.default.svc.cluster.local.\n";
    assert!(ran.code == Some(0) && ran.stdout.contains(name), "{}", ran.stdout);

    let ran = explain(&program, "no..name");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("a label of the name is empty"), "{}", ran.stderr);
}

/// A Service without a selector, and the slice that somebody has written for it: one endpoint that is not ready, one without a
/// hostname, and many more.
fn hand_made() -> String {
    let endpoint = |hostname: &str, last: usize, ready: bool| json!({"addresses": [format!("10.9.0.{last}")], "hostname": hostname, "conditions": {"ready": ready}});
    let mut endpoints: Vec<_> = (0..30).map(|i| endpoint(&format!("node-{i}"), 100 + i, true)).collect();
    endpoints.push(endpoint("late", 7, false));
    endpoints.push(json!({"addresses": ["10.9.0.8"], "conditions": {"ready": true}}));
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "nodes"},
        "spec": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "by-hand", "labels": {"kubernetes.io/service-name": "nodes"}},
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}], "endpoints": endpoints,
    });
    format!("{service}\n---\n{slice}\n")
}

#[test]
fn a_service_is_shown_with_its_endpoints_their_states_and_where_they_come_from() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(MANIFEST, folder.path().join("zookeeper.yaml")).expect("a manifest");
    fs::write(folder.path().join("nodes.yaml"), hand_made()).expect("a manifest");
    let program = Program::serve(&["--sandbox", folder.path().to_str().expect("UTF-8")]);
    program.until_synchronised();
    let shown = |service: &str, more: &str| -> Value {
        let (status, text) = program.page(&format!("/service?namespace=default&service={service}{more}"));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    };
    let endpoint = |page: &Value, name: &str| -> Option<Value> {
        page["endpoints"].as_array()?.iter().find(|endpoint| endpoint["name"] == name).cloned()
    };

    // Slices may show it before Pods are listed.
    let is_of_a_pod = |endpoint: &Value| endpoint["source"].as_str().is_some_and(|source| source.starts_with("Pod "));
    let ready = until("a ready Pod", || {
        endpoint(&shown("zk-hs", ""), "zookeeper-0").filter(|it| is_of_a_pod(it) && it["state"] == "ready")
    });
    assert_eq!(ready["source"], "Pod zookeeper-0 of StatefulSet zookeeper");
    assert!(ready["since"].is_string() && ready["why"].is_null(), "{ready}");

    let missing = until("the Pod of the classic mistake", || {
        Some(shown("zk-headless", "")).filter(|page| endpoint(page, "zk-lost-0").is_some() && page["why"].is_string())
    });
    assert_eq!(missing["summary"], "Service default/zk-headless not found");
    assert!(missing["why"].as_str().is_some_and(|why| why.contains("has it as its subdomain")), "{missing}");
    assert_eq!(endpoint(&missing, "zk-lost-0").map(|endpoint| endpoint["resolves"].clone()), Some(false.into()));

    let all = until("reasons", || {
        Some(shown("nodes", "")).filter(|page| endpoint(page, "late").is_some_and(|late| late["why"].is_string()))
    });
    assert_eq!((&all["total"], all["endpoints"].as_array().map(Vec::len)), (&32.into(), Some(32)));
    assert_eq!(
        endpoint(&all, "late").expect("it"),
        json!({"name": "late", "resolves": false, "addresses": ["10.9.0.7"], "state": "not-ready", "since": null,
               "source": "EndpointSlice by-hand", "why": "endpoint late of Service default/nodes is not Ready"})
    );
    assert_eq!(endpoint(&all, "10-9-0-8").map(|endpoint| endpoint["resolves"].clone()), Some(true.into()));
    let names = |page: &Value| -> Vec<String> {
        let names = page["endpoints"].as_array().expect("a list").iter();
        names.map(|endpoint| endpoint["name"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(names(&shown("nodes", "&search=ODE-2"))[..3], ["node-2", "node-20", "node-21"]);
    assert_eq!(names(&shown("nodes", "&search=10.9.0.8")), ["10-9-0-8"]);
    let few = shown("nodes", "&limit=3");
    assert_eq!((&few["total"], names(&few).len()), (&32.into(), 3));
    assert_eq!(shown("nodes", "&search=nobody")["total"], 0);
}
