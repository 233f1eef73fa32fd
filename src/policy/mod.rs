//! What the operator wants: a validated [`Policy`] (design section 6).
//!
//! `files` finds the files, `text` walks each of them, table by table (`section`) and value by value (`value`), `check`
//! merges them and validates the whole, `odd` finds what is legal and hardly meant, `diagnostic` says what is wrong and where. All errors of a policy are found at
//! once; a policy with one error is no policy at all. Reads files (in `files` alone); knows no engine.

mod check;
mod diagnostic;
mod files;
mod odd;
mod section;
mod text;
mod value;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::image::Repository;

pub(crate) use diagnostic::printable;
pub use diagnostic::{Diagnostic, Place, Problem, Refused, Severity};
pub use files::{Roots, Source, load, load_file, survey_file, survey_files};
pub use odd::Survey;
pub use section::SECTIONS;
pub use text::{parse_policy, survey};
pub(crate) use value::{is_name, key_name, quoted};

/// Soak when the policy names none: ten minutes (design R1).
pub const DEFAULT_SOAK_MS: u64 = 10 * 60 * 1000;
/// Proven versions kept behind latest when the policy names no number (design R3).
pub const DEFAULT_FALLBACKS: usize = 1;
/// How long an unproven image may lie idle when the policy does not say: a day.
pub const DEFAULT_GRACE_MS: u64 = 24 * 60 * 60 * 1000;
/// Deadline of one engine call when the policy names none.
pub const DEFAULT_TIMEOUT_MS: u64 = 20 * 1000;
/// Deadline of a `ready` command when the policy names none (design 4.3).
pub const DEFAULT_READY_TIMEOUT_MS: u64 = 10 * 1000;
/// Deadline of a hook when the policy names none.
pub const DEFAULT_HOOK_TIMEOUT_MS: u64 = 10 * 1000;
/// The engine's socket when neither policy nor command line names one.
pub const DEFAULT_SOCKET: &str = "/run/docker.sock";
/// Shortest soak that a policy may name (design section 6).
pub const MIN_SOAK_MS: u64 = 1000;

/// The name of a workload in the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadName(String);

impl WorkloadName {
    /// A name; the policy check has seen to it that it is letters, digits, `.`, `_` and `-`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for WorkloadName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A whole, validated policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How to reach the engine.
    pub engine: EnginePolicy,
    /// Where to write metrics.
    pub metrics: Metrics,
    /// Whom to tell what happened.
    pub hooks: Hooks,
    /// The workloads by name. May be empty: legal, and nothing to do.
    pub workloads: BTreeMap<WorkloadName, Workload>,
}

/// `[engine]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePolicy {
    /// The unix socket.
    pub socket: PathBuf,
    /// Deadline of one call, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for EnginePolicy {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(DEFAULT_SOCKET),
            timeout_ms: DEFAULT_TIMEOUT_MS,
        }
    }
}

/// `[metrics]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The file that node_exporter reads; none where no metrics are written.
    pub textfile: Option<PathBuf>,
}

/// `[hooks]`: commands that are told what happened. Each is a program and its arguments, run without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// An image became latest and the head of the lineage.
    pub promoted: Option<Vec<String>>,
    /// A pending upgrade ended without a promotion.
    pub failed: Option<Vec<String>>,
    /// A person rolled back.
    pub rolled_back: Option<Vec<String>>,
    /// Deadline of each, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            promoted: None,
            failed: None,
            rolled_back: None,
            timeout_ms: DEFAULT_HOOK_TIMEOUT_MS,
        }
    }
}

/// `[workload.NAME]`, with `[defaults]` filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The local repository, whose `latest` the local service runs.
    pub repository: Repository,
    /// The repositories that the orchestrator pulls the same image from.
    pub remotes: Vec<Repository>,
    /// The exact name of the local container.
    pub container: String,
    /// Which other containers count as orchestrated; all that run the workload's images when absent.
    pub orchestrated: Option<Glob>,
    /// The command that tells whether the serving container is ready.
    pub ready: Option<Ready>,
    /// How long an incarnation must stay up before its image is proven, in milliseconds.
    pub soak_ms: u64,
    /// Proven versions kept behind latest.
    pub fallbacks: usize,
    /// How long an unproven image may lie idle, in milliseconds.
    pub grace_ms: u64,
    /// What becomes of a fallback that was never rolled out (design R5).
    pub local_fallback: LocalFallback,
    /// The engine's disk is too full above this percentage: then idle, unproven images do not get all of their grace.
    /// None: the disk is never asked about.
    pub pressure_percent: Option<u8>,
    /// Whether a container that is never started refers to each fallback, so that others cannot remove it unforced.
    pub pin: bool,
    /// Look and do not touch.
    pub hold: bool,
}

impl Workload {
    /// A workload with every key at its default.
    pub fn new(name: &str, repository: Repository) -> Self {
        Self {
            repository,
            remotes: Vec::new(),
            container: name.to_owned(),
            orchestrated: None,
            ready: None,
            soak_ms: DEFAULT_SOAK_MS,
            fallbacks: DEFAULT_FALLBACKS,
            grace_ms: DEFAULT_GRACE_MS,
            local_fallback: LocalFallback::Drop,
            pressure_percent: None,
            pin: false,
            hold: false,
        }
    }

    /// The local repository, then the remotes.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        std::iter::once(&self.repository).chain(&self.remotes)
    }
}

/// `local_fallback`: what becomes of a fallback that was never rolled out, when an orchestrated container is promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalFallback {
    /// It is struck from the lineage and removed (design R5).
    Drop,
    /// It stays: for hosts whose orchestrator does no dry runs.
    Keep,
}

/// `ready` and `ready_timeout` (design 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Program and arguments; run without a shell.
    pub command: Vec<String>,
    /// Its deadline, in milliseconds.
    pub timeout_ms: u64,
}

/// A pattern on container names: `*`, `?` and `[...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(glob::Pattern);

impl Glob {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        glob::Pattern::new(text)
            .map(Self)
            .map_err(|e| e.msg.to_owned())
    }

    /// Whether a container of this name is looked at.
    pub fn matches(&self, container_name: &str) -> bool {
        self.0.matches(container_name)
    }
}
