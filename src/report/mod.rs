//! What people and programs get to see: plan and status as text and JSON, the status line, the log.
//!
//! Decides nothing: it prints what the planner has decided. Every sentence about a decision is in [`words`]. Text and JSON are
//! values (`String`) that the caller prints; only [`log`] writes anywhere. No clock: what needs the time is passed in.

use std::path::PathBuf;

pub mod json;
mod layout;
pub mod log;
pub mod metrics;
mod status_line;
pub mod text;
pub mod words;

use crate::last_pass::LastPass;

pub use layout::Page;
pub use status_line::status_line;

/// How `check` begins to say that the engine could not be observed.
const UNSEEN: &str = "engine not reachable, repositories not checked";

/// What plan and status say beside the workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The policy file to name to people whose policy has no workload: `--policy`, else the operator's.
    pub policy_file: PathBuf,
    /// What concerns all workloads: the state could not be read, so a fresh start is shown (design 5.1).
    pub notes: Vec<String>,
    /// When the last pass ended, and how; none if that is not known.
    pub last_pass: Option<LastPassView>,
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
        }
    }
}
