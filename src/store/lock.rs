//! The lock on the state directory. Who has the [`LockedDir`] may write; nobody else has the means
//! to (design 5.1).
//!
//! An exclusive flock on the file `lock`, which is made once and never written, renamed or removed:
//! the lock is the kernel's and ends with the process, so a killed pass leaves nothing to clean up.
//! It is not inherited by the programs that tagkeeper starts. Taking it on a file that exists
//! touches no time stamp.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::deadline::Deadline;

use super::failed_to;
use super::file::StateDir;

/// The file that is locked, within the state directory.
const LOCK_FILE: &str = "lock";
/// Mode of the state, the rejections and their spares: anybody may look.
pub(super) const FILE_MODE: u32 = 0o644;
/// Mode of the lock: whoever can open it can hold it, and with it every pass.
const LOCK_MODE: u32 = 0o600;
/// Mode of a state directory that had to be made; the umask may take from it.
const DIR_MODE: u32 = 0o755;

/// Between two tries to take a lock that is held, in milliseconds.
const RETRY_MS: u64 = 50;

/// The state directory, locked until this is dropped.
#[derive(Debug)]
pub(super) struct LockedDir {
    pub(super) dir: StateDir,
    /// The directory itself: all writing is relative to what was locked, whatever happens to the
    /// path.
    pub(super) dir_fd: File,
    /// Whether the renames in the directory are known to be on the disk: those of a pass that was
    /// killed are not.
    pub(super) renames_are_synced: bool,
    _lock_file: File,
}

/// Why the lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Another pass has it (exit code 75).
    Held,
    /// The directory or the lock file could not be made or opened.
    Io(anyhow::Error),
}

impl LockedDir {
    /// Takes the lock, or says at once that it is held. Makes the directory when it is absent.
    pub(super) fn lock(dir: &StateDir) -> Result<Self, LockError> {
        Self::lock_or(dir, &mut || false)
    }

    /// Takes the lock, waiting until the deadline while another pass has it. Calls `on_wait` once
    /// if it has to wait. Makes the directory when it is absent.
    ///
    /// It tries again and again: a flock that blocks could be ended in time by a signal or a thread
    /// alone.
    pub(super) fn lock_within(
        dir: &StateDir,
        deadline: Deadline<'_>,
        on_wait: &dyn Fn(),
    ) -> Result<Self, LockError> {
        let mut is_told = false;
        Self::lock_or(dir, &mut || {
            if !is_told {
                on_wait();
                is_told = true;
            }
            let left_ms = deadline.remaining_ms();
            std::thread::sleep(Duration::from_millis(left_ms.min(RETRY_MS)));
            left_ms > 0
        })
    }

    /// Takes the lock; `retry` says, after each try that found it held, whether there is another
    /// one.
    fn lock_or(dir: &StateDir, retry: &mut dyn FnMut() -> bool) -> Result<Self, LockError> {
        let failed = |doing: &str, error: io::Error| {
            LockError::Io(failed_to(doing, &dir.path().join(LOCK_FILE), error))
        };
        let dir_fd = open_or_make_dir(dir.path())?;
        let lock_file = open_lock_file(&dir_fd).map_err(|e| failed("open", e))?;
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        loop {
            match rustix::io::retry_on_intr(|| rustix::fs::flock(&lock_file, exclusive)) {
                Ok(()) => {
                    return Ok(Self {
                        dir: dir.clone(),
                        dir_fd,
                        renames_are_synced: false,
                        _lock_file: lock_file,
                    });
                }
                Err(Errno::WOULDBLOCK) if retry() => {}
                Err(Errno::WOULDBLOCK) => return Err(LockError::Held),
                Err(e) => return Err(failed("lock", e.into())),
            }
        }
    }
}

fn open_lock_file(dir_fd: &File) -> io::Result<File> {
    // NOFOLLOW, and the look at its kind: the directory may be another user's, who must not get a
    // file of his choice made or given to him by root. NONBLOCK: a fifo must not hang the pass.
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::openat(
        dir_fd,
        LOCK_FILE,
        flags,
        Mode::from_raw_mode(LOCK_MODE),
    )?);
    if file.metadata()?.is_file() {
        adopt(dir_fd, &file, LOCK_MODE)?;
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a regular file",
    ))
}

/// Gives a file the directory's owner and its mode, so that a command that root ran by hand leaves
/// nothing behind that the service cannot use. No call is made where both are right already.
///
/// A process that is not allowed to (no `CAP_CHOWN`, an owner that its user namespace does not
/// know, NFS) leaves the file as it is. That is better than no save: the owner of the directory
/// needs no right to a state file in order to exchange it, and replaces a spare that he cannot
/// open.
pub(super) fn adopt(dir_fd: &File, file: &File, mode: u32) -> io::Result<()> {
    let (dir, meta) = (dir_fd.metadata()?, file.metadata()?);
    if meta.nlink() != 1 {
        return Ok(()); // a hard link: this inode is somebody else's as well
    }
    // The mode first: once the file is another's, changing it takes one more capability.
    if meta.mode() & 0o7777 != mode {
        unless_forbidden(file.set_permissions(std::fs::Permissions::from_mode(mode)))?;
    }
    if (meta.uid(), meta.gid()) != (dir.uid(), dir.gid()) {
        unless_forbidden(std::os::unix::fs::fchown(
            file,
            Some(dir.uid()),
            Some(dir.gid()),
        ))?;
    }
    Ok(())
}

fn unless_forbidden(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::PERM | Errno::INVAL)) => Ok(()),
        other => other,
    }
}

/// Opens the state directory; makes it, and its parents, when it is absent.
fn open_or_make_dir(path: &Path) -> Result<File, LockError> {
    match open_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_dir(path)?;
            open_dir(path)
        }
        opened => opened,
    }
    .map_err(|e| LockError::Io(failed_to("open", path, e)))
}

fn open_dir(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Makes a directory and its parents, each written through to the disk: a state is not durable in a
/// directory that a power cut takes away.
fn make_dir(path: &Path) -> Result<(), LockError> {
    let failed = |e: io::Error| LockError::Io(failed_to("make directory", path, e));
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(failed(io::ErrorKind::NotFound.into())),
    };
    let mkdir = || rustix::fs::mkdir(path, Mode::from_raw_mode(DIR_MODE));
    let made = match mkdir() {
        Err(Errno::NOENT) => {
            make_dir(parent)?;
            mkdir()
        }
        done => done,
    };
    match made {
        Ok(()) => open_dir(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(failed),
        Err(Errno::EXIST) => Ok(()), // another pass was faster, or it is no directory: opening it tells
        Err(e) => Err(failed(e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_forbidden_leaves_a_file_as_it_is() {
        for (errno, is_forbidden) in [
            (Errno::PERM, true),
            (Errno::INVAL, true),
            (Errno::IO, false),
            (Errno::ROFS, false),
        ] {
            let done = unless_forbidden(Err(errno.into()));
            assert_eq!(done.is_ok(), is_forbidden, "{errno}");
        }
        assert!(unless_forbidden(Ok(())).is_ok());
    }
}
