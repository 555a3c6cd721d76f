//! Manifests from files or the standard input: YAML or JSON with one object, several documents or a `List`, applied to the store
//! through the same admission as requests.
//!
//! An error names the file, the document and its line, the object and the field. Objects of kinds that the sandbox does not have
//! are left out, with one warning for each kind.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};

use serde_json::{Value, json};

use crate::admit::FieldValidation;
use crate::api::{ObjectName, Writer};
use crate::fields;
use crate::kind::Kind;
use crate::store::Store;

/// The namespace of a manifest that has none.
const DEFAULT_NAMESPACE: &str = "default";

/// The annotation in which kubectl keeps the last applied manifest. It is set here too, so that `kubectl apply` of an edited
/// file also removes fields.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The path that stands for the standard input.
const STDIN: &str = "-";

/// Extensions of the files that are read from a folder.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// The file and position of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: PathBuf,
    /// Counted from 1.
    pub document: usize,
    /// Its first line, counted from 1.
    pub line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: document {} (line {})", shown(&self.file), self.document, self.line)
    }
}

/// Why manifests could not be applied. Objects before the one that failed are in the store.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{}: {source}", shown(path))]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: no manifests here; expected files ending in .yaml, .yml or .json", .0.display())]
    Empty(PathBuf),
    #[error("{origin}: {why}")]
    Syntax { origin: Origin, why: String },
    #[error("{origin}: {why}")]
    NotAnObject { origin: Origin, why: String },
    #[error("{origin}: {object}: {why}")]
    Rejected { origin: Origin, object: String, why: String },
}

/// Objects to apply, in the order of their kinds.
#[derive(Clone, Debug)]
pub struct Manifests(Vec<Manifest>);

impl Manifests {
    /// Reads files, the files of folders, and the standard input for `-`, which lasts until that ends. The log tells of kinds that
    /// the sandbox does not have.
    ///
    /// # Errors
    /// [`ManifestError`], for what cannot be read or is no object.
    pub fn read(paths: &[PathBuf]) -> Result<Self, ManifestError> {
        let mut reader = Reader::default();
        for path in paths {
            for file in files(path)? {
                reader.read(&file)?;
            }
        }
        let mut manifests = reader.manifests;
        // A stable sort keeps the order of the files within a kind.
        manifests.sort_by_key(|manifest| manifest.kind);
        Ok(Self(manifests))
    }

    /// Creates or updates the objects. Returns their number.
    ///
    /// # Errors
    /// [`ManifestError::Rejected`].
    pub(crate) fn apply(&self, store: &Store) -> Result<usize, ManifestError> {
        self.0.iter().try_for_each(|manifest| manifest.apply(store))?;
        Ok(self.0.len())
    }
}

/// One object and its origin.
#[derive(Clone, Debug)]
struct Manifest {
    origin: Origin,
    kind: Kind,
    object: Value,
}

impl Manifest {
    /// Creates or updates the object.
    ///
    /// # Errors
    /// [`ManifestError::Rejected`].
    fn apply(&self, store: &Store) -> Result<(), ManifestError> {
        let writer = Writer { store, validation: FieldValidation::Strict, dry_run: false };
        let namespace = match self.kind.is_namespaced() {
            true => self.object["metadata"]["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE),
            false => "",
        };
        let name = fields::metadata(&self.object, "name");
        let target = ObjectName { kind: self.kind, namespace, name };
        let object = with_last_applied(self.object.clone(), namespace);
        let applied = match store.get(self.kind, namespace, name) {
            None => writer.create(self.kind, namespace, object),
            Some(_) => writer.change(target, None, |_| Ok(object.clone())),
        };
        applied.map(drop).map_err(|error| ManifestError::Rejected {
            origin: self.origin.clone(),
            object: [self.kind.name(), " ", namespace, if namespace.is_empty() { "" } else { "/" }, name].concat(),
            why: error.to_string(),
        })
    }
}

/// Sets the namespace and the annotation of the last applied manifest, as kubectl does.
fn with_last_applied(mut object: Value, namespace: &str) -> Value {
    let Some(metadata) = object["metadata"].as_object_mut() else { return object };
    if !namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    metadata.entry("annotations").or_insert_with(|| json!({}));
    let applied = json!(format!("{object}\n"));
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.insert(LAST_APPLIED.to_owned(), applied);
    }
    object
}

/// The files that a path names, those of a folder sorted by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let read = |source| ManifestError::Read { path: path.to_owned(), source };
    if path == Path::new(STDIN) || !fs::metadata(path).map_err(read)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        if file.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known)) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(ManifestError::Empty(path.to_owned())) } else { Ok(files) }
}

/// The path as messages name it.
fn shown(path: &Path) -> path::Display<'_> {
    if path == Path::new(STDIN) { Path::new("standard input").display() } else { path.display() }
}

/// What has been read.
#[derive(Default)]
struct Reader {
    manifests: Vec<Manifest>,
    /// The kinds that the sandbox does not have, with their `apiVersion`.
    unknown: BTreeSet<(String, String)>,
}

impl Reader {
    fn read(&mut self, file: &Path) -> Result<(), ManifestError> {
        let text = if file == Path::new(STDIN) { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
        let text = text.map_err(|source| ManifestError::Read { path: file.to_owned(), source })?;
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        let documents = if is_json { vec![(1, text.as_str())] } else { split(&text) };
        for (i, (line, text)) in documents.into_iter().enumerate() {
            let origin = Origin { file: file.to_owned(), document: i + 1, line };
            let parsed =
                if is_json { serde_json::from_str(text).map_err(|error| error.to_string()) } else { yaml(line, text) };
            match parsed {
                Ok(Value::Null) => {}
                Ok(object) => self.collect(&origin, object)?,
                Err(why) => return Err(ManifestError::Syntax { origin, why }),
            }
        }
        Ok(())
    }

    /// Adds an object, or the items of a list.
    fn collect(&mut self, origin: &Origin, object: Value) -> Result<(), ManifestError> {
        let field = |name: &str| object[name].as_str().unwrap_or_default();
        let (api_version, kind) = (field("apiVersion"), field("kind"));
        if api_version.is_empty() || kind.is_empty() {
            let why = "an object must have the fields apiVersion and kind as text".to_owned();
            return Err(ManifestError::NotAnObject { origin: origin.clone(), why });
        }
        if let (true, Some(items)) = (kind.ends_with("List"), object["items"].as_array()) {
            return items.iter().try_for_each(|item| self.collect(origin, item.clone()));
        }
        match Kind::of_object(&object) {
            Some(kind) => self.manifests.push(Manifest { origin: origin.clone(), kind, object }),
            None => {
                if self.unknown.insert((api_version.to_owned(), kind.to_owned())) {
                    tracing::warn!(
                        "{origin}: the sandbox has no {kind} of {api_version}; objects of this kind are left out"
                    );
                }
            }
        }
        Ok(())
    }
}

/// The documents of a YAML stream, each with the line on which it starts.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 1, 0);
    for (i, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push((start_line, &text[start..offset]));
            (start, start_line) = (offset, i + 1);
        }
        offset += line.len();
    }
    documents.push((start_line, &text[start..]));
    // The text before the first marker is a document only if it has content.
    documents.retain(|(_, text)| {
        text.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#') && line.trim_end() != "---")
    });
    documents
}

/// Parses one YAML document that starts on `first_line` of its file.
fn yaml(first_line: usize, text: &str) -> Result<Value, String> {
    let read = || {
        // Empty lines replace those before it, so that an error names the line of the file.
        let mut value: serde_yaml_ng::Value =
            serde_yaml_ng::from_str(&["\n".repeat(first_line - 1).as_str(), text].concat())?;
        value.apply_merge()?;
        Ok(value)
    };
    let value = read().map_err(|error: serde_yaml_ng::Error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
}
