//! What people and programs get to see: plan and status as text and JSON, the status line, the log.
//!
//! Decides nothing: it prints what the planner has decided. Every sentence about a decision is in
//! [`words`]. Text and JSON are values (`String`) that the caller prints; only [`log`] writes
//! anywhere. No clock: what needs the time is passed in.

use std::path::PathBuf;

pub mod json;
mod layout;
pub mod log;
pub mod metrics;
#[cfg(test)]
mod sample;
mod status_line;
pub mod text;
pub mod words;

pub use crate::last_pass::LastPass;

pub use layout::Page;
pub use status_line::status_line;

/// What `check` says on a kernel that has no Landlock.
pub const NO_LANDLOCK: &str = "this kernel has no Landlock, or it is off: a pass is confined by the unit alone; the \
                               drop-in strict.conf takes its place (SECURITY.md)";

/// What `check` says if it could not observe the engine.
pub fn unseen_engine(error: &anyhow::Error) -> String {
    format!(
        "engine not reachable, repositories not checked: {}",
        log::in_words(error)
    )
}

/// What plan and status say beside the workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The policy file to name to people whose policy has no workload: `--policy`, else the
    /// operator's.
    pub policy_file: PathBuf,
    /// What concerns all workloads: the state could not be read, so a fresh start is shown (design
    /// 5.1).
    pub notes: Vec<String>,
    /// When the last pass ended, and how; none if that is not known.
    pub last_pass: Option<LastPassView>,
    /// What systemd says of the timer, such as `active`; none where nothing asked, or nothing
    /// answered.
    pub timer: Option<String>,
    /// The wall clock, RFC 3339, for how long ago something was; none to leave that out.
    pub wall: Option<String>,
}

/// The last pass, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPassView {
    /// How long ago it ended, in seconds.
    pub seconds_ago: u64,
    /// How it ended.
    pub pass: LastPass,
}

impl Preface {
    /// Nothing to say but where the policy is.
    pub fn new(policy_file: impl Into<PathBuf>) -> Self {
        Self {
            policy_file: policy_file.into(),
            notes: Vec::new(),
            last_pass: None,
            timer: None,
            wall: None,
        }
    }

    /// How long ago a time was; none if that cannot be told, because the wall clock was set back or
    /// is not known.
    pub(crate) fn ago(&self, at: &str) -> Option<String> {
        crate::duration::ago(at, self.wall.as_deref()?)
    }

    /// A time with how long ago it was: `2026-11-22T23:10:00Z (5 days ago)`.
    pub(crate) fn when(&self, at: &str) -> String {
        match self.ago(at) {
            Some(ago) => format!("{at} ({ago} ago)"),
            None => at.to_owned(),
        }
    }
}
