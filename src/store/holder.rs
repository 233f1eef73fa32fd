//! What the lock holder may do: load, save, set aside. It knows what it read, and replaces nothing
//! else (design 5.1).
//!
//! It keeps the bytes of both files as they were last loaded or saved, so that the fields of later
//! versions are written back (`unknown`), and whether `state.json` is still of format 1: then its
//! rejections are not in `rejected.json` yet, and are written there before anything else is. In
//! order:
//!
//! - `save` of a state, where `state.json` is of format 1: `rejected.json` with the rejections *as
//!   they were loaded*, and then the state. A kill in between leaves both files with the same
//!   rejections.
//! - `save_rejected`, where `state.json` is of format 1: `rejected.json`, and then the loaded state
//!   as format 2. Otherwise the rejection that `accept` has just lifted would be found in
//!   `state.json` again.
//!
//! A save without a load before loads first: a state that is newer, damaged or cannot be read is
//! never replaced.

use std::fmt::Display;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tagkeeper_core::model::State;

use super::document::{self, Problem};
use super::file::{self, Files, LoadError, StateDir};
use super::lock::{LockError, LockedDir};
use super::read::read_regular;
use super::rejected::{self, Content, Rejections};
use super::save::{REJECTED, STATE};
use super::unknown::with_unknown;
use super::validate::{Dropped, enforce_rejections, validate};
use super::{FORMAT_VERSION, Store, failed_to};
use crate::deadline::Deadline;
use crate::random;

/// Bytes of the id of a memory.
const INSTANCE_BYTES: usize = 8;

/// The right to write the state; ends when it is dropped.
#[derive(Debug)]
pub struct Lock {
    locked: LockedDir,
    /// What it knows of the files that it may replace; none until they are loaded.
    held: Option<Held>,
}

impl StateDir {
    /// Takes the lock, or says at once that it is held. Makes the directory when it is absent.
    pub fn lock(&self) -> Result<Lock, LockError> {
        LockedDir::lock(self).map(Lock::new)
    }

    /// Takes the lock, waiting until the deadline while another pass has it. Calls `on_wait` once
    /// if it has to wait. Makes the directory when it is absent. The clock must be read after this
    /// has returned, and never before.
    pub fn lock_within(
        &self,
        deadline: Deadline<'_>,
        on_wait: &dyn Fn(),
    ) -> Result<Lock, LockError> {
        LockedDir::lock_within(self, deadline, on_wait).map(Lock::new)
    }
}

/// What the lock holder knows of the files.
#[derive(Debug)]
struct Held {
    /// Which memory this is; empty until one is loaded or made.
    instance: String,
    /// `state.json` as it was last loaded or saved, for its unknown fields; empty if there can be
    /// none.
    state: Vec<u8>,
    /// `rejected.json`, likewise.
    rejected: Vec<u8>,
    /// The state as it was loaded, while `state.json` is of format 1.
    v1: Option<Box<State>>,
    /// Whether `rejected.json` is to be written before that is replaced.
    carries_rejections: bool,
    /// What a rejection took out of the loaded state.
    dropped: Vec<Dropped>,
}

impl Lock {
    fn new(locked: LockedDir) -> Self {
        Self { locked, held: None }
    }

    /// Reads the state and the rejections, and remembers what a save has to keep of them. Changes
    /// nothing on the disk.
    pub fn load(&mut self) -> Result<Option<State>, LoadError> {
        self.held = None;
        let mut files = self.read()?;
        self.held = Some(Held::of(&mut files));
        Ok(files.loaded())
    }

    fn read(&self) -> Result<Files, LoadError> {
        let read = |name: &str| read_regular(self.locked.dir_fd.as_fd(), Path::new(name));
        Files::read(&self.locked.dir, read)
    }

    /// Moves the state file out of the way as `state.json.corrupt-<time>`, and returns its new
    /// path. An earlier one is never overwritten: the next is called `-2`, and so on. `wall` is the
    /// time as RFC 3339. What is left is to be loaded again: there may be rejections.
    pub fn set_aside(&mut self, wall: &str) -> anyhow::Result<PathBuf> {
        self.held = None;
        self.locked.move_aside(wall)
    }

    /// Which memory this is: 16 hexadecimal digits. Those of the loaded state, or fresh ones, which
    /// every save puts into a state that has none.
    pub fn instance(&mut self) -> anyhow::Result<&str> {
        let held = self.held()?;
        held.make_instance()?;
        Ok(&held.instance)
    }

    /// What a rejection took out of the state as it was last loaded. For the log.
    pub fn dropped(&self) -> &[Dropped] {
        self.held.as_ref().map_or(&[], |held| &held.dropped)
    }

    /// Whether the state is to be saved even if nothing has changed since it was loaded: the file
    /// is of format 1, or a rejection took something out of what it says. Without that save both
    /// would be so in every pass.
    pub fn is_outdated(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.v1.is_some() || !held.dropped.is_empty())
    }

    fn write_rejected(&mut self, rejected: &Rejections) -> anyhow::Result<()> {
        let content = Content::new(rejected);
        let parse = |bytes: &[u8]| rejected::parse(bytes).map(|said| Content::new(&said));
        let kept = &self.held()?.rejected;
        let document = sealed(rejected::FORMAT.current, &content, kept, parse)?;
        self.locked.write(REJECTED, &document)?;
        let held = self.held()?;
        (held.rejected, held.carries_rejections) = (document, false);
        Ok(())
    }

    /// What is known of the files, which are loaded if they were not.
    fn held(&mut self) -> anyhow::Result<&mut Held> {
        let held = match self.held.take() {
            Some(held) => held,
            None => Held::of(&mut self.read()?),
        };
        Ok(self.held.insert(held))
    }
}

impl Store for Lock {
    /// Saves the state durably, rejections aside: when this returns `Ok`, a power cut cannot take
    /// it back. On an error the state on the disk is whole, and nearly always the old one (see
    /// `save` on step 9).
    fn save(&mut self, state: &State) -> anyhow::Result<()> {
        validate(state).map_err(refused)?;
        let held = self.held()?;
        let named = held.named(state)?;
        let parse = |bytes: &[u8]| file::parse(bytes).map(|(_, state)| state);
        let content = named.as_ref().unwrap_or(state);
        let document = sealed(FORMAT_VERSION, content, &held.state, parse)?;
        let rejected = held
            .v1
            .as_ref()
            .filter(|_| held.carries_rejections)
            .map(|v1| v1.rejected.clone());
        if let Some(rejected) = rejected {
            self.write_rejected(&rejected)?;
        }
        self.locked.write(STATE, &document)?;
        let held = self.held()?;
        held.state = document;
        held.v1 = None;
        held.dropped.clear();
        Ok(())
    }

    fn save_rejected(&mut self, rejected: &Rejections) -> anyhow::Result<()> {
        self.write_rejected(rejected)?;
        let v1 = self.held()?.v1.as_deref().cloned();
        if let Some(mut v1) = v1 {
            v1.rejected.clone_from(rejected);
            enforce_rejections(&mut v1);
            self.save(&v1)?;
        }
        Ok(())
    }
}

impl Held {
    /// Takes the bytes out of the files.
    fn of(files: &mut Files) -> Self {
        let (version, state_bytes) = match &mut files.state_file {
            Some((version, bytes)) => (*version, std::mem::take(bytes)),
            None => (FORMAT_VERSION, Vec::new()),
        };
        let is_v1 = version == 1;
        let (rejected_bytes, is_carried) = match &mut files.rejected_file {
            Some((bytes, said)) => (std::mem::take(bytes), *said == files.state.rejected),
            None => (Vec::new(), files.state.rejected.is_empty()),
        };
        Self {
            instance: files.state.instance.clone(),
            // Format 1 had no unknown fields.
            state: if is_v1 { Vec::new() } else { state_bytes },
            rejected: rejected_bytes,
            v1: is_v1.then(|| Box::new(files.state.clone())),
            carries_rejections: is_v1 && !is_carried,
            dropped: files.dropped.clone(),
        }
    }

    /// A state that has no instance yet, with one.
    fn named(&mut self, state: &State) -> anyhow::Result<Option<State>> {
        if !state.instance.is_empty() {
            return Ok(None);
        }
        self.make_instance()?;
        let instance = self.instance.clone();
        Ok(Some(State {
            instance,
            ..state.clone()
        }))
    }

    fn make_instance(&mut self) -> anyhow::Result<()> {
        if self.instance.is_empty() {
            self.instance = random::hex_digits::<INSTANCE_BYTES>()
                .map_err(|e| failed_to("read", Path::new("/dev/urandom"), e))?;
        }
        Ok(())
    }
}

/// The bytes of a content with the unknown fields of the file that it replaces, where their parents
/// still are. `parse` is how that file's bytes are read.
fn sealed<T: Serialize + DeserializeOwned>(
    version: u32,
    content: &T,
    replaced: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<T, Problem>,
) -> anyhow::Result<Vec<u8>> {
    let grafted = match parse(replaced) {
        Ok(read_as) => {
            let plain = serde_json::to_value(content).map_err(refused)?;
            let reads_the_same = |grafted: &Value| {
                serde_json::from_value::<T>(grafted.clone())
                    .and_then(serde_json::to_value)
                    .is_ok_and(|read| read == plain)
            };
            with_unknown(replaced, &read_as, &plain, reads_the_same).map_err(refused)?
        }
        // There was no file, or one of a format without unknown fields.
        Err(_) => None,
    };
    match grafted {
        Some(grafted) => document::seal(version, &grafted),
        None => document::seal(version, content),
    }
    .map_err(refused)
}

/// The bytes that a save writes for a state, unknown fields aside.
pub fn state_document(state: &State) -> anyhow::Result<Vec<u8>> {
    validate(state).map_err(refused)?;
    document::seal(FORMAT_VERSION, state).map_err(refused)
}

/// A state that makes no sense would be set aside as corrupt by the next pass: a bug. Nothing was
/// written.
fn refused(why: impl Display) -> anyhow::Error {
    anyhow!("refused to save a state that makes no sense: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_loaded_again_is_not_saved() {
        let json =
            r#"{"clock":{"clock_ms":1,"monotonic_ms":1},"workloads":{"x":{"held_since_ms":1}}}"#;
        let mut state: State = serde_json::from_str(json).unwrap();
        assert!(state_document(&state).is_ok());
        state.clock.clock_ms = 0;
        let error = state_document(&state).unwrap_err();
        assert_eq!(
            error.to_string(),
            "refused to save a state that makes no sense: workload 'x': held_since_ms (1 ms) is ahead of the clock (0 ms)"
        );
    }
}
