//! Regular files: what may have the name of one instead, and how one is opened without being held
//! up by that.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};

/// To read: neither a pipe that nobody writes to nor a device holds it up, and a link is not
/// followed.
pub(crate) const TO_READ: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// What a file is that is not a regular one; none of a regular one.
pub(crate) fn other_kind(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("a directory"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a named pipe"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    }
}

/// The first `max` bytes of a file; none where it cannot be read, or is no regular one.
pub(crate) fn read(path: &Path, max: u64) -> Option<Vec<u8>> {
    let file = File::from(rustix::fs::open(path, TO_READ, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
