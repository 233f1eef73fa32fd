//! The file that node_exporter reads: written whole, by a rename, and the one number that the next
//! pass takes from it.
//!
//! Knows no metrics but that one; `report::metrics` makes the text. Not durable on purpose: it
//! belongs on a tmpfs.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::regular::{self, other_kind};

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
    match rustix::fs::lstat(path) {
        Ok(stat) => {
            if let Some(kind) = other_kind(&stat) {
                return Err(not_a_file(kind, remedy));
            }
        }
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
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

fn not_a_file(kind: &str, remedy: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {kind}, not a regular file; {remedy}"),
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
    let text = String::from_utf8(regular::read(path, LONGEST)?).ok()?;
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))?
        .trim()
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
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
