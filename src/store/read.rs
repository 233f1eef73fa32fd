//! Reads a regular file as one save left it.
//!
//! Nothing else than a regular file is opened: no link is followed, and no pipe is waited for. An
//! I/O error is not taken for damage: the file is read once more, and then the error is told.
//!
//! A reader without the lock can meet a writer: after two saves the file that it has open is the
//! spare, and is being written over. So the file's identity and change time are looked at before
//! and after it is read, and it is read again when they differ.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, Stat};
use rustix::io::Errno;

use super::document::MAX_BYTES;
use crate::regular::{TO_READ, other_kind};

/// How often a reader starts again because a writer was faster.
const READ_ATTEMPTS: u32 = 16;

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Something else has its name: this.
    NotRegular(&'static str),
    /// It is larger than [`MAX_BYTES`].
    TooLarge,
    /// It could not be looked at, twice. That says nothing about what is in it.
    Io(io::Error),
}

/// The content of a file, its path relative to the directory `at`; none if there is no file.
pub(super) fn read_regular(at: BorrowedFd<'_>, path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    match read_unchanged(at, path) {
        Err(ReadError::Io(_)) => read_unchanged(at, path),
        done => done,
    }
}

fn read_unchanged(at: BorrowedFd<'_>, path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    for _ in 0..READ_ATTEMPTS {
        let Some((file, before)) = open(at, path)? else {
            return Ok(None);
        };
        if let Some(bytes) = read_opened(file, &before, at, path)? {
            return Ok(Some(bytes));
        }
    }
    Err(ReadError::Io(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "it changed each time it was read",
    )))
}

/// Opens a file, and tells what it was like before it is read; none if there is no file.
fn open(at: BorrowedFd<'_>, path: &Path) -> Result<Option<(File, Stat)>, ReadError> {
    // Looked at before it is opened: even the opening of a pipe or a device has effects.
    let before = match rustix::fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(before) => before,
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(ReadError::Io(e.into())),
    };
    if let Some(kind) = other_kind(&before) {
        return Err(ReadError::NotRegular(kind));
    }
    // It may have become something else since.
    match rustix::fs::openat(at, path, TO_READ, Mode::empty()) {
        Ok(fd) => Ok(Some((File::from(fd), before))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(ReadError::Io(e.into())),
    }
}

/// Reads the file that was opened; none if a writer came in between, and these bytes may be half of
/// each.
fn read_opened(
    file: File,
    before: &Stat,
    at: BorrowedFd<'_>,
    path: &Path,
) -> Result<Option<Vec<u8>>, ReadError> {
    let opened = rustix::fs::fstat(&file).map_err(|e| ReadError::Io(e.into()))?;
    if identity(&opened) != identity(before) {
        return Ok(None);
    }
    let size = u64::try_from(opened.st_size).unwrap_or_default();
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(MAX_BYTES)).unwrap_or_default());
    file.take(MAX_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if !is_unchanged(before, at, path) {
        return Ok(None);
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    Ok(Some(bytes))
}

/// Whether the path still names the file that was opened, unwritten since. (Two whole saves within
/// one tick of the kernel's file clock would escape this; each has two fsyncs.)
fn is_unchanged(before: &Stat, at: BorrowedFd<'_>, path: &Path) -> bool {
    rustix::fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|after| identity(&after) == identity(before))
}

fn identity(s: &Stat) -> impl PartialEq + use<> {
    (
        s.st_dev,
        s.st_ino,
        s.st_size,
        s.st_mtime,
        s.st_mtime_nsec,
        s.st_ctime,
        s.st_ctime_nsec,
    )
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;
    use tagkeeper_core::model::State;

    use super::super::{StateDir, Store};
    use super::*;

    /// The spare that a save writes over is the file that a slow reader still has open.
    #[test]
    fn a_reader_without_the_lock_never_takes_half_a_save() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path());
        let path = dir.state_file();
        let mut lock = dir.lock().unwrap();
        for saves_in_between in 0..4 {
            lock.save(&State::default()).unwrap();
            let (file, before) = open(CWD, &path).unwrap().unwrap();
            // Longer than the tick of the kernel's file clock.
            std::thread::sleep(std::time::Duration::from_millis(20));
            for _ in 0..saves_in_between {
                lock.save(&State::default()).unwrap();
            }
            let bytes = read_opened(file, &before, CWD, &path).unwrap();
            assert_eq!(
                bytes.is_some(),
                saves_in_between == 0,
                "{saves_in_between} saves"
            );
        }
        assert!(dir.load().unwrap().is_some());
    }

    /// The file that was read is whole; its place has another one by then.
    #[test]
    fn what_takes_the_place_of_the_file_is_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let [path, other] = ["state", "other"].map(|name| temp.path().join(name));
        std::fs::write(&path, "old").unwrap();
        let (_, before) = open(CWD, &path).unwrap().unwrap();
        assert!(is_unchanged(&before, CWD, &path));
        std::fs::write(&other, "new").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(!is_unchanged(&before, CWD, &path));
        std::fs::remove_file(&path).unwrap();
        assert!(!is_unchanged(&before, CWD, &path));
    }

    #[test]
    fn the_largest_file_is_read_and_no_larger_one() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_BYTES).unwrap();
        let read = read_regular(CWD, &path).unwrap().unwrap();
        assert_eq!(read.len() as u64, MAX_BYTES);
        file.set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(read_regular(CWD, &path), Err(ReadError::TooLarge)));
    }
}
