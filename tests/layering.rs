//! Who may import whom. `src/lib.rs` has the two tables, which are read from there; every `use` tree and every path in the
//! code is held to them, those in macros and in tests included.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{ItemExternCrate, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// The name by which the binary knows the library.
const LIBRARY: &str = "headless_dns";

/// Libraries that a room has to be granted; others are for everyone.
const GRANTED: [&str; 12] = [
    "axum",
    "clap",
    "dashmap",
    "domain",
    "futures",
    "hickory_proto",
    "k8s_openapi",
    "kube",
    "papaya",
    "quinn",
    "rustls",
    "tokio",
];

/// The sources of a package of this workspace.
fn source_folder(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(package).join("src")
}

/// The folder of the program's package, and that of the sandbox's.
const PROGRAM: &str = ".";
const PACKAGES: [&str; 2] = [PROGRAM, "sandbox"];

/// The rows of a table in the documentation of `lib.rs`: the name in the first column, and the names in the second.
fn table(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(source_folder(PROGRAM).join("lib.rs")).expect("lib.rs");
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let rows = lines.skip_while(|line| *line != heading).skip(2).take_while(|line| line.starts_with('|'));
    let names = |cell: &str| cell.split(['`', ' ', ',']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [first, second] = cells[..] else { panic!("not a row of two cells: {line}") };
        (first.trim().trim_matches('`').to_owned(), names(second))
    };
    rows.map(row).collect()
}

/// A path as it is written, absolute: `crate` or a library first.
type FullPath = Vec<String>;

/// A source file: its module, what it imports, and whether it says `unsafe`.
struct Source {
    file: PathBuf,
    module: Vec<String>,
    paths: BTreeSet<FullPath>,
    has_unsafe: bool,
    lines: usize,
}

impl Source {
    fn read(folder: &Path, file: &Path) -> Self {
        let inside = file.strip_prefix(folder).expect("a source").to_owned();
        let mut module: Vec<String> =
            inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        let text = fs::read_to_string(file).expect("a source");
        let mut found = Found::in_module(&module);
        found.visit_file(&syn::parse_file(&text).expect("Rust"));
        Self { file: inside, module, paths: found.paths, has_unsafe: found.has_unsafe, lines: text.lines().count() }
    }

    /// The folder or file right below `src`.
    fn room(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }
}

fn sources(package: &str) -> Vec<Source> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    let folder = source_folder(package);
    collect(&folder, &mut files);
    files.sort();
    files.iter().map(|file| Source::read(&folder, file)).collect()
}

/// Collects paths while it walks a file.
#[derive(Default)]
struct Found {
    /// The module that the walk is in, inline modules included.
    module: Vec<String>,
    paths: BTreeSet<FullPath>,
    has_unsafe: bool,
}

impl Found {
    fn in_module(module: &[String]) -> Self {
        Self { module: module.to_vec(), ..Self::default() }
    }

    /// Takes in a path as written in the current module.
    fn add(&mut self, path: &[String]) {
        let (mut base, mut rest) = (self.module.clone(), path);
        let Some(first) = path.first() else { return };
        match first.as_str() {
            "crate" | LIBRARY | "$crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" | "super" => {
                while let Some((part, behind)) =
                    rest.split_first().filter(|(part, _)| ["self", "super"].contains(&part.as_str()))
                {
                    if part == "super" {
                        base.pop();
                    }
                    rest = behind;
                }
            }
            // A library, or a name of this module, which says nothing new.
            _ => {
                self.paths.insert(path.to_vec());
                return;
            }
        }
        let absolute = ["crate".to_owned()].into_iter().chain(base).chain(rest.iter().cloned());
        self.paths.insert(absolute.collect());
    }

    fn add_tree(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |name: &dyn ToString| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(prefix, tree)),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(prefix),
        }
    }

    /// Finds paths in the tokens of a macro, which has no syntax tree.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(&std::mem::take(&mut path));
                    }
                    self.has_unsafe |= ident == "unsafe";
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.add(&std::mem::take(&mut path));
                    self.add_tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.add(&std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.add(&path);
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        panic!("`extern crate {}` hides an import", item.ident);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {
        // `pub(in crate::cluster)` imports nothing.
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        visit::visit_path(self, &item.path);
        self.add_tokens(item.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.add_tokens(list.tokens.clone());
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.has_unsafe = true;
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.has_unsafe |= signature.unsafety.is_some();
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.has_unsafe |= item.unsafety.is_some();
        visit::visit_item_impl(self, item);
    }
}

/// The rooms that `path` leads into, if it leads out of its own.
fn room_of(path: &[String]) -> Option<&str> {
    match path {
        [first, room, ..] if first == "crate" => Some(room),
        [first] if first == "crate" => Some("lib"),
        _ => None,
    }
}

/// What `source` imports although its row does not allow it.
fn forbidden(
    source: &Source,
    rooms: &BTreeMap<String, BTreeSet<String>>,
    crates: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let allowed = |room: &str| room == source.room() || rooms.get(source.room()).is_some_and(|row| row.contains(room));
    let is_granted = |library: &str| crates.get(library).is_some_and(|row| row.contains(source.room()));
    let is_wrong = |path: &&FullPath| match room_of(path) {
        Some(room) => !allowed(room),
        None => GRANTED.contains(&path[0].as_str()) && !is_granted(&path[0]),
    };
    source
        .paths
        .iter()
        .filter(is_wrong)
        .map(|path| format!("{} imports {}", source.file.display(), path.join("::")))
        .collect()
}

const ROOMS: &str = "| room | may import |";
const CRATES: &str = "| library | is for |";

#[test]
fn every_room_imports_only_what_its_row_names() {
    let (rooms, crates) = (table(ROOMS), table(CRATES));
    let wrong: Vec<String> = sources(PROGRAM).iter().flat_map(|source| forbidden(source, &rooms, &crates)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tables_name_every_room() {
    let (rooms, crates, sources) = (table(ROOMS), table(CRATES), sources(PROGRAM));
    let existing: BTreeSet<&str> = sources.iter().map(Source::room).filter(|room| *room != "lib").collect();
    assert_eq!(rooms.keys().map(String::as_str).collect::<BTreeSet<_>>(), existing);
    assert_eq!(crates.keys().map(String::as_str).collect::<Vec<_>>(), GRANTED);
}

/// What no code needs any more goes from the tables.
#[test]
fn the_tables_grant_nothing_that_is_not_used() {
    let (rooms, crates, sources) = (table(ROOMS), table(CRATES), sources(PROGRAM));
    let mut unused = Vec::new();
    for (room, row) in &rooms {
        let paths: Vec<_> =
            sources.iter().filter(|source| source.room() == room).flat_map(|source| &source.paths).collect();
        let imports = |other: &str| paths.iter().any(|path| room_of(path) == Some(other));
        unused
            .extend(row.iter().filter(|other| !imports(other)).map(|other| format!("{room} does not import {other}")));
        let libraries = crates.iter().filter(|(_, granted)| granted.contains(room)).map(|(library, _)| library);
        let uses = |library: &str| paths.iter().any(|path| path[0] == library);
        unused
            .extend(libraries.filter(|library| !uses(library)).map(|library| format!("{room} does not use {library}")));
    }
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

#[test]
fn rooms_import_each_other_in_one_direction() {
    let rooms = table(ROOMS);
    // Rooms from which nothing leads on are taken away until none is left; what remains is a circle.
    let mut left = rooms.clone();
    while let Some(leaf) =
        left.iter().find(|(_, row)| row.iter().all(|room| !left.contains_key(room))).map(|(room, _)| room.clone())
    {
        left.remove(&leaf);
    }
    assert!(left.is_empty(), "these rooms import each other: {:?}", left.keys());
}

/// A module and the ones that it declares count as one: a parent names its children, and they say `super`.
#[test]
fn no_two_files_import_each_other() {
    for sources in PACKAGES.map(sources) {
        let file_of = |path: &FullPath| {
            let inside = |source: &&Source| path[0] == "crate" && path[1..].starts_with(&source.module);
            sources.iter().filter(inside).max_by_key(|source| source.module.len()).map(|source| &source.module)
        };
        let mut arrows: BTreeSet<(&[String], &[String])> = BTreeSet::new();
        for source in &sources {
            for target in source.paths.iter().filter_map(file_of) {
                let is_family = target.starts_with(&source.module) || source.module.starts_with(target);
                if !is_family {
                    arrows.insert((&source.module, target));
                }
            }
        }
        let circles: Vec<_> = arrows.iter().filter(|(a, b)| a < b && arrows.contains(&(b, a))).collect();
        assert!(circles.is_empty(), "{circles:?}");
    }
}

#[test]
fn one_file_says_unsafe() {
    let sources = PACKAGES.iter().flat_map(|package| sources(package));
    let files: Vec<_> = sources.filter(|source| source.has_unsafe).map(|source| source.file).collect();
    assert_eq!(files, [Path::new("server/sys.rs")]);
}

#[test]
fn no_file_is_too_long_to_read_in_one_sitting() {
    const MAX_LINES: usize = 400;
    for package in PACKAGES {
        for Source { file, lines, .. } in sources(package) {
            assert!(lines <= MAX_LINES, "{}: {lines} lines, {MAX_LINES} are allowed", file.display());
        }
    }
}

/// Every form in which an import can be written, in a module `table::tests` that may import `dns` alone.
#[test]
fn a_forbidden_import_is_found_in_any_form() {
    let imports = |code: &str| {
        let mut found = Found::in_module(&["table".to_owned(), "tests".to_owned()]);
        found.visit_file(&syn::parse_str(code).expect("Rust"));
        found.paths.iter().any(|path| room_of(path) == Some("server"))
    };
    for code in [
        "use crate::server;",
        "use crate::server::*;",
        "use crate::{dns, server::udp};",
        "use crate::{dns::{name, wire}, server as s};",
        "pub use crate::server::Responder;",
        "use super::super::server;",
        "use super::super::{dns, server::udp::Worker};",
        "use headless_dns::server::Responder;",
        "fn f() { use crate::server; }",
        "fn f() -> usize { crate::server::sys::BATCH }",
        "fn f(_: &super::super::server::Responder) {}",
        "mod inner { use super::super::super::server; }",
        "impl crate::server::Answers for X {}",
        "fn f() { println!(\"{}\", crate::server::sys::BATCH) }",
        "fn f() { tokio::select! { _ = async { super::super::server::run().await } => {} } }",
        "#[derive(Clone)] struct X<T: crate::server::Answers>(T);",
        "type X = Vec<Option<crate::server::Worker>>;",
        "macro_rules! m { () => { $crate::server::run() } }",
    ] {
        assert!(imports(code), "{code}");
    }
    for code in [
        "use crate::dns::name;",
        "// crate::server",
        "pub(in crate::server) fn f() {}",
        "use super::server;",
        "fn f() { server::run() }",
    ] {
        assert!(!imports(code), "{code}");
    }
}
