//! What the index knows, kept on disk for a start while the API server is away.
//!
//! ```text
//! Index::snapshot ─▶ State::save ─▶ a new file, synced ──rename──▶ the file ─▶ State::load ─▶ Index, and of when it is
//! ```
//!
//! A file replaces the one before it as a whole or not at all, whenever the process or the machine ends. One that is damaged,
//! cut off, of another format or of another cluster is refused with the reason, and nothing of it is served.

mod format;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cluster::{PodSelection, Selection};
use crate::index::{Index, Snapshot};

/// The file in its folder.
const FILE: &str = "cluster.state";
/// What is being written, until it takes the file's place.
const NEW_FILE: &str = "cluster.state.new";
/// Locked by who writes.
const LOCK_FILE: &str = "cluster.state.lock";
/// Names and addresses of a whole cluster are nobody else's business.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Where the state of one cluster is kept.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
    selection: Selection,
    /// What of which cluster it is: a file that says otherwise is foreign.
    source: String,
}

/// State that cannot be kept where it should be.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep state in {}: {problem}; name a folder that can be written with --state, or none", folder.display())]
pub struct FolderError {
    folder: PathBuf,
    problem: io::Error,
}

/// Why a file is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is no state of headless-dns")]
    Strange,
    #[error("its format is version {found}, and this program reads version {read}")]
    OtherFormat { found: u32, read: u32 },
    #[error("it is of {found}, and served are {served}")]
    Foreign { found: String, served: String },
    #[error("it is cut off after {0} octets")]
    CutOff(u64),
    #[error("it is damaged at octet {0} or soon after")]
    Damaged(u64),
}

impl State {
    /// Makes the folder if it is not there, and sees that it can be written. `url` is the API server's.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(folder: &Path, url: &str, selection: &Selection) -> Result<Self, FolderError> {
        let state = Self { folder: folder.to_owned(), selection: selection.clone(), source: source(url, selection) };
        let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
        made.and_then(|()| state.create(LOCK_FILE))
            .map_err(|problem| FolderError { folder: folder.to_owned(), problem })?;
        Ok(state)
    }

    /// The file, for messages.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Tells an empty index what the file says, and gives it back with the time up to which that was the truth; none where
    /// there is no file.
    ///
    /// # Errors
    /// The file is refused. What was read of it went with the index.
    pub fn load(&self, index: Index) -> Result<Option<(Index, Timestamp)>, Refusal> {
        match File::open(self.path()) {
            Ok(file) => format::read(file, &self.source, &self.selection.scopes, index).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a snapshot, true up to `as_of`, in the place of the one before. Takes its time.
    ///
    /// # Errors
    /// The file before stands, or the new one does.
    pub fn save(&self, snapshot: Snapshot, as_of: Timestamp) -> io::Result<()> {
        // Of a process and its successor on the same folder, one writes at a time.
        let lock = self.create(LOCK_FILE)?;
        lock.try_lock()?;
        let mut file = self.create(NEW_FILE)?;
        file.set_len(0)?;
        format::write(&mut file, &self.source, as_of, snapshot)?;
        file.sync_all()?;
        fs::rename(self.folder.join(NEW_FILE), self.path())?;
        // The new name is safe when the folder is.
        File::open(&self.folder)?.sync_all()
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let path = self.folder.join(name);
        OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
    }
}

/// What of which cluster is served, for people too.
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
