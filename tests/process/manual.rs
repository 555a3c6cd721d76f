//! The manual pages, and what the Debian package is made of.

use std::path::Path;

use crate::support::peers::{Ran, bounded, missing, output_of, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headless-dns");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_command_has_a_page_with_all_that_its_help_has() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pages = folder.path().join("man1");
    output_of(bounded(PROGRAM).args(["man", "--dir"]).arg(&pages));
    let page = |name: &str| std::fs::read_to_string(pages.join(format!("{name}.1"))).expect("a page");
    let program = page("headless-dns");
    for command in ["serve", "check-config", "export", "explain", "reload", "completions", "man"] {
        let page = page(&format!("headless-dns-{command}"));
        assert!(program.contains(&format!("headless\\-dns\\-{}", command.replace('-', "\\-"))), "{command}: {program}");
        let help = output_of(bounded(PROGRAM).args([command, "--help"]));
        let flags = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"))
            .map(|word| word.trim_matches(&['[', ']', ',', ';', '.', ':'][..]));
        for flag in flags {
            assert!(page.contains(&flag.replace('-', "\\-")), "{command}: no {flag}");
        }
    }
    assert_eq!(output_of(bounded(PROGRAM).arg("man")), program);
    if missing(&["man"]) {
        return;
    }
    for command in ["headless-dns", "headless-dns-serve", "headless-dns-explain"] {
        let man = &mut bounded("man");
        man.env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8")
            .args(["--warnings", "-l"])
            .arg(pages.join(format!("{command}.1")));
        let Ran { code, stdout, stderr } = run(man);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{command}");
        assert!(stdout.contains("EXAMPLES") && stdout.contains("headless-dns"), "{stdout}");
    }
}

#[test]
fn pages_that_cannot_be_written_are_an_error() {
    let Ran { code, stderr, .. } = run(bounded(PROGRAM).args(["man", "--dir", "/proc/nowhere"]));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: cannot write manual pages to /proc/nowhere: "), "{stderr}");
}

/// What `deploy/deb.sh` makes is not there yet; everything else that the package holds is.
#[test]
fn the_debian_package_has_files_that_exist() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let package = &manifest["package"]["metadata"]["deb"];
    let assets = package["assets"].as_array().expect("assets");
    let paths = assets.iter().map(|asset| [&asset[0], &asset[1]].map(|path| path.as_str().expect("a path")));
    let mut installed = Vec::new();
    for [source, target] in paths {
        assert!(source.starts_with("target/") || repository().join(source).is_file(), "{source}");
        installed.push(format!("/{target}"));
    }
    let unit = &package["systemd-units"];
    let unit = format!(
        "{}/{}.service",
        unit["unit-scripts"].as_str().expect("a path"),
        unit["unit-name"].as_str().expect("a name")
    );
    let unit = std::fs::read_to_string(repository().join(unit)).expect("the unit");
    let configuration = package["conf-files"][0].as_str().expect("a path");
    assert!(installed.iter().any(|path| path == configuration));
    assert!(unit.contains(&format!("ExecStart=/usr/bin/headless-dns serve --config {configuration}\n")));
    let checked = run(bounded(PROGRAM)
        .args(["check-config", "--config", "deploy/deb/headless-dns.toml"])
        .current_dir(repository()));
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
