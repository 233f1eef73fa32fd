//! What is remembered between passes, on the disk (design 5.1). The data is
//! `tagkeeper_core::model::State`.
//!
//! Two files, each with a format number and a checksum:
//!
//! - `state.json`: written by passes, `rollback` and `accept`. Machine-owned; what is lost with it
//!   is learnt again.
//! - `rejected.json`: the rejections by `rollback`, the one thing that a person said. Only
//!   `rollback` and `accept` write it, so that no fault of `state.json` costs a rejection.
//!
//! There is one exception. Format 1 had the rejections in `state.json`. They hold in every load of
//! such a file, and the lock holder writes them to `rejected.json` once, before it replaces that
//! `state.json` by one of format 2.
//!
//! | found | result | what the lock holder may do |
//! |---|---|---|
//! | neither file | no state | start afresh |
//! | `rejected.json` only | a state, blank but for the rejections | start afresh |
//! | `state.json` that does not parse, fit its checksum or make sense | [`LoadError::Corrupt`] | [`Lock::set_aside`], load again |
//! | `rejected.json` in that condition | [`LoadError::Rejections`] | nothing: the pass fails |
//! | either, of a newer format | [`LoadError::Newer`] | nothing: exit code 78 |
//! | a directory, link, pipe, socket or device in either's place | [`LoadError::NotRegular`] | nothing: the pass fails |
//! | an I/O error, twice | [`LoadError::Io`] | nothing: the pass fails |
//!
//! A corrupt `rejected.json` is not set aside: without it, a version that a person rejected could
//! be promoted a soak later. What is not a regular file is not set aside either: tagkeeper did not
//! make it, a link may point to a file that matters, and a directory cannot be replaced by a
//! rename.
//!
//! `file` reads, `lock` gives the right to write, `holder` is what that right allows, `save` writes
//! durably. `document` is the frame of both files, `unknown` keeps the fields of later versions,
//! `v1` reads what edition 1 wrote, `validate` tells what makes no sense. Files are touched in
//! `file`, `lock` and `save` and nowhere else.

mod document;
mod file;
mod holder;
mod lock;
mod read;
mod rejected;
mod save;
mod unknown;
mod v1;
mod validate;

use std::io;
use std::path::Path;

use tagkeeper_core::model::State;

pub use file::{LoadError, StateDir, parse_state};
pub use holder::{Lock, state_document};
pub use lock::LockError;
pub use rejected::Rejections;
pub use validate::Dropped;

/// The format of `state.json` that this program writes. A file of a newer one is refused (design
/// 5.1).
pub const FORMAT_VERSION: u32 = 2;

/// Where the state is kept.
pub trait Store {
    /// Saves the state, rejections aside. Once it returns, the new state is durable; when it fails,
    /// the old one still is.
    fn save(&mut self, state: &State) -> anyhow::Result<()>;

    /// Saves the rejections by `rollback`, as durably. For `rollback` and `accept` only.
    fn save_rejected(&mut self, rejected: &Rejections) -> anyhow::Result<()>;
}

/// A step on a file that failed: "failed to write '/var/lib/tagkeeper/state.json.spare'", and what
/// the system said, which can be had by `downcast_ref`.
fn failed_to(doing: &str, path: &Path, error: impl Into<io::Error>) -> anyhow::Error {
    let message = format!("failed to {doing} '{}'", path.display());
    anyhow::Error::new(error.into()).context(message)
}
