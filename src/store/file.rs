//! The state on disk, for readers: where it is, and what is in it (design 5.1).
//!
//! Reading takes no lock, moves nothing and writes nothing, so that `plan` and `status` may do it
//! at any time. What to do about what it found is the caller's business. Writing is in `holder`,
//! and needs the `Lock`.
//!
//! `state.json` is read before `rejected.json`: a lock holder that carries the rejections of format
//! 1 over writes the second before the first, and a reader in between finds them in one or the
//! other.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use tagkeeper_core::model::State;

use super::document::{self, Format, MAX_BYTES, Problem};
use super::read::{ReadError, read_regular};
use super::rejected::{self, Rejections};
use super::validate::{Dropped, enforce_rejections, validate};
use super::{FORMAT_VERSION, v1};

/// The state itself, within the state directory.
pub(super) const STATE_FILE: &str = "state.json";
/// The rejections by a person, within the state directory.
pub(super) const REJECTED_FILE: &str = "rejected.json";

const FORMAT: Format = Format {
    current: FORMAT_VERSION,
    first_with_checksum: 2,
};

/// The directory that holds the state: `state.json`, `rejected.json`, their spares, and the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

/// Why there are files and yet no state.
#[derive(Debug)]
pub enum LoadError {
    /// A later tagkeeper wrote one. It is to be left alone (exit code 78).
    Newer {
        /// The file.
        path: PathBuf,
        /// The format's number in the file.
        version: u64,
        /// The newest that this program knows.
        known: u32,
    },
    /// `state.json` is damaged or nonsensical. The lock holder sets it aside and starts afresh.
    Corrupt {
        /// What is wrong with it, for people.
        why: String,
    },
    /// `rejected.json` is damaged. It holds what a person said, so nothing is done without it.
    Rejections {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, for people.
        why: String,
    },
    /// Something that is no regular file has the name of one of the files. It is not opened, and
    /// not moved.
    NotRegular {
        /// Where it is.
        path: PathBuf,
        /// What it is: `a directory`.
        kind: &'static str,
    },
    /// A file could not be looked at: not permitted, or the disk or the host fails. That says
    /// nothing about what is in it, so nothing may be moved or assumed.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
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

    /// The file of the rejections, for messages.
    pub fn rejected_file(&self) -> PathBuf {
        self.path.join(REJECTED_FILE)
    }

    /// Reads the state and the rejections; none if there is neither, or no directory: a fresh
    /// start. Needs no lock and changes nothing.
    ///
    /// Where there are rejections alone, all else in the state is blank.
    pub fn load(&self) -> Result<Option<State>, LoadError> {
        let read = |name: &str| read_regular(CWD, &self.path.join(name));
        Ok(Files::read(self, read)?.loaded())
    }

    /// What a pass goes on with that sets the state file aside: the rejections, and all else blank.
    pub fn load_rejections(&self) -> Result<State, LoadError> {
        let read = |name: &str| match name {
            STATE_FILE => Ok(None),
            _ => read_regular(CWD, &self.path.join(name)),
        };
        Ok(Files::read(self, read)?.state)
    }
}

/// Both files as they were read.
#[derive(Debug)]
pub(super) struct Files {
    /// Format and bytes of `state.json`, where there is one.
    pub(super) state_file: Option<(u32, Vec<u8>)>,
    /// The bytes of `rejected.json`, and what it says, where there is one.
    pub(super) rejected_file: Option<(Vec<u8>, Rejections)>,
    /// What both come to.
    pub(super) state: State,
    /// What a rejection took out of it.
    pub(super) dropped: Vec<Dropped>,
}

impl Files {
    /// Reads both by a function that knows where they are.
    pub(super) fn read(
        dir: &StateDir,
        read: impl Fn(&str) -> Result<Option<Vec<u8>>, ReadError>,
    ) -> Result<Self, LoadError> {
        let state_file = read_state(dir, &read);
        // A newer one is to be left alone, and a damaged one is not set aside while the rejections
        // cannot be read.
        let state_file = match state_file {
            Err(error @ LoadError::Corrupt { .. }) => Err(error),
            done => Ok(done?),
        };
        let rejected_file = read_rejected(dir, &read)?;
        let (mut state, state_file) = match state_file? {
            Some((version, state, bytes)) => (state, Some((version, bytes))),
            None => (State::default(), None),
        };
        if let Some((_, said)) = &rejected_file {
            merge(&mut state.rejected, said);
        }
        let dropped = enforce_rejections(&mut state);
        validate(&state).map_err(|why| LoadError::Corrupt { why })?;
        Ok(Self {
            state_file,
            rejected_file,
            state,
            dropped,
        })
    }

    pub(super) fn loaded(self) -> Option<State> {
        let is_absent = self.state_file.is_none() && self.state.rejected.is_empty();
        (!is_absent).then_some(self.state)
    }
}

/// Format, content and bytes of `state.json`; none if there is no file.
fn read_state(
    dir: &StateDir,
    read: impl Fn(&str) -> Result<Option<Vec<u8>>, ReadError>,
) -> Result<Option<(u32, State, Vec<u8>)>, LoadError> {
    let corrupt = |why| LoadError::Corrupt { why };
    let path = dir.state_file();
    let Some(bytes) = read(STATE_FILE).map_err(|e| unread(path.clone(), e, corrupt))? else {
        return Ok(None);
    };
    match parse(&bytes) {
        Ok((version, state)) => Ok(Some((version, state, bytes))),
        Err(problem) => Err(unparsed(path, problem, FORMAT, corrupt)),
    }
}

/// Bytes and content of `rejected.json`; none if there is no file.
fn read_rejected(
    dir: &StateDir,
    read: impl Fn(&str) -> Result<Option<Vec<u8>>, ReadError>,
) -> Result<Option<(Vec<u8>, Rejections)>, LoadError> {
    let path = dir.rejected_file();
    let bad = |why| LoadError::Rejections {
        path: path.clone(),
        why,
    };
    let Some(bytes) = read(REJECTED_FILE).map_err(|e| unread(path.clone(), e, bad))? else {
        return Ok(None);
    };
    match rejected::parse(&bytes) {
        Ok(said) => Ok(Some((bytes, said))),
        Err(problem) => Err(unparsed(path.clone(), problem, rejected::FORMAT, bad)),
    }
}

fn unread(path: PathBuf, error: ReadError, bad: impl FnOnce(String) -> LoadError) -> LoadError {
    match error {
        ReadError::TooLarge => bad(format!("larger than {} MiB", MAX_BYTES >> 20)),
        ReadError::NotRegular(kind) => LoadError::NotRegular { path, kind },
        ReadError::Io(error) => LoadError::Io { path, error },
    }
}

fn unparsed(
    path: PathBuf,
    problem: Problem,
    format: Format,
    bad: impl FnOnce(String) -> LoadError,
) -> LoadError {
    match problem {
        Problem::Newer(version) => LoadError::Newer {
            path,
            version,
            known: format.current,
        },
        Problem::Bad(why) => bad(why),
    }
}

/// Adds what `rejected.json` says to what a state of format 1 had. The file knows more of the same
/// rejection.
fn merge(into: &mut Rejections, said: &Rejections) {
    for (name, images) in said {
        let images = images.iter().map(|(i, r)| (i.clone(), r.clone()));
        into.entry(name.clone()).or_default().extend(images);
    }
}

/// The format and the state of a state file, not looked at further.
pub(super) fn parse(bytes: &[u8]) -> Result<(u32, State), Problem> {
    let opened = document::open(bytes, FORMAT)?;
    let state = match opened.version {
        1 => v1::parse(opened.text),
        _ => serde_json::from_str(opened.text).map_err(|e| e.to_string()),
    };
    Ok((opened.version, state.map_err(Problem::Bad)?))
}

/// Turns the content of a state file into a state, without what `rejected.json` would add to it.
pub fn parse_state(bytes: &[u8]) -> Result<State, LoadError> {
    let dir = StateDir::new("");
    let read = |name: &str| Ok((name == STATE_FILE).then(|| bytes.to_vec()));
    Files::read(&dir, read).map(|files| files.state)
}

impl LoadError {
    /// What a person does about it; none where the pass goes on by itself.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Newer { path, .. } => {
                let otherwise = if path.ends_with(REJECTED_FILE) {
                    "move the file away and `tagkeeper rollback` again what must not be promoted"
                } else {
                    "move the file away to start afresh (nothing is deleted until the next promotion)"
                };
                Some(format!("install the newer tagkeeper again, or {otherwise}"))
            }
            Self::Corrupt { .. } => None,
            Self::Rejections { path, .. } => Some(format!(
                "restore '{}' from a backup, or move it away and `tagkeeper rollback` again what must not be promoted",
                path.display()
            )),
            Self::NotRegular { path, .. } => Some(format!(
                "move '{}' away; tagkeeper keeps a regular file there and follows no link",
                path.display()
            )),
            Self::Io { path, error } => match error.kind() {
                io::ErrorKind::PermissionDenied => Some(format!(
                    "run as root or as user tagkeeper; if that is who runs it: chmod a+r '{}'",
                    path.display()
                )),
                io::ErrorKind::NotADirectory => Some(
                    "is --state-dir right? Its path is not a directory, or leads through a file"
                        .to_owned(),
                ),
                _ => Some(format!(
                    "check the disk that '{}' is on; nothing is forgotten or changed until it can be read",
                    path.display()
                )),
            },
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer {
                path,
                version,
                known,
            } => write!(
                f,
                "failed to read '{}': it has format {version}, written by a newer tagkeeper; this one knows {known}",
                path.display()
            ),
            Self::Corrupt { why } => write!(f, "the state is corrupt: {why}"),
            Self::Rejections { path, why } => write!(
                f,
                "failed to read '{}': the rejections are corrupt: {why}",
                path.display()
            ),
            Self::NotRegular { path, kind } => {
                write!(f, "failed to read '{}': it is {kind}", path.display())
            }
            Self::Io { path, .. } => write!(f, "failed to read '{}'", path.display()),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
