//! Files that people write, which are read whole, and again when they change.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The most that a file may have, in octets. No configuration, certificate chain, key or resolv.conf comes near.
pub const MOST: u64 = 4 * 1024 * 1024;

/// The content of a file.
///
/// # Errors
/// It cannot be read, has more than [`MOST`], or is a pipe or the like: who opens one waits until somebody writes, and it cannot be read
/// again.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    bounded(content.len())?;
    Ok(content)
}

/// The same of a text.
///
/// # Errors
/// Those of [`read`], or it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    bounded(text.len())?;
    Ok(text)
}

fn open(path: &Path) -> io::Result<io::Take<File>> {
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe, a socket or a device, and no file"));
    }
    Ok(File::open(path)?.take(MOST + 1))
}

fn bounded(length: usize) -> io::Result<()> {
    if length as u64 > MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {} MiB", MOST >> 20)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_a_size_and_whatever_is_none_is_an_error_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for (length, is_read) in [(0, true), (5, true), (MOST as usize, true), (MOST as usize + 1, false)] {
            fs::write(&path, vec![b'#'; length]).expect("written");
            let (octets, text) = (read(&path), read_text(&path));
            assert_eq!((octets.is_ok(), text.is_ok()), (is_read, is_read), "{length}");
            assert!(!is_read || octets.is_ok_and(|octets| octets.len() == length));
        }
        fs::write(&path, [0xff]).expect("written");
        assert_eq!(read(&path).expect("octets"), [0xff]);
        assert_eq!(read_text(&path).expect_err("no text").kind(), io::ErrorKind::InvalidData);
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        for path in [&*pipe, Path::new("/dev/zero"), folder.path(), &folder.path().join("nothing")] {
            assert!(read(path).is_err() && read_text(path).is_err(), "{path:?}");
        }
    }
}
