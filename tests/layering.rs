//! Who may use whom, read off the `use` lines and the paths in the code. `src/lib.rs` says why.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate that each may use, besides itself. Whatever is not named here may use anything.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("dns", &[]),
    ("records", &["dns"]),
    ("table", &["dns", "records"]),
    ("authority", &["dns", "records", "table"]),
    ("cluster", &["dns", "records", "telemetry"]),
    ("index", &["dns", "records", "table", "cluster"]),
    ("state", &["cluster", "index"]),
    ("server", &["dns", "records", "table", "authority", "telemetry"]),
];

/// Crates that only the modules named may use.
const CRATES: [(&str, &[&str]); 8] = [
    ("hickory_proto", &["server"]),
    ("hickory_server", &["server"]),
    ("hickory_net", &["server"]),
    ("kube", &["cluster", "app"]),
    ("k8s_openapi", &["cluster"]),
    ("papaya", &["table"]),
    ("dashmap", &["server"]),
    ("axum", &["admin"]),
];

/// Modules that know of no runtime.
const SYNCHRONOUS: [&str; 6] = ["dns", "records", "table", "authority", "index", "state"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of each top-level module, without comments.
fn modules() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut modules = BTreeMap::<_, Vec<_>>::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("a source");
        let module = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let code = fs::read_to_string(&file).expect("a source");
        let code: Vec<_> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        modules
            .entry(module.trim_end_matches(".rs").to_owned())
            .or_default()
            .push((inside.to_owned(), code.join("\n")));
    }
    modules
}

/// Whether `code` has `path` where a path begins.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn no_module_uses_one_above_it() {
    let modules = modules();
    for (module, allowed) in MAY_USE {
        for (file, code) in &modules[module] {
            for other in modules.keys().filter(|other| *other != module && !allowed.contains(&other.as_str())) {
                assert!(!names(code, &format!("crate::{other}")), "{} uses crate::{other}", file.display());
            }
        }
    }
}

#[test]
fn each_library_stays_in_its_room() {
    for (module, files) in modules() {
        for (file, code) in &files {
            for (library, allowed) in CRATES.iter().filter(|(_, allowed)| !allowed.contains(&module.as_str())) {
                assert!(
                    !names(code, &format!("{library}::")),
                    "{} uses {library}, which is for {allowed:?}",
                    file.display()
                );
            }
            if SYNCHRONOUS.contains(&module.as_str()) {
                for runtime in ["tokio::", "futures::"] {
                    assert!(!names(code, runtime), "{} uses {runtime}", file.display());
                }
            }
        }
    }
}

#[test]
fn one_file_says_unsafe() {
    let files = modules().into_values().flatten();
    let unsafe_files: Vec<_> = files.filter(|(_, code)| names(code, "unsafe ")).map(|(file, _)| file).collect();
    assert_eq!(unsafe_files, [Path::new("server/sys.rs")]);
}

#[test]
fn a_forbidden_path_is_found() {
    assert!(names("use crate::server::udp;", "crate::server"));
    assert!(names("let x = kube::Client::new();", "kube::"));
    assert!(!names("let x = mykube::Client::new();", "kube::"));
}
