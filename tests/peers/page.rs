//! The page for people, in a headless Chromium. What is looked at is in page.mjs; these tests give it a server.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::peers::secondary::{KEY, Kind, Secondary};
use crate::support::peers::{bounded_by, dig_short, free_address, missing, output_of, page_tools, until};
use crate::support::program::Program;
use crate::support::upstream::FakeUpstream;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sandbox");
const CHECKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/page.mjs");
/// Longer than a check takes, whose browser is started up to four times.
const CHECK_LIMIT: Duration = Duration::from_secs(240);

/// Runs one of the checks of `page.mjs` beside a server with the manifests of the walkthroughs.
fn check(name: &str) {
    check_on(name, |sandbox| Program::serve(&[&["--sandbox", MANIFESTS], sandbox].concat()));
}

/// The same beside the server that is started with what makes its sandbox known to the check.
fn check_on(name: &str, serve: impl FnOnce(&[&str]) -> Program) {
    if missing(&["chromium", "node"]) {
        return;
    }
    let Some(tools) = page_tools() else { return };
    let home = TempDir::new().expect("a temporary folder");
    let kubeconfig = home.path().join("kubeconfig");
    let program = serve(&["--sandbox-kubeconfig", kubeconfig.to_str().expect("UTF-8")]);
    program.until_synchronised();
    until("redis-2", || program.page("/explain?name=redis-2.redis").1.contains(" resolves\n").then_some(()));
    let api = fs::read_to_string(&kubeconfig).expect("a kubeconfig");
    let api = api.lines().find_map(|line| line.trim().strip_prefix("server: ")).expect("the API's address");
    let printed = output_of(
        bounded_by(CHECK_LIMIT, "node")
            .args([CHECKS, name, &program.admin.to_string(), api])
            .arg(tools)
            .env("HOME", home.path()),
    );
    print!("{printed}");
}

#[test]
fn a_deleted_pod_is_shown_within_a_second() {
    check("deleted_pod");
}

/// Services beside those of the walkthroughs, behind them in the list, each with two endpoints.
const MANY: usize = 1200;

/// The manifests of the walkthroughs and many Services more, as a folder.
fn many() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for manifest in fs::read_dir(MANIFESTS).expect("a folder").map(|entry| entry.expect("a file").path()) {
        fs::copy(&manifest, folder.path().join(manifest.file_name().expect("a name"))).expect("copied");
    }
    let metadata = |number: usize| format!("metadata: {{namespace: many, name: s{number:04}");
    let service = |number: usize| {
        let (metadata, address) = (metadata(number), format!("10.9.{}.", number / 250));
        let [first, second] = [0, 1].map(|endpoint| format!("{address}{}", 1 + (number * 2 + endpoint) % 250));
        format!(
            "---\napiVersion: v1\nkind: Service\n{metadata}}}\nspec: {{clusterIP: None, ports: [{{port: 1}}]}}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             {metadata}, labels: {{kubernetes.io/service-name: s{number:04}}}}}\naddressType: IPv4\nports: []\n\
             endpoints: [{{addresses: [{first}], hostname: a}}, {{addresses: [{second}], hostname: b}}]\n"
        )
    };
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: many}\n".to_owned();
    let manifests: String = std::iter::once(namespace).chain((0..MANY).map(service)).collect();
    fs::write(folder.path().join("many.yaml"), manifests).expect("written");
    folder
}

#[test]
fn a_thousand_services_are_turned_over_page_by_page_and_found_at_once() {
    let folder = many();
    check_on("many", |sandbox| {
        Program::serve(&[&["--sandbox", folder.path().to_str().expect("UTF-8")], sandbox].concat())
    });
}

#[test]
fn a_deleted_pod_is_shown_within_a_second_beside_a_thousand_services() {
    let folder = many();
    check_on("deleted_pod", |sandbox| {
        Program::serve(&[&["--sandbox", folder.path().to_str().expect("UTF-8")], sandbox].concat())
    });
}

/// Two upstreams, of which nobody is at the second, and Knot.
#[tokio::test(flavor = "multi_thread")]
async fn upstreams_and_secondaries_are_shown_as_they_are() {
    let upstream = FakeUpstream::sound().await;
    tokio::task::block_in_place(|| {
        if missing(&["knotd"]) {
            return;
        }
        let (primary, nobody, folder) = (free_address(), free_address(), TempDir::new().expect("a temporary folder"));
        let keys = folder.path().join("keys");
        fs::write(&keys, KEY).expect("written");
        let keys = keys.to_str().expect("UTF-8");
        let mut knot = Secondary::new(Kind::Knot, [primary, free_address()]);
        let (sound, dead, to) = (upstream.address.to_string(), nobody.to_string(), knot.notify());
        check_on("others", |sandbox| {
            let mut arguments = vec!["--sandbox", MANIFESTS, "--forward", &sound, "--forward", &dead];
            arguments.extend(["--nameserver", "127.0.0.1", "--reverse-zone", "10.0.0.0/8"]);
            arguments.extend(["--transfer-clients", "127.0.0.0/8", "--transfer-keys", keys, "--notify", &to]);
            let program = Program::serve_on(&primary.to_string(), &[&arguments, sandbox].concat());
            program.until_synchronised();
            knot.start();
            until("a failure that is noticed", || {
                dig_short(program.dns, "www.example. A");
                let failing = format!("forward_healthy{{to=\"{nobody}\"}} 0");
                program.page("/metrics").1.contains(&failing).then_some(())
            });
            until("a secondary that follows", || knot.serial("cluster.local").filter(|serial| *serial > 0));
            program
        });
    });
}

#[test]
fn a_name_is_explained_and_can_be_linked_to() {
    check("explained");
}

#[test]
fn services_are_found_by_their_names_their_pods_their_addresses_and_what_is_absent() {
    check("searched");
}

#[test]
fn every_control_is_reached_by_keyboard_and_keeps_the_focus_while_the_cluster_changes() {
    check("keyboard");
}

#[test]
fn axe_finds_nothing_wide_or_narrow_light_or_dark() {
    check("accessible");
}

#[test]
fn markup_in_the_cluster_is_shown_as_text() {
    check("hostile");
}

#[test]
fn a_server_that_is_gone_is_noticed_and_so_is_its_return() {
    check("lost");
}
