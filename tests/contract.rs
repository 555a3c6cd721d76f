//! Holds the documents against the tests. Every rule of `docs/behaviour.md` is cited by a test, every citation names one of
//! its rules, and its examples are cases of the tables in `tests/cases`. The reasons that `docs/troubleshooting.md` lists are
//! texts that tests expect, and its log lines are in the sources. The files and functions that the documents name exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Letters that rule numbers start with.
const LETTERS: &str = "SKDRWTFX";

/// A file of `tests/cases`, as far as it is looked at here.
#[derive(Deserialize)]
struct CaseFile {
    questions: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rules: Vec<String>,
    ask: String,
    #[serde(default)]
    rcode: Option<String>,
    #[serde(default)]
    answer: Vec<String>,
    #[serde(default)]
    denied_by: Option<String>,
}

fn path(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(inside)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `folder` with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path, extension),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect()
}

fn cases() -> Vec<Case> {
    let read_cases = |path: PathBuf| serde_yaml_ng::from_str::<CaseFile>(&read(&path)).expect("a case file").questions;
    files(&path("tests/cases"), "yaml").into_iter().flat_map(read_cases).collect()
}

/// The cells of each row of the document's tables.
fn rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = document.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

fn is_rule(word: &str) -> bool {
    word.strip_prefix(|letter| LETTERS.contains(letter))
        .is_some_and(|number| matches!(number.len(), 1 | 2) && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The rule numbers in a text.
fn rules_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| is_rule(word))
}

/// The rules that the document defines: rows that start with a number in bold type.
fn defined(document: &str) -> Vec<&str> {
    rows(document)
        .filter_map(|cells| cells[0].strip_prefix("**")?.strip_suffix("**"))
        .filter(|it| is_rule(it))
        .collect()
}

/// The comments of a source file that cite rules: the rule, and whether a test stands below or around it.
fn citations<'s>(file: &Path, source: &'s str) -> Vec<(&'s str, bool)> {
    let is_below = |folder: &str| file.starts_with(path(folder));
    let is_test_file = is_below("tests") && !is_below("tests/bench") && !is_below("tests/support");
    let mut is_test = is_test_file || file.iter().any(|part| part == "tests" || part == "tests.rs") && is_below("src");
    let mut found = Vec::new();
    for line in source.lines() {
        is_test |= line.trim() == "#[cfg(test)]";
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        found.extend(rules_in(comment).map(|rule| (rule, is_test)));
    }
    found
}

#[test]
fn every_rule_is_cited_by_a_test_and_every_citation_names_a_rule() {
    let document = read(&path("docs/behaviour.md"));
    let defined_once = defined(&document);
    let rules: BTreeSet<_> = defined_once.iter().copied().collect();
    assert_eq!(defined_once.len(), rules.len(), "a rule is defined twice");

    let mut tested = BTreeSet::new();
    let mut unknown = BTreeMap::<String, BTreeSet<String>>::new();
    let mut cite = |rule: &str, is_test: bool, place: &Path| {
        if is_test {
            tested.insert(rule.to_owned());
        }
        if !rules.contains(rule) {
            unknown.entry(rule.to_owned()).or_default().insert(place.display().to_string());
        }
    };
    for folder in ["src", "tests", "fuzz/src", "fuzz/fuzz_targets"] {
        for file in files(&path(folder), "rs") {
            citations(&file, &read(&file)).into_iter().for_each(|(rule, is_test)| cite(rule, is_test, &file));
        }
    }
    for case in cases() {
        case.rules.iter().for_each(|rule| cite(rule, true, Path::new(&case.ask)));
    }
    let untested: Vec<_> = rules.iter().filter(|rule| !tested.contains(**rule)).collect();
    assert!(untested.is_empty(), "rules of docs/behaviour.md that no test cites: {untested:?}");
    assert!(unknown.is_empty(), "citations of rules that docs/behaviour.md does not have: {unknown:?}");
}

/// The parts of a cell between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether the answer that the document gives is that of the case.
fn is_answer(case: &Case, cell: &str) -> bool {
    let quoted = quoted(cell);
    match cell {
        "NXDOMAIN" | "REFUSED" => case.rcode.as_deref() == Some(cell) && case.answer.is_empty(),
        "NODATA" => case.rcode.is_none() && case.answer.is_empty() && case.denied_by.is_some(),
        _ => {
            let is_given = |data: &&str| case.answer.iter().any(|record| record.trim().ends_with(&format!(" {data}")));
            case.rcode.is_none() && quoted.len() == case.answer.len() && quoted.iter().all(is_given)
        }
    }
}

#[test]
fn every_example_is_a_case_of_the_tables() {
    let document = read(&path("docs/behaviour.md"));
    let cases = cases();
    let examples = rows(&document).filter(|cells| cells[0].split(", ").all(is_rule) && cells.len() == 3);
    let mut count = 0;
    for cells in examples {
        let (name, types) = quoted(cells[1])[0].split_once(' ').expect("a name and a type");
        let asked = format!("{}. {types}", name.trim_end_matches('.'));
        let found = cases.iter().find(|case| case.ask == asked);
        let case = found.unwrap_or_else(|| panic!("no case asks {asked:?}"));
        assert!(cells[0].split(", ").all(|rule| case.rules.iter().any(|it| it == rule)), "{asked}: {:?}", case.rules);
        assert!(is_answer(case, cells[2]), "{asked}: the document says {}, the case {:?}", cells[2], case.answer);
        count += 1;
    }
    assert!(count >= 40, "{count} examples found");
}

#[test]
fn every_reason_in_the_troubleshooting_table_is_one_that_a_test_expects() {
    let document = read(&path("docs/troubleshooting.md"));
    let table =
        document.split("\n\n").find(|part| part.starts_with("| what is wrong |")).expect("the table of reasons");
    let tests = ["tests/conformance/reasons.rs", "tests/conformance/extended_errors.rs"].map(|file| read(&path(file)));
    let reasons: Vec<_> = rows(table).skip(2).flat_map(|cells| quoted(cells[1])).collect();
    assert!(reasons.len() >= 15, "{reasons:?}");
    let is_tested = |reason: &&str| tests.iter().any(|test| test.contains(&format!("\"{reason}\"")));
    let untested: Vec<_> = reasons.iter().filter(|reason| !is_tested(reason)).collect();
    assert!(untested.is_empty(), "reasons that no test expects: {untested:?}");
}

#[test]
fn every_log_line_of_the_troubleshooting_table_is_in_the_sources() {
    let document = read(&path("docs/troubleshooting.md"));
    let table = document.split("\n\n").find(|part| part.starts_with("| level |")).expect("the table of log lines");
    let sources: Vec<_> = files(&path("src"), "rs").iter().map(|file| read(file)).collect();
    let pieces = rows(table).skip(2).flat_map(|cells| quoted(cells[1])).flat_map(|line| line.split('…'));
    let pieces: Vec<_> = pieces.map(str::trim).filter(|piece| piece.len() > 2).collect();
    assert!(pieces.len() >= 20, "{pieces:?}");
    let is_written = |piece: &&&str| sources.iter().any(|source| source.contains(**piece));
    let unknown: Vec<_> = pieces.iter().filter(|piece| !is_written(piece)).collect();
    assert!(unknown.is_empty(), "log lines that no source has: {unknown:?}");
}

/// Whether `place` is there: a file or folder of the repository or of `src`, or `file.rs::name` for something in a file.
fn exists(place: &str) -> bool {
    let (file, item) = place.split_once("::").map_or((place, None), |(file, item)| (file, Some(item)));
    let Some(found) = [path(file), path("src").join(file)].into_iter().find(|path| path.exists()) else { return false };
    item.is_none_or(|item| {
        let source = read(&found);
        let defined =
            ["fn ", "struct ", "enum ", "trait ", "const ", "static "].map(|keyword| format!("{keyword}{item}"));
        let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        defined
            .iter()
            .any(|text| source.match_indices(text).any(|(at, _)| is_end(source[at + text.len()..].chars().next())))
    })
}

#[test]
fn every_place_that_a_document_names_exists() {
    let documents = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"].map(String::from).into_iter();
    let folder = files(&path("docs"), "md").into_iter().map(|file| file.display().to_string());
    let mut places = BTreeSet::new();
    for document in documents.chain(folder) {
        let text = read(&path(&document));
        let is_place = |word: &&str| {
            !word.contains([' ', '*', '<', '=', '…', '@']) && (word.contains(".rs") || word.ends_with('/'))
        };
        places.extend(quoted(&text).into_iter().filter(is_place).map(|place| (place.to_owned(), document.clone())));
    }
    assert!(places.len() >= 30, "{places:?}");
    let missing: Vec<_> = places.iter().filter(|(place, _)| !exists(place)).collect();
    assert!(missing.is_empty(), "places that do not exist: {missing:?}");
}

#[test]
fn a_citation_is_told_from_other_words() {
    let words = "S12, (W3) and R1: not RFC1035, S123, Srv, SX, Y1, S, _S1 or T4a";
    assert_eq!(rules_in(words).collect::<Vec<_>>(), ["S12", "W3", "R1"]);
    let source = "/// Not S1.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    /// W3.\n}\n";
    assert_eq!(citations(&path("src/x.rs"), source), [("S1", false), ("W3", true)]);
}
