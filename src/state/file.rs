//! The state on disk, for readers: where it is, and what is in it (design 5.1).
//!
//! Reading takes no lock, moves nothing and writes nothing, so that `plan` and `status` may do it at any time. It says
//! which of four things it found: no file, a state, a newer format, or something that is no state. What to do about
//! the last two is the caller's business. Writing is in `save`, and needs the `Lock`.
//!
//! A reader without the lock can meet a writer: after two saves the file that it has open is the spare, and is being
//! written over. So [`StateDir::load`] looks at the file's identity and change time before and after it read, and
//! reads again when they differ.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

use super::error::FileError;
use super::validate::validate;
use super::{FORMAT_VERSION, State};

/// The state itself, within the state directory.
pub(super) const STATE_FILE: &str = "state.json";
/// Largest state that is read or written, in bytes. A real one has a few thousand; a file beyond this is none.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How often a reader starts again because a writer was faster.
const READ_ATTEMPTS: u32 = 16;

/// The directory that holds the state: `state.json`, its spare, and the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

/// What a state directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// No state, or no directory: a fresh start.
    Absent,
    /// The state as it was last saved.
    State(State),
}

/// Why there is a state file and yet no state.
#[derive(Debug)]
pub enum LoadError {
    /// A later tagkeeper wrote it. It is to be left alone (exit code 78).
    Newer {
        /// The format's number in the file.
        version: u64,
    },
    /// Damaged or nonsensical. The lock holder sets it aside and starts afresh.
    Corrupt {
        /// What is wrong with it, for people.
        why: String,
    },
    /// The file could not be looked at: not permitted, or the host is short of something. That says nothing about
    /// what is in it, so nothing may be moved or assumed.
    Io(FileError),
}

impl StateDir {
    /// The state directory at a path, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state file, for messages.
    pub fn state_file(&self) -> PathBuf {
        self.path.join(STATE_FILE)
    }

    /// Reads the state. Needs no lock and changes nothing.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        match read_whole(&self.state_file())? {
            None => Ok(Loaded::Absent),
            Some(bytes) => parse_state(&bytes).map(Loaded::State),
        }
    }
}

/// Turns the content of a state file into a state.
///
/// The version is looked at first: a newer format may hold anything, and is `Newer`, not `Corrupt`.
pub fn parse_state(bytes: &[u8]) -> Result<State, LoadError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }

    let text = std::str::from_utf8(bytes).map_err(|e| corrupt(format!("not UTF-8: {e}")))?;
    let Versioned { version } = serde_json::from_str(text).map_err(|e| corrupt(e.to_string()))?;
    if version > u64::from(FORMAT_VERSION) {
        return Err(LoadError::Newer { version });
    }
    if version == 0 {
        return Err(corrupt("there is no format version 0".to_owned()));
    }
    let state: State = serde_json::from_str(text).map_err(|e| corrupt(e.to_string()))?;
    validate(&state).map_err(corrupt)?;
    Ok(state)
}

/// The bytes of the state file as one save left them; none if there is no file.
fn read_whole(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    for _ in 0..READ_ATTEMPTS {
        let Some((file, before)) = open(path)? else {
            return Ok(None);
        };
        if let Some(bytes) = read_opened(file, &before, path)? {
            return Ok(Some(bytes));
        }
    }
    let busy = io::Error::new(
        io::ErrorKind::ResourceBusy,
        "it changed each time it was read",
    );
    Err(LoadError::Io(FileError::new("read", path, busy)))
}

/// Opens the state file, and tells what it was like before it is read; none if there is no file.
fn open(path: &Path) -> Result<Option<(File, Metadata)>, LoadError> {
    // NONBLOCK: a fifo under this name must not hang the pass.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(unreadable(path, e.into())),
    };
    let before = file.metadata().map_err(|e| unreadable(path, e))?;
    if !before.is_file() {
        return Err(corrupt("not a regular file".to_owned()));
    }
    Ok(Some((file, before)))
}

/// Reads the file that was opened; none if a writer came in between, and these bytes may be half of each.
fn read_opened(file: File, before: &Metadata, path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES.saturating_add(1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(path, e))?;
    if !is_unchanged(before, path) {
        return Ok(None);
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(corrupt(format!("larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(Some(bytes))
}

/// Whether the path still names the file that was opened, unwritten since. (Two whole saves within one tick of the
/// kernel's file clock would escape this; each has two fsyncs.)
fn is_unchanged(before: &Metadata, path: &Path) -> bool {
    let identity = |m: &Metadata| {
        (
            m.dev(),
            m.ino(),
            m.size(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec(),
        )
    };
    fs::metadata(path).is_ok_and(|after| identity(&after) == identity(before))
}

/// Tells a file that is damaged from one that could not be looked at just now. A damaged one is set aside, and all
/// that it knew is forgotten: a shortage of memory or of file descriptors must not come to that.
fn unreadable(path: &Path, error: io::Error) -> LoadError {
    match Errno::from_io_error(&error) {
        Some(
            Errno::ACCESS
            | Errno::PERM
            | Errno::NOTDIR
            | Errno::NAMETOOLONG
            | Errno::NOMEM
            | Errno::MFILE
            | Errno::NFILE
            | Errno::INTR
            | Errno::STALE
            | Errno::TIMEDOUT,
        ) => LoadError::Io(FileError::new("read", path, error)),
        // Out of memory for the buffer has no errno.
        None if error.kind() == io::ErrorKind::OutOfMemory => {
            LoadError::Io(FileError::new("read", path, error))
        }
        _ => corrupt(format!("cannot be read: {error}")),
    }
}

fn corrupt(why: String) -> LoadError {
    LoadError::Corrupt { why }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { version } => {
                write!(
                    f,
                    "the state has format {version}, written by a later tagkeeper; this one knows {FORMAT_VERSION}"
                )
            }
            Self::Corrupt { why } => write!(f, "the state is corrupt: {why}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Newer { .. } | Self::Corrupt { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = include_str!("../../tests/fixtures/state-v1.json");

    fn why_corrupt(bytes: &[u8]) -> String {
        match parse_state(bytes) {
            Err(LoadError::Corrupt { why }) => why,
            other => panic!("{}: {other:?}", String::from_utf8_lossy(bytes)),
        }
    }

    #[test]
    fn what_is_no_state_is_corrupt_and_says_why() {
        let rest = r#""clock":{"clock_ms":1,"monotonic_ms":1},"workloads":{}"#;
        let table: &[(&str, &str, &str)] = &[
            ("empty", "", "EOF"),
            (
                "zeros, as a power cut leaves them",
                "\0\0\0\0",
                "expected value",
            ),
            ("cut off", &FIXTURE[..FIXTURE.len() / 2], "EOF"),
            ("not JSON", "version = 1", "expected value"),
            ("another type", "[]", "invalid length"),
            (
                "something behind it",
                &format!("{FIXTURE}{{}}"),
                "trailing characters",
            ),
            (
                "no version",
                &format!("{{{rest}}}"),
                "missing field `version`",
            ),
            (
                "version in words",
                &format!(r#"{{"version":"1",{rest}}}"#),
                "invalid type",
            ),
            (
                "negative version",
                &format!(r#"{{"version":-1,{rest}}}"#),
                "invalid value",
            ),
            (
                "version 0",
                &format!(r#"{{"version":0,{rest}}}"#),
                "format version 0",
            ),
            (
                "unknown field",
                &format!(r#"{{"version":1,{rest},"x":1}}"#),
                "unknown field `x`",
            ),
            ("missing field", r#"{"version":1}"#, "missing field"),
        ];
        for (name, text, expected) in table {
            let why = why_corrupt(text.as_bytes());
            assert!(why.contains(expected), "{name}: {why}");
        }
        assert!(why_corrupt(b"{\"version\":1,\xff}").contains("not UTF-8"));
    }

    #[test]
    fn one_wrong_thing_in_a_state_makes_it_corrupt() {
        let table: &[(&str, &str, &str)] = &[
            ("\"lineage\"", "\"linage\"", "unknown field `linage`"),
            (
                "\"first_seen_ms\"",
                "\"seen_ms\"",
                "unknown field `seen_ms`",
            ),
            ("\"soaked\": true", "\"soaked\": 1", "invalid type"),
            ("\"restarts\": 1", "\"restarts\": -1", "invalid value"),
            ("\"docker-sonic-telemetry\"", "\"UPPER\"", "upper-case"),
            (
                "\"clock_ms\": 90000000",
                "\"clock_ms\": 1",
                "ahead of the clock",
            ),
        ];
        assert!(parse_state(FIXTURE.as_bytes()).is_ok());
        for (good, bad, expected) in table {
            let why = why_corrupt(FIXTURE.replacen(good, bad, 1).as_bytes());
            assert!(why.contains(expected), "{bad}: {why}");
        }
    }

    #[test]
    fn a_newer_format_is_newer_whatever_it_holds() {
        for (text, expected) in [
            (r#"{"version":2}"#, 2),
            (
                r#"{"new":[{"shape":null}],"version":7,"clock":"sundial"}"#,
                7,
            ),
            (r#"{"version":18446744073709551615}"#, u64::MAX),
        ] {
            match parse_state(text.as_bytes()) {
                Err(LoadError::Newer { version }) => assert_eq!(version, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_shortage_is_not_damage() {
        for errno in [
            Errno::ACCESS,
            Errno::PERM,
            Errno::NOTDIR,
            Errno::NOMEM,
            Errno::MFILE,
            Errno::NFILE,
        ] {
            let error = unreadable(Path::new("state.json"), errno.into());
            assert!(matches!(error, LoadError::Io(_)), "{errno:?}: {error:?}");
        }
        for errno in [
            Errno::IO,
            Errno::ISDIR,
            Errno::LOOP,
            Errno::BADMSG,
            Errno::UCLEAN,
        ] {
            let error = unreadable(Path::new("state.json"), errno.into());
            assert!(
                matches!(error, LoadError::Corrupt { .. }),
                "{errno:?}: {error:?}"
            );
        }
    }

    /// The spare that a save writes over is the file that a slow reader still has open.
    #[test]
    fn a_reader_without_the_lock_never_takes_half_a_save() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path());
        let path = dir.state_file();
        let mut lock = dir.lock().unwrap();
        for saves_in_between in 0..4 {
            lock.save(&State::fresh()).unwrap();
            let (file, before) = open(&path).unwrap().unwrap();
            // Longer than the tick of the kernel's file clock.
            std::thread::sleep(std::time::Duration::from_millis(20));
            for _ in 0..saves_in_between {
                lock.save(&State::fresh()).unwrap();
            }
            let bytes = read_opened(file, &before, &path).unwrap();
            assert_eq!(
                bytes.is_some(),
                saves_in_between == 0,
                "{saves_in_between} saves"
            );
        }
        assert_eq!(dir.load().unwrap(), Loaded::State(State::fresh()));
    }
}
