//! The root of the image, made here as `deploy/Dockerfile` makes it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::peers::output_of;

/// The program runs in it with nothing else, and finds hosts by their names.
#[test]
fn the_image_has_all_that_the_program_needs_and_no_shell() {
    let root = TempDir::new().expect("a folder");
    output_of(
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/image-root.sh"))
            .arg(env!("CARGO_BIN_EXE_headless-dns"))
            .arg(root.path()),
    );
    let mut inside = Command::new("unshare");
    inside.args(["--map-root-user", "chroot"]).arg(root.path()).args(["/headless-dns", "--version"]);
    let version = output_of(&mut inside);
    assert_eq!(version.trim(), concat!("headless-dns ", env!("CARGO_PKG_VERSION")));
    assert!(!root.path().join("bin").exists());
    let dockerfile = include_str!("../../deploy/Dockerfile");
    let path = dockerfile.lines().find_map(|line| line.strip_prefix("ENV PATH=")).expect("a search path");
    assert!(root.path().join(path.trim_start_matches('/')).join("headless-dns").exists(), "`kubectl exec` finds it");
    assert!(dockerfile.contains(concat!("\nARG VERSION=", env!("CARGO_PKG_VERSION"), "\n")));
    assert!(dockerfile.contains("\nRUN deploy/image-root.sh target/dist/headless-dns /image\n"));
    assert!(dockerfile.contains("\nFROM scratch\nCOPY --from=build /image /\n"));
}

/// By `*`, the build is given nothing else than what follows.
#[test]
fn the_build_of_the_image_is_given_what_cargo_and_the_dockerfile_ask_for() {
    let given: Vec<_> = include_str!("../../.dockerignore").lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(given.contains(&"deploy/image-root.sh"));
    let root = TempDir::new().expect("a folder");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in given {
        let to = root.path().join(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        output_of(Command::new("cp").arg("-r").arg(here.join(path)).arg(to));
    }
    let mut cargo = Command::new(env!("CARGO"));
    output_of(
        cargo.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]).current_dir(&root),
    );
}
