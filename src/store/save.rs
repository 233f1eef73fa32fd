//! The files on disk, for their one writer: durable writes, and setting a damaged state aside
//! (design 5.1).
//!
//! Each file has a spare beside it, of the file's size: `state.json.spare`. A write fills the spare
//! and exchanges the two, so what was the file becomes the spare of the next write. Its stale
//! content is never read. These are all the writes there are, told for the state; the rejections
//! are written in the same way:
//!
//! 1. fsync the directory, in the first write of a lock holder, or when 9 failed before;
//! 2. open the spare (made when absent; replaced when it is not a plain file of ours);
//! 3. write the new state over it;
//! 4. cut it to length, if it was longer;
//! 5. set owner and mode, if they differ;
//! 6. reserve slack behind its end, if it has too little: best effort;
//! 7. fsync the spare;
//! 8. rename: exchange it with `state.json` (**the commit point**), unless that is no regular file;
//! 9. fsync the directory;
//! 10. see that the other file, now the spare, has room for the next write: best effort, not
//!     synced. So has the spare of the rejections, once there is a state.
//!
//! A crash before 8 leaves the old state and a spare that nothing reads; after 8 the new state,
//! whole, because 7 came first; a power cut between 8 and 9 leaves one of the two. An error before
//! 8 leaves the old state; one in 9 leaves the new state in place, which a power cut may still take
//! back. 1 is for a pass that was killed between 8 and 9: to the disk, its spare may still be
//! `state.json`, and writing over it would destroy what a power cut falls back to.
//!
//! On a full disk steps 3 to 9 need no new block: the state overwrites blocks that the spare has,
//! and what it grew by is taken from the slack of step 6, which is reserved up to twice the state's
//! size. Cutting a file (4) gives its slack away, so 6 comes after it; where somebody else is
//! quicker to the freed blocks, the spare still has the size of this state. A copy-on-write file
//! system needs some room for a save whatever is reserved.
//!
//! Where the file does not exist, or the file system cannot exchange, 8 is a plain rename and 10
//! makes a new spare. A directory in the file's place could be exchanged, but then it would be in
//! the way of every later spare.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::failed_to;
use super::file::{REJECTED_FILE, STATE_FILE};
use super::lock::{FILE_MODE, LockedDir, adopt};
use crate::regular::other_kind;

/// Slack is reserved in multiples of this; the block size of nearly every file system.
const BLOCK_BYTES: u64 = 4096;
/// The unit of `st_blocks`, whatever the file system's own.
const STAT_BLOCK_BYTES: u64 = 512;

/// A file that is written, within the state directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    name: &'static str,
    /// What gets written and exchanged.
    spare: &'static str,
}

pub(super) const STATE: Target = Target {
    name: STATE_FILE,
    spare: "state.json.spare",
};
pub(super) const REJECTED: Target = Target {
    name: REJECTED_FILE,
    spare: "rejected.json.spare",
};

impl LockedDir {
    /// Writes a file durably: when this returns `Ok`, a power cut cannot take it back. On an error
    /// the file on the disk is whole, and nearly always the old one (see the module's words on step
    /// 9).
    pub(super) fn write(&mut self, target: Target, content: &[u8]) -> anyhow::Result<()> {
        let capacity_bytes = capacity_bytes(content);
        if !self.renames_are_synced {
            self.sync_dir()?;
        }
        self.write_spare(target, content, capacity_bytes)
            .map_err(|e| failed_to("write", &self.path_of(target.spare), e))?;
        self.renames_are_synced = false;
        exchange(&self.dir_fd, target, RenameFlags::EXCHANGE)
            .map_err(|e| failed_to("replace", &self.path_of(target.name), e))?;
        self.sync_dir()?;
        // The file is safe. That there is no room for another one just now must not turn this write
        // into a failure.
        let _ = self.make_room(target, capacity_bytes);
        if target.name == STATE_FILE {
            // A person may have to roll back for the first time when the disk is full.
            let _ = self.make_room(REJECTED, BLOCK_BYTES);
        }
        Ok(())
    }

    /// Step 10.
    fn make_room(&self, target: Target, capacity_bytes: u64) -> io::Result<()> {
        let spare = self.open_spare(target)?;
        adopt(&self.dir_fd, &spare, FILE_MODE)?;
        reserve(&spare, capacity_bytes)
    }

    /// Renames the state file to `state.json.corrupt-<time>`, or to the first name of that kind
    /// that is free.
    pub(super) fn move_aside(&mut self, wall: &str) -> anyhow::Result<PathBuf> {
        let first = format!("{STATE_FILE}.corrupt-{}", file_time(wall));
        let mut name = first.clone();
        let mut count: u32 = 1;
        self.renames_are_synced = false;
        loop {
            match rename_to_new(&self.dir_fd, &name, RenameFlags::NOREPLACE) {
                Ok(()) => break,
                Err(Errno::EXIST) => {
                    count = count.saturating_add(1);
                    name = format!("{first}-{count}");
                }
                Err(e) => return Err(failed_to("set aside", &self.path_of(STATE_FILE), e)),
            }
        }
        self.sync_dir()?;
        Ok(self.path_of(&name))
    }

    /// Steps 2 to 7.
    fn write_spare(&self, target: Target, content: &[u8], capacity_bytes: u64) -> io::Result<()> {
        let spare = self.open_spare(target)?;
        spare.write_all_at(content, 0)?;
        let length_bytes = content.len() as u64;
        if spare.metadata()?.size() > length_bytes {
            spare.set_len(length_bytes)?;
        }
        adopt(&self.dir_fd, &spare, FILE_MODE)?;
        let _ = reserve(&spare, capacity_bytes);
        spare.sync_all()
    }

    /// The spare, for writing over. What is not a plain file that only this directory names is
    /// replaced: writing to it would write to a place, or a backup, that somebody linked it to.
    fn open_spare(&self, target: Target) -> io::Result<File> {
        let open = |flags: OFlags| {
            let flags =
                flags | OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let mode = Mode::from_raw_mode(FILE_MODE);
            rustix::fs::openat(&self.dir_fd, target.spare, flags, mode).map(File::from)
        };
        // NONBLOCK: a fifo must not hang the pass.
        match open(OFlags::NONBLOCK) {
            Ok(file) => {
                let meta = file.metadata()?;
                if meta.is_file() && meta.nlink() == 1 {
                    return Ok(file);
                }
            }
            // A symbolic link; a fifo or socket; a file of another user.
            Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS | Errno::PERM) => {}
            Err(e) => return Err(e.into()),
        }
        rustix::fs::unlinkat(&self.dir_fd, target.spare, AtFlags::empty())?;
        Ok(open(OFlags::EXCL)?)
    }

    /// Steps 1 and 9.
    fn sync_dir(&mut self) -> anyhow::Result<()> {
        self.dir_fd
            .sync_all()
            .map_err(|e| failed_to("sync", self.dir.path(), e))?;
        self.renames_are_synced = true;
        Ok(())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Step 8: puts the spare in the state's place, and the state in the spare's. `EXCHANGE` is the
/// flag to do it by.
fn exchange(dir: &File, target: Target, flag: RenameFlags) -> io::Result<()> {
    let Target { name, spare } = target;
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            if let Some(kind) = other_kind(&stat) {
                let why = format!("it is {kind}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    match rustix::fs::renameat_with(dir, spare, dir, name, flag) {
        Err(e) if e == Errno::NOENT || lacks_flag(e) => {
            Ok(rustix::fs::renameat(dir, spare, dir, name)?)
        }
        done => Ok(done?),
    }
}

/// Renames the state file; `EXIST` if the name is taken. `NOREPLACE` is the flag to do it by.
fn rename_to_new(dir: &File, name: &str, flag: RenameFlags) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, STATE_FILE, dir, name, flag) {
        // Nobody but the lock holder makes such names, so looking first is as good.
        Err(e) if lacks_flag(e) => match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => rustix::fs::renameat(dir, STATE_FILE, dir, name),
            Ok(_) => Err(Errno::EXIST),
            Err(e) => Err(e),
        },
        done => done,
    }
}

/// Whether a rename failed because the file system or the kernel does not know its flag.
fn lacks_flag(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// How much a file should have allocated: twice its content, in whole blocks.
fn capacity_bytes(content: &[u8]) -> u64 {
    (content.len() as u64)
        .saturating_mul(2)
        .next_multiple_of(BLOCK_BYTES)
}

/// Allocates blocks up to the capacity, without changing the length.
fn reserve(file: &File, capacity_bytes: u64) -> io::Result<()> {
    let allocated_bytes = file.metadata()?.blocks().saturating_mul(STAT_BLOCK_BYTES);
    if allocated_bytes < capacity_bytes {
        rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, capacity_bytes)?;
    }
    Ok(())
}

/// RFC 3339 as part of a file name: `2026-11-22T23:18:00.5Z` is `20261122T231800.5Z`. The sign of
/// an offset stays.
fn file_time(wall: &str) -> String {
    let (date, time) = wall.split_once('T').unwrap_or((wall, ""));
    let date = date.chars().filter(char::is_ascii_alphanumeric);
    let time = time
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'));
    let separator = if wall.contains('T') { "T" } else { "" };
    date.chain(separator.chars()).chain(time).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_becomes_part_of_a_file_name() {
        for (wall, expected) in [
            ("2026-11-22T23:18:00Z", "20261122T231800Z"),
            ("2026-11-22T23:18:00.5Z", "20261122T231800.5Z"),
            ("2026-11-22T23:18:00+01:00", "20261122T231800+0100"),
            ("2026-11-22T23:18:00-05:30", "20261122T231800-0530"),
            ("../../etc/passwd", "etcpasswd"),
            ("T/../x", "T..x"),
            ("", ""),
        ] {
            assert_eq!(file_time(wall), expected, "{wall}");
        }
    }

    #[test]
    fn the_capacity_leaves_room_to_grow() {
        for (length, expected) in [(0, 0), (1, 4096), (2048, 4096), (2049, 8192), (5000, 12288)] {
            assert_eq!(capacity_bytes(&vec![b' '; length]), expected, "{length}");
        }
    }

    /// No file system knows these two together, as some know neither.
    const UNKNOWN: RenameFlags = RenameFlags::EXCHANGE.union(RenameFlags::NOREPLACE);

    fn dir_with(files: &[(&str, &str)]) -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let dir_fd = File::open(dir.path()).unwrap();
        (dir, dir_fd)
    }

    #[test]
    fn a_file_system_that_cannot_exchange_gets_a_plain_rename() {
        let (dir, dir_fd) = dir_with(&[(STATE.spare, "new"), (STATE_FILE, "old")]);
        exchange(&dir_fd, STATE, UNKNOWN).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join(STATE_FILE)).unwrap(),
            "new"
        );
        assert!(!dir.path().join(STATE.spare).exists());
    }

    #[test]
    fn a_file_system_without_noreplace_still_overwrites_nothing() {
        let (dir, dir_fd) = dir_with(&[("taken", "earlier"), (STATE_FILE, "state")]);
        assert_eq!(rename_to_new(&dir_fd, "taken", UNKNOWN), Err(Errno::EXIST));
        rename_to_new(&dir_fd, "free", UNKNOWN).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("taken")).unwrap(),
            "earlier"
        );
        assert_eq!(
            std::fs::read_to_string(dir.path().join("free")).unwrap(),
            "state"
        );
    }
}
