//! `headless-dns explain` against the program as it runs on the walkthrough with the classic mistake.

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
