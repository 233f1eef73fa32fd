//! When the last pass ended, and how: kept on a tmpfs, so that an idle pass still writes nothing to
//! a disk (design 7).
//!
//! One small file for all state directories of a host, each under its path. It is for people: no
//! decision reads it, and what cannot be written or read costs a line in `status` and nothing else.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::regular;

/// The file, within the runtime directory.
const FILE: &str = "last-pass.json";
/// Where it is when systemd does not say.
const DEFAULT_DIR: &str = "/run/tagkeeper";
/// Its mode, as the unit has it: `status` is a command for anyone.
const DIR_MODE: u32 = 0o755;
/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// How the last pass ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPass {
    /// When it ended, RFC 3339, by the host's wall clock.
    pub ended_at: String,
    /// `CLOCK_MONOTONIC` when it ended, in milliseconds: how long ago that was does not depend on
    /// the wall clock.
    pub monotonic_ms: u64,
    /// Its exit code.
    pub exit_code: u8,
    /// What went wrong, in one line; absent where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

type Passes = BTreeMap<String, LastPass>;

/// The runtime directory: the unit's, else its default place.
pub(crate) fn directory() -> PathBuf {
    let listed = std::env::var("RUNTIME_DIRECTORY").unwrap_or_default();
    let dir = listed.split(':').next().filter(|dir| !dir.is_empty());
    PathBuf::from(dir.unwrap_or(DEFAULT_DIR))
}

/// Makes the runtime directory where the unit has not: a pass by hand is a pass. Best effort, as
/// only root may, and before the pass is confined.
pub(crate) fn make_directory() {
    let _ = DirBuilder::new().mode(DIR_MODE).create(directory());
}

fn path() -> PathBuf {
    directory().join(FILE)
}

fn key(state_dir: &Path) -> String {
    // One directory has many names.
    let whole = std::fs::canonicalize(state_dir).or_else(|_| std::path::absolute(state_dir));
    let whole = whole.as_deref().unwrap_or(state_dir);
    whole.to_string_lossy().into_owned()
}

/// The last pass over a state; none if nothing is known of one since the host booted.
pub(crate) fn read(state_dir: &Path) -> Option<LastPass> {
    read_all(&path()).remove(&key(state_dir))
}

fn read_all(path: &Path) -> Passes {
    let text = regular::read(path, MAX_BYTES).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Notes how a pass over a state ended; nowhere if there is no runtime directory, and none could be
/// made.
///
/// # Errors
/// The file could not be written.
pub(crate) fn write(state_dir: &Path, pass: LastPass) -> anyhow::Result<()> {
    let path = path();
    if !path.parent().is_some_and(Path::is_dir) {
        return Ok(());
    }
    let mut passes = read_all(&path);
    passes.insert(key(state_dir), pass);
    let text = serde_json::to_string(&passes).context("failed to write JSON")?;
    crate::textfile::write(&path, &text, "remove it")
        .with_context(|| format!("failed to note the pass in '{}'", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_is_one_by_all_its_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        std::fs::create_dir(&state).expect("writable");
        std::os::unix::fs::symlink(&state, dir.path().join("link")).expect("writable");
        for name in ["state", "state/", "state/../state", "link"] {
            assert_eq!(key(&dir.path().join(name)), key(&state), "{name}");
        }
        assert_ne!(key(&dir.path().join("nonesuch")), key(&state));
    }
}
