//! The file that node_exporter reads: written whole, by a rename, and the one number that the next
//! pass takes from it.
//!
//! Knows no metrics but that one; `report::metrics` makes the text. Not durable on purpose: it
//! belongs on a tmpfs.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// For whoever scrapes.
const MODE: u32 = 0o644;
/// What is read of an earlier file at most, in bytes. A thousand workloads take less.
const LONGEST: u64 = 4 << 20;

/// Replaces the file. Whoever reads it meanwhile gets the old text or the new one, whole. Only one
/// pass writes at a time: it holds the lock.
///
/// # Errors
/// Also where anything but a regular file has the name: a device or a pipe belongs to somebody
/// else, and so does what is behind a link. `remedy` is what to do about it, for people.
pub(crate) fn write(path: &Path, text: &str, remedy: &str) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => return Err(not_a_file(&meta, remedy)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let spare = beside(path);
    match fs::remove_file(&spare) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // A pass that was killed has left one, or there is none.
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&spare)?;
    let written = file
        .write_all(text.as_bytes())
        // Whatever the umask of whoever runs this by hand.
        .and_then(|()| file.set_permissions(Permissions::from_mode(MODE)))
        .and_then(|()| fs::rename(&spare, path));
    if written.is_err() {
        // Best effort: the next pass removes it as well.
        let _ = fs::remove_file(&spare);
    }
    written
}

fn not_a_file(meta: &fs::Metadata, remedy: &str) -> io::Error {
    let kind = meta.file_type();
    let found = if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {found}, not a regular file; {remedy}"),
    )
}

/// A name that node_exporter does not read.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    PathBuf::from(name)
}

/// The value of a metric without labels in the file as it is; none if there is no such file or
/// number in it.
pub(crate) fn read_value(path: &Path, metric: &str) -> Option<f64> {
    let mut text = String::new();
    let file = open_unfollowed(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))?
        .trim()
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
}

/// Opens a file to read. Neither a pipe that nobody writes to nor a device holds it up, and a link
/// is not followed.
fn open_unfollowed(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMEDY: &str = "remove it";

    #[test]
    fn it_is_replaced_whole_and_everybody_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.prom");
        fs::write(beside(&path), "half of what a killed pass wro").unwrap();
        for text in ["first\n", "2\n"] {
            write(&path, text, REMEDY).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, MODE);
            let names: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(names, ["t.prom"], "nothing stays beside it");
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(&dir.path().join("no/t.prom"), "x", REMEDY).is_err());
        let path = dir.path().join("t.prom");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, "x", REMEDY).is_err());
        assert!(path.is_dir() && !beside(&path).exists());
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("t.prom"), dir.path().join("victim"));
        fs::write(&victim, "m 1\n").unwrap();
        for link in [&path, &beside(&path)] {
            std::os::unix::fs::symlink(&victim, link).unwrap();
        }
        let refused = write(&path, "x", REMEDY).unwrap_err().to_string();
        let said = "it is a symbolic link, not a regular file; remove it";
        assert_eq!(refused, said);
        assert_eq!(read_value(&path, "m"), None, "nor read through");
        fs::remove_file(&path).unwrap();
        write(&path, "x", REMEDY).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "m 1\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
        assert!(!path.is_symlink());
    }

    #[test]
    fn one_number_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.prom");
        assert_eq!(read_value(&path, "m"), None);
        for (text, expected) in [
            (
                "# HELP m x\n# TYPE m gauge\nm 1795000000.0\n",
                Some(1_795_000_000.0),
            ),
            ("mm 1\nm 2\n", Some(2.0)),
            ("m{a=\"b\"} 1\n", None),
            ("m NaN\n", None),
            ("m \n", None),
            ("", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_value(&path, "m"), expected, "{text}");
        }
        assert_eq!(read_value(dir.path(), "m"), None, "a directory");
    }
}
