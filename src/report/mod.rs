//! What people and programs get to see: plan and status as text and JSON, the status line, the log.
//!
//! Decides nothing: it prints what [`decide`](crate::decide) has decided, in the words of its enums. Text and JSON are
//! values (`String`) that the caller prints; only [`log`] writes anywhere. No clock: what needs the time is in the plan.

use std::path::PathBuf;

pub mod json;
mod layout;
pub mod log;
pub mod metrics;
#[cfg(test)]
mod sample;
mod status_line;
pub mod text;
mod words;

pub use layout::Page;
pub use status_line::status_line;

/// How `check` begins to say that the engine could not be looked at.
const UNSEEN: &str =
    "could not look at the engine, so nobody knows whether it has the repositories";

/// What plan and status say beside the workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The policy file to name to people who have none to watch: `--policy`, else the operator's.
    pub policy_file: PathBuf,
    /// What concerns all workloads: the state could not be read, so a fresh start is shown (design 5.1).
    pub notes: Vec<String>,
}

impl Preface {
    /// Nothing to say but where the policy is.
    pub fn new(policy_file: impl Into<PathBuf>) -> Self {
        Self {
            policy_file: policy_file.into(),
            notes: Vec::new(),
        }
    }
}
