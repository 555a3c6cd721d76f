//! The page for people, in a headless Chromium. What is looked at is in page.mjs; these tests give it a server.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::peers::{bounded_by, missing, output_of, page_tools, until};
use crate::support::program::Program;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sandbox");
const CHECKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/page.mjs");
/// Longer than a check takes, whose browser is started up to four times.
const CHECK_LIMIT: Duration = Duration::from_secs(240);

/// Runs one of the checks of `page.mjs` beside a server with the manifests of the walkthroughs.
fn check(name: &str) {
    if missing(&["chromium", "node"]) {
        return;
    }
    let Some(tools) = page_tools() else { return };
    let home = TempDir::new().expect("a temporary folder");
    let kubeconfig = home.path().join("kubeconfig");
    let program =
        Program::serve(&["--sandbox", MANIFESTS, "--sandbox-kubeconfig", kubeconfig.to_str().expect("UTF-8")]);
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
