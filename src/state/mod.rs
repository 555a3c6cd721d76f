//! The index saved on disk, for a start while the API server is unreachable.
//!
//! ```text
//! Index::snapshot ─▶ State::save ─▶ new file, synced ──rename──▶ state file ─▶ State::load ─▶ Index, and its age
//! ```
//!
//! Saving is atomic: after a crash of the process or the machine the file is the old one or the new one. A file that is corrupt,
//! truncated, of another format version or of another cluster is rejected as a whole.

mod format;
mod serial;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
pub use serial::SerialFile;

use crate::cluster::{PodSelection, Selection};
use crate::index::{Index, Snapshot};

/// The file in its folder.
const FILE: &str = "cluster.state";
/// The file that is being written, until it replaces the other.
const NEW_FILE: &str = "cluster.state.new";
/// Locked while a process writes.
const LOCK_FILE: &str = "cluster.state.lock";
/// The names and addresses of a whole cluster are not for other users.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A file that shows whether a folder can be written, until it is removed at once.
const PROBE_FILE: &str = ".headless-dns.check";

/// The state file of one cluster, in its folder.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
    selection: Selection,
    /// Which part of which cluster is served. A file of another source is rejected.
    source: String,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep state in {}: {problem}; set --state to a writable directory, or leave it unset", folder.display())]
pub struct FolderError {
    folder: PathBuf,
    problem: io::Error,
}

/// Why a state file is rejected.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is not a state file of headless-dns")]
    NotAStateFile,
    #[error("its format is version {found}, but this program reads version {supported}")]
    UnsupportedVersion { found: u32, supported: u32 },
    #[error("it has {found}, but this server serves {served}")]
    OtherSource { found: String, served: String },
    /// After this many bytes.
    #[error("it is truncated after {0} bytes")]
    Truncated(u64),
    /// Somewhere after this many bytes.
    #[error("it is corrupt at or after byte {0}")]
    Corrupt(u64),
}

impl State {
    /// Creates the folder if it does not exist, and checks that it is writable. `url` is that of the API server.
    ///
    /// # Errors
    /// The folder cannot be created or written.
    pub fn open(folder: &Path, url: &str, selection: &Selection) -> Result<Self, FolderError> {
        let state = Self { folder: folder.to_owned(), selection: selection.clone(), source: source(url, selection) };
        let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
        made.and_then(|()| state.create(LOCK_FILE))
            .map_err(|problem| FolderError { folder: folder.to_owned(), problem })?;
        Ok(state)
    }

    /// The path of the state file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Loads the file into an empty index. Returns the index, and when the file was last up to date; none if there is no
    /// file.
    ///
    /// # Errors
    /// The file is rejected.
    pub fn load(&self, index: Index) -> Result<Option<(Index, Timestamp)>, LoadError> {
        match File::open(self.path()) {
            Ok(file) => self.read(file, index).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file by a snapshot that was last up to date at `as_of`. Blocks until it is on disk.
    ///
    /// # Errors
    /// It cannot be written, or another process is writing. The file is then the old one or the new one.
    pub fn save(&self, snapshot: Snapshot, as_of: Timestamp) -> io::Result<()> {
        // A process and its successor may use the same folder for a while.
        let lock = self.create(LOCK_FILE)?;
        lock.try_lock()?;
        let mut file = self.create(NEW_FILE)?;
        file.set_len(0)?;
        self.write(&mut file, snapshot, as_of)?;
        file.sync_all()?;
        fs::rename(self.folder.join(NEW_FILE), self.path())?;
        // The rename is durable once the folder is synced.
        File::open(&self.folder)?.sync_all()
    }

    /// Reads what [`State::write`] has written into an empty index. Returns the index, and when it was last up to date.
    ///
    /// # Errors
    /// It is rejected.
    pub fn read(&self, file: impl Read, index: Index) -> Result<(Index, Timestamp), LoadError> {
        format::read(file, &self.source, &self.selection.scopes, index)
    }

    /// Writes the content of a state file.
    ///
    /// # Errors
    /// Those of `file`.
    pub fn write(&self, file: &mut impl Write, snapshot: Snapshot, as_of: Timestamp) -> io::Result<()> {
        format::write(file, &self.source, as_of, snapshot)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let path = self.folder.join(name);
        OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
    }
}

/// Whether a folder can be written, or made if it does not exist. Leaves nothing behind.
///
/// # Errors
/// It cannot.
pub fn check_folder(folder: &Path) -> Result<(), FolderError> {
    // Where it would be made. A relative path begins at the working directory.
    let existing = folder.ancestors().find(|path| path.exists() || path.as_os_str().is_empty());
    let base = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = base.join(PROBE_FILE);
    let written = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(&probe);
    written.and_then(|_| fs::remove_file(&probe)).map_err(|problem| FolderError { folder: folder.to_owned(), problem })
}

/// Describes which part of which cluster is served. Users see it in messages.
fn source(url: &str, selection: &Selection) -> String {
    let services = if selection.headless_only { "headless Services" } else { "Services" };
    let pods = match selection.pods {
        PodSelection::Off => "no Pods",
        PodSelection::StatefulSets => "Pods of StatefulSets",
        PodSelection::All => "Pods",
    };
    let mut scopes: Vec<_> = selection.scopes.iter().map(ToString::to_string).collect();
    scopes.sort_unstable();
    format!("{services} and {pods} of {} at {url}", scopes.join(", "))
}
