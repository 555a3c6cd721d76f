//! The serials that a replica has used up, in a small file beside the state: they must not come again after a crash, however the
//! clock is set meanwhile.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{FILE_MODE, FOLDER_MODE};

/// The file of one replica. Other processes cannot have it meanwhile, so that no two use one replica's serials.
#[derive(Debug)]
pub struct SerialFile {
    path: PathBuf,
    _lock: File,
}

impl SerialFile {
    /// Opens the file of a replica. Returns it with the last tick that is used up; 0 if there is none.
    ///
    /// # Errors
    /// The folder cannot be used, the file has something else, or another process has it.
    pub fn open(folder: &Path, replica: u8) -> io::Result<(Self, u64)> {
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        let path = folder.join(format!("serial.{replica}"));
        let lock = path.with_extension(format!("{replica}.lock"));
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(lock)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::other(format!("another process has the serials of replica {replica}"))
            }
            TryLockError::Error(error) => error,
        })?;
        let mut text = String::new();
        let read = File::open(&path).and_then(|mut file| file.read_to_string(&mut text));
        let last = match read {
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
            Ok(_) => text.trim().parse().map_err(|_| io::Error::other(format!("{} is damaged", path.display())))?,
        };
        Ok((Self { path, _lock: lock }, last))
    }

    /// Replaces the last tick that is used up. Blocks until it is on disk.
    ///
    /// # Errors
    /// It cannot be written: the file is then the old one or the new one.
    pub fn save(&self, last: u64) -> io::Result<()> {
        // Replicas may share a folder.
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&new)?;
        writeln!(file, "{last}")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The rename is durable once the folder is synced.
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X5.
    #[test]
    fn used_serials_are_known_after_a_restart_and_belong_to_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let (file, last) = SerialFile::open(folder.path(), 3).unwrap();
        assert_eq!(last, 0);
        // Another replica that shares the folder is about to save.
        let other = folder.path().join("serial.4.new");
        fs::write(&other, "1").unwrap();
        fs::write(folder.path().join("serial.new"), "2").unwrap();
        file.save(7_200_000_001).unwrap();
        assert!(other.exists() && folder.path().join("serial.new").exists(), "only its own file is replaced");
        let taken = SerialFile::open(folder.path(), 3).unwrap_err().to_string();
        assert_eq!(taken, "another process has the serials of replica 3");
        SerialFile::open(folder.path(), 4).unwrap();
        drop(file);
        assert_eq!(SerialFile::open(folder.path(), 3).unwrap().1, 7_200_000_001);
        fs::write(folder.path().join("serial.3"), "x").unwrap();
        assert!(SerialFile::open(folder.path(), 3).unwrap_err().to_string().ends_with("serial.3 is damaged"));
    }
}
