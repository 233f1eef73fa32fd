//! The state on disk, for its one writer: durable saves, and setting a damaged state aside (design 5.1).
//!
//! `state.json.spare` is a second file of the state's size. A save writes it and exchanges the two, so what was the
//! state becomes the spare of the next save. Its stale content is never read. These are all the writes there are:
//!
//! 1. fsync the directory, in the first save of a lock holder, or when 9 failed before;
//! 2. open the spare (made when absent; replaced when it is not a plain file of ours);
//! 3. write the new state over it;
//! 4. cut it to length, if it was longer;
//! 5. set owner and mode, if they differ;
//! 6. reserve slack behind its end, if it has too little: best effort;
//! 7. fsync the spare;
//! 8. rename: exchange it with `state.json` (**the commit point**);
//! 9. fsync the directory;
//! 10. see that the other file, now the spare, has room for the next save: best effort, not synced.
//!
//! A crash before 8 leaves the old state and a spare that nobody reads; after 8 the new state, whole, because 7 came
//! first; a power cut between 8 and 9 leaves one of the two. An error before 8 leaves the old state; one in 9 leaves
//! the new state in place, which a power cut may still take back. 1 is for a pass that was killed between 8 and 9: to
//! the disk, its spare may still be `state.json`, and writing over it would destroy what a power cut falls back to.
//!
//! On a full disk steps 3 to 9 need no new block: the state overwrites blocks that the spare has, and what it grew by
//! goes to the slack of step 6, which is reserved up to twice the state's size. Cutting a file (4) gives its slack
//! away, so 6 comes after it; where somebody else is quicker to the freed blocks, the spare still has the size of
//! this state. A copy-on-write file system needs some room for a save whatever is reserved.
//!
//! Where `state.json` does not exist, or the file system cannot exchange, 8 is a plain rename and 10 makes a new spare.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::error::FileError;
use super::file::{MAX_BYTES, STATE_FILE};
use super::lock::{FILE_MODE, Lock, adopt};
use super::validate::validate;
use super::{FORMAT_VERSION, State};

/// What gets written and exchanged, within the state directory.
const SPARE_FILE: &str = "state.json.spare";
/// Slack is reserved in multiples of this; the block size of nearly every file system.
const BLOCK_BYTES: u64 = 4096;
/// The unit of `st_blocks`, whatever the file system's own.
const STAT_BLOCK_BYTES: u64 = 512;

/// Why a state was not saved.
#[derive(Debug)]
pub enum SaveError {
    /// The state makes no sense, and would be set aside as corrupt by the next pass: a bug. Nothing was written.
    Refused {
        /// What is wrong with it.
        why: String,
    },
    /// A step failed.
    Io(FileError),
}

impl SaveError {
    /// Whether there was no room: removals may make some, and then the save is worth another try (design 5.1).
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Io(error) => {
                matches!(
                    Errno::from_io_error(error.io_error()),
                    Some(Errno::NOSPC | Errno::DQUOT)
                )
            }
        }
    }
}

impl Lock {
    /// Saves the state durably: when this returns `Ok`, a power cut cannot take it back. On an error the state on the
    /// disk is whole, and nearly always the old one (see the module's words on step 9).
    pub fn save(&mut self, state: &State) -> Result<(), SaveError> {
        let content = serialise(state)?;
        let capacity_bytes = capacity_bytes(&content);
        if !self.renames_are_synced {
            self.sync_dir().map_err(SaveError::Io)?;
        }
        self.write_spare(&content, capacity_bytes)
            .map_err(|e| self.failed("write", SPARE_FILE, e))?;
        self.renames_are_synced = false;
        exchange(&self.dir_fd, RenameFlags::EXCHANGE)
            .map_err(|e| self.failed("replace", STATE_FILE, e.into()))?;
        self.sync_dir().map_err(SaveError::Io)?;
        // The state is safe. That there is no room for another one just now must not turn this save into a failure.
        let _ = self.open_spare().and_then(|spare| {
            adopt(&self.dir_fd, &spare, FILE_MODE)?;
            reserve(&spare, capacity_bytes)
        });
        Ok(())
    }

    /// Moves the state file out of the way as `state.json.corrupt-<time>`, and returns its new path. An earlier one is
    /// never overwritten: the next is called `-2`, and so on. `wall` is the time as RFC 3339.
    pub fn set_aside(&mut self, wall: &str) -> Result<PathBuf, FileError> {
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
                Err(e) => return Err(FileError::new("set aside", self.path_of(STATE_FILE), e)),
            }
        }
        self.sync_dir()?;
        Ok(self.path_of(&name))
    }

    /// Steps 2 to 7.
    fn write_spare(&self, content: &[u8], capacity_bytes: u64) -> io::Result<()> {
        let spare = self.open_spare()?;
        spare.write_all_at(content, 0)?;
        let length_bytes = content.len() as u64;
        if spare.metadata()?.size() > length_bytes {
            spare.set_len(length_bytes)?;
        }
        adopt(&self.dir_fd, &spare, FILE_MODE)?;
        let _ = reserve(&spare, capacity_bytes);
        spare.sync_all()
    }

    /// The spare, for writing over. What is not a plain file that only this directory names is replaced: writing to
    /// it would write to a place, or a backup, that somebody linked it to.
    fn open_spare(&self) -> io::Result<File> {
        let open = |flags: OFlags| {
            let flags =
                flags | OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::openat(
                &self.dir_fd,
                SPARE_FILE,
                flags,
                Mode::from_raw_mode(FILE_MODE),
            )
            .map(File::from)
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
        rustix::fs::unlinkat(&self.dir_fd, SPARE_FILE, AtFlags::empty())?;
        Ok(open(OFlags::EXCL)?)
    }

    /// Steps 1 and 9.
    fn sync_dir(&mut self) -> Result<(), FileError> {
        self.dir_fd
            .sync_all()
            .map_err(|e| FileError::new("sync", self.dir.path(), e))?;
        self.renames_are_synced = true;
        Ok(())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(Path::new(name))
    }

    fn failed(&self, doing: &'static str, name: &str, error: io::Error) -> SaveError {
        SaveError::Io(FileError::new(doing, self.path_of(name), error))
    }
}

/// Step 8: puts the spare in the state's place, and the state in the spare's. `EXCHANGE` is the flag to do it by.
fn exchange(dir: &File, flag: RenameFlags) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, SPARE_FILE, dir, STATE_FILE, flag) {
        Err(e) if e == Errno::NOENT || lacks_flag(e) => {
            rustix::fs::renameat(dir, SPARE_FILE, dir, STATE_FILE)
        }
        done => done,
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

/// The content of a state file: JSON that a person can read in an emergency.
fn serialise(state: &State) -> Result<Vec<u8>, SaveError> {
    let refused = |why: String| SaveError::Refused { why };
    if state.version != FORMAT_VERSION {
        return Err(refused(format!(
            "its format is {}, not {FORMAT_VERSION}",
            state.version
        )));
    }
    validate(state).map_err(refused)?;
    let mut content = serde_json::to_vec_pretty(state).map_err(|e| refused(e.to_string()))?;
    content.push(b'\n');
    if content.len() as u64 > MAX_BYTES {
        return Err(refused(format!(
            "it is larger than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    Ok(content)
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

/// RFC 3339 as part of a file name: `2026-11-22T23:18:00.5Z` is `20261122T231800.5Z`. The sign of an offset stays.
fn file_time(wall: &str) -> String {
    let (date, time) = wall.split_once('T').unwrap_or((wall, ""));
    let date = date.chars().filter(char::is_ascii_alphanumeric);
    let time = time
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'));
    let separator = if wall.contains('T') { "T" } else { "" };
    date.chain(separator.chars()).chain(time).take(40).collect()
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { why } => {
                write!(f, "refused to save a state that makes no sense: {why}")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { .. } => None,
            Self::Io(error) => error.source(),
        }
    }
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

    #[test]
    fn only_no_room_is_a_full_disk() {
        let io = |errno: Errno| SaveError::Io(FileError::new("write", "x", errno));
        for (error, expected) in [
            (io(Errno::NOSPC), true),
            (io(Errno::DQUOT), true),
            (io(Errno::IO), false),
            (io(Errno::ROFS), false),
            (SaveError::Refused { why: String::new() }, false),
        ] {
            assert_eq!(error.is_disk_full(), expected, "{error:?}");
        }
    }

    #[test]
    fn what_could_not_be_loaded_again_is_not_saved() {
        let newer = State {
            version: FORMAT_VERSION + 1,
            ..State::fresh()
        };
        assert!(matches!(serialise(&newer), Err(SaveError::Refused { .. })));
        let json = r#"{"version":1,"clock":{"clock_ms":1,"monotonic_ms":1},"workloads":{"x":{"held_since_ms":1}}}"#;
        let senseless: State = serde_json::from_str(json).unwrap();
        assert!(matches!(
            serialise(&senseless),
            Err(SaveError::Refused { .. })
        ));
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
        let (dir, dir_fd) = dir_with(&[(SPARE_FILE, "new"), (STATE_FILE, "old")]);
        exchange(&dir_fd, UNKNOWN).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join(STATE_FILE)).unwrap(),
            "new"
        );
        assert!(!dir.path().join(SPARE_FILE).exists());
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
